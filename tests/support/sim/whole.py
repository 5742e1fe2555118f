"""Whole clusters: real links, event streams, requests and tokens, over a network that misbehaves.

Nodes live in one event loop, each in a context of its own by which the loop knows what belongs to
whom: a node that dies stops in the middle of whatever it was doing, and its disk has what was
durable. Steps are those of little clusters (`steps`) but for what goes on between nodes, which
they do by themselves, and those of `WHOLE`.
"""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from contextlib import suppress
from random import Random
from typing import Any, Final

import msgspec

from aeorsync.cluster.member import Member
from aeorsync.core.links import LinkState
from aeorsync.errors import AeorError
from aeorsync.wire.terms import PeerTerms
from tests.support.sim.acts import step
from tests.support.sim.checking import check
from tests.support.sim.disk import CrashedError
from tests.support.sim.history import BrokenError
from tests.support.sim.live import Live, address
from tests.support.sim.loop import Loop
from tests.support.sim.net import HERE, Network, Place, Weather
from tests.support.sim.nodes import BEGIN_MS, Node, World
from tests.support.sim.small import Schedule, Small, Step, StepRun

QUIET_S: Final = 45.0
HEALED_S: Final = 4 * 3600.0
_LOOK_S: Final = 15.0
_DATA: Final = ("/sync/diff", "/sync/chunks", "/sync/offer", "/sync/offer/chunks", "/sync/nodes")
_PLAIN: Final = PeerTerms(sync_paths=[], excludes=[], direction="both", enabled=True)
WHOLE: dict[str, StepRun] = {}


class LoopWorld(World):
    """Time is that of the loop."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._begin = BEGIN_MS

    @property
    def now(self) -> int:
        return self._begin + int(self._loop.time() * 1000)

    @now.setter
    def now(self, now: int) -> None:
        self._begin += now - self.now


class Whole(Small):
    """One run.

    Attributes:
        network: Between the nodes.
        lives: The present life of each node; None while it is down.
    """

    def __init__(self, schedule: Schedule, loop: Loop, chance: Random) -> None:
        self.loop = loop
        self.network = Network(loop, chance)
        self.network.watch = self._watch
        self.lives: dict[int, Live | None] = {}
        self._alive: set[Place] = set()
        self._tasks: dict[Place | None, list[asyncio.Task[Any]]] = {}
        loop.may_run = self._may_run
        loop.set_task_factory(self._make_task)  # type: ignore[arg-type]  # made by 3.11 with a context
        super().__init__(schedule, LoopWorld(loop))
        self.links: dict[tuple[int, int], PeerTerms] = {}

    def _may_run(self, context: contextvars.Context) -> bool:
        place = context.get(HERE)
        return place is None or place in self._alive

    def _make_task(
        self,
        loop: asyncio.AbstractEventLoop,
        work: Coroutine[Any, Any, Any],
        context: contextvars.Context | None = None,
    ) -> asyncio.Task[Any]:
        task = asyncio.Task(work, loop=loop, context=context)
        place = HERE.get() if context is None else context.get(HERE)
        # Held, so that the tasks of the dead are not ended by somebody who cleans up.
        self._tasks.setdefault(place, []).append(task)
        return task

    async def dispose(self) -> None:
        """Let go of everything that still runs."""
        ours = asyncio.current_task()
        self._alive.clear()
        for tasks in self._tasks.values():
            for task in tasks:
                if task is ours:
                    continue
                if task.done():
                    if not task.cancelled():
                        task.exception()
                    continue
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                with suppress(RuntimeError, ValueError):
                    task.get_coro().close()

    # Lives

    def as_node(self, place: Place, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Do something as a certain life of a node."""
        context = contextvars.Context()
        context.run(HERE.set, place)
        return self.loop.create_task(work, context=context)

    def live(self, node: Node) -> Live | None:
        """The life of a node that is up."""
        return self.lives.get(node.id)

    async def begin(self, node: Node) -> None:
        """Start a node whose disk is as it should be."""
        node.is_tending = True
        node.disk.died = lambda: self.kill(node)
        live = Live(node, self.network, 30.0)
        self.lives[node.id] = live
        self._alive.add(live.place)
        work = self.as_node(live.place, live.start())
        await asyncio.wait([work], timeout=60)
        if work.done() and not work.cancelled():
            error = work.exception()
            if error is not None and not isinstance(error, CrashedError):
                raise error

    def kill(self, node: Node) -> None:
        """A node dies in the middle of whatever it does."""
        live = self.lives.get(node.id)
        node.disk.die()
        if live is not None:
            self.lives[node.id] = None
            live.app = None
            self._alive.discard(live.place)
            self.network.sever(live.place)

    async def revive(self, node: Node) -> None:
        """Start a node that is down."""
        if self.lives.get(node.id) is None:
            self.restart(node)
            await self.begin(node)

    def restart(self, node: Node) -> None:
        """Open the disk again, as that life of the node."""
        context = contextvars.Context()
        context.run(HERE.set, (node.id, node.life + 1))
        self._alive.add((node.id, node.life + 1))
        context.run(node.restart)

    def _watch(self, asker: int, server: int, path: str) -> None:
        """No data moves over a link that is not active."""
        if path not in _DATA:
            return
        live = self.lives.get(asker)
        if live is None or live.member is None:
            return
        for peer in live.member.peers():
            if peer.address == address(server):
                just_left = self.nodes[asker - 1].clock.now_ms() - peer.since < 1000
                if peer.state != LinkState.ACTIVE.value and not just_left:
                    self.history.broken = self.history.broken or BrokenError(
                        f"{path} from node {asker} to {server} over a link that is {peer.state}"
                    )

    # The run

    async def run(self, steps: dict[str, StepRun]) -> None:
        for node in self.nodes:
            self.restart(node)
            await self.begin(node)
        for act in self.schedule.steps:
            await self.perform({**steps, **WHOLE}, act)
        await self.heal()
        check(self)

    async def perform(self, steps: dict[str, StepRun], step: Step) -> None:
        name, *arguments = step
        # Who asks a dead node for more than a commit waits in vain.
        with suppress(AeorError, CrashedError, TimeoutError):
            await steps[name](self, *arguments)
        if self.history.broken is not None:
            raise self.history.broken
        for node in self.nodes:
            node.disk.fuse = -1 if name == "dying" else node.disk.fuse
            if node.disk.is_dead:
                self.kill(node)

    async def heal(self) -> None:
        """Mend everything, and wait until nothing moves any more."""
        self.network.weather = Weather()
        self.network.cuts.clear()
        for node in self.nodes:
            node.clock.mend()
            node.disk.fuse = -1
            await self.revive(node)
        stamps = (known.version.stamp for known in self.history.known.values())
        ahead_ms = (max(stamps, default=0) >> 16) - self.world.now
        if ahead_ms > 0:
            # As if all had slept till then: nobody takes what was written in the future.
            self.world.now += ahead_ms
        for a, b in self.links:
            await self.set_link(a, b, _PLAIN)
        deadline = self.loop.time() + HEALED_S
        quiet_since = self.loop.time()
        before = self.moved()
        while self.loop.time() - quiet_since < QUIET_S or not self.is_settled():
            if self.loop.time() > deadline:
                check(self)
                raise BrokenError("they never come to rest")
            await asyncio.sleep(_LOOK_S)
            if self.history.broken is not None:
                raise self.history.broken
            if before != self.moved():
                before, quiet_since = self.moved(), self.loop.time()

    def moved(self) -> int:
        """How much has happened."""
        return sum(node.commits for node in self.nodes)

    def is_settled(self) -> bool:
        """Whether all have the same."""
        return len({node.disk.head().root for node in self.staying()}) <= 1

    # Links

    async def as_member(
        self, node: Node, call: Callable[[Member], Coroutine[Any, Any, object]]
    ) -> None:
        """Have a node do something about its links, for a while at most."""
        live = self.live(node)
        if live is not None:
            work = self.as_node(live.place, live.asked(call))
            await asyncio.wait([work], timeout=5)

    async def set_link(self, a: int, b: int, terms: PeerTerms) -> None:
        """Link one node to another, or change what is said of the link."""
        node, other = self.node(a), self.node(b)
        if node is not other:
            await self.as_member(
                node, lambda member: _linked(member, address(other.id), other.id, terms)
            )


async def _linked(member: Member, at: str, node_id: int, terms: PeerTerms) -> None:
    await member.add_peer(at, node_id=node_id)
    await member.change_peer(node_id, terms)


@step("pass", WHOLE)
async def _pass(_: Whole, seconds: float) -> None:
    """Time passes."""
    await asyncio.sleep(seconds)


@step("tie", WHOLE)
async def _tie(run: Whole, a: int, b: int) -> None:
    """One node is linked to another."""
    run.links[a, b] = PeerTerms()
    await run.set_link(a, b, PeerTerms())


@step("terms", WHOLE)
async def _terms(run: Whole, a: int, b: int, terms: dict[str, Any]) -> None:
    """A link is changed."""
    if (a, b) in run.links:
        await run.set_link(a, b, msgspec.convert(terms, PeerTerms))


@step("untie", WHOLE)
async def _untie(run: Whole, a: int, b: int) -> None:
    """A link is removed; the other side is asked to do the same."""
    await run.as_member(run.node(a), lambda member: member.remove_peer(run.node(b).id))


@step("weather", WHOLE)
async def _weather(run: Whole, late_s: float, lost: float, twice: float, torn: float) -> None:
    """The network becomes better or worse."""
    run.network.weather = Weather(late_s, lost, twice, torn)


@step("cut", WHOLE)
async def _cut(run: Whole, a: int, b: int) -> None:
    """Nothing passes from one node to another any more; the other way is another matter."""
    if run.node(a) is not run.node(b):
        run.network.cuts.add((run.node(a).id, run.node(b).id))


@step("mend", WHOLE)
async def _mend(run: Whole) -> None:
    """All cuts are mended."""
    run.network.cuts.clear()


@step("crash", WHOLE)
async def _crash(run: Whole, at: int) -> None:
    """A node dies, and stays down."""
    run.kill(run.node(at))


@step("fuse", WHOLE)
async def _fuse(run: Whole, at: int, operations: int, done: bool) -> None:  # noqa: FBT001
    """A node will die at one of the next operations of its disk."""
    run.node(at).disk.set_fuse(operations, dies_after=done)


@step("start", WHOLE)
async def _start(run: Whole, at: int) -> None:
    """A node that is down is started."""
    await run.revive(run.node(at))


@step("put back", WHOLE)
async def _put_back(run: Whole, at: int) -> None:
    """A node is stopped, put back to an older copy and started."""
    node = run.node(at)
    if node.saved and run.world.now - node.saved[-1].at < 400_000:
        run.kill(node)
        place = (node.id, node.life + 1)
        context = contextvars.Context()
        context.run(HERE.set, place)
        run._alive.add(place)
        context.run(node.put_back)
        await run.begin(node)


@step("ask", WHOLE)
async def _ask(run: Whole, at: int, what: str) -> None:
    """Somebody asks a node to work on its links at once."""
    calls: dict[str, Callable[[Member], Coroutine[Any, Any, object]]] = {
        "pull": lambda member: member.trigger(),
        "push": lambda member: member.trigger(is_push=True),
        "force": lambda member: member.trigger(force_activate=True),
        "repair": lambda member: member.repair(),
    }
    await run.as_member(run.node(at), calls[what])
