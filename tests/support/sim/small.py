"""Little clusters that are driven step by step: the many cheap runs.

A schedule is data: how many nodes, and a list of steps, each a name and what belongs to it (see
`STEPS`, one function each). A step that has no place, or that the node refuses, does nothing; so
any part of a schedule is a schedule, and it can be cut down.

Then everything is healed (clocks right, no filters, no faults), everybody pulls from everybody
until nothing moves any more, and the history says what must be everywhere (`check`).
"""

from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from random import Random
from typing import Any, Final, cast

import msgspec

from aeorsync.cluster.cycle import Peering, run_cycle
from aeorsync.cluster.offers import Stance
from aeorsync.cluster.peers import LinkRecord
from aeorsync.cluster.push import run_push
from aeorsync.cluster.repair import run_repair
from aeorsync.core.versions import Content, Vector, Version
from aeorsync.errors import AeorError
from aeorsync.remote.calls import Remote
from aeorsync.runtime import chance, threads
from tests.support.sim.checking import check
from tests.support.sim.crew import InlineCrew
from tests.support.sim.disk import CrashedError
from tests.support.sim.history import History, Seen
from tests.support.sim.loop import Loop
from tests.support.sim.nodes import EVERYTHING, RETENTION_S, Clock, Node, World
from tests.support.sim.wire import Wire

Step = Sequence[Any]
MAX_NODES: Final = 4
AGE_MS: Final = RETENTION_S * 1000 + 1000
_TICK_MS: Final = 7
_HEALING: Final = 8
Base = tuple[Vector, Seen]
"""What a client remembers of a path: the base it will state, and what it has really seen."""


class Schedule(msgspec.Struct, frozen=True):
    """What is to happen.

    Attributes:
        seed: What chance is drawn from during the run.
        nodes: How many there are to begin with.
        steps: What happens, in this order.
        size: Which kind of run this is for.
        is_founded: Whether the nodes have met before.
    """

    seed: int
    nodes: int
    steps: tuple[Step, ...]
    size: str = "small"
    is_founded: bool = True


class Small:
    """One run.

    Attributes:
        nodes: All nodes, also those that were removed.
        bases: What each client remembers of each path.
        snapshots: Who made each snapshot, in which life, and what it must show: the content of
            each live entry; by snapshot id.
        forks: What each fork began with, likewise as what is seen at each path.
        chunks: How many chunks were sent between nodes.
        stowed: Files that a client has brought to a node in one of its lives, and not yet given a
            name there.
    """

    def __init__(self, schedule: Schedule, world: World | None = None) -> None:
        self.schedule = schedule
        self.world = world or World()
        self.history = History()
        self.nodes: list[Node] = []
        self.bases: dict[tuple[int, str], Base] = {}
        self.snapshots: dict[str, tuple[int, dict[bytes, bytes]]] = {}
        self.stowed: dict[tuple[int, int], tuple[int, Content]] = {}
        self.forks: dict[str, dict[bytes, Seen]] = {}
        self.chunks = 0
        if schedule.is_founded:
            self._begin_like(founded(schedule.nodes))
        else:
            for _ in range(schedule.nodes):
                self.add()

    def _begin_like(self, other: "Small") -> None:
        """Begin with copies of the nodes of another run."""
        self.world.now = other.world.now
        self.history = other.history.copy()
        for node in other.nodes:
            self.nodes.append(node.copy(Clock(self.world), self.history))

    def add(self) -> Node:
        node = Node(len(self.nodes) + 1, Clock(self.world), self.history)
        self.nodes.append(node)
        return node

    def node(self, at: int) -> Node:
        return self.nodes[at % len(self.nodes)]

    def trace(self) -> str:
        """A hash of all that was committed so far."""
        return self.history.trace.hexdigest()

    async def run(self, steps: "dict[str, StepRun]") -> None:
        """The steps, healing, checking.

        Raises:
            BrokenError: A promise is broken.
        """
        for step in self.schedule.steps:
            await self.perform(steps, step)
        await self.heal()
        check(self)

    async def perform(self, steps: "dict[str, StepRun]", step: Step) -> None:
        """One step, and the restart of whoever died in it."""
        self.world.now += _TICK_MS
        name, *arguments = step
        with suppress(AeorError, CrashedError):
            await steps[name](self, *arguments)
        self.history.claims.clear()
        if self.history.broken is not None:
            raise self.history.broken
        for node in self.nodes:
            node.disk.fuse = -1
            if node.disk.is_dead:
                node.restart()

    # Two nodes

    def meet(self, asker: Node, server: Node) -> bool:
        """Write each other down, as both do before anything is told; False when one refuses."""
        pair = {asker.id, server.id}
        if asker is server or pair & (asker.removed() | server.removed()):
            return False
        for side in (asker, server):
            if not side.roster().keys() >= pair:
                side.members.write(sorted(pair))
        return True

    async def cycle(self, asker: Node, server: Node, fault: tuple[str, int] | None = None) -> None:
        """``asker`` pulls everything from ``server``."""
        if not self.meet(asker, server):
            return
        tie = (server.id, server.life)
        has_followed = tie in asker.followed
        wire = self.wire(asker, server, fault)
        peering = self.peering(asker, server, wire, tells_echo=not has_followed)
        try:
            report = await run_cycle(peering)
        finally:
            self.chunks += wire.chunks_sent
        if not report.is_partial:
            asker.followed.add(tie)

    async def push(self, node: Node, to: Node, fault: tuple[str, int] | None = None) -> None:
        """``node`` offers everything to ``to``."""
        if not self.meet(node, to):
            return
        tie = (to.id, to.life)
        wire = self.wire(node, to, fault)
        peering = self.peering(node, to, wire, tells_echo=tie not in node.pushed)
        try:
            report = await run_push(peering)
        finally:
            self.chunks += wire.chunks_sent
        if not report.is_partial:
            node.pushed.add(tie)

    async def repair(
        self, asker: Node, server: Node, fault: tuple[str, int] | None = None
    ) -> None:
        """``asker`` compares trees with ``server``, and takes what differs."""
        if self.meet(asker, server):
            wire = self.wire(asker, server, fault)
            peering = self.peering(asker, server, wire, tells_echo=True)
            await run_repair(peering, is_gentle=False)

    def wire(self, asker: Node, server: Node, fault: tuple[str, int] | None) -> Wire:
        """The way from one node to another."""
        paths, excludes = server.filters.get(asker.id, EVERYTHING)
        stance = Stance(sync_paths=paths, excludes=excludes)
        return Wire(asker.disk, server.repository, server.offers, stance, fault)

    def peering(self, asker: Node, server: Node, wire: Wire, *, tells_echo: bool) -> Peering:
        """The two sides of a cycle."""
        paths, excludes = asker.filters.get(server.id, EVERYTHING)
        record = LinkRecord(
            id=server.id,
            address=wire.address,
            node_id=server.id,
            sync_paths=paths,
            excludes=excludes,
        )
        return Peering(
            asker.repository,
            cast("Remote", wire),
            record,
            None if tells_echo else asker.id,
            server.repository.database_id,
            asker.clock.now_ms(),
            asks_knowledge=True,
        )

    # Clients

    def remember(self, client: int, path: str, version: Version) -> None:
        """A client has seen one version, and all that its writer had."""
        vector = dict(version.vector)
        vector[version.incarnation] = max(vector.get(version.incarnation, 0), version.n)
        context = tuple(sorted(vector.items()))
        self.bases[client, path] = (context, self.history.closure((version.dot,)))

    def base(self, client: int, path: str) -> Base:
        """What a client remembers of a path; one that never looked has seen nothing."""
        return self.bases.get((client, path), ((), frozenset()))

    # The end

    def staying(self) -> list[Node]:
        """Nodes that nobody removed."""
        gone: set[int] = set().union(*(node.removed() for node in self.nodes))
        return [node for node in self.nodes if node.id not in gone]

    async def round(self) -> None:
        """Everybody pulls from everybody."""
        staying = self.staying()
        for asker in staying:
            for server in staying:
                if asker is not server:
                    await self.cycle(asker, server)

    async def gather(self) -> None:
        """One pulls from everybody, then everybody from that one."""
        first, *others = self.staying()
        for other in others:
            await self.cycle(first, other)
        for other in others:
            await self.cycle(other, first)

    def _moved(self) -> tuple[int, int]:
        return sum(node.commits for node in self.nodes), self.chunks

    async def heal(self) -> None:
        """Mend everything, and wait until nothing moves any more, however often they talk."""
        for node in self.nodes:
            node.clock.mend()
            node.filters.clear()
        stamps = (known.version.stamp for known in self.history.known.values())
        latest = max(stamps, default=0) >> 16
        self.world.now = max(self.world.now, latest) + _TICK_MS
        await self.gather()
        for _ in range(_HEALING):
            before = self._moved()
            await self.round()
            if before == self._moved():
                return
        raise AssertionError(f"still moving after {_HEALING} rounds")


StepRun = Callable[..., Coroutine[Any, Any, None]]
_founded: dict[int, Small] = {}


def founded(size: int) -> Small:
    """A cluster of which all nodes have met, and nothing else has happened; made only once."""
    if size not in _founded:
        loop = Loop()
        try:
            with chance.drawn_from(Random(size)), threads.done_by(InlineCrew()):
                run = Small(Schedule(0, size, (), is_founded=False))
                loop.run_until_complete(run.heal())
        finally:
            loop.close()
        _founded[size] = run
    return _founded[size]
