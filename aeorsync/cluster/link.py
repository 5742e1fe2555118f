"""The running part of one link: connect, honeymoon, then pull whenever the peer has news.

    disconnected    probe the peer's clock; on failure wait, longer each time, and try again
    honeymoon       probe until the clocks agree (`core.links`); no data moves
    active          listen to the peer's events and pull at once on each; pull now and then anyway

One link has one task (and those it starts), so a peer that hangs delays nobody else, and never two
cycles run with one peer. News that arrives during a cycle causes another one.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Final

import msgspec

from aeorsync.cluster.cycle import Peering, Report, run_cycle
from aeorsync.cluster.foreign_link import Foreigner, greet
from aeorsync.cluster.peers import LinkBook, LinkRecord, PeerState, is_id
from aeorsync.cluster.standing import Standing
from aeorsync.cluster.together import together
from aeorsync.core.links import ClockSample, LinkEvent, LinkState, estimate, unsettled
from aeorsync.errors import AeorError, BadRequestError, NotFoundError, UnavailableError
from aeorsync.remote.calls import Remote
from aeorsync.runtime import bridge
from aeorsync.runtime.clock import WallClock
from aeorsync.runtime.tasks import backoff
from aeorsync.storage.foreign import ForeignBook
from aeorsync.storage.repository import Repository
from aeorsync.wire.protocol import ClockReply, Heartbeat

BURST: Final = 5
"""Probes in a row when a link begins."""
HONEYMOON_S: Final = 5.0
"""Pause between bursts while the clocks do not agree."""
BACK_OFF_S: Final = 0.5
BACK_OFF_CAP_S: Final = 300.0
FLOOR_S: Final = 0.25
"""Pauses are this long, however often the peer wakes us."""
_SAMPLES: Final = 8


@dataclass(frozen=True, slots=True)
class Site:
    """What every link of this node shares.

    Attributes:
        repository: Our files.
        node_id: Ours.
        wall: The clock.
        dial: Makes the way to an address; nothing is connected yet.
        sync_interval_s: Seconds after which a peer without news is asked all the same.
        jitter: Returns a random number from 0 to 1.
        foreign: What is known of peers that are AeorDB nodes.
    """

    repository: Repository
    node_id: int
    wall: WallClock
    dial: Callable[[str], Remote]
    sync_interval_s: float
    jitter: Callable[[], float]
    foreign: ForeignBook = field(default_factory=ForeignBook)


class Link:
    """One peer, as this node deals with it. Lives in one event loop; `run` it as a task.

    Attributes:
        record: What is remembered of it.
        standing: How it stands.
        foreigner: The peer, while it is connected and an AeorDB node.
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
        self._site = site
        self._claim = claim
        self._book = LinkBook(site.repository)
        self._samples: deque[ClockSample] = deque(maxlen=_SAMPLES)
        self._database = 0
        self._ahead: str | None = None
        self._full_at = 0.0
        self._roots: tuple[str, str] | None = None
        self._has_doubted = False
        self._failures = 0
        self._is_forced = False
        self._wants_echo = True
        self._worked = asyncio.Event()
        self._news = asyncio.Event()
        self._beat = asyncio.Event()
        self._hurry = asyncio.Event()
        self._waiters: list[asyncio.Future[Report]] = []
        self._record_lock = asyncio.Lock()
        self.foreigner: Foreigner | None = None

    @property
    def is_active(self) -> bool:
        """Whether data may flow."""
        return self.standing.state is LinkState.ACTIVE

    def peer_state(self) -> PeerState:
        """What is told of this link."""
        return self.standing.tell(self.record)

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
        waiter: asyncio.Future[Report] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._news.set()
        return await waiter

    async def amend(self, **changes: object) -> None:
        """Change the record; durable on return."""
        async with self._record_lock:
            self.record = msgspec.structs.replace(self.record, **changes)
            self._ahead = None
            await bridge.run(self._book.save, self.record)

    def pause(self) -> None:
        """Say that this link, which is not running, is not meant to."""
        self._step(LinkEvent.PAUSED, "paused")

    def resume(self) -> None:
        """Take that back."""
        self._step(LinkEvent.RESUMED, "not tried yet")

    async def run(self) -> None:
        """Keep the link up for ever."""
        mark = await bridge.run(self._book.cursor, self.record)
        self.standing.synced_at = mark.synced_at if mark else None
        while True:
            # From here on a call to hurry is about the pause that follows.
            self._hurry.clear()
            try:
                await self._session()
            except AeorError as error:
                self._lose(error)
            except BaseException:
                self._lose(UnavailableError("this node let go of the link"))
                raise
            await self._pause(
                backoff(self._failures, BACK_OFF_S, BACK_OFF_CAP_S, self._site.jitter())
            )

    # One connection, from the first probe to whatever breaks it

    async def _session(self) -> None:
        remote = self._site.dial(self.record.address)
        try:
            while True:
                try:
                    await self._settle(remote)
                except NotFoundError:
                    await self._host(remote)
                with suppress(_ClockOffError):
                    await self._exchange(remote)
        finally:
            self.foreigner = None
            await remote.close()

    async def _host(self, remote: Remote) -> None:
        """Deal with an AeorDB node until the connection ends; see `cluster.foreign_link`."""
        self.foreigner = foreigner = await greet(remote, is_id)
        if foreigner.node_id is not None and foreigner.node_id != self.record.node_id:
            self._claim(self, foreigner.node_id)
            await self.amend(node_id=foreigner.node_id)
        self._step(LinkEvent.CONNECTED, "looking how it is")
        while True:
            reason = await foreigner.unsettled(self._site.wall)
            self.standing.clock = foreigner.clock
            if reason is not None and not self._is_forced:
                self._step(LinkEvent.CLOCK_OFF, reason)
                await self._pause(HONEYMOON_S)
                continue
            self._step(LinkEvent.CLOCK_SETTLED if reason is None else LinkEvent.FORCED)
            self._news.set()
            with suppress(_ClockOffError):
                await self._pull(remote)

    async def _settle(self, remote: Remote) -> None:
        """Probe the clock until it is settled, or a person says it does not matter."""
        self._samples.clear()
        while True:
            for _ in range(BURST):
                await self._meet(await self._probe(remote))
            self.standing.clock = estimate(self._samples)
            reason = unsettled(self.standing.clock)
            if reason is None or self._is_forced:
                self._step(LinkEvent.CLOCK_SETTLED if reason is None else LinkEvent.FORCED)
                return
            self._step(LinkEvent.CLOCK_OFF, reason)
            await self._pause(HONEYMOON_S)

    async def _exchange(self, remote: Remote) -> None:
        """Listen and pull.

        Raises:
            _ClockOffError: The clocks do not agree any more.
            AeorError: Anything else that ends the connection.
        """
        self._ahead = None
        self._full_at = asyncio.get_running_loop().time()
        self._roots = None
        self._has_doubted = False
        self._wants_echo = True
        self._worked.clear()
        await together(
            self._listen(remote),
            self._pull(remote),
            self._calibrate(remote),
            self._greet(remote),
        )

    async def _listen(self, remote: Remote) -> None:
        async with aclosing(remote.events(self._site.node_id)) as events:
            async for event in events:
                # The first event of a stream, too: what came before it was told to nobody.
                (self._beat if isinstance(event, Heartbeat) else self._news).set()

    async def _calibrate(self, remote: Remote) -> None:
        """Compare the clocks once more with each heartbeat."""
        while True:
            await self._beat.wait()
            self._beat.clear()
            try:
                await self._probe(remote)
            except UnavailableError:
                # The silence of the event stream decides whether the peer is gone.
                self._step(LinkEvent.PROBE_FAILED)
                continue
            self.standing.clock = estimate(self._samples)
            reason = unsettled(self.standing.clock)
            if reason is not None and not self._is_forced:
                self._step(LinkEvent.CLOCK_OFF, reason)
                raise _ClockOffError(reason)

    async def _greet(self, remote: Remote) -> None:
        """Tell the peer that we are here: it may sit out a long pause before it tries us.

        After a failure only once a cycle went well: to call would be to invite it to fail, too.
        """
        if self._failures:
            await self._worked.wait()
        with suppress(AeorError):
            await remote.wake(self._site.node_id)

    async def _pull(self, remote: Remote) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._due_in_s()):
                    await self._news.wait()
            # Also when there is news: a peer that always has some must not hide what failed.
            is_due = self._due_in_s() <= 0
            self._news.clear()
            waiters, self._waiters = self._waiters, []
            try:
                # What a partial cycle could not take is asked for again only now and then: each
                # time it means to read on from there.
                ahead = None if is_due or waiters else self._ahead
                report = await self._cycle(remote, ahead)
                if ahead is None:
                    await self._note_full(report, is_due=is_due)
            except BaseException as error:
                _fail(waiters, error)
                raise
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(report)

    def _due_in_s(self) -> float:
        """Seconds until everything is asked for again; negative when that is overdue."""
        ready_at = self._full_at + self._site.sync_interval_s
        return ready_at - asyncio.get_running_loop().time()

    async def _note_full(self, report: Report, *, is_due: bool) -> None:
        """A cycle began at the cursor. Doubt that if it seems to hide something.

        When neither tree moved for a whole interval, the peer has told everything, and yet the
        trees differ, everything is listed anew, once a connection: more often would not help
        where the peer merely does not take from us.
        """
        self._full_at = asyncio.get_running_loop().time()
        is_filtered = self.record.sync_paths is not None
        if report.is_partial or is_filtered or self.foreigner is not None:
            self._roots = None
            return
        roots = (self._site.repository.head.root.hex(), report.root)
        is_stuck = is_due and roots == self._roots and roots[0] != roots[1]
        self._roots = roots
        if is_stuck and not self._has_doubted:
            self._has_doubted = True
            await bridge.run(self._book.drop_cursor, self.record)
            self._news.set()

    async def _cycle(self, remote: Remote, ahead: str | None) -> Report:
        self.standing.note_attempt()
        if self.foreigner is not None:
            return await self._cycle_with(self.foreigner)
        peering = Peering(
            self._site.repository,
            remote,
            self.record,
            # This database may be an older copy of itself, put back, and lack what it once wrote;
            # so until one cycle took everything, they ask for that as well.
            None if self._wants_echo else self._site.node_id,
            self._database,
            self._site.wall.now_ms(),
        )
        report = await run_cycle(peering, ahead)
        self._failures = 0
        self._worked.set()
        if ahead is None and not report.is_partial:
            self._wants_echo = False
        is_behind = ahead is not None or report.is_partial
        # With other filters than this cycle's the next one has to begin anew.
        self._ahead = report.reached if is_behind and peering.link is self.record else None
        if report.complaint is not None:
            self.standing.note_failure(report.complaint)
        elif ahead is None:
            self.standing.note_success()
        return report

    async def _cycle_with(self, foreigner: Foreigner) -> Report:
        site = self._site
        reason = await foreigner.unsettled(site.wall)
        self.standing.clock = foreigner.clock
        if reason is not None and not self._is_forced:
            raise _ClockOffError(reason)
        report = await foreigner.cycle(
            site.repository, site.foreign, self.record, site.wall.now_ms()
        )
        self._failures = 0
        if report.complaint is None:
            self.standing.note_success()
        else:
            self.standing.note_failure(report.complaint)
        return report

    # Who answers, and what time it is there

    async def _probe(self, remote: Remote) -> ClockReply:
        wall = self._site.wall
        began, sent = wall.monotonic(), wall.now_ns() / 1e6
        reply = await remote.clock(int(sent))
        if not (is_id(reply.t1) and is_id(reply.t2)):
            raise BadRequestError(f"{self.record.address} answered with an impossible time")
        # Measured by the clock that never jumps: a step of the wall clock is no round trip.
        returned = sent + (wall.monotonic() - began) * 1e3
        self._samples.append(ClockSample(sent, reply.t1, reply.t2, returned))
        return reply

    async def _meet(self, reply: ClockReply) -> None:
        """Learn who answers at the address.

        Raises:
            ConflictError: This very node, or one that another link leads to.
        """
        if not is_id(reply.node_id):
            raise BadRequestError(f"{self.record.address} answered with an impossible node id")
        if not is_id(reply.database):
            raise BadRequestError(f"{self.record.address} answered with an impossible database")
        if reply.node_id != self.record.node_id or reply.node_id == self._site.node_id:
            self._claim(self, reply.node_id)
            await self.amend(node_id=reply.node_id)
        self._database = reply.database
        self._step(LinkEvent.CONNECTED, "comparing clocks")

    # How it stands

    def _step(self, event: LinkEvent, reason: str | None = None) -> None:
        self.standing.step(self.record, event, reason)

    def _lose(self, error: AeorError) -> None:
        self._failures += 1
        self._is_forced = False
        self._step(LinkEvent.LOST, error.message)
        self.standing.note_failure(error.message)
        waiters, self._waiters = self._waiters, []
        _fail(waiters, error)

    async def _pause(self, seconds: float) -> None:
        """Wait, but past `FLOOR_S` not longer than until somebody is in a hurry."""
        floor = min(FLOOR_S, seconds)
        await asyncio.sleep(floor)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds - floor):
                await self._hurry.wait()
        self._hurry.clear()


class _ClockOffError(AeorError):
    """The clocks stopped to agree while the link was active."""


def _fail(waiters: list[asyncio.Future[Report]], error: BaseException) -> None:
    """Tell those who wait for a cycle that there will be none."""
    told = error if isinstance(error, AeorError) else UnavailableError("the cycle was stopped")
    for waiter in waiters:
        if not waiter.done():
            waiter.set_exception(told)
