"""Snapshots, as the tree has them."""

import msgspec

from aeorsync.core.nodes import child_id, decode_node
from aeorsync.core.paths import join
from aeorsync.storage.changes import FileState, put_file
from aeorsync.storage.kept_trees import kept_roots
from aeorsync.storage.repository import Repository
from aeorsync.storage.restoring import contents_of_tree
from aeorsync.storage.versions import SNAPSHOTS, Snapshot, snapshots
from tests.support.repositories import memory_repository, put


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


def test_what_a_tree_has_is_read_though_others_write_meanwhile() -> None:
    there, here = memory_repository(1), memory_repository(2)
    for number in range(100):
        put(there, f"/{number:03}", b"%d" % number)
        put(here, f"/{number:03}", b"new %d" % number)
    names = [there.head.root]
    while names:
        bodies = there.trees.bodies(names, 1 << 30).found
        here.trees.put(bodies)
        nodes = [decode_node(body) for body in bodies.values()]
        names = [child_id(ref) for node in nodes if node.level for ref in node.values]
    contents = contents_of_tree(here, there.head.root)
    found = [next(contents)]
    for number in range(100):
        put(here, f"/{number:03}", b"newer %d" % number)
    assert len([*found, *contents]) == 100
    there.close()
    here.close()
