"""Noting how a folder stands, for ``aeorsync sync status``, while it is being kept.

What is news is noted at once in memory and written at most once a second, in a thread; an end is
written before the process goes on. A disk that refuses a note does not stop a pass: the note is
a report, not a record.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import msgspec

from aeorsync.config.folders import SyncFolder
from aeorsync.folder import events
from aeorsync.folder.events import Event
from aeorsync.folder.places import MAX_LISTED, Copies, Note, Place, State, Trouble
from aeorsync.folder.session import Status
from aeorsync.runtime import bridge
from aeorsync.runtime.clock import SystemClock

_EVERY_S: Final = 1.0


class Noter:
    """The note of one folder. Belongs to one event loop."""

    def __init__(self, place: Place, folder: SyncFolder, *, is_real: bool) -> None:
        """Take over what was noted last; what is not real is never written."""
        self._place = place
        self._is_real = is_real
        self._clock = SystemClock()
        self._status: Callable[[], Status] | None = None
        self._news = asyncio.Event()
        last = place.read() or Note(
            local=str(folder.local), url=folder.remote.url, path=folder.remote.path
        )
        self.note = msgspec.structs.replace(
            last, profile=folder.profile, direction=folder.direction.value
        )

    @asynccontextmanager
    async def writing(self, status: Callable[[], Status]) -> AsyncIterator[None]:
        """Write what is news while this is held.

        Args:
            status: Asks the ledger.
        """
        self._status = status
        writer = asyncio.create_task(self._write_on())
        try:
            yield
        finally:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
            self._status = None
            await self.write()

    def take(self, event: Event) -> None:
        """Note what an event says."""
        match event:
            case events.PassEnded():
                self._take_status()
            case events.Offline(reason):
                since = self.note.offline_since or self._clock.now_ms()
                self.set(state=State.OFFLINE, reason=reason, offline_since=since)
            case events.Online():
                self.set(state=State.SYNCED, reason="", offline_since=0)
            case _:
                pass

    def set(self, **facts: Any) -> None:  # noqa: ANN401  # fields of `Note`
        """Note facts by the names of `Note`."""
        self.note = msgspec.structs.replace(self.note, **facts)
        self._news.set()

    async def write(self) -> None:
        """Write the note now."""
        if not self._is_real:
            return
        with suppress(OSError):
            await bridge.run(self._place.write, self.note)

    def _take_status(self) -> None:
        if self._status is None:
            return
        status = self._status()
        listed = [Trouble(p.path, p.why.value, p.message) for p in status.problems]
        failures = sum(problem.why not in events.AS_WANTED for problem in status.problems)
        state = State.CONFLICTS if status.conflicts else State.SYNCED
        self.set(
            state=State.PROBLEMS if failures else state,
            reason="",
            offline_since=0,
            last_pass=status.last_pass or self._clock.now_ms(),
            waiting=status.waiting,
            conflict_count=len(status.conflicts),
            conflicts=[Copies(c.path, list(c.copies)) for c in status.conflicts[:MAX_LISTED]],
            problem_count=failures,
            problems=listed[:MAX_LISTED],
        )

    async def _write_on(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            await self.write()
            await asyncio.sleep(_EVERY_S)
