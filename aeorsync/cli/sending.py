"""What ``aeorsync put`` does."""

import os
import stat
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from aeorsync.cli.client import CommandError
from aeorsync.cli.moving import Bar, Report, bar, each
from aeorsync.cli.remotely import Place, on
from aeorsync.client import AsyncClient
from aeorsync.client.getting import TEMP_PREFIX
from aeorsync.client.writing import Wish
from aeorsync.config import Exit
from aeorsync.core.paths import parse
from aeorsync.errors import BadRequestError, NotFoundError, PreconditionError
from aeorsync.runtime import bridge

__all__ = ["Wish", "put"]

Job = tuple[str, Callable[[], Awaitable[None]]]
_STDIN: Final = Path("-")


def put(sources: Sequence[Path], to: Place, wish: Wish, *, is_quiet: bool, as_json: bool) -> None:
    """Store files and folders."""
    for source in sources:
        if source != _STDIN and not os.path.lexists(source):
            raise CommandError(f"{source}: no such file or folder here", Exit.NOT_FOUND)
    report = Report()
    with bar(is_quiet=is_quiet) as shown:
        run = _Run(wish, report, shown)
        on(to.node, lambda client: run.all(client, sources, to))
    report.end("stored", as_json=as_json, is_quiet=is_quiet)


class _Run:
    """One command."""

    def __init__(self, wish: Wish, report: Report, shown: Bar) -> None:
        self._wish = wish
        self._report = report
        self._shown = shown

    async def all(self, client: AsyncClient, sources: Sequence[Path], to: Place) -> None:
        """Store each where it is meant to be."""
        into = to.is_folder or len(sources) > 1 or await self._is_folder(client, to.path)
        for source in sources:
            if source == _STDIN:
                if into:
                    raise CommandError(
                        "standard input has no name: say the whole path of the file", Exit.USAGE
                    )
                await each(
                    [(to.path, partial(self._send, client, None, to.path))],
                    self._report,
                    alone=True,
                )
                continue
            goal = f"{to.path.rstrip('/')}/{_own_name(source)}" if into else to.path
            jobs = list(self._jobs(client, source, goal))
            await each(jobs, self._report, alone=len(sources) == 1 and not source.is_dir())

    async def _is_folder(self, client: AsyncClient, path: str) -> bool:
        with suppress(NotFoundError):
            return (await client.stat(path, fork=self._wish.fork)).is_folder
        return False

    def _jobs(self, client: AsyncClient, source: Path, goal: str) -> Iterator[Job]:
        """All that is to be done for a file, or for a folder with what is in it."""
        # A link that somebody names is followed; those in a folder are not.
        if not source.is_dir():
            facts = source.stat()
            if stat.S_ISREG(facts.st_mode):
                self._shown.expect(facts.st_size)
            # What comes out of a pipe that somebody names is as good as a file.
            yield goal, partial(self._send, client, source, goal)
            return
        yield goal, partial(self._make, client, goal)
        for entry in sorted(os.scandir(source), key=lambda one: one.name):
            below = Path(entry.path)
            path = f"{goal.rstrip('/')}/{entry.name}"
            if entry.name.startswith(TEMP_PREFIX):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from self._jobs(client, below, path)
            else:
                yield self._job(client, below, path, entry.stat(follow_symlinks=False))

    def _job(self, client: AsyncClient, source: Path, path: str, facts: os.stat_result) -> Job:
        if stat.S_ISLNK(facts.st_mode):
            return path, partial(self._link, client, source, path)
        if not stat.S_ISREG(facts.st_mode):
            return path, self._special
        self._shown.expect(facts.st_size)
        return path, partial(self._send, client, source, path)

    async def _special(self) -> None:
        raise BadRequestError("is a special file here; it was left out")

    async def _send(self, client: AsyncClient, source: Path | None, path: str) -> None:
        wish = self._wish
        try:
            written = await client.put(
                _checked(path),
                sys.stdin.buffer if source is None else source,
                content_type=wish.content_type,
                base=wish.base,
                on_conflict="refuse",
                fork=wish.fork,
                progress=self._shown.told(path),
            )
        except PreconditionError as error:
            raise PreconditionError(f"{path} exists there; it was left alone") from error
        except NotFoundError as error:
            text = f"{path}: this key may not write there, or there is no such fork"
            raise NotFoundError(text) from error
        self._report.moved.append(path)
        self._report.size += written.size

    async def _make(self, client: AsyncClient, path: str) -> None:
        if path.strip("/") and self._wish.fork is None:
            await client.mkdir(_checked(path))

    async def _link(self, client: AsyncClient, source: Path, path: str) -> None:
        if self._wish.fork is not None:
            raise BadRequestError("is a link; links are not put into forks from here")
        target = await bridge.run(source.readlink)
        await client.link(_checked(path), str(target), base=self._wish.base)
        self._report.moved.append(path)


def _own_name(source: Path) -> str:
    return source.name or source.resolve().name


def _checked(path: str) -> str:
    """A path as servers take them.

    Raises:
        BadRequestError: A name on disk is none that a server takes.
    """
    return parse(path)
