"""Finding what differs from a tree that is elsewhere, whose nodes have to be asked for.

A `Descent` goes down the other tree from its root. It says which nodes it wants next, and each
that comes is compared with our own tree: a part that we hold node for node is passed over, of the
others the children are wanted, and of a leaf the keys are compared. What is wanted at a time is
asked for at once, so a descent takes about as many exchanges as the other tree has levels, and
reads O(differences * height) nodes. It needs neither a clock nor a network, and our tree may move
between two steps: whatever is told did differ when it was compared.

Nodes come from somebody who may lie. Each is checked against its name, the place it hangs in
(level, bounds of its keys, how many lie below) and the two rules by which a tree is cut
(`core.tree`), so what is taken is part of the one tree that has this root. Names are hashes and
levels go down, so no descent goes round in circles.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Final, TypeAlias

from aeorsync.core.hashing import HASH_SIZE, node_id
from aeorsync.core.nodes import (
    EMPTY,
    MAX_LEVEL,
    Node,
    Reader,
    child_count,
    child_id,
    decode_node,
    encode_node,
)
from aeorsync.core.tree import MAX_ITEMS, MAX_KEY_BYTES, is_boundary, scan
from aeorsync.errors import BadRequestError, CorruptError

Difference: TypeAlias = tuple[bytes, bytes | None, bytes | None]
"""(key, our value, their value); None where there is none."""

_REFERENCE: Final = HASH_SIZE + 8
_ROOT_LEVEL: Final = MAX_LEVEL + 1


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node hangs, and so what it has to be.

    Attributes:
        name: Its id.
        level: Its level; None for a root, whose level nobody told.
        after: All its keys are greater; None at the left edge of the tree.
        last: Its last key; None for a root.
        count: How many items lie below; None for a root.
        is_edge: Whether nothing of its tree is to the right of it.
    """

    name: bytes
    level: int | None = None
    after: bytes | None = None
    last: bytes | None = None
    count: int | None = None
    is_edge: bool = True

    @property
    def start(self) -> bytes:
        """The least key that may lie in it."""
        return b"" if self.after is None else self.after + b"\0"


@dataclass(frozen=True, slots=True)
class Ours:
    """Our own tree, as it is now.

    Attributes:
        root: Its root.
        read: Fetches its nodes.
    """

    root: bytes
    read: Reader

    def first_key(self, place: Place) -> bytes | None:
        """The least key of the very node that a place names; None when our tree lacks it."""
        node, name = self.read(self.root), self.root
        while node.level > (place.level or 0):
            at = bisect_left(node.keys, place.last or b"")
            if at == len(node.keys):
                return None
            name = child_id(node.values[at])
            node = self.read(name)
        if name != place.name:
            return None
        while node.level:
            node = self.read(child_id(node.values[0]))
        return node.keys[0]

    def only(self, start: bytes, stop: bytes | None) -> Iterator[Difference]:
        """What lies in a stretch of our tree, as something the other side lacks."""
        return ((key, value, None) for key, value in scan(self.root, self.read, start, stop))


class Descent:
    """The way down one tree of somebody else.

    Its memory is bounded by what is asked for at a time: leaves go first.
    """

    def __init__(self, root: bytes) -> None:
        """Stand before a root."""
        self._root = root
        self._wanted: dict[int, dict[bytes, Place]] = {}
        self._level_of: dict[bytes, int] = {}
        if root != EMPTY:
            self._want(Place(root), _ROOT_LEVEL)

    @property
    def is_done(self) -> bool:
        """Whether nothing is wanted any more."""
        return not self._level_of

    def begin(self, ours: Ours) -> Iterator[Difference]:
        """Compare the roots; call this first, and read on what it returns."""
        if self._root == ours.root:
            self._wanted.clear()
            self._level_of.clear()
        elif self._root == EMPTY:
            return ours.only(b"", None)
        return iter(())

    def wanted(self, limit: int) -> list[bytes]:
        """Ids of the nodes to ask for now, at most ``limit``; lowest level first."""
        by_level = (name for level in sorted(self._wanted) for name in self._wanted[level])
        return list(islice(by_level, limit))

    def wants(self, name: bytes) -> bool:
        """Whether a node is waited for."""
        return name in self._level_of

    def forget(self, name: bytes) -> None:
        """Do without a node that cannot be had, and so without all that lies below it."""
        self._wanted[self._level_of.pop(name)].pop(name)

    def check(self, name: bytes, body: bytes) -> None:
        """Demand that a node that is waited for is what it has to be.

        Raises:
            BadRequestError: It is not.
        """
        check_node(body, self._wanted[self._level_of[name]][name])

    def take(self, name: bytes, body: bytes, ours: Ours) -> Iterator[Difference]:
        """Take a node that was waited for.

        Returns:
            What differs, as far as this node tells, ascending. Read it before the next step.

        Raises:
            BadRequestError: It is not what it has to be.
        """
        place = self._wanted[self._level_of.pop(name)].pop(name)
        node = check_node(body, place)
        if node.level == 0:
            return _compare(node, place, ours)
        return self._enter(children(node, place), ours)

    def _enter(self, places: list[Place], ours: Ours) -> Iterator[Difference]:
        held = [ours.first_key(place) for place in places]
        for place, first in zip(places, held, strict=True):
            if first is None:
                self._want(place, place.level or 0)
        return _around(places, held, ours)

    def _want(self, place: Place, level: int) -> None:
        if place.name in self._level_of:
            raise BadRequestError("a tree holds one node in two places")
        self._level_of[place.name] = level
        self._wanted.setdefault(level, {})[place.name] = place


def check_node(body: bytes, place: Place) -> Node:
    """Read a node and demand that it fits its place.

    Raises:
        BadRequestError: It does not; the text says how.
    """
    if node_id(body) != place.name:
        raise BadRequestError("a tree node does not match its name")
    try:
        node = decode_node(body)
    except CorruptError as error:
        raise BadRequestError(error.message) from error
    problem = next(_problems(node, body, place), None)
    if problem is not None:
        raise BadRequestError(f"a tree node breaks the rules: {problem}")
    return node


def children(node: Node, place: Place) -> list[Place]:
    """The places below a checked node that is no leaf, from left to right."""
    afters = [place.after, *node.keys[:-1]]
    end = len(node.keys) - 1
    return [
        Place(
            child_id(ref),
            node.level - 1,
            after,
            last,
            child_count(ref),
            is_edge=place.is_edge and at == end,
        )
        for at, (after, last, ref) in enumerate(zip(afters, node.keys, node.values, strict=True))
    ]


def _problems(node: Node, body: bytes, place: Place) -> Iterator[str]:
    keys = node.keys
    if not keys:
        yield "it is empty"
        return
    if place.level not in {None, node.level}:
        yield "it is of another level than its place"
    if any(key >= following for key, following in pairwise(keys)):
        yield "its keys do not ascend"
    if (place.after is not None and keys[0] <= place.after) or place.last not in {None, keys[-1]}:
        yield "its keys lie outside its place"
    if encode_node(node) != body:
        yield "its bytes are not canonical"
    yield from _cut_problems(node, is_edge=place.is_edge)
    yield from _count_problems(node, place)


def _count_problems(node: Node, place: Place) -> Iterator[str]:
    below = len(node.keys)
    if node.level:
        if any(len(ref) != _REFERENCE or not child_count(ref) for ref in node.values):
            yield "a reference is malformed"
        if place.level is None and below == 1:
            yield "it is a root with a single child"
        below = sum(map(child_count, node.values))
    if place.count not in {None, below}:
        yield "another number of items lies below it than its parent says"


def _cut_problems(node: Node, *, is_edge: bool) -> Iterator[str]:
    """What is against the rules of `core.tree` in where a node ends."""
    keys = node.keys
    key_bytes = sum(map(len, keys))
    if len(keys) > MAX_ITEMS or key_bytes - len(keys[-1]) >= MAX_KEY_BYTES:
        yield "it is too large"
        return
    if any(is_boundary(node.level, key) for key in keys[:-1]):
        yield "it goes on past a boundary"
    is_full = len(keys) == MAX_ITEMS or key_bytes >= MAX_KEY_BYTES
    if not (is_edge or is_full or is_boundary(node.level, keys[-1])):
        yield "it ends where no node ends"


def _compare(node: Node, place: Place, ours: Ours) -> Iterator[Difference]:
    """Compare a leaf with the same stretch of our tree."""
    stop = None if place.is_edge else node.keys[-1] + b"\0"
    mine = scan(ours.root, ours.read, place.start, stop)
    here = next(mine, None)
    for key, value in zip(node.keys, node.values, strict=True):
        while here is not None and here[0] < key:
            yield here[0], here[1], None
            here = next(mine, None)
        if here is not None and here[0] == key:
            if here[1] != value:
                yield key, here[1], value
            here = next(mine, None)
        else:
            yield key, None, value
    while here is not None:
        yield here[0], here[1], None
        here = next(mine, None)


def _around(places: list[Place], held: list[bytes | None], ours: Ours) -> Iterator[Difference]:
    """What lies in our tree beside the nodes that both hold."""
    for place, first in zip(places, held, strict=True):
        if first is not None:
            yield from ours.only(place.start, first)
            if place.is_edge:
                yield from ours.only((place.last or b"") + b"\0", None)
