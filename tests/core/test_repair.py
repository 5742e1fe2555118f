"""A descent tells exactly what differs, asks for little, and believes nothing it cannot check."""

from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aeorsync.core.hashing import node_id
from aeorsync.core.nodes import (
    EMPTY,
    EMPTY_NODE,
    Node,
    child_count,
    child_id,
    decode_node,
    encode_node,
)
from aeorsync.core.repair import Descent, Difference, Ours, Place, check_node, children
from aeorsync.core.tree import MAX_ITEMS, edit, is_boundary
from aeorsync.errors import BadRequestError

Model = dict[bytes, bytes]

keys = st.integers(0, 3000).map(lambda i: f"k{i:04d}".encode())
models = st.builds(
    lambda some, first, count: (
        {f"k{i:04d}".encode(): b"" for i in range(first, first + count)} | some
    ),
    st.dictionaries(keys, st.binary(max_size=2), max_size=40),
    st.integers(0, 2900),
    st.sampled_from([0, 0, 1, 30, 700, 2000]),
)
changes = st.dictionaries(keys, st.none() | st.binary(max_size=2), max_size=12)


class Shelf:
    """Trees, and the nodes they are made of."""

    def __init__(self) -> None:
        self.nodes: dict[bytes, bytes] = {}

    def read(self, name: bytes) -> Node:
        return EMPTY_NODE if name == EMPTY else decode_node(self.nodes[name])

    def grow(self, model: Model) -> bytes:
        made = edit(EMPTY, self.read, dict(model))
        self.nodes.update(made.made)
        return made.root


class Counted:
    """What a whole descent came to."""

    def __init__(self) -> None:
        self.found: list[Difference] = []
        self.exchanges = 0
        self.nodes = 0


def descend(shelf: Shelf, ours: bytes, theirs: bytes, limit: int = 10_000) -> Counted:
    result = Counted()
    tree = Ours(ours, shelf.read)
    descent = Descent(theirs)
    result.found += descent.begin(tree)
    while names := descent.wanted(limit):
        result.exchanges += 1
        for name in names:
            assert descent.wants(name)
            result.found += descent.take(name, shelf.nodes[name], tree)
            result.nodes += 1
    assert descent.is_done
    return result


def plain(ours: Model, theirs: Model) -> list[Difference]:
    return sorted(
        (key, ours.get(key), theirs.get(key))
        for key in ours.keys() | theirs.keys()
        if ours.get(key) != theirs.get(key)
    )


@given(models, changes, st.integers(1, 200))
@settings(max_examples=150, deadline=None)
def test_a_descent_tells_what_a_plain_comparison_tells(
    base: Model, some: dict[bytes, bytes | None], limit: int
) -> None:
    other = {key: value for key, value in {**base, **some}.items() if value is not None}
    shelf = Shelf()
    ours, theirs = shelf.grow(base), shelf.grow(other)
    assert sorted(descend(shelf, ours, theirs, limit).found) == plain(base, other)
    assert sorted(descend(shelf, theirs, ours, limit).found) == plain(other, base)


@given(models, models)
@settings(max_examples=60, deadline=None)
def test_trees_of_any_two_heights_are_compared(ours: Model, theirs: Model) -> None:
    shelf = Shelf()
    result = descend(shelf, shelf.grow(ours), shelf.grow(theirs))
    assert sorted(result.found) == plain(ours, theirs)


def test_few_differences_in_many_keys_cost_few_exchanges_and_nodes() -> None:
    base = {f"folder\0file{i:06d}".encode(): b"value" for i in range(20_000)}
    other = dict(base)
    for i in range(0, 20_000, 2_000):
        other[f"folder\0file{i:06d}".encode()] = b"changed"
    shelf = Shelf()
    result = descend(shelf, shelf.grow(base), shelf.grow(other))
    assert len(result.found) == 10
    assert result.exchanges <= 5
    assert result.nodes <= 10 * 5
    assert descend(shelf, shelf.grow(base), shelf.grow(base)).exchanges == 0


def test_what_is_wanted_at_a_time_bounds_what_is_remembered() -> None:
    shelf = Shelf()
    theirs = shelf.grow({f"k{i:06d}".encode(): b"" for i in range(30_000)})
    tree, descent, most = Ours(EMPTY, shelf.read), Descent(theirs), 0
    list(descent.begin(tree))
    while names := descent.wanted(4):
        for name in names:
            list(descent.take(name, shelf.nodes[name], tree))
        most = max(most, len(descent.wanted(100_000)))
    assert most < 4 * MAX_ITEMS


def test_a_node_that_is_gone_costs_what_is_below_it_and_nothing_else() -> None:
    base = {f"k{i:04d}".encode(): b"" for i in range(2_000)}
    shelf = Shelf()
    theirs = shelf.grow(base)
    tree, descent = Ours(EMPTY, shelf.read), Descent(theirs)
    found = list(descent.begin(tree))
    (root,) = descent.wanted(10)
    found += descent.take(root, shelf.nodes[root], tree)
    lost = descent.wanted(10)[0]
    place = children(shelf.read(theirs), Place(theirs))[0]
    assert place.name == lost
    descent.forget(lost)
    while names := descent.wanted(10):
        for name in names:
            found += descent.take(name, shelf.nodes[name], tree)
    assert len(found) == 2_000 - (place.count or 0)


# Lies

INNER = [key for key in (f"k{i:04d}".encode() for i in range(999)) if not is_boundary(0, key)]
EDGES = [key for key in (f"k{i:04d}".encode() for i in range(999)) if is_boundary(0, key)]
REF = bytes(32) + (1).to_bytes(8)


def place_of(node: Node, **changes: object) -> tuple[bytes, Place]:
    body = encode_node(node)
    facts = {"level": node.level, "last": node.keys[-1] if node.keys else None, **changes}
    return body, Place(node_id(body), **facts)  # type: ignore[arg-type]


def leaf(*names: bytes) -> Node:
    return Node(0, list(names), [b"v"] * len(names))


LIES = {
    "empty": place_of(Node(0, [], [])),
    "another level": place_of(leaf(*INNER[:3]), level=1),
    "a level beyond all": place_of(Node(200, [b"a"], [REF])),
    "the same key twice": place_of(leaf(INNER[0], INNER[0])),
    "keys that descend": place_of(leaf(INNER[1], INNER[0])),
    "a key before its place": place_of(leaf(*INNER[:3]), after=INNER[0]),
    "another last key": place_of(leaf(*INNER[:3]), last=INNER[3]),
    "too few items": place_of(leaf(*INNER[:3]), count=4),
    "a count that does not add up": place_of(Node(1, [b"a", b"b"], [REF, REF]), count=3),
    "more items than a node holds": place_of(leaf(*sorted(INNER)[: MAX_ITEMS + 1])),
    "a boundary inside": place_of(leaf(EDGES[0], EDGES[0] + b"x")),
    "an end without a boundary": place_of(leaf(*INNER[:3]), is_edge=False),
    "a root with one child": place_of(Node(1, [b"a"], [REF]), level=None, last=None),
    "a reference cut short": place_of(Node(1, [b"a", b"b"], [REF, REF[:-1]])),
    "a reference to nothing": place_of(Node(1, [b"a", b"b"], [REF, bytes(40)])),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_node_that_does_not_fit_its_place_is_refused(lie: tuple[bytes, Place]) -> None:
    with pytest.raises(BadRequestError):
        check_node(*lie)


@pytest.mark.parametrize(
    "body",
    [b"", b"\xc1", b"\x93\x00\x90\x90\x00", b"\x93\xcd\x00\x00\x90\x90"],
)
def test_bytes_that_are_no_node_are_refused(body: bytes) -> None:
    with pytest.raises(BadRequestError):
        check_node(body, Place(node_id(body)))


def test_bytes_of_another_name_are_refused() -> None:
    body, place = place_of(leaf(*INNER[:3]))
    assert check_node(body, place).keys == INNER[:3]
    with pytest.raises(BadRequestError, match="name"):
        check_node(body + b"\0", place)


def test_one_node_in_two_places_is_refused() -> None:
    top = Node(1, sorted(islice(INNER, 2)), [REF, REF])
    body = encode_node(top)
    descent = Descent(node_id(body))
    with pytest.raises(BadRequestError, match="two places"):
        descent.take(node_id(body), body, Ours(EMPTY, lambda _: EMPTY_NODE))


def test_every_node_of_an_honest_tree_fits() -> None:
    shelf = Shelf()
    waiting = [Place(shelf.grow({f"{i:x}".encode(): b"v" for i in range(5_000)}))]
    while waiting:
        place = waiting.pop()
        node = check_node(shelf.nodes[place.name], place)
        if node.level:
            waiting += children(node, place)
            assert sum(child_count(ref) for ref in node.values) == (place.count or 5_000)
            assert all(child_id(ref) in shelf.nodes for ref in node.values)


def test_what_lies_behind_the_end_of_the_other_tree_is_told() -> None:
    names = [f"k{i:04d}".encode() for i in range(3_000)]
    ends = [name for name in names if is_boundary(0, name) and is_boundary(1, name)]
    shelf = Shelf()
    for end in ends[1:4]:
        theirs = dict.fromkeys((name for name in names if name <= end), b"")
        ours = theirs | {end + b"x": b"more", end + b"y": b"more"}
        result = descend(shelf, shelf.grow(ours), shelf.grow(theirs))
        assert sorted(result.found) == plain(ours, theirs)
