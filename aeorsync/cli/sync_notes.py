"""Noting how a folder stands, for ``aeorsync sync status``, while it is being kept.

What is news is noted at once in memory and written within a second, in a thread. That a folder
stands otherwise than before is written before anybody is told so, and an end before the process
goes on. A disk that refuses a note does not stop a pass: the note is a report, not a record.
"""

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec

from aeorsync.config.folders import SyncFolder
from aeorsync.folder import events
from aeorsync.folder.events import Event, Outcome, Problem
from aeorsync.folder.places import MAX_LISTED, Copies, Note, Place, State, Trouble
from aeorsync.runtime import bridge
from aeorsync.runtime.clock import SystemClock

if TYPE_CHECKING:
    import asyncio

    from aeorsync.folder.session import Status

_EVERY_S: Final = 1.0


class Noter:
    """The note of one folder. Belongs to one event loop."""

    def __init__(self, place: Place, folder: SyncFolder, *, is_real: bool) -> None:
        """Take over what was noted last; what is not real is never written."""
        self._place = place
        self._is_real = is_real
        self._clock = SystemClock()
        self._status: Callable[[], Status] | None = None
        self._news: asyncio.Event | None = None
        self._turn = threading.Lock()
        self._is_full = True
        self._conflicts: dict[str, tuple[str, ...]] = {}
        self._problems: dict[str, Problem] = {}
        self._done: set[str] = set()
        last = place.read() or Note(
            local=str(folder.local), url=folder.remote.url, path=folder.remote.path
        )
        self.note = msgspec.structs.replace(
            last, profile=folder.profile, direction=folder.direction.value
        )

    @asynccontextmanager
    async def telling(self, status: "Callable[[], Status]") -> AsyncIterator[None]:
        """Take what the ledger says while this is held, and write a note at the end.

        Args:
            status: Asks the ledger.
        """
        self._status = status
        self._take_status()
        try:
            yield
        finally:
            self._status = None
            await self.write()

    @asynccontextmanager
    async def writing(self, status: "Callable[[], Status]") -> AsyncIterator[None]:
        """The same, and write what is news meanwhile.

        Args:
            status: Asks the ledger.
        """
        import asyncio  # noqa: PLC0415  # there by now; a hasty pass does without

        self._news = asyncio.Event()
        async with self.telling(status):
            writer = asyncio.create_task(self._write_on(self._news))
            try:
                yield
            finally:
                writer.cancel()
                await asyncio.gather(writer, return_exceptions=True)

    def take(self, event: Event) -> None:
        """Note what an event says."""
        match event:
            case events.PassStarted(_, is_full):
                self._is_full = is_full
            case events.Conflicted(path, copies):
                self._conflicts[path] = copies
            case events.Settled(path):
                self._conflicts.pop(path, None)
            case (
                events.Uploaded(path)
                | events.Downloaded(path)
                | events.Deleted(path)
                | events.Moved(path)
            ):
                if self._problems:
                    self._done.add(path)
            case events.PassEnded(outcome):
                self._take_outcome(outcome)
            case events.Offline(reason):
                since = self.note.offline_since or self._clock.now_ms()
                self.set(state=State.OFFLINE, reason=reason, offline_since=since)
            case _:
                pass

    def set(self, **facts: Any) -> None:  # noqa: ANN401  # fields of `Note`
        """Note facts by the names of `Note`."""
        self.note = msgspec.structs.replace(self.note, **facts)
        if self._news is not None:
            self._news.set()

    async def write(self) -> None:
        """Write the note now."""
        if not self._is_real:
            return
        await bridge.run(self._write)

    def _write(self) -> None:
        # One at a time, each what is known by then: none takes the place of a later one.
        with self._turn, suppress(OSError):
            self._place.write(self.note)

    def _take_outcome(self, outcome: Outcome) -> None:
        if self._is_full:
            # Only a look at everything tells of all that is not a problem any more.
            self._problems.clear()
            self._take_status()
        elif self._done:
            over = [path for path in self._problems if not self._done.isdisjoint(_lineage(path))]
            for path in over:
                del self._problems[path]
        self._done.clear()
        self._problems.update((problem.path, problem) for problem in outcome.problems)
        problems = list(self._problems.values())
        failures = sum(problem.why not in events.AS_WANTED for problem in problems)
        was = self.note.state
        state = State.CONFLICTS if self._conflicts else State.SYNCED
        listed = sorted(self._conflicts.items())[:MAX_LISTED]
        self.set(
            state=State.PROBLEMS if failures else state,
            reason="",
            exit_code=0,
            offline_since=0,
            last_pass=self._clock.now_ms(),
            conflict_count=len(self._conflicts),
            conflicts=[Copies(path, list(copies)) for path, copies in listed],
            problem_count=failures,
            problems=[Trouble(p.path, p.why.value, p.message) for p in problems[:MAX_LISTED]],
        )
        if self._news is not None and self._is_real and self.note.state is not was:
            self._write()

    def _take_status(self) -> None:
        """Take over what the ledger says; too long a look for every pass over a path or two."""
        if self._status is not None:
            status = self._status()
            self._conflicts = {conflict.path: conflict.copies for conflict in status.conflicts}
            self.set(waiting=status.waiting)

    async def _write_on(self, news: "asyncio.Event") -> None:
        import asyncio  # noqa: PLC0415  # likewise

        while True:
            await news.wait()
            news.clear()
            await self.write()
            await asyncio.sleep(_EVERY_S)


def _lineage(path: str) -> Iterator[str]:
    """A path and the folders above it."""
    while path:
        yield path
        path = path.rpartition("/")[0]
