"""Whether a tree keeps the rules of `core.tree`; for those who doubt what they stored."""

from collections.abc import Iterator
from dataclasses import dataclass

from aeorsync.core.nodes import Node, child_count, child_id
from aeorsync.core.tree import MAX_ITEMS, MAX_KEY_BYTES, is_boundary

_REF_SIZE = 40


@dataclass(frozen=True, slots=True)
class Place:
    """A node, and what the nodes above it say of it.

    Attributes:
        name: Its id.
        level: Its level; None for a root, which may have any.
        after: All its keys are greater; None for the first node of its level.
        last: Its last key; None for a root.
        count: Items below it; None for a root.
        is_rightmost: Whether nothing of its level comes after it.
    """

    name: bytes
    level: int | None = None
    after: bytes | None = None
    last: bytes | None = None
    count: int | None = None
    is_rightmost: bool = True


def children(place: Place, node: Node) -> list[Place]:
    """The places below a node that is right itself, in key order."""
    found = []
    after = place.after
    for at, (key, ref) in enumerate(zip(node.keys, node.values, strict=True)):
        is_rightmost = place.is_rightmost and at == len(node.keys) - 1
        below = Place(child_id(ref), node.level - 1, after, key, child_count(ref), is_rightmost)
        found.append(below)
        after = key
    return found


def node_problem(place: Place, node: Node) -> str | None:
    """Which rule a node breaks; None when it keeps all."""
    return next(_problems(place, node), None)


def _problems(place: Place, node: Node) -> Iterator[str]:
    if node.level and any(len(ref) != _REF_SIZE for ref in node.values):
        yield "a reference in it is malformed"
        return
    yield from _misfits(place, node)
    if place.level is None and node.level and len(node.keys) == 1:
        yield "it is a root with a single child"
    before = place.after
    for key in node.keys:
        if before is not None and key <= before:
            yield "its keys are out of order"
        before = key
    yield from _cut_problems(place, node)


def _misfits(place: Place, node: Node) -> Iterator[str]:
    """What does not fit to what the node above says."""
    if place.level is None:
        return
    if node.level != place.level:
        yield f"it is of level {node.level}, not {place.level}"
    if node.keys[-1:] != [place.last]:
        yield "it ends with another key than the node above says"
    count = sum(map(child_count, node.values)) if node.level else len(node.keys)
    if count != place.count:
        yield f"{count} entries are below it, not {place.count}"


def _cut_problems(place: Place, node: Node) -> Iterator[str]:
    key_bytes = 0
    for at, key in enumerate(node.keys, 1):
        key_bytes += len(key)
        ends = at >= MAX_ITEMS or key_bytes >= MAX_KEY_BYTES or is_boundary(node.level, key)
        if ends and at < len(node.keys):
            yield "it goes on where a node must end"
        if not ends and at == len(node.keys) and not place.is_rightmost:
            yield "it ends where no node may end"
