"""Comparing our trees with a peer's, and taking over what it has and we lack.

    roots      one exchange; equal roots are the end of it
    descend    ask for the nodes that differ, level by level, both trees at once (`core.repair`)
    heal       entries that differ are joined like a page of a pull (`cluster.cycle`)

This is what heals whatever the feed cannot tell: a feed that was cut, a database that was put
back to an older copy, a bug. It costs O(differences * height) tree nodes in about as many
exchanges as the trees have levels, and no more memory than one answer.

A node that is gone, because the peer wrote meanwhile, costs what lies below it: the descent begins
again at the peer's present roots, and what is healed by then differs no more. A node that is
missing from our *own* tree is asked for, too: where the trees are equal, the peer has it.

What we have and the peer lacks is the peer's to fetch: it is told to do the same the other way.
A link with filters takes what matches and looks past the rest.
"""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec

from aeorsync.cluster.cycle import MAX_PROBLEMS, Peering, apply, fetch
from aeorsync.cluster.plan import Problem, make_plan
from aeorsync.cluster.walk import is_wanted
from aeorsync.core.filters import Filter
from aeorsync.core.hashing import parse_hash
from aeorsync.core.nodes import Node, Reader
from aeorsync.core.repair import Descent, Difference, Ours
from aeorsync.errors import AeorError, BadRequestError, CorruptError, UnavailableError
from aeorsync.remote.nodes import NodesAnswer
from aeorsync.runtime import bridge
from aeorsync.storage.repository import Repository
from aeorsync.storage.views import View
from aeorsync.wire.protocol import Item

BATCH: Final = 128
"""Tree nodes asked for at a time."""
PASSES: Final = 5
"""How often a descent begins at the present roots when nodes are gone."""
_PAGE: Final = 4_000
_MAX_LOST: Final = 1_000
_MAX_PAUSE_S: Final = 1.0
_BREATH_S: Final = 0.05
_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What a repair did.

    Attributes:
        round_trips: Requests for tree nodes.
        nodes: Tree nodes that came.
        bytes: Bytes of those requests and answers.
        compared: Entries that were looked at, of theirs and of ours.
        changed: Entries that are different here now.
        conflicts: How many of them are in conflict.
        chunks: Chunks fetched.
        regained: Nodes of our own tree that were missing here.
        problems: The first `MAX_PROBLEMS` entries that were refused.
        problem_count: All of them.
        is_equal: Whether our trees are the peer's now.
        is_ahead: Whether the peer seems to lack something of ours.
        asked_peer: Whether the peer was told to repair itself from us.
    """

    round_trips: int = 0
    nodes: int = 0
    bytes: int = 0
    compared: int = 0
    changed: int = 0
    conflicts: int = 0
    chunks: int = 0
    regained: int = 0
    problems: tuple[Problem, ...] = ()
    problem_count: int = 0
    is_equal: bool = False
    is_ahead: bool = False
    asked_peer: bool = False

    @property
    def complaint(self) -> str | None:
        """One sentence on what was refused; None when nothing was."""
        if not self.problems:
            return None
        first = self.problems[0]
        return f"{self.problem_count} not taken, first {first.path}: {first.text}"


async def run_repair(
    peering: Peering, *, is_gentle: bool = True, asks_peer: bool = True
) -> RepairReport:
    """Take over what differs, wherever it hides.

    Args:
        peering: Who and whom.
        is_gentle: Rest between two steps for as long as a step took.
        asks_peer: Tell the peer to do the same when it lacks something of ours.

    Raises:
        NotFoundError: The peer knows of no tree nodes.
        BadRequestError: It sent what is no part of a tree; nothing of that was stored.
        AeorError: It cannot be reached, or our disk refused.
    """
    work = _Repair(peering, is_gentle=is_gentle)
    report = await work.run()
    if report.is_ahead and asks_peer:
        # What is here is here; whether the peer hears of the rest now is another matter.
        with suppress(AeorError):
            await peering.remote.wake(peering.repository.head.node, repair=True)
            report = replace(report, asked_peer=True)
    return report


class _LostNodeError(CorruptError):
    """A node of our own tree is missing or damaged; ``name`` is its id."""

    def __init__(self, name: bytes, cause: CorruptError) -> None:
        super().__init__(cause.message)
        self.name = name


@dataclass(slots=True)
class _Repair:
    """One repair on its way. Belongs to one task."""

    peering: Peering
    is_gentle: bool
    report: RepairReport = field(default_factory=RepairReport)
    lives: Descent = field(init=False)
    graves: Descent = field(init=False)

    async def run(self) -> RepairReport:
        """Descend until everything that differs was looked at."""
        passes = 0
        while True:
            try:
                is_whole = await self._pass()
            except _LostNodeError as error:
                await self._regain(error)
                continue
            passes += 1
            if is_whole:
                return self.report
            if passes == PASSES:
                return self._cut_short()
            await asyncio.sleep(_BREATH_S * passes)

    def _cut_short(self) -> RepairReport:
        text = (
            "it does not hold the tree that it names: it writes faster than can be read here, or "
            "its tree is damaged; what was found is repaired, and the rest is tried again"
        )
        report = self.report
        problems = (Problem("/", text), *report.problems)
        return replace(report, problems=problems, problem_count=report.problem_count + 1)

    async def _pass(self) -> bool:
        """One descent from the present roots; returns whether no node was gone."""
        answer = await self._ask([])
        header = answer.header
        theirs = (parse_hash(header.root_hash), parse_hash(header.graves_hash))
        self.lives, self.graves = Descent(theirs[0]), Descent(theirs[1])
        self.report = replace(self.report, is_ahead=False)
        await bridge.run(self._begin)
        is_whole = True
        while names := self._wanted():
            began = asyncio.get_running_loop().time()
            answer = await self._ask(names)
            items = await bridge.run(self._compare, answer)
            is_whole = is_whole and not answer.missing
            for at in range(0, len(items), _PAGE):
                await self._heal(items[at : at + _PAGE])
            if self.is_gentle:
                spent = asyncio.get_running_loop().time() - began
                await asyncio.sleep(min(spent, _MAX_PAUSE_S))
        head = self.peering.repository.head
        is_equal = (head.root, head.graves) == theirs
        is_ahead = not is_equal and (self.report.is_ahead or not self.peering.link.is_filtered)
        self.report = replace(self.report, is_equal=is_equal, is_ahead=is_ahead)
        return is_whole

    def _wanted(self) -> list[bytes]:
        names = self.lives.wanted(BATCH)
        # One tree could name a node of the other only in a lie; each is asked for once.
        return list(dict.fromkeys([*names, *self.graves.wanted(BATCH - len(names))]))

    async def _ask(self, names: list[bytes]) -> NodesAnswer:
        peering = self.peering
        answer = await peering.remote.nodes(names)
        header = answer.header
        if (header.node_id, header.database) != (peering.link.node_id, peering.database):
            raise UnavailableError(f"another node answers at {peering.link.address} now")
        self.report = replace(
            self.report,
            round_trips=self.report.round_trips + 1,
            nodes=self.report.nodes + len(answer.bodies),
            bytes=self.report.bytes + answer.size,
        )
        return answer

    @property
    def _wanted_paths(self) -> Filter:
        link = self.peering.link
        return Filter.parse(link.sync_paths, link.excludes)

    # Comparing, in a thread

    def _begin(self) -> None:
        with self.peering.repository.view() as view:
            ours = _ours(self.peering.repository, view)
            for descent, tree in zip((self.lives, self.graves), ours, strict=True):
                self._sift(descent.begin(tree))

    def _compare(self, answer: NodesAnswer) -> list[Item]:
        """Take nodes; returns what the peer has that is not the same here."""
        found: list[Item] = []
        with self.peering.repository.view() as view:
            ours = _ours(self.peering.repository, view)
            for descent, tree in zip((self.lives, self.graves), ours, strict=True):
                for name in filter(descent.wants, answer.missing):
                    descent.forget(name)
                for name, body in answer.bodies.items():
                    if descent.wants(name):
                        try:
                            found += self._sift(descent.take(name, body, tree))
                        except BadRequestError as error:
                            text = f"{self.peering.link.address} lies about its tree: "
                            raise BadRequestError(text + error.message) from error
        return found

    def _sift(self, differences: Iterator[Difference]) -> list[Item]:
        """What of some differences is to be joined into ours."""
        wanted = self._wanted_paths
        found: list[Item] = []
        compared, is_ahead = 0, self.report.is_ahead
        for key, ours, theirs in differences:
            compared += 1
            if not is_wanted(wanted, key):
                continue
            is_ahead = is_ahead or ours is not None
            if theirs is not None:
                found.append((key, theirs))
        self.report = replace(
            self.report, compared=self.report.compared + compared, is_ahead=is_ahead
        )
        return found

    # Healing

    async def _heal(self, items: list[Item]) -> None:
        repository = self.peering.repository
        plan = await bridge.run(make_plan, repository, [_encode(items)], self._wanted_paths)
        complete = await fetch(self.peering, plan)
        applied = await apply(self.peering, complete.news)
        report = self.report
        self.report = replace(
            report,
            changed=report.changed + applied.changed,
            conflicts=report.conflicts + applied.conflicts,
            chunks=report.chunks + complete.chunks,
            problems=(*report.problems, *complete.problems)[:MAX_PROBLEMS],
            problem_count=report.problem_count + len(complete.problems),
        )

    async def _regain(self, lost: _LostNodeError) -> None:
        """Ask the peer for a node of our own tree.

        Raises:
            CorruptError: It does not hold it, or we have lost too many.
        """
        answer = await self._ask([lost.name])
        body = answer.bodies.get(lost.name)
        if body is None or self.report.regained >= _MAX_LOST:
            text = f"{lost.message}, and {self.peering.link.address} does not hold it"
            raise CorruptError(text) from lost
        await bridge.run(self.peering.repository.trees.regain, lost.name, body)
        self.report = replace(self.report, regained=self.report.regained + 1)


def _ours(repository: Repository, view: View) -> tuple[Ours, Ours]:
    """Our trees, which say by name what they lack."""
    lives, graves = repository.trees.ours(view.head)
    return Ours(lives.root, _named(lives.read)), Ours(graves.root, _named(graves.read))


def _named(read: Reader) -> Reader:
    def read_named(name: bytes) -> Node:
        try:
            return read(name)
        except CorruptError as error:
            raise _LostNodeError(name, error) from error

    return read_named
