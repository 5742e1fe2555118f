"""What both ways of moving files share: a bar on a terminal, several at a time, and a summary.

One file that cannot be moved does not stop the others: it is named in the end, and the exit code
is 1. A server that is gone stops all of them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from aeorsync.cli.client import CommandError
from aeorsync.cli.remotely import words
from aeorsync.cli.words import console, count, say, say_json, size
from aeorsync.config import Exit
from aeorsync.errors import AeorError, DeniedError, UnauthorizedError, UnavailableError
from aeorsync.runtime.redact import printable

AT_ONCE: Final = 8
_SHOWN: Final = 20


@dataclass
class Report:
    """What became of some files.

    Attributes:
        moved: Files that were moved, by their paths there.
        skipped: Files that were on both sides already.
        size: Bytes of those that were moved.
        problems: Why others were not moved.
    """

    moved: list[str] = field(default_factory=list)
    skipped: int = 0
    size: int = 0
    problems: list[tuple[str, str]] = field(default_factory=list)

    def end(self, verb: str, *, as_json: bool, is_quiet: bool) -> None:
        """Tell what became of it.

        Raises:
            CommandError: Not all were moved.
        """
        if as_json:
            problems = [{"path": path, "error": why} for path, why in self.problems]
            told = {"files": self.moved, "skipped": self.skipped, "bytes": self.size}
            say_json({**told, "problems": problems})
        elif not is_quiet and console(err=True).is_terminal:
            same = f", {self.skipped:,} there already" if self.skipped else ""
            text = f"{count(len(self.moved), 'file')} {verb}{same}, {size(self.size)}"
            say(Text(text, "dim"), err=True)
        if self.problems:
            for path, why in self.problems[:_SHOWN]:
                say(Text(f"{printable(path)}: {printable(why)}", "yellow"), err=True)
            raise CommandError(f"{count(len(self.problems), 'file')} not {verb}", Exit.FAILED)


class Bar:
    """How far it is; counts bytes of all files together."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None)
        self._total = 0
        self._done: dict[str, int] = {}

    def expect(self, more: int) -> None:
        """So many bytes more are to come."""
        self._total += more
        self._progress.update(self._task, total=self._total)

    def told(self, name: str) -> Callable[[int, int | None], None]:
        """What to call with the bytes of one file that are done."""

        def tell(done: int, _total: int | None) -> None:
            self._progress.advance(self._task, done - self._done.get(name, 0))
            self._done[name] = done
            self._progress.update(self._task, description=printable(name)[-40:])

        return tell


@contextmanager
def bar(*, is_quiet: bool) -> Iterator[Bar]:
    """A progress bar on standard error, if that is a terminal."""
    out = console(err=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    is_shown = out.is_terminal and not is_quiet
    with Progress(*columns, console=out, transient=True, disable=not is_shown) as progress:
        yield Bar(progress)


async def each(
    jobs: Iterable[tuple[str, Callable[[], Awaitable[None]]]], report: Report, *, alone: bool
) -> None:
    """Do several jobs at once; what goes wrong with one is noted, and the others go on.

    Args:
        jobs: The path that each is about, and what to do.
        report: Where to note problems.
        alone: There is only one file to be moved: what goes wrong is raised.

    Raises:
        AeorError: The server is gone, or does not know the key.
    """
    free = asyncio.Semaphore(AT_ONCE)

    async def one(path: str, job: Callable[[], Awaitable[None]]) -> None:
        try:
            await job()
        except (UnavailableError, UnauthorizedError, DeniedError):
            raise
        except (AeorError, OSError) as error:
            if alone:
                raise
            report.problems.append((path, words(error)))
        finally:
            free.release()

    try:
        async with asyncio.TaskGroup() as group:
            for path, job in jobs:
                await free.acquire()
                group.create_task(one(path, job))
    except BaseExceptionGroup as group:
        raise _first(group) from group


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
