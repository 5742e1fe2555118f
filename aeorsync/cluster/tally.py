"""What cycles did: each one in the ledger, and sums of all since the start.

    report = await tally.watch(link, "pull", partial(run_cycle, peering))

A cycle that changed something, or failed, is also *told*: whoever listens is called, and finds it
in `Tally.told`, where the last few are kept.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

import msgspec

from aeorsync.cluster.peers import LinkRecord
from aeorsync.errors import AeorError
from aeorsync.runtime import bridge
from aeorsync.runtime.clock import SystemClock, WallClock
from aeorsync.storage.ledger import Direction, Ledger, Status

MAX_TOLD: Final = 256
MAX_PEERS: Final = 256
"""Peers whose sums are kept; the one counted first is forgotten first."""


class Counts(Protocol):
    """What is asked of the report of a cycle, whichever way it went."""

    @property
    def told(self) -> int:
        """Entries that were told of."""

    @property
    def files(self) -> int:
        """Files that changed, deleted ones included."""

    @property
    def skipped(self) -> int:
        """Entries that were told of and known already."""

    @property
    def bytes(self) -> int:
        """Bytes of chunks, as they were sent."""

    @property
    def changed(self) -> int:
        """Entries that changed."""

    @property
    def conflicts(self) -> int:
        """How many of them are in conflict."""

    @property
    def complaint(self) -> str | None:
        """What was not taken, in one sentence."""


R = TypeVar("R", bound=Counts)


class SyncCompleted(msgspec.Struct, frozen=True):
    """The payload of ``syncs_completed``."""

    peer_node_id: int
    direction: str
    operations_applied: int
    conflicts_detected: int


class SyncFailed(msgspec.Struct, frozen=True):
    """The payload of ``syncs_failed``."""

    peer_node_id: int
    direction: str
    error: str
    consecutive_failures: int


@dataclass(frozen=True, slots=True)
class Told:
    """One cycle that is worth an event.

    Attributes:
        number: 1, 2, 3, ... since the start.
        kind: Type of the event.
        at_ms: When the cycle ended, in milliseconds since the Unix epoch.
        payload: What there is to say.
    """

    number: int
    kind: str
    at_ms: int
    payload: SyncCompleted | SyncFailed


@dataclass(slots=True)
class Sums:
    """What the cycles with one peer did in one direction since the start.

    Attributes:
        cycles: How many ended each way.
        bytes: Bytes of the chunks that were transferred.
        files: Files that changed.
        failures: How many cycles in a row failed last.
    """

    cycles: dict[Status, int] = field(default_factory=dict)
    bytes: int = 0
    files: int = 0
    failures: int = 0


class Tally:
    """Keeps count for one node. Belongs to the event loop.

    Attributes:
        ledger: Where each cycle is written down.
        sums: By node id of the peer and direction.
        told: The last cycles that were worth an event, oldest first.
    """

    def __init__(self, ledger: Ledger | None = None, wall: WallClock | None = None) -> None:
        """Begin with nothing; without a ledger the rows are kept in memory."""
        self.ledger = ledger or Ledger(None)
        self.sums: dict[tuple[int, Direction], Sums] = {}
        self.told: deque[Told] = deque(maxlen=MAX_TOLD)
        self._wall = wall or SystemClock()
        self._number = 0
        self._listeners: list[Callable[[], None]] = []

    @property
    def number(self) -> int:
        """Number of the last cycle that was told."""
        return self._number

    def listen(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` whenever there is something new in `told`."""
        self._listeners.append(listener)

    async def watch(
        self,
        link: LinkRecord,
        direction: Direction,
        cycle: Callable[[], Awaitable[R]],
        *,
        is_enquiry: bool = False,
    ) -> R:
        """Run a cycle and write down how it went; what it raises is raised.

        That it runs is written down meanwhile: it does not wait for a row that nothing needs.
        One that only asks whether there is anything to do is written down if there was.
        """
        rows: list[int] = []
        peer, began_ms = link.peer_id, self._wall.now_ms()

        def begin() -> None:
            rows.append(self.ledger.begin(peer, link.address, direction, began_ms))

        begun = None if is_enquiry else bridge.begin(begin)
        try:
            report = await cycle()
        except BaseException as error:
            if begun is not None:
                await bridge.settle(begun)
            await self._note_failure(link, direction, rows, error)
            raise
        if is_enquiry and not report.told:
            return report
        await bridge.settle(begun or bridge.begin(begin))
        await self._note_report(link, direction, rows, report)
        return report

    async def _note_failure(
        self, link: LinkRecord, direction: Direction, rows: list[int], error: BaseException
    ) -> None:
        peer = link.peer_id
        sums = self._count(peer, direction, "failed")
        sums.failures += 1
        for row in rows:
            await self._end(row, "failed", error=_why(error))
        if isinstance(error, AeorError):
            failed = SyncFailed(peer, direction, error.message, sums.failures)
            self._tell("syncs_failed", failed)

    async def _note_report(
        self, link: LinkRecord, direction: Direction, rows: list[int], report: Counts
    ) -> None:
        peer = link.peer_id
        status: Status = "success" if report.complaint is None else "partial"
        sums = self._count(peer, direction, status)
        sums.failures = 0
        sums.bytes += report.bytes
        sums.files += report.files
        for row in rows:
            await self._end(row, status, report, error=report.complaint)
        if report.changed:
            done = SyncCompleted(peer, direction, report.changed, report.conflicts)
            self._tell("syncs_completed", done)

    def _count(self, peer: int, direction: Direction, status: Status) -> Sums:
        sums = self.sums.setdefault((peer, direction), Sums())
        sums.cycles[status] = sums.cycles.get(status, 0) + 1
        if len(self.sums) > MAX_PEERS:
            del self.sums[next(iter(self.sums))]
        return sums

    async def _end(
        self, row: int, status: Status, report: Counts | None = None, *, error: str | None
    ) -> None:
        await bridge.run(
            self.ledger.end,
            row,
            now_ms=self._wall.now_ms(),
            status=status,
            files=report.files if report else 0,
            skipped=report.skipped if report else 0,
            bytes=report.bytes if report else 0,
            error=error,
        )

    def _tell(self, kind: str, payload: SyncCompleted | SyncFailed) -> None:
        self._number += 1
        self.told.append(Told(self._number, kind, self._wall.now_ms(), payload))
        for listener in self._listeners:
            listener()


def _why(error: BaseException) -> str:
    if isinstance(error, AeorError):
        return error.message
    if isinstance(error, asyncio.CancelledError):
        return "the cycle was broken off: the link was lost, or this node let go of it"
    return "this is a bug; the log says more"
