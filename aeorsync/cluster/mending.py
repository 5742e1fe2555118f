"""When a link repairs: now and then, when something does not add up, and when somebody asks.

    a person asks       at once, as fast as it goes
    the peer asks       soon; it found that it has something we lack
    doubt               the trees stood still, all was told, and yet they differ
    now and then        every `INTERVAL_S`, whatever they look like

What nobody waits for keeps a pause between two runs, which doubles with each that failed or
changed nothing, so that peers which can never agree (one takes nothing from the other) cost
little. A filtered link, over which trees are not meant to be equal, repairs only when it is asked
to. A link that breaks takes a run with it; the wish stays.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from aeorsync.cluster.cycle import Peering
from aeorsync.cluster.peers import LinkBook
from aeorsync.cluster.repair import RepairReport, run_repair
from aeorsync.cluster.waiting import Waiters
from aeorsync.errors import AeorError, ConflictError, NotFoundError, UnavailableError
from aeorsync.runtime import bridge
from aeorsync.runtime.log import get_logger

INTERVAL_S: Final = 6 * 3600.0
PAUSE_S: Final = 300.0
"""Between two runs because of doubt, at first."""
ASKED_PAUSE_S: Final = 2.0
"""Between two runs that the peer asked for, at first."""
_log = get_logger(__name__)


class Mender:
    """The wishes for a repair of one link. Belongs to one event loop.

    Attributes:
        report: What the last repair did.
    """

    def __init__(self, note_failure: Callable[[str], None]) -> None:
        """Wish for nothing.

        Args:
            note_failure: Told when a repair left something out.
        """
        self._note_failure = note_failure
        self.report: RepairReport | None = None
        self._wish = asyncio.Event()
        self._is_doubted = False
        self._peer_asks = False
        self._waiters = Waiters[RepairReport]("repair")
        self._vain = 0
        self._began: float | None = None
        self._ran_at: float | None = None

    def doubt(self) -> None:
        """Something does not add up."""
        self._is_doubted = True
        self._wish.set()

    def ask(self) -> None:
        """The peer asks for it."""
        self._peer_asks = True
        self._wish.set()

    async def repaired(self) -> RepairReport:
        """Wait for a whole repair that begins after this call.

        Raises:
            AeorError: It failed, or the link did.
        """
        waiter = self._waiters.add()
        self._wish.set()
        return await waiter

    def fail(self, error: BaseException) -> None:
        """The link is down: tell those who wait."""
        self._waiters.take().fail(error)

    async def run(self, peering: Callable[[], Peering]) -> None:
        """Repair whenever it is wished for, while the link is up.

        Args:
            peering: Tells who and whom, each time.

        Raises:
            AeorError: A repair failed.
        """
        if self._began is None:
            self._began = asyncio.get_running_loop().time()
        while True:
            await self._until_due(self._began)
            self._ran_at = asyncio.get_running_loop().time()
            wishes, who = self._take(), peering()
            if not who.link.pulls:
                text = "nothing is taken over a link that only pushes"
                wishes.waiters.fail(ConflictError(text))
            elif not (wishes.is_routine and who.link.is_filtered):
                await self._serve(wishes, who)

    def _take(self) -> "_Wishes":
        wishes = _Wishes(self._is_doubted, self._peer_asks, self._waiters.take())
        self._is_doubted = self._peer_asks = False
        return wishes

    async def _serve(self, wishes: "_Wishes", peering: Peering) -> None:
        """Run one repair.

        Raises:
            AeorError: It failed; the wishes stay.
        """
        is_gentle = not wishes.waiters
        # Who was asked must not ask back, or two that cannot agree would never end.
        asks_peer = bool(wishes.waiters) or not wishes.peer_asks
        try:
            report = await _mend(peering, is_gentle=is_gentle, asks_peer=asks_peer)
        except BaseException as error:
            self._is_doubted |= wishes.is_doubted
            self._peer_asks |= wishes.peer_asks
            if isinstance(error, AeorError) and not isinstance(error, UnavailableError):
                # It ends the connection, and the next one would meet the same.
                self._vain += 1
            wishes.waiters.fail(error)
            raise
        finally:
            self._ran_at = asyncio.get_running_loop().time()
        self.report = report
        self._vain = 0 if report.changed else self._vain + 1
        if report.changed or report.regained:
            _log.info(
                "trees repaired",
                peer=peering.link.address,
                entries=report.changed,
                tree_nodes=report.regained,
                round_trips=report.round_trips,
            )
        if report.complaint is not None:
            self._note_failure(report.complaint)
        wishes.waiters.tell(report)

    async def _until_due(self, began: float) -> None:
        while (seconds := self._due_in_s(began)) > 0:
            self._wish.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._wish.wait()

    def _due_in_s(self, began: float) -> float:
        if self._waiters:
            return 0
        pause = INTERVAL_S
        if self._is_doubted:
            pause = PAUSE_S
        if self._peer_asks:
            pause = ASKED_PAUSE_S
        is_first = self._ran_at is None
        if is_first and pause < INTERVAL_S:
            return 0
        since = began if self._ran_at is None else self._ran_at
        pause = min(pause * 2.0 ** min(self._vain, 64), INTERVAL_S)
        return since + pause - asyncio.get_running_loop().time()


@dataclass(frozen=True, slots=True)
class _Wishes:
    """Why a repair runs."""

    is_doubted: bool
    peer_asks: bool
    waiters: Waiters[RepairReport]

    @property
    def is_routine(self) -> bool:
        """Whether nobody and nothing asks for it but the clock."""
        return not (self.is_doubted or self.peer_asks or self.waiters)


async def _mend(peering: Peering, *, is_gentle: bool, asks_peer: bool) -> RepairReport:
    try:
        return await run_repair(peering, is_gentle=is_gentle, asks_peer=asks_peer)
    except NotFoundError:
        # An older node, which knows of no tree nodes: the next cycle lists everything anew.
        await bridge.run(LinkBook(peering.repository).drop_cursor, peering.link)
        peering.written.clear()
        return RepairReport()
