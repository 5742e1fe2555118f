"""The tree is a map, its shape depends on its contents alone, and edits are local."""

import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from aeorsync.core import tree
from aeorsync.core.diff import diff
from aeorsync.core.nodes import EMPTY, EMPTY_NODE, Node, child_id, decode_node
from aeorsync.core.tree import edit
from aeorsync.errors import CorruptError

VECTORS = Path(__file__).parents[2] / "docs" / "vectors" / "tree.json"
Edits = dict[bytes, bytes | None]

keys = st.integers(0, 400).map(lambda i: f"k{i:03d}".encode())
edit_lists = st.lists(
    st.dictionaries(keys, st.none() | st.binary(max_size=3), max_size=60), max_size=6
)


class Shelf:
    """Nodes by id, and how many were read."""

    def __init__(self) -> None:
        self.nodes: dict[bytes, bytes] = {}
        self.reads = 0

    def read(self, name: bytes) -> Node:
        self.reads += 1
        return EMPTY_NODE if name == EMPTY else decode_node(self.nodes[name])

    def edit(self, root: bytes, edits: Edits, *, drop: bool = False) -> bytes:
        made = edit(root, self.read, edits)
        self.nodes.update(made.made)
        if drop:
            for name in made.dropped:
                del self.nodes[name]
        return made.root

    def reachable(self, root: bytes) -> set[bytes]:
        if root == EMPTY:
            return set()
        node = self.read(root)
        below = [self.reachable(child_id(ref)) for ref in node.values if node.level]
        return {root}.union(*below)


def model_after(all_edits: list[Edits]) -> dict[bytes, bytes]:
    model: dict[bytes, bytes] = {}
    for edits in all_edits:
        for key, value in edits.items():
            model.pop(key, None)
            if value is not None:
                model[key] = value
    return dict(sorted(model.items()))


@given(edit_lists)
def test_the_root_depends_on_the_contents_only(all_edits: list[Edits]) -> None:
    shelf = Shelf()
    root = EMPTY
    for edits in all_edits:
        root = shelf.edit(root, edits)
    model = model_after(all_edits)
    assert root == Shelf().edit(EMPTY, dict(model))
    one_by_one = EMPTY
    for key in reversed(model):
        one_by_one = shelf.edit(one_by_one, {key: model[key]})
    assert root == one_by_one


@given(edit_lists, keys, keys)
def test_it_reads_like_a_sorted_map(all_edits: list[Edits], low: bytes, high: bytes) -> None:
    shelf = Shelf()
    root = EMPTY
    for edits in all_edits:
        root = shelf.edit(root, edits)
    model = model_after(all_edits)
    assert list(tree.scan(root, shelf.read)) == list(model.items())
    expected = [(key, value) for key, value in model.items() if low <= key < high]
    assert list(tree.scan(root, shelf.read, low, high)) == expected
    assert tree.has(root, shelf.read, low, high) == bool(expected)
    assert tree.count(root, shelf.read) == len(model)
    assert tree.get(root, shelf.read, low) == model.get(low)


@given(edit_lists)
def test_dropped_nodes_are_exactly_those_nobody_needs(all_edits: list[Edits]) -> None:
    shelf = Shelf()
    root = EMPTY
    for edits in all_edits:
        root = shelf.edit(root, edits, drop=True)
        assert shelf.reachable(root) == set(shelf.nodes)


@given(edit_lists, edit_lists)
def test_diff_tells_what_differs(first: list[Edits], second: list[Edits]) -> None:
    shelf = Shelf()
    old = EMPTY
    for edits in first:
        old = shelf.edit(old, edits)
    new = old
    for edits in second:
        new = shelf.edit(new, edits)
    before, after = model_after(first), model_after(first + second)
    expected = [
        (key, before.get(key), after.get(key))
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]
    assert list(diff(old, new, shelf.read, shelf.read)) == expected


def big(count: int) -> dict[bytes, bytes | None]:
    return {f"folder{i // 100:04d}\0file{i:06d}".encode(): b"v" for i in range(count)}


def test_an_edit_touches_the_path_to_it_and_no_more() -> None:
    shelf = Shelf()
    root = shelf.edit(EMPTY, big(20_000))
    made = edit(root, shelf.read, {b"folder0100\0file010050": b"changed"})
    height = shelf.read(root).level + 1
    assert len(made.made) == height
    assert len(made.dropped) == height


def test_diff_reads_little_when_little_differs() -> None:
    shelf = Shelf()
    old = shelf.edit(EMPTY, big(20_000))
    new = shelf.edit(old, {b"folder0100\0file010050": b"changed"})
    shelf.reads = 0
    assert len(list(diff(old, new, shelf.read, shelf.read))) == 1
    assert shelf.reads <= 2 * (shelf.read(old).level + 1)


def test_a_changed_value_moves_no_boundary() -> None:
    shelf = Shelf()
    root = shelf.edit(EMPTY, big(3000))
    other = shelf.edit(root, dict.fromkeys(big(3000), b"another value"))

    def shape(name: bytes) -> list[object]:
        node = shelf.read(name)
        return [node.keys, *(shape(child_id(ref)) for ref in node.values if node.level)]

    assert shape(root) == shape(other)


def not_boundaries(count: int) -> list[bytes]:
    found: list[bytes] = []
    number = 0
    while len(found) < count:
        key = b"%08d" % number
        if not tree.is_boundary(0, key):
            found.append(key)
        number += 1
    return found


def test_crafted_keys_cannot_make_a_huge_node() -> None:
    shelf = Shelf()
    root = shelf.edit(EMPTY, dict.fromkeys(not_boundaries(2000), b""))
    assert max(len(shelf.read(name).keys) for name in shelf.reachable(root)) <= tree.MAX_ITEMS


@settings(max_examples=30)
@given(st.sets(st.integers(0, 999), max_size=400), st.sets(st.integers(0, 999), max_size=50))
def test_the_cap_keeps_history_independence(added: set[int], removed: set[int]) -> None:
    crafted = not_boundaries(1000)
    shelf = Shelf()
    root = shelf.edit(EMPTY, {crafted[i]: b"" for i in added})
    root = shelf.edit(root, {crafted[i]: None for i in removed})
    assert root == shelf.edit(EMPTY, {crafted[i]: b"" for i in added - removed})


def test_long_keys_are_capped_by_their_bytes() -> None:
    shelf = Shelf()
    long_keys = [key + b"x" * 4000 for key in not_boundaries(60)]
    root = shelf.edit(EMPTY, {key: b"" for key in long_keys if not tree.is_boundary(0, key)})
    leaves = [shelf.read(name) for name in shelf.reachable(root)]
    assert all(sum(map(len, leaf.keys)) < tree.MAX_KEY_BYTES + 5000 for leaf in leaves)


@given(st.binary(max_size=200))
def test_garbage_is_no_node(data: bytes) -> None:
    try:
        decode_node(data)
    except CorruptError:
        return


def test_the_format_is_frozen() -> None:
    """Roots of known contents; when this fails, the format changed and needs a new version."""
    recorded = json.loads(VECTORS.read_text())
    for count, expected in recorded["roots"].items():
        assert Shelf().edit(EMPTY, big(int(count))).hex() == expected
    parameters = [tree.FANOUT, tree.MAX_ITEMS, tree.MAX_KEY_BYTES]
    assert parameters == recorded["parameters"]
