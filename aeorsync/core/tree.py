"""The Merkle map from key to value, whose shape depends on its contents alone.

Nodes of level 0 hold (key, value) items; nodes above hold (last key below, child) items. Along
each level, items are cut into nodes from left to right: a node ends after an item

1. whose key is a *boundary*: the first 4 bytes of BLAKE3(salt, level, key), big-endian, are below
   2**32 / `FANOUT`; or
2. that brings the node to `MAX_ITEMS` items or `MAX_KEY_BYTES` bytes of keys (the cap, against
   crafted keys).

Levels are stacked until one has a single node: the root. Rules 1 and 2 look at keys only, so a
changed value never moves a boundary, and at nothing left of the previous cut, so an edit touches
the nodes around it and the path above them. The same contents give the same root whatever the
order of edits. These numbers are part of the format (`docs/vectors/tree.json`).

This module does no I/O: a `Reader` fetches node bytes by id, and editing returns the new nodes.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec
from blake3 import blake3

from aeorsync.core.hashing import node_id
from aeorsync.core.nodes import (
    EMPTY,
    EMPTY_NODE,
    Node,
    Reader,
    child_count,
    child_id,
    encode_node,
)

FANOUT = 24
MAX_ITEMS = 192
MAX_KEY_BYTES = 64 * 1024
_BOUNDARY = (1 << 32) // FANOUT
_SALT = b"aeorsync tree 1 "


def is_boundary(level: int, key: bytes) -> bool:
    """Whether a node of ``level`` ends after ``key`` (rule 1)."""
    head = blake3(_SALT + bytes((level,)) + key).digest(length=4)
    return int.from_bytes(head) < _BOUNDARY


class Edited(msgspec.Struct, frozen=True):
    """What an edit made.

    Attributes:
        root: Id of the new root.
        made: New nodes by id, to be stored before the root is published.
        dropped: Ids of nodes of the old tree that the new tree does not use.
    """

    root: bytes
    made: dict[bytes, bytes]
    dropped: set[bytes]


def edit(root: bytes, read: Reader, edits: dict[bytes, bytes | None]) -> Edited:
    """Set (bytes) and remove (None) keys; removing an absent key is nothing.

    Cost is O(edits * height), whatever the size of the tree.
    """
    if not edits:
        return Edited(root, {}, set())
    work = _Work(read)
    top = work.node(root).level
    changes = dict(sorted(edits.items()))
    level = 0
    while level <= top and changes:
        changes = _edit_level(root, level, changes, work)
        level += 1
    new_root = _stack(top, changes, work) if level > top else root
    return work.done(_collapse(new_root, work))


@dataclass(slots=True)
class _Work:
    """Nodes made and replaced so far in one edit."""

    read: Reader
    made: dict[bytes, Node] = field(default_factory=dict)
    bodies: dict[bytes, bytes] = field(default_factory=dict)
    dropped: set[bytes] = field(default_factory=set)

    def node(self, name: bytes) -> Node:
        made = self.made.get(name)
        if made is not None:
            return made
        return EMPTY_NODE if name == EMPTY else self.read(name)

    def make(self, level: int, keys: list[bytes], values: list[bytes]) -> bytes:
        """Make a node and return the reference its parent keeps."""
        node = Node(level, keys, values)
        body = encode_node(node)
        name = node_id(body)
        self.made[name] = node
        self.bodies[name] = body
        count = len(keys) if level == 0 else sum(child_count(ref) for ref in values)
        return name + count.to_bytes(8)

    def done(self, root: bytes) -> Edited:
        self.dropped.discard(EMPTY)
        for name in self.dropped & self.bodies.keys():
            self.dropped.discard(name)
            del self.bodies[name]
        return Edited(root, self.bodies, self.dropped)


def _edit_level(
    root: bytes, level: int, edits: dict[bytes, bytes | None], work: _Work
) -> dict[bytes, bytes | None]:
    """Re-cut the nodes of one level that ``edits`` touch; returns the parents' edits."""
    above: dict[bytes, bytes | None] = {}
    pending = list(edits.items())
    at = 0
    while at < len(pending):
        cursor = _Cursor(root, level, pending[at][0], work)
        cutter = _Cutter(level, work)
        while True:
            node = cursor.node
            work.dropped.add(cursor.name)
            if node.keys:
                above.setdefault(node.keys[-1], None)
            stop = at
            last = None if cursor.is_last else node.keys[-1]
            while stop < len(pending) and (last is None or pending[stop][0] <= last):
                stop += 1
            _merge_into(cutter, node, pending[at:stop])
            at = stop
            # In step with the old cuts again: all to the right stays as it was.
            if cutter.is_empty or cursor.is_last:
                break
            cursor.advance()
        cutter.flush()
        above.update(cutter.cut)
    return dict(sorted(above.items()))


def _merge_into(cutter: "_Cutter", node: Node, edits: list[tuple[bytes, bytes | None]]) -> None:
    keys, values = node.keys, node.values
    at = 0
    for key, value in edits:
        spot = bisect_left(keys, key, at)
        cutter.extend(keys, values, at, spot)
        at = spot + 1 if spot < len(keys) and keys[spot] == key else spot
        if value is not None:
            cutter.add(key, value)
    cutter.extend(keys, values, at, len(keys))


class _Cutter:
    """Cuts a stream of ascending items into nodes by the two rules."""

    def __init__(self, level: int, work: _Work) -> None:
        self._level = level
        self._work = work
        self._keys: list[bytes] = []
        self._values: list[bytes] = []
        self._key_bytes = 0
        self.cut: dict[bytes, bytes | None] = {}

    @property
    def is_empty(self) -> bool:
        return not self._keys

    def extend(self, keys: list[bytes], values: list[bytes], start: int, stop: int) -> None:
        """Take items of an old node; only its last key can be a boundary."""
        inner = min(stop, len(keys) - 1)
        run = keys[start:inner]
        run_bytes = sum(map(len, run))
        is_under_cap = (
            len(self._keys) + len(run) < MAX_ITEMS and self._key_bytes + run_bytes < MAX_KEY_BYTES
        )
        if is_under_cap:
            self._keys += run
            self._values += values[start:inner]
            self._key_bytes += run_bytes
            start = max(start, inner)
        for at in range(start, stop):
            self.add(keys[at], values[at])

    def add(self, key: bytes, value: bytes) -> None:
        self._keys.append(key)
        self._values.append(value)
        self._key_bytes += len(key)
        if (
            len(self._keys) >= MAX_ITEMS
            or self._key_bytes >= MAX_KEY_BYTES
            or is_boundary(self._level, key)
        ):
            self.flush()

    def flush(self) -> None:
        if self._keys:
            ref = self._work.make(self._level, self._keys, self._values)
            self.cut[self._keys[-1]] = ref
            self._keys, self._values, self._key_bytes = [], [], 0


class _Cursor:
    """Walks the nodes of one level of the old tree, left to right."""

    def __init__(self, root: bytes, level: int, key: bytes, work: _Work) -> None:
        self._work = work
        self._path: list[tuple[Node, int]] = []
        self.name = root
        self.node = work.node(root)
        while self.node.level > level:
            self._down(min(bisect_left(self.node.keys, key), len(self.node.keys) - 1))

    @property
    def is_last(self) -> bool:
        return all(at == len(node.keys) - 1 for node, at in self._path)

    def advance(self) -> None:
        level = self.node.level
        while True:
            node, at = self._path.pop()
            if at + 1 < len(node.keys):
                break
        self.node = node
        self._down(at + 1)
        while self.node.level > level:
            self._down(0)

    def _down(self, at: int) -> None:
        self._path.append((self.node, at))
        self.name = child_id(self.node.values[at])
        self.node = self._work.read(self.name)


def _stack(top: int, items: dict[bytes, bytes | None], work: _Work) -> bytes:
    """Build levels above ``top`` until one has a single node; returns its id."""
    refs = {key: ref for key, ref in items.items() if ref is not None}
    level = top
    while len(refs) > 1:
        level += 1
        cutter = _Cutter(level, work)
        for key, ref in refs.items():
            cutter.add(key, ref)
        cutter.flush()
        refs = {key: ref for key, ref in cutter.cut.items() if ref is not None}
    if not refs:
        return EMPTY
    return child_id(next(iter(refs.values())))


def _collapse(root: bytes, work: _Work) -> bytes:
    """Drop roots with a single child, so the root is the lowest level with one node."""
    node = work.node(root)
    while node.level and len(node.keys) == 1:
        work.dropped.add(root)
        root = child_id(node.values[0])
        node = work.node(root)
    return root


# Reading


def get(root: bytes, read: Reader, key: bytes) -> bytes | None:
    """The value at ``key``, or None."""
    node = read(root)
    while True:
        at = bisect_left(node.keys, key)
        if at == len(node.keys):
            return None
        if node.level == 0:
            return node.values[at] if node.keys[at] == key else None
        node = read(child_id(node.values[at]))


def has(root: bytes, read: Reader, start: bytes, stop: bytes | None = None) -> bool:
    """Whether there is a key with start <= key < stop (None: to the end)."""
    node = read(root)
    while True:
        at = bisect_left(node.keys, start)
        if at == len(node.keys):
            return False
        if node.level == 0:
            return stop is None or node.keys[at] < stop
        node = read(child_id(node.values[at]))


def count(root: bytes, read: Reader) -> int:
    """How many keys the tree holds; O(1)."""
    node = read(root)
    return sum(child_count(ref) for ref in node.values) if node.level else len(node.keys)


def scan(
    root: bytes, read: Reader, start: bytes = b"", stop: bytes | None = None
) -> Iterator[tuple[bytes, bytes]]:
    """Items with start <= key < stop (None: to the end), ascending."""
    node = read(root)
    at = bisect_left(node.keys, start)
    if node.level:
        for ref in node.values[at:]:
            yield from scan(child_id(ref), read, start, stop)
            if stop is not None and node.keys[at] >= stop:
                return
            at += 1
        return
    for key, value in zip(node.keys[at:], node.values[at:], strict=True):
        if stop is not None and key >= stop:
            return
        yield key, value
