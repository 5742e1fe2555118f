"""The running part of one link: connect, honeymoon, then pull whenever the peer has news.

    disconnected    probe the peer's clock; on failure wait, longer each time, and try again
    honeymoon       probe until the clocks agree (`core.links`); no data moves
    active          listen to the peer's events and pull at once on each; pull now and then anyway;
                    push what the peer does not pull by itself (`cluster.pusher`);
                    probe once more with each heartbeat, and go back when the clocks part

One link has one task (and those it starts), so a peer that hangs delays nobody else, and never two
cycles run with one peer. News that arrives during a cycle causes another one, after a moment in
which more may come: the first of a burst waits for nothing, the others share a cycle.

*Forced*: a person may let data flow against the clocks. That lasts until the clocks agree, the
connection is lost, the link is paused, or the node stops.
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing, suppress
from functools import partial
from typing import Final

import msgspec

from aeorsync.cluster.cycle import Peering, Report, run_cycle
from aeorsync.cluster.honeymoon import BURST, PATIENCE, Acquaintance, ClockOffError
from aeorsync.cluster.mending import Mender
from aeorsync.cluster.peers import LinkBook, LinkRecord, PeerState, is_id
from aeorsync.cluster.pusher import Pusher
from aeorsync.cluster.rounds import Rounds
from aeorsync.cluster.site import Site
from aeorsync.cluster.standing import Standing
from aeorsync.cluster.waiting import Waiters
from aeorsync.core.links import LinkEvent, LinkState, unsettled
from aeorsync.errors import (
    AeorError,
    BadRequestError,
    ConflictError,
    CorruptError,
    UnavailableError,
)
from aeorsync.remote.calls import Remote
from aeorsync.runtime import bridge
from aeorsync.runtime.tasks import backoff
from aeorsync.runtime.throttle import Throttle
from aeorsync.runtime.together import together
from aeorsync.wire.brief import Mark
from aeorsync.wire.links import ClockReply
from aeorsync.wire.peer_events import Heartbeat

HONEYMOON_S: Final = 5.0
"""Pause between bursts while the clocks do not agree."""
BACK_OFF_S: Final = 0.5
BACK_OFF_CAP_S: Final = 300.0
FLOOR_S: Final = 0.25
"""Pauses are this long, however often the peer wakes us."""
DEBOUNCE_S: Final = 0.01
"""Pause after a cycle during which more news came."""


class Link:
    """One peer, as this node deals with it. Lives in one event loop; `run` it as a task.

    Attributes:
        record: What is remembered of it.
        standing: How it stands.
        pusher: What brings our files there.
        mender: When its trees are compared with ours.
    """

    def __init__(
        self, site: Site, record: LinkRecord, claim: "Callable[[Link, int], None]"
    ) -> None:
        """Make a link that is not running.

        Args:
            site: What it shares with others.
            record: What is remembered of it.
            claim: Called with this link and the node id that answers, before that is believed;
                raises ConflictError when it is ours or another link's.
        """
        self.record = record
        self.standing = Standing(site.wall, is_paused=not record.enabled)
        self.pusher = Pusher(site, self._peering)
        self._site = site
        self._claim = claim
        self.mender = Mender(self.standing.note_failure)
        self._book = LinkBook(site.repository)
        self._acquaintance = Acquaintance(site.wall)
        self._throttle = Throttle(record.bandwidth_limit * 1000)
        self._database = 0
        self._ahead: str | None = None
        self._heard: dict[str, Mark] = {}
        self._asks_at = 0.0
        self._failures = 0
        self._is_forced = False
        self._wants_echo = True
        self._worked = asyncio.Event()
        self._news = asyncio.Event()
        self._beat = asyncio.Event()
        self._hurry = asyncio.Event()
        self._waiters = Waiters[Report]("cycle")
        self._record_lock = asyncio.Lock()

    @property
    def is_active(self) -> bool:
        """Whether data may flow."""
        return self.standing.state is LinkState.ACTIVE

    def peer_state(self) -> PeerState:
        """What is told of this link."""
        return msgspec.structs.replace(
            self.standing.tell(self.record),
            last_push_at=self.pusher.pushed_at,
            push_error=self.pusher.error,
        )

    def wake(self) -> None:
        """The peer has news: do not sit out a pause.

        The next pause is as long as it would have been: two nodes that both fail must not talk
        each other out of waiting.
        """
        self._news.set()
        self._hurry.set()

    def hasten(self) -> None:
        """A person is waiting: try at once, and as often as if nothing had failed."""
        self._failures = 0
        self.wake()

    def force(self) -> None:
        """Become active as soon as the peer answers, whatever its clock says."""
        self._is_forced = True
        self.hasten()

    async def pulled(self) -> Report:
        """Wait for a whole cycle that begins after this call.

        Raises:
            AeorError: The cycle failed, or the link did.
        """
        waiter = self._waiters.add()
        self._news.set()
        return await waiter

    async def amend(self, **changes: object) -> None:
        """Change the record; durable on return. Nothing is changed when that fails."""
        async with self._record_lock:
            record = msgspec.structs.replace(self.record, **changes)
            await bridge.run(self._book.save, record)
            self.record = record
            self._ahead = None
            self._throttle.change(record.bandwidth_limit * 1000)

    def pause(self) -> None:
        """Say that this link, which is not running, is not meant to."""
        self._is_forced = False
        self._step(LinkEvent.PAUSED, "paused")

    def resume(self) -> None:
        """Take that back."""
        self._step(LinkEvent.RESUMED, "not tried yet")

    async def run(self) -> None:
        """Keep the link up for ever."""
        mark = await bridge.run(self._book.cursor, self.record)
        self.standing.recall(mark.synced_at if mark else None)
        while True:
            # From here on a call to hurry is about the pause that follows.
            self._hurry.clear()
            try:
                await self._session()
            except AeorError as error:
                self._lose(error)
            except BaseException as error:
                is_ours = isinstance(error, asyncio.CancelledError)
                self._lose(UnavailableError("this node let go of the link"), is_ours=is_ours)
                raise
            await self._pause(
                backoff(self._failures, BACK_OFF_S, BACK_OFF_CAP_S, self._site.jitter())
            )

    # One connection, from the first probe to whatever breaks it

    async def _session(self) -> None:
        remote = self._site.dial(self.record.address)
        remote.throttle = self._throttle
        try:
            while True:
                await self._settle(remote)
                with suppress(ClockOffError):
                    await self._exchange(remote)
        finally:
            await remote.close()

    async def _settle(self, remote: Remote) -> None:
        """Probe the clock until it is settled, or a person says it does not matter."""
        self._acquaintance.forget()
        while not self._judge(await self._burst(remote)):
            await self._pause(HONEYMOON_S)

    async def _burst(self, remote: Remote) -> str | None:
        """Compare the clocks a few times in a row; returns why that is not enough.

        Raises:
            AeorError: The peer is not there, or not the one it should be.
        """
        await self._meet(await self._acquaintance.probe(remote))
        for _ in range(BURST - 1):
            try:
                reply = await self._acquaintance.probe(remote)
            except UnavailableError as error:
                self._step(LinkEvent.PROBE_FAILED, error.message)
                return f"a clock probe failed: {error.message}"
            await self._meet(reply)
        return self._note_clock()

    async def _exchange(self, remote: Remote) -> None:
        """Listen and pull.

        Raises:
            ClockOffError: The clocks do not agree any more.
            AeorError: Anything else that ends the connection.
        """
        self._ahead = None
        self._asks_at = asyncio.get_running_loop().time()
        self._wants_echo = True
        self._worked.clear()
        await together(
            self._listen(remote),
            self._pull(remote),
            self._calibrate(remote),
            self._greet(remote),
            self.pusher.run(remote),
            self.mender.run(lambda: self._peering(remote)),
        )

    async def _listen(self, remote: Remote) -> None:
        async with aclosing(remote.events(self._site.node_id)) as events:
            async for event in events:
                # The first event of a stream, too: what came before it was told to nobody.
                (self._beat if isinstance(event, Heartbeat) else self._news).set()
                if not isinstance(event, Heartbeat):
                    self.standing.note_news()

    async def _calibrate(self, remote: Remote) -> None:
        """Compare the clocks once more with each heartbeat."""
        missed = 0
        while True:
            await self._beat.wait()
            self._beat.clear()
            try:
                await self._acquaintance.probe(remote)
            except UnavailableError as error:
                # The silence of the event stream decides whether the peer is gone.
                self._step(LinkEvent.PROBE_FAILED)
                missed += 1
                if missed < PATIENCE:
                    continue
                reason: str | None = f"{missed} clock probes in a row failed: {error.message}"
            else:
                missed = 0
                reason = self._note_clock()
            if not self._judge(reason):
                raise ClockOffError(reason or "")

    async def _greet(self, remote: Remote) -> None:
        """Tell the peer that we are here: it may sit out a long pause before it tries us.

        After a failure only once a cycle went well: to call would be to invite it to fail, too.
        """
        if self._failures:
            await self._worked.wait()
        with suppress(AeorError):
            reply = await remote.wake(self._site.node_id)
            self.pusher.note_greeting(is_linked=reply.linked)

    async def _pull(self, remote: Remote) -> None:
        rounds = Rounds(self._site.repository, self._site.sync_interval_s)
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(rounds.due_in_s()):
                    await self._news.wait()
            # Also when there is news: a peer that always has some must not hide what failed.
            is_due = rounds.due_in_s() <= 0
            self._news.clear()
            waiters = self._waiters.take()
            if not self.record.pulls:
                rounds.put_off()
                waiters.fail(ConflictError("nothing is pulled over a link of direction push"))
                self._worked.set()
                continue
            try:
                # What a partial cycle could not take is asked for again only now and then: each
                # time it means to read on from there.
                ahead = None if is_due or waiters else self._ahead
                report = await self._cycle(remote, ahead)
                if ahead is None and rounds.is_doubtful(self.record, report, is_due=is_due):
                    self.mender.doubt()
            except BaseException as error:
                waiters.fail(error)
                raise
            waiters.tell(report)
            if self._news.is_set() and not self._waiters:
                await asyncio.sleep(DEBOUNCE_S)

    async def _cycle(self, remote: Remote, ahead: str | None) -> Report:
        self.standing.note_attempt()
        if self._site.roster is not None:
            await self._site.roster.admit(self.record.peer_id)
        remote.encoding = self.record.compression
        # This database may be an older copy of itself, put back, and lack what it once wrote;
        # so until one cycle took everything, they ask for that as well.
        peering = self._peering(remote, wants_echo=self._wants_echo)
        if ahead is None and asyncio.get_running_loop().time() >= self._asks_at:
            peering = msgspec.structs.replace(peering, asks_knowledge=True)
        cycle = partial(run_cycle, peering, ahead)
        report = await self._site.tally.watch(self.record, "pull", cycle)
        self._failures = 0
        self._worked.set()
        if ahead is None and not report.is_partial:
            self._wants_echo = False
            if peering.asks_knowledge:
                self._asks_at = asyncio.get_running_loop().time() + self._site.knowledge_s
        is_behind = ahead is not None or report.is_partial
        # With other filters than this cycle's the next one has to begin anew.
        self._ahead = report.reached if is_behind and peering.link is self.record else None
        if report.complaint is not None:
            self.standing.note_failure(report.complaint)
        elif ahead is None:
            self.standing.note_success()
        return report

    def _peering(self, remote: Remote, *, wants_echo: bool = False) -> Peering:
        """The two sides of a cycle, as the link stands."""
        site, now_ms = self._site, self._site.wall.now_ms()
        asker = None if wants_echo else site.node_id
        sides = site.repository, remote, self.record, asker, self._database, now_ms
        return Peering(*sides, heard=self._heard)

    # Who answers, and what time it is there

    def _note_clock(self) -> str | None:
        """Show what is known of the clock; returns why data may not flow."""
        self.standing.clock = self._acquaintance.estimate
        return unsettled(self.standing.clock)

    def _judge(self, reason: str | None) -> bool:
        """Whether data may flow, although perhaps something speaks against it."""
        if reason is None:
            self._is_forced = False
            self._step(LinkEvent.CLOCK_SETTLED)
        elif self._is_forced:
            self._step(LinkEvent.FORCED, reason)
        else:
            self._step(LinkEvent.CLOCK_OFF, reason)
        return self.is_active

    async def _meet(self, reply: ClockReply) -> None:
        """Learn who answers at the address.

        Raises:
            ConflictError: This very node, or one that another link leads to.
        """
        if not (is_id(reply.node_id) and is_id(reply.database)):
            raise BadRequestError("the peer answered with an impossible node id or database")
        if reply.node_id != self.record.node_id or reply.node_id == self._site.node_id:
            self._claim(self, reply.node_id)
            await self.amend(node_id=reply.node_id)
        self._database = reply.database
        self._step(LinkEvent.CONNECTED, "comparing clocks")

    # How it stands

    def _step(self, event: LinkEvent, reason: str | None = None) -> None:
        self.standing.step(self.record, event, reason)

    def _lose(self, error: AeorError, *, is_ours: bool = False) -> None:
        self._failures += 1
        self._is_forced = False
        self._step(LinkEvent.LOST, error.message)
        if not is_ours:
            self.standing.note_failure(error.message)
        self._waiters.take().fail(error)
        self.pusher.lose(error)
        self.mender.fail(error)
        if isinstance(error, CorruptError):
            self.mender.doubt()

    async def _pause(self, seconds: float) -> None:
        """Wait, but past `FLOOR_S` not longer than until somebody is in a hurry."""
        await asyncio.sleep(floor := min(FLOOR_S, seconds))
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds - floor):
                await self._hurry.wait()
        self._hurry.clear()
