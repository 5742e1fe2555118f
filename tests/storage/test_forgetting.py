"""Graves that leave the trees: no number in the feed, nothing lost for who reads meanwhile."""

from pathlib import Path

from aeorsync.core.nodes import EMPTY
from aeorsync.core.paths import parse, to_key
from aeorsync.core.versions import Entry
from aeorsync.storage.changes import FileState, delete, put_file
from aeorsync.storage.draft import Draft
from aeorsync.storage.repository import Repository
from aeorsync.storage.writer import Committed
from tests.support.repositories import (
    entry_at,
    exchange,
    files,
    memory_repository,
    open_repository,
    put,
)


def buried(repository: Repository, path: str = "/a") -> tuple[bytes, Entry]:
    """A grave, and what it holds."""
    put(repository, path, b"1")
    repository.commit(lambda draft: delete(draft, parse(path))).result(timeout=30)
    entry = entry_at(repository, path)
    assert entry is not None
    return to_key(parse(path)), entry


def test_a_forgotten_grave_leaves_no_trace_but_in_the_tree_of_graves(tmp_path: Path) -> None:
    repository = open_repository(tmp_path / "data")
    grave = buried(repository)
    put(repository, "/kept", b"1")
    told: list[Committed] = []
    repository.listen(told.append)
    before = repository.head
    assert repository.forget([grave]).result(timeout=30) == 1
    after = repository.head
    assert (after.root, after.seq, after.n) == (before.root, before.seq, before.n)
    assert after.graves == EMPTY
    assert told == []
    repository.close()
    again = open_repository(tmp_path / "data")
    assert entry_at(again, "/a") is None
    assert files(again) == {"/kept": b"1"}
    again.close()


def test_who_reads_the_state_before_goes_on_reading_it(tmp_path: Path) -> None:
    repository = open_repository(tmp_path / "data")
    graves = [buried(repository, f"/{number}") for number in range(300)]
    with repository.view() as view:
        assert repository.forget(graves).result(timeout=30) == 300
        for number in range(3):
            put(repository, f"/new{number}", b"1")
        # A cold cache: what was dropped is read from the store.
        repository._cache.clear()
        assert [key for key, _ in view.graves()] == sorted(key for key, _ in graves)
    with repository.view() as view:
        assert list(view.graves()) == []
    repository.close()


def test_a_grave_that_changed_meanwhile_stays() -> None:
    repository = memory_repository()
    grave = buried(repository)
    newer = buried(repository)
    assert repository.forget([grave]).result(timeout=30) == 0
    assert entry_at(repository, "/a") == newer[1]


def test_a_path_that_lives_again_is_not_forgotten() -> None:
    repository = memory_repository()
    grave = buried(repository)
    put(repository, "/a", b"2")
    assert repository.forget([grave]).result(timeout=30) == 0
    assert files(repository) == {"/a": b"2"}


def test_an_edit_in_the_same_commit_wins_over_forgetting() -> None:
    repository = memory_repository()
    key, entry = buried(repository)
    content = repository.store_small(b"2")

    def both(draft: Draft) -> None:
        assert draft.forget(key, entry)
        put_file(draft, parse("/a"), FileState(content, "text/plain"))

    repository.commit(both).result(timeout=30)
    assert files(repository) == {"/a": b"2"}


def test_an_operation_that_fails_forgets_nothing() -> None:
    repository = memory_repository()
    key, entry = buried(repository)

    def failing(draft: Draft) -> None:
        draft.forget(key, entry)
        raise ZeroDivisionError

    assert isinstance(repository.commit(failing).exception(timeout=30), ZeroDivisionError)
    assert entry_at(repository, "/a") == entry


def test_what_a_node_knows_outlives_its_runs(tmp_path: Path) -> None:
    known = []
    for number in range(3):
        repository = open_repository(tmp_path / "data")
        put(repository, f"/{number}", b"1")
        repository.learn({99: number + 1})
        known.append(repository.known())
        repository.close()
    assert [len(each) for each in known] == [2, 3, 4]
    assert all(known[2][i] >= n for each in known for i, n in each.items())
    assert known[2][99] == 3


def test_a_path_written_again_is_no_conflict_where_the_grave_is_not_forgotten() -> None:
    here, there = memory_repository(1), memory_repository(2)
    put(here, "/a", b"1")
    exchange(here, there)
    here.commit(lambda draft: delete(draft, parse("/a"))).result(timeout=30)
    exchange(here, there)
    grave = entry_at(here, "/a")
    assert grave is not None
    assert here.forget([(to_key(parse("/a")), grave)]).result(timeout=30) == 1
    put(here, "/a", b"new")
    exchange(here, there)
    assert here.head.root == there.head.root
    for repository in (here, there):
        assert files(repository) == {"/a": b"new"}
        assert list(repository.conflicts()) == []
        repository.close()
