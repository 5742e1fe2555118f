"""What ``aeorsync cat`` and ``aeorsync get`` do."""

import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from aeorsync.cli.client import CommandError
from aeorsync.cli.landing import Landing
from aeorsync.cli.moving import Bar, Report, bar, each
from aeorsync.cli.remotely import Place, on
from aeorsync.client import AsyncClient
from aeorsync.client.model import Entry
from aeorsync.config import Exit
from aeorsync.core.hashing import hasher
from aeorsync.core.paths import parse
from aeorsync.errors import BadRequestError, BusyError, ConflictError
from aeorsync.runtime import bridge
from aeorsync.wire.limits import MIB

Job = tuple[str, Callable[[], Awaitable[None]]]


@dataclass(frozen=True, slots=True)
class State:
    """Which state of the tree is looked at; None for the present."""

    version: str | None = None
    snapshot: str | None = None
    fork: str | None = None


def cat(where: Place, part: str | None, state: State) -> None:
    """Print a file, or a part of it."""

    async def work(client: AsyncClient) -> None:
        start, stop = 0, None
        if part is not None:
            entry = await client.stat(where.path, follow=True, **asdict(state))
            start, stop = _range(part, entry.size)
        async with client.open(where.path, start=start, stop=stop, **asdict(state)) as download:
            async for piece in download:
                await bridge.run(_write, sys.stdout.buffer, piece)

    on(where.node, work)
    sys.stdout.buffer.flush()


def get(  # one parameter a flag
    wanted: Sequence[Place],
    output: str | None,
    state: State,
    *,
    force: bool,
    is_quiet: bool,
    as_json: bool,
) -> None:
    """Fetch files and folders."""
    if state.version is not None and len(wanted) > 1:
        raise CommandError("--version is of one file", Exit.USAGE)
    report = Report()
    with bar(is_quiet=is_quiet) as shown:
        run = _Run(state, report, shown, force=force)
        on(wanted[0].node, lambda client: run.all(client, wanted, output))
    report.end("fetched", as_json=as_json, is_quiet=is_quiet)


class _Run:
    """One command."""

    def __init__(self, state: State, report: Report, shown: Bar, *, force: bool) -> None:
        self._state = state
        self._report = report
        self._shown = shown
        self._force = force

    async def all(self, client: AsyncClient, wanted: Sequence[Place], output: str | None) -> None:
        """Fetch each to where it is meant to be."""
        for one in wanted:
            entry = await client.stat(one.path, follow=True, **asdict(self._state))
            to = _goal(one, entry, output, several=len(wanted) > 1)
            if entry.is_folder:
                await self._folder(client, one.path, to)
                continue
            with await bridge.run(Landing, to.parent) as landing:
                job = partial(self._file, client, landing, [to.name], one.path, entry, to)
                await each([(one.path, job)], self._report, alone=len(wanted) == 1)

    async def _folder(self, client: AsyncClient, path: str, to: Path) -> None:
        jobs: list[Job] = []
        links: list[Job] = []
        with await bridge.run(Landing, to) as landing:
            async for entry, names in self._walk(client, path):
                if entry.is_folder:
                    folder = partial(bridge.run, landing.make, names)
                    await each([(entry.path, folder)], self._report, alone=False)
                elif entry.target is not None:
                    links.append((entry.path, partial(self._link, landing, names, entry)))
                else:
                    self._shown.expect(entry.size)
                    goal = to.joinpath(*names)
                    job = partial(self._file, client, landing, names, entry.path, entry, goal)
                    jobs.append((entry.path, job))
            await each(jobs, self._report, alone=False)
            # Last, so that nothing that is fetched here could pass through one.
            await each(links, self._report, alone=False)

    async def _walk(
        self, client: AsyncClient, path: str
    ) -> AsyncIterator[tuple[Entry, list[str]]]:
        """What is below a folder, with the names that lead there; never what is elsewhere."""
        base = path.rstrip("/") + "/"
        state = self._state
        async for entry in client.walk(path, snapshot=state.snapshot, fork=state.fork):
            if parse(entry.path) != entry.path or not entry.path.startswith(base):
                raise BadRequestError(f"the server told of {entry.path!r}, which is not below")
            yield entry, entry.path[len(base) :].split("/")

    async def _file(  # where from and where to
        self,
        client: AsyncClient,
        landing: Landing,
        names: list[str],
        path: str,
        entry: Entry,
        goal: Path,
    ) -> None:
        """Fetch one file."""
        tell = self._shown.told(path)
        with landing.folder(names[:-1]) as folder:
            to = folder / names[-1]
            if await bridge.run(_is_same, to, entry):
                self._report.skipped += 1
                tell(entry.size, entry.size)
                return
            try:
                got = await client.get(
                    path, to, overwrite=self._force, progress=tell, **asdict(self._state)
                )
            except ConflictError as error:
                hint = "" if self._force else " (--force replaces files)"
                raise ConflictError(f"{goal} exists; it was left alone{hint}") from error
            except BusyError as error:
                raise BusyError(f"another process is fetching {goal} just now") from error
            except OSError as error:
                # The name it has in there would tell nobody anything.
                raise OSError(error.errno, error.strerror, str(goal)) from error
        self._report.moved.append(path)
        self._report.size += got.size

    async def _link(self, landing: Landing, names: list[str], entry: Entry) -> None:
        if await bridge.run(landing.link, names, entry.target or ""):
            self._report.moved.append(entry.path)
        else:
            self._report.skipped += 1


def _goal(one: Place, entry: Entry, output: str | None, *, several: bool) -> Path:
    """Where something is to go."""
    own = one.path.rpartition("/")[2]
    if output is None:
        return Path(own or "root") if not entry.is_folder or own else Path()
    to = Path(output).expanduser()
    if several or output.endswith("/") or to.is_dir():
        return to / own if own else to
    return to


def _is_same(to: Path, entry: Entry) -> bool:
    """Whether a file is there that holds just these bytes already."""
    if to.is_symlink() or not to.is_file() or to.stat().st_size != entry.size:
        return False
    seen = hasher()
    with to.open("rb") as file:
        while piece := file.read(MIB):
            seen.update(piece)
    return seen.hexdigest() == entry.content_hash


def _range(text: str, size: int) -> tuple[int, int]:
    """The part of a file that is meant: first byte, and the one behind the last.

    Raises:
        CommandError: Nothing can be meant by it.
    """
    found = re.fullmatch(r"(\d{1,18})-(\d{1,18})?|-(\d{1,18})", text)
    if found is None:
        raise CommandError(f"--range: {text!r} is not like 0-99, 100- or -100", Exit.USAGE)
    if found[3] is not None:
        return max(0, size - int(found[3])), size
    start = int(found[1])
    stop = size if found[2] is None else min(size, int(found[2]) + 1)
    if start > stop or (start == size and size):
        raise CommandError(f"--range: the file has {size:,} bytes", Exit.FAILED)
    return start, stop


def _write(out: BinaryIO, piece: bytes) -> None:
    out.write(piece)
    out.flush()
