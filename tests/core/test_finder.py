"""Looking many keys up in one tree."""

from hypothesis import given
from hypothesis import strategies as st

from aeorsync.core import tree
from aeorsync.core.finder import Finder
from aeorsync.core.nodes import EMPTY, EMPTY_NODE, Node, decode_node

KEYS = st.integers(0, 3000).map(lambda number: b"%d" % number)


class Nodes:
    """Nodes in memory, and how many of them were read."""

    def __init__(self, items: dict[bytes, bytes]) -> None:
        edited = tree.edit(EMPTY, lambda _: EMPTY_NODE, dict(items))
        self.root = edited.root
        self.bodies = edited.made
        self.count = 0

    def read(self, name: bytes) -> Node:
        self.count += 1
        return EMPTY_NODE if name == EMPTY else decode_node(self.bodies[name])


@given(st.sets(KEYS, max_size=400), st.lists(KEYS, max_size=80))
def test_what_it_finds_is_what_the_tree_holds_in_whatever_order_it_is_asked(
    held: set[bytes], asked: list[bytes]
) -> None:
    nodes = Nodes({key: b"v" + key for key in held})
    finder = Finder(nodes.root, nodes.read)
    for key in [*asked, *sorted(asked)]:
        assert finder.get(key) == (b"v" + key if key in held else None)


@given(st.sets(KEYS, max_size=400), st.lists(st.tuples(KEYS, KEYS), max_size=80))
def test_whether_a_range_holds_anything_is_what_the_tree_says(
    held: set[bytes], asked: list[tuple[bytes, bytes]]
) -> None:
    nodes = Nodes(dict.fromkeys(held, b"v"))
    finder = Finder(nodes.root, nodes.read)
    for start, stop in asked:
        assert finder.has(start, stop) == any(start <= key < stop for key in held)
        assert finder.has(start) == any(start <= key for key in held)


def test_neighbours_cost_one_way_down_whether_they_are_there_or_not() -> None:
    held = [b"%06d" % number for number in range(0, 20_000, 2)]
    nodes = Nodes(dict.fromkeys(held, b"v"))
    finder = Finder(nodes.root, nodes.read)
    for number in range(20_000):
        finder.get(b"%06d" % number)
    height = nodes.read(nodes.root).level + 1
    before = nodes.count
    assert before <= height * len(nodes.bodies)
    for number in range(1000):
        finder.get(b"999999%d" % number)
    assert nodes.count == before
