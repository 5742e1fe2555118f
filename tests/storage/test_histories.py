"""Nothing is replaced but by somebody who had really seen it.

Vectors say "everything up to n". Beside each version this test keeps the exact set of versions its
writer had seen; whatever the nodes dropped must be in the exact history of what they kept.
"""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from aeorsync.core.versions import Dot, Entry, Vector
from aeorsync.storage.repository import Repository
from tests.support.repositories import entry_at, exchange, memory_repository, pull, put

PATH = "/f"
Histories = dict[Dot, frozenset[Dot]]

steps = st.lists(
    st.tuples(
        st.sampled_from(["put", "edit", "edit", "read", "pull"]),
        st.integers(0, 1),
        st.integers(0, 1),
    ),
    max_size=30,
)


@dataclass
class Editor:
    """A client that edits what it last read or wrote, wherever it is sent to."""

    base: Vector = ()
    seen: frozenset[Dot] = field(default_factory=frozenset)


def all_seen(entry: Entry | None, histories: Histories) -> frozenset[Dot]:
    dots = [version.dot for version in entry.versions] if entry else []
    return frozenset(dots).union(*(histories[dot] for dot in dots))


def act(
    step: tuple[str, int, int],
    nodes: list[Repository],
    editors: list[Editor],
    histories: Histories,
    body: bytes,
) -> None:
    word, who, whom = step
    node, editor = nodes[who], editors[whom]
    entry = entry_at(node, PATH)
    if word == "pull":
        pull(node, nodes[1 - who])
    elif word == "read" and entry is not None:
        editor.base, editor.seen = entry.context, all_seen(entry, histories)
    elif word == "put":
        version = put(node, PATH, body)
        histories[version.dot] = all_seen(entry, histories)
    elif word == "edit":
        version = put(node, PATH, body, base=editor.base)
        histories[version.dot] = editor.seen
        editor.base = Entry((version,)).context
        editor.seen |= {version.dot}


@settings(max_examples=150)
@given(steps)
def test_what_was_dropped_had_been_seen_by_what_was_kept(
    history: list[tuple[str, int, int]],
) -> None:
    nodes = [memory_repository(1), memory_repository(2)]
    editors = [Editor(), Editor()]
    histories: Histories = {}
    for number, step in enumerate(history):
        act(step, nodes, editors, histories, b"%d" % number)
    exchange(*nodes)
    entry = entry_at(nodes[0], PATH)
    assert entry == entry_at(nodes[1], PATH)
    kept = {version.dot for version in entry.versions} if entry else set()
    known = all_seen(entry, histories)
    assert histories.keys() <= known
    # And nothing is kept that something else kept had seen.
    assert not any(dot in histories[other] for dot in kept for other in kept)
    for node in nodes:
        node.close()
