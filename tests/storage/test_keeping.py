"""Trees that records name stay, whatever the commits after them let go of."""

import threading
from functools import partial
from pathlib import Path

import msgspec
import pytest

from aeorsync.core.nodes import EMPTY
from aeorsync.core.paths import parse
from aeorsync.core.versions import decode_entry
from aeorsync.errors import ConflictError, UnavailableError
from aeorsync.storage import restoring, versions
from aeorsync.storage.base import Store
from aeorsync.storage.changes import FileState, put_file
from aeorsync.storage.kept_trees import kept_roots
from aeorsync.storage.lenses import PastLens
from aeorsync.storage.marking import Marking
from aeorsync.storage.repository import Repository
from aeorsync.storage.versions import SNAPSHOTS, Snapshot
from tests.support.repositories import (
    files,
    get,
    memory_repository,
    open_repository,
    pull,
    put,
)


def keep(repository: Repository, name: str) -> Snapshot:
    future = versions.commit(
        repository, lambda draft: versions.make_snapshot(repository, draft, name, {})
    )
    return future.result(30)[0]


def past(repository: Repository, snapshot: Snapshot) -> dict[str, bytes]:
    return files(repository.through(PastLens(*snapshot.trees)))


def churn(repository: Repository, count: int = 40) -> None:
    for number in range(count):
        put(repository, f"/{number % 7}/{number % 13}", b"%d" % number)


def nodes(repository: Repository) -> int:
    repository.settle_trees().result(30)
    return len(repository._store.node_names(b"", 100_000))


def test_a_snapshot_stays_readable_through_a_restart_right_after_it(tmp_path: Path) -> None:
    repository = open_repository(tmp_path / "a")
    churn(repository)
    expected = files(repository)
    snapshot = keep(repository, "s")
    repository.close()
    again = open_repository(tmp_path / "a")
    churn(again, 60)
    put(again, "/new", b"x")
    assert past(again, snapshot) == expected
    again.close()


def test_without_records_nothing_is_kept() -> None:
    repository = memory_repository()
    churn(repository)
    put(repository, "/x", b"0")
    before = nodes(repository)
    keep(repository, "s")
    churn(repository)
    assert nodes(repository) > before
    deleting = versions.commit(
        repository, lambda draft: versions.delete_snapshot(repository, draft, "s")
    )
    deleting.result(30)
    kept = nodes(repository)
    churn(repository)
    assert nodes(repository) <= kept + 2
    repository.close()


def test_an_operation_that_failed_keeps_nothing() -> None:
    repository = memory_repository()
    put(repository, "/x", b"0")

    def operation(_draft: object) -> None:
        repository.keep_everything()
        raise UnavailableError("as if")

    with pytest.raises(UnavailableError):
        versions.commit(repository, operation).result(30)
    repository.settle_trees().result(30)
    before = nodes(repository)
    churn(repository, 3)
    put(repository, "/0/0", b"y")
    assert nodes(repository) <= before + 2
    repository.close()


def test_what_a_peer_keeps_is_kept_here_too() -> None:
    here, there = memory_repository(1), memory_repository(2)
    churn(there)
    pull(here, there)
    snapshot = keep(there, "s")
    pull(here, there)
    expected = files(there)
    churn(here)
    put(here, "/0/0", b"new")
    assert here.has_trees(snapshot.trees)
    assert past(here, snapshot) == expected
    for repository in (here, there):
        repository.close()


def test_a_peers_tree_is_kept_from_the_moment_its_record_is_here() -> None:
    here, there = memory_repository(1), memory_repository(2)
    churn(there)
    pull(here, there)
    snapshot = keep(there, "s")
    with there.view() as view:
        (item,) = view.walk(SNAPSHOTS, system=True)
    here.receive(there.stored_chunks([row.id for row in there._store.chunk_rows(b"", 100_000)]))
    busy = threading.Event()
    here.commit(lambda _: busy.wait(30))
    waiting = [here.apply([(item[0], decode_entry(item[1]))], 2)]
    for number in range(5):
        state = FileState(here.store_small(b"%d" % number), "text/plain")
        write = partial(put_file, path=parse("/0/0"), file=state)
        waiting.append(here.commit(write, alone=True))  # type: ignore[arg-type]
    busy.set()
    for future in waiting:
        future.result(30)
    assert here.has_trees(snapshot.trees)
    for repository in (here, there):
        repository.close()


def test_a_tree_that_never_was_here_is_said_to_be_missing_until_it_came() -> None:
    here, there = memory_repository(1), memory_repository(2)
    churn(there)
    expected = files(there)
    snapshot = keep(there, "s")
    churn(there, 90)
    pull(here, there)
    assert [one.name for one in versions.snapshots(here)] == ["s"]
    assert not here.has_trees(snapshot.trees)
    # While a tree is not whole, nothing is let go of: some of what is here may be a part of it.
    before = nodes(here)
    for number in range(8):
        put(here, "/0/0", b"changed %d" % number)
    assert nodes(here) >= before + 8
    source = there._store
    here._store.put_nodes({name: source.node(name) for name in source.node_names(b"", 100_000)})
    chunks = [row.id for row in source.chunk_rows(b"", 100_000)]
    here.receive(there.stored_chunks(chunks))
    here.settle_trees().result(30)
    assert here.has_trees(snapshot.trees)
    churn(here, 60)
    assert past(here, snapshot) == expected
    for repository in (here, there):
        repository.close()


def test_a_file_of_the_past_whose_bytes_are_not_here_is_unavailable_not_broken() -> None:
    here, there = memory_repository(1), memory_repository(2)
    put(there, "/gone", b"x" * 1000)
    snapshot = keep(there, "s")
    put(there, "/gone", b"other")
    pull(here, there)
    source = there._store
    here._store.put_nodes({name: source.node(name) for name in source.node_names(b"", 100_000)})
    past_here = here.through(PastLens(*snapshot.trees))
    with pytest.raises(UnavailableError):
        get(past_here, "/gone")
    contents = restoring.contents_of_tree(here, snapshot.trees[0])
    with pytest.raises(UnavailableError):
        versions.check_here(here, contents)
    for repository in (here, there):
        repository.close()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"{",
        b'{"id": "x", "name": "n", "root": "zz", "created_at": 1}',
        b'{"id": "x", "name": "n", "root": "' + b"ab" * 40 + b'", "created_at": 1}',
        b'{"id": "other", "name": "n", "root": "' + b"ab" * 32 + b'", "created_at": 1}',
        b"x" * 100_000,
    ],
)
def test_what_is_no_record_is_passed_over(data: bytes) -> None:
    repository = memory_repository()
    content = repository.store_small(data)
    path = Snapshot(id="x", name="n", root="", created_at=0).path
    state = FileState(content, "application/json")
    repository.commit(lambda draft: put_file(draft, path, state)).result(30)
    assert versions.snapshots(repository) == []
    assert kept_roots(repository) == {}
    repository.settle_trees().result(30)
    repository.close()


def test_two_snapshots_of_one_name_are_both_kept_and_told_apart_by_id() -> None:
    here, there = memory_repository(1), memory_repository(2)
    put(here, "/a", b"here")
    put(there, "/b", b"there")
    mine, theirs = keep(here, "s"), keep(there, "s")
    pull(here, there)
    known = versions.snapshots(here)
    assert {one.id for one in known} == {mine.id, theirs.id}
    with pytest.raises(ConflictError, match="use an id"):
        versions.choose(known, "s", "snapshot")
    assert versions.choose(known, mine.id, "snapshot") == mine
    for repository in (here, there):
        repository.close()


def test_the_graves_of_a_snapshot_are_kept_with_it() -> None:
    repository = memory_repository()
    put(repository, "/a", b"1")
    snapshot = keep(repository, "s")
    assert set(kept_roots(repository)) == {*snapshot.trees} - {EMPTY}
    assert msgspec.json.encode(snapshot)
    repository.close()


class _FullDisk:
    """Refuses the notes that say how much is kept."""

    def __init__(self, repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
        keep = repository.store.keep_until
        self.is_full = True

        def refuse(seq: int | None) -> None:
            if self.is_full:
                raise UnavailableError("the disk refused a write")
            keep(seq)

        monkeypatch.setattr(repository.store, "keep_until", refuse)


def test_a_disk_that_is_full_when_a_record_comes_stops_no_later_write(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here, there = memory_repository(), memory_repository(8)
    put(there, "/a", b"1")
    keep(there, "s")
    disk = _FullDisk(here, monkeypatch)
    assert pull(here, there).changed
    put(here, "/b", b"2")
    disk.is_full = False
    assert get(here, "/a") == b"1"
    here.close()
    there.close()


def test_a_full_disk_lets_no_node_go_that_is_to_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = open_repository(tmp_path / "a")
    churn(repository)
    expected = files(repository)
    trees = repository.head.root, repository.head.graves
    store = repository.store
    monkeypatch.setattr(store._database, "transaction", _refuse)  # type: ignore[attr-defined]
    with pytest.raises(UnavailableError):
        repository.keep_everything()
    monkeypatch.undo()
    churn(repository, 60)
    repository._cache.clear()
    assert files(repository.through(PastLens(*trees))) == expected
    repository.close()


def _refuse() -> None:
    raise UnavailableError("the disk refused a write")


def test_a_node_that_was_regained_is_kept_for_the_snapshot_that_has_it(tmp_path: Path) -> None:
    repository = open_repository(tmp_path / "a")
    for number in range(300):
        put(repository, f"/{number}", b"%d" % number)
    expected = files(repository)
    snapshot = keep(repository, "s")
    put(repository, "/later", b"later")
    store = repository.store
    shared = in_tree(store, snapshot.trees[0]) & in_tree(store, repository.head.root)
    assert shared
    for name in shared:
        # Damaged on the disk, and brought back from a peer.
        repository.trees.regain(name, store.node(name))
    for number in range(300):
        put(repository, f"/{number}", b"new")
    repository._cache.clear()
    assert past(repository, snapshot) == expected
    repository.close()


def in_tree(store: Store, root: bytes) -> set[bytes]:
    marking = Marking(store, 1, lambda: None)
    marking.add_head_tree(root)
    return marking.nodes
