"""When a link repairs: now and then, when something does not add up, and when somebody asks.

    a person asks       at once, as fast as it goes
    the peer asks       soon; it found that it has something we lack
    doubt               the trees stood still, all was told, and yet they differ
    now and then        every `INTERVAL_S`, whatever they look like

What nobody waits for keeps `PAUSE_S` between two runs, so that peers which can never agree (one
takes nothing from the other) cost little. A link that breaks takes a run with it; the wish stays.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from aeorsync.cluster.cycle import Peering
from aeorsync.cluster.peers import LinkBook
from aeorsync.cluster.repair import RepairReport, run_repair
from aeorsync.errors import AeorError, NotFoundError, UnavailableError
from aeorsync.runtime import bridge
from aeorsync.runtime.log import get_logger

INTERVAL_S: Final = 6 * 3600.0
PAUSE_S: Final = 300.0
"""Between two runs because of doubt."""
ASKED_PAUSE_S: Final = 2.0
"""Between two runs that the peer asked for."""
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
        self._waiters: list[asyncio.Future[RepairReport]] = []
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
        waiter: asyncio.Future[RepairReport] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._wish.set()
        return await waiter

    def fail(self, error: BaseException) -> None:
        """The link is down: tell those who wait."""
        waiters, self._waiters = self._waiters, []
        _fail(waiters, error)

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
            waiters, self._waiters = self._waiters, []
            # Who was asked must not ask back, or two that cannot agree would never end.
            asks_peer = bool(waiters) or not self._peer_asks
            wishes = (self._is_doubted, self._peer_asks)
            self._wish.clear()
            self._is_doubted = self._peer_asks = False
            try:
                report = await _mend(peering(), is_gentle=not waiters, asks_peer=asks_peer)
            except BaseException as error:
                self._is_doubted, self._peer_asks = wishes
                _fail(waiters, error)
                raise
            finally:
                self._ran_at = asyncio.get_running_loop().time()
            self.report = report
            if report.changed or report.regained:
                _log.info(
                    "trees repaired",
                    peer=peering().link.address,
                    entries=report.changed,
                    tree_nodes=report.regained,
                    round_trips=report.round_trips,
                )
            if report.complaint is not None:
                self._note_failure(report.complaint)
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(report)

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
        return since + pause - asyncio.get_running_loop().time()


async def _mend(peering: Peering, *, is_gentle: bool, asks_peer: bool) -> RepairReport:
    try:
        return await run_repair(peering, is_gentle=is_gentle, asks_peer=asks_peer)
    except NotFoundError:
        # An older node, which knows of no tree nodes: the next cycle lists everything anew.
        await bridge.run(LinkBook(peering.repository).drop_cursor, peering.link)
        return RepairReport()


def _fail(waiters: list["asyncio.Future[RepairReport]"], error: BaseException) -> None:
    told = error if isinstance(error, AeorError) else UnavailableError("the repair was stopped")
    for waiter in waiters:
        if not waiter.done():
            waiter.set_exception(told)
