"""When a link pushes: to a peer that takes what we have, and does not pull it by itself.

    asked for     at once, whatever the peer does by itself
    due           a while after the link became active, then every interval: an empty offer asks
                  whether the peer pulls from us by now
    local news    at once, if the peer did not pull when it was last asked
    failed        not before a pause that grows, whatever happens

What fails here does not end the connection, since pulling may well go on.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final

import msgspec

from aeorsync.cluster.cycle import Peering, Report
from aeorsync.cluster.peers import LinkRecord
from aeorsync.cluster.push import Pushed, run_push
from aeorsync.cluster.site import Site
from aeorsync.cluster.waiting import Waiters
from aeorsync.cluster.walk import is_news
from aeorsync.errors import AeorError, ConflictError
from aeorsync.remote.calls import Remote
from aeorsync.runtime.bus import Listener
from aeorsync.runtime.log import get_logger
from aeorsync.runtime.tasks import backoff
from aeorsync.runtime.together import together
from aeorsync.storage.writer import Committed

GRACE_S: Final = 2.0
"""Time for the peer to become active as well, before we push to it."""
DEBOUNCE_S: Final = 0.05
"""Local commits this close together are pushed together."""
BACK_OFF_S: Final = 1.0
BACK_OFF_CAP_S: Final = 300.0
_MAX_WAITING: Final = 16
_log = get_logger(__name__)


class Pusher:
    """The pushing side of one link. Lives in one event loop.

    Attributes:
        pushed_at: When the peer last acknowledged all we have, in milliseconds since the Unix
            epoch; None when it did not, or pulls by itself.
        error: Why it did not; None when nothing is wrong.
    """

    def __init__(self, site: Site, peering: Callable[[Remote], Peering]) -> None:
        """Make one that is not running.

        Args:
            site: What links share.
            peering: Makes the two sides of a cycle, as the link stands.
        """
        self.pushed_at: int | None = None
        self.error: str | None = None
        self._site = site
        self._peering = peering
        self._rests = True
        self._offers_echo = True
        self._failures = 0
        self._due_at = 0.0
        self._tells_at = 0.0
        self._ahead: tuple[LinkRecord, str] | None = None
        self._news = asyncio.Event()
        self._waiters = Waiters[Report]("cycle")

    async def pushed(self) -> Report:
        """Wait for a whole cycle that begins after this call.

        Raises:
            AeorError: The cycle failed, or the link did.
        """
        waiter = self._waiters.add()
        self._news.set()
        return await waiter

    def note_greeting(self, *, is_linked: bool) -> None:
        """The peer told whether it pulls by itself: then there is nothing to do for a while."""
        if is_linked and not self._failures:
            self._due_at = asyncio.get_running_loop().time() + self._site.sync_interval_s

    def lose(self, error: BaseException) -> None:
        """Tell those who wait that there will be no cycle."""
        self._waiters.take().fail(error)

    async def run(self, remote: Remote) -> None:
        """Push for as long as the connection lasts."""
        self._rests, self._ahead = True, None
        # The peer may have been put back to an older copy meanwhile, one that its last receipt
        # says nothing about; so once it is offered what we had from it, as well.
        self._offers_echo = True
        self._tells_at = asyncio.get_running_loop().time()
        self._due_at = self._tells_at + GRACE_S
        if self._site.commits is None:
            await self._turns(remote)
            return
        with self._site.commits.listen(limit=_MAX_WAITING) as heard:
            await together(self._hear(heard, remote), self._turns(remote))

    async def _hear(self, heard: Listener[Committed], remote: Remote) -> None:
        async for batch in heard:
            if is_news(batch, self._peering(remote).link.peer_id):
                self._news.set()

    async def _turns(self, remote: Remote) -> None:
        loop = asyncio.get_running_loop()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._due_at):
                    await self._news.wait()
            await asyncio.sleep(DEBOUNCE_S)
            self._news.clear()
            is_due = loop.time() >= self._due_at
            if not self._waiters and not self._peering(remote).link.pushes:
                self._due_at = loop.time() + self._site.sync_interval_s
            elif is_due or self._waiters or not self._rests:
                await self._turn(remote, is_due=is_due)

    async def _turn(self, remote: Remote, *, is_due: bool) -> None:
        waiters = self._waiters.take()
        peering = self._peering(remote)
        try:
            if not peering.link.pushes:
                raise ConflictError("this link only pulls; nothing was pushed")  # noqa: TRY301
            # What the peer did not take is offered again only now and then.
            ahead = None if is_due or waiters else self._mark(peering)
            if self._site.roster is not None:
                await self._site.roster.admit(peering.link.peer_id)
            now = asyncio.get_running_loop().time()
            peering = msgspec.structs.replace(
                peering,
                asker=None if self._offers_echo else peering.asker,
                asks_knowledge=now >= self._tells_at,
            )
            push = partial(run_push, peering, ahead, is_asked_for=bool(waiters))
            is_enquiry = self._rests and not waiters
            pushed = await self._site.tally.watch(
                peering.link, "push", push, is_enquiry=is_enquiry
            )
        except AeorError as error:
            waiters.fail(error)
            self._note_failure(peering, error)
        except BaseException as error:
            waiters.fail(error)
            raise
        else:
            self._note(peering, pushed, is_whole=ahead is None)
            waiters.tell(pushed)

    def _mark(self, peering: Peering) -> str | None:
        """Where a partial cycle got to, if the link is still what it was."""
        link, cursor = self._ahead or (None, None)
        return cursor if link is peering.link else None

    def _note(self, peering: Peering, pushed: Pushed, *, is_whole: bool) -> None:
        self._failures = 0
        self._rests = pushed.is_linked or not pushed.takes
        if is_whole and not (self._rests or pushed.is_partial):
            self._offers_echo = False
        if is_whole and peering.asks_knowledge:
            self._tells_at = asyncio.get_running_loop().time() + self._site.knowledge_s
        if is_whole:
            self._due_at = asyncio.get_running_loop().time() + self._site.sync_interval_s
        is_behind = not is_whole or pushed.is_partial
        has_mark = is_behind and pushed.reached is not None
        self._ahead = (peering.link, pushed.reached) if has_mark and pushed.reached else None
        if pushed.complaint is not None or is_whole:
            self.error = pushed.complaint
        if is_whole and not self._rests and self.error is None:
            self.pushed_at = self._site.wall.now_ms()
        if pushed.changed or pushed.is_partial:
            _log.info(
                "pushed",
                peer=peering.link.address,
                changed=pushed.changed,
                chunks=pushed.chunks,
                why=pushed.complaint,
            )

    def _note_failure(self, peering: Peering, error: AeorError) -> None:
        self._failures += 1
        self._rests = True
        wait = backoff(self._failures, BACK_OFF_S, BACK_OFF_CAP_S, self._site.jitter())
        self._due_at = asyncio.get_running_loop().time() + wait
        self.error = error.message
        _log.info("not pushed", peer=peering.link.address, why=error.message)
