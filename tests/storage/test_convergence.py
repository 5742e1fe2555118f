"""Whatever a few nodes do and in whatever order they hear of it, they end up equal."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aeorsync.core.merge import see
from aeorsync.core.paths import parse, to_key
from aeorsync.core.versions import Kind, Version, decode_entry
from aeorsync.errors import AeorError
from aeorsync.storage.changes import delete, make_folder, rename
from aeorsync.storage.repository import Repository
from aeorsync.storage.settling import resolve
from tests.support.repositories import exchange, files, get, memory_repository, pull, put

PATHS = ("/a", "/b", "/d/a", "/d/b", "/d")
Step = tuple[str, int, str, str]

steps = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "put", "delete", "rename", "mkdir", "resolve", "pull"]),
        st.integers(0, 2),
        st.sampled_from(PATHS),
        st.sampled_from(PATHS),
    ),
    max_size=25,
)


def act(nodes: list[Repository], step: Step, number: int) -> bytes | None:
    """Do one step; returns the bytes of a write that was acknowledged."""
    word, who, path, other = step
    node = nodes[who]
    operations: dict[str, Callable[..., object]] = {
        "delete": lambda draft: delete(draft, parse(path), recursive=True),
        "rename": lambda draft: rename(draft, parse(path), parse(other)),
        "mkdir": lambda draft: make_folder(draft, parse(path)),
        "resolve": lambda draft: resolve(draft, parse(path), "loser"),
    }
    try:
        if word == "put":
            data = b"%d" % number
            put(node, path, data)
            return data
        if word == "pull":
            pull(node, nodes[(who + 1) % len(nodes)])
        else:
            node.commit(operations[word]).result(timeout=30)
    except AeorError:
        return None
    return None


@settings(max_examples=60)
@given(steps)
def test_nodes_converge_whatever_happened(history: list[Step]) -> None:
    nodes = [memory_repository(node + 1) for node in range(3)]
    for number, step in enumerate(history):
        act(nodes, step, number)
    exchange(*nodes)
    assert len({node.head.root for node in nodes}) == 1
    assert len({node.head.graves for node in nodes}) == 1
    assert files(nodes[0]) == files(nodes[1]) == files(nodes[2])
    conflicts = [[conflict.path for conflict in node.conflicts()] for node in nodes]
    assert conflicts[0] == conflicts[1] == conflicts[2]
    for node in nodes:
        node.close()


@settings(max_examples=60)
@given(steps)
def test_no_acknowledged_write_is_lost(history: list[Step]) -> None:
    """Every acknowledged content is current, a kept loser, or was seen by a later writer."""
    nodes = [memory_repository(node + 1) for node in range(3)]
    written: dict[bytes, tuple[str, tuple[int, int]]] = {}
    for number, step in enumerate(history):
        if act(nodes, step, number) is not None:
            with nodes[step[1]].view() as view:
                sight = view.sight(parse(step[2]))
            assert sight is not None
            written[b"%d" % number] = (step[2], sight.winner.dot)
    exchange(*nodes)
    for path, dot in written.values():
        with nodes[0].view() as view:
            entry = view.entry(to_key(parse(path)))
        assert entry is not None
        # The context of what is left covers it: it is there, or somebody who saw it replaced it.
        assert any(inc == dot[0] and n >= dot[1] for inc, n in entry.context)
    for node in nodes:
        node.close()


@given(steps)
def test_hearing_it_again_changes_nothing(history: list[Step]) -> None:
    nodes = [memory_repository(node + 1) for node in range(3)]
    for number, step in enumerate(history):
        act(nodes, step, number)
    exchange(*nodes)
    heads = [node.head for node in nodes]
    for target in nodes:
        for source in nodes:
            if target is not source:
                assert pull(target, source).changed == 0
    assert [node.head for node in nodes] == heads
    for node in nodes:
        node.close()


@pytest.fixture
def pair() -> tuple[Repository, Repository]:
    a, b = memory_repository(1), memory_repository(2)
    put(a, "/f", b"base")
    exchange(a, b)
    return a, b


def conflict_types(repository: Repository) -> dict[str, str | None]:
    return {conflict.path: conflict.sight.conflict_type for conflict in repository.conflicts()}


def test_edits_on_both_sides_are_kept_and_the_later_is_shown(
    pair: tuple[Repository, Repository],
) -> None:
    a, b = pair
    put(a, "/f", b"from a")
    put(b, "/f", b"from b")
    put(b, "/g", b"tick")
    exchange(a, b)
    assert conflict_types(a) == conflict_types(b) == {"/f": "ConcurrentModify"}
    assert get(a, "/f") == get(b, "/f")


def test_the_same_edit_on_both_sides_is_no_conflict(pair: tuple[Repository, Repository]) -> None:
    a, b = pair
    put(a, "/f", b"same")
    put(b, "/f", b"same")
    exchange(a, b)
    assert conflict_types(a) == conflict_types(b) == {}
    assert a.head.root == b.head.root


def test_an_edit_survives_a_delete_on_the_other_side(pair: tuple[Repository, Repository]) -> None:
    a, b = pair
    put(a, "/f", b"edited")
    b.commit(lambda draft: delete(draft, parse("/f"))).result()
    exchange(a, b)
    assert get(a, "/f") == get(b, "/f") == b"edited"
    assert conflict_types(b) == {"/f": "ModifyDelete"}


def test_renaming_and_editing_at_once_loses_neither(pair: tuple[Repository, Repository]) -> None:
    a, b = pair
    a.commit(lambda draft: rename(draft, parse("/f"), parse("/moved"))).result()
    put(b, "/f", b"edited")
    exchange(a, b)
    assert files(a) == files(b) == {"/f": b"edited", "/moved": b"base"}


def test_a_file_and_a_folder_of_one_name_are_both_kept_and_shown(
    pair: tuple[Repository, Repository],
) -> None:
    a, b = pair
    put(a, "/n", b"file")
    put(b, "/n/inner", b"in a folder")
    exchange(a, b)
    both: tuple[Version, ...] = ()
    for node in (a, b):
        assert get(node, "/n/inner") == b"in a folder"
        (found,) = node.conflicts()
        both = (found.sight.winner, *found.sight.losers)
        assert (found.path, {version.kind for version in both}) == ("/n", {2, 3})
        file = next(version for version in both if version.kind == Kind.FILE)
        assert b"".join(node.read(file.content)) == b"file"
    folder = next(version for version in both if version.kind == Kind.DIRECTORY)
    a.commit(lambda draft: resolve(draft, parse("/n"), folder.id)).result()
    exchange(a, b)
    assert list(a.conflicts()) == list(b.conflicts()) == []
    assert files(b) == {"/f": b"base", "/n/inner": b"in a folder"}


def test_what_was_deleted_does_not_come_back(pair: tuple[Repository, Repository]) -> None:
    a, b = pair
    late = memory_repository(3)
    pull(late, a)
    a.commit(lambda draft: delete(draft, parse("/f"))).result()
    pull(b, a)
    pull(b, late)
    pull(a, late)
    assert get(a, "/f") is get(b, "/f") is None
    exchange(a, b, late)
    assert get(late, "/f") is None
    late.close()


def test_a_copied_database_goes_on_under_another_incarnation() -> None:
    a, b = memory_repository(1), memory_repository(2)
    put(a, "/f", b"one")
    exchange(a, b)
    a_head = a.head
    put(a, "/f", b"two")
    exchange(a, b)
    # `a` is restored from the copy made at `a_head`, and goes on writing.
    restored = memory_repository(1)
    with b.view() as view:
        items = {key: decode_entry(data) for key, data in view.walk()}
    assert a_head.n == 1
    put(restored, "/x", b"unrelated")
    put(restored, "/f", b"one")
    object.__setattr__(restored._store, "_head", restored.head)
    pull(restored, b)
    put(restored, "/f", b"after restore")
    exchange(restored, b)
    assert see(items[b"f"]).is_live
    assert restored.head.root == b.head.root
    for node in (a, b, restored):
        node.close()
