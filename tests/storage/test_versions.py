"""Snapshots, as the tree has them."""

import msgspec

from aeorsync.core.paths import join
from aeorsync.storage.changes import FileState, put_file
from aeorsync.storage.kept_trees import kept_roots
from aeorsync.storage.repository import Repository
from aeorsync.storage.versions import SNAPSHOTS, Snapshot, snapshots
from tests.support.repositories import memory_repository


def save(repository: Repository, snapshot: Snapshot) -> None:
    content = repository.store_small(msgspec.json.encode(snapshot))
    path = join(SNAPSHOTS, f"{snapshot.id}.json")
    state = FileState(content, "application/json")
    repository.commit(lambda draft: put_file(draft, path, state)).result()


def test_the_records_of_the_tree_are_the_snapshots() -> None:
    repository = memory_repository()
    assert snapshots(repository) == []
    late = Snapshot(id="a", name="late", root="11" * 32, created_at=2)
    early = Snapshot(id="b", name="early", root="22" * 32, created_at=1)
    save(repository, late)
    save(repository, early)
    assert snapshots(repository) == [early, late]
    assert kept_roots(repository) == {
        b"\x11" * 32: "snapshot late",
        b"\x22" * 32: "snapshot early",
    }
    repository.close()
