"""Damage of every kind is named by its path; what is sound is left in peace."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aeorsync.core import tree
from aeorsync.core.hashing import chunk_id, node_id
from aeorsync.core.nodes import Node, decode_node, encode_node
from aeorsync.core.treecheck import Place, children, node_problem
from aeorsync.storage.findings import Verified
from aeorsync.storage.gc import GRACE_MS, Collector
from aeorsync.storage.repository import Repository
from aeorsync.storage.verify import verify
from tests.storage.test_gc import take_snapshot
from tests.support.clock import FakeClock
from tests.support.cycles import noise, put_large, remove
from tests.support.repositories import files, get, memory_repository, open_repository, put


def fill(folder: Path) -> None:
    repository = open_repository(folder)
    for number in range(60):
        put(repository, f"/d{number % 4}/f{number}", b"%d " % number * 100)
    put(repository, "/twin1", b"the same" * 50)
    put(repository, "/twin2", b"the same" * 50)
    put(repository, "/empty", b"")
    put(repository, "/gone", b"deleted")
    remove(repository, "/gone")
    put(repository, "/both", b"one", base=())
    put(repository, "/both", b"two", base=())
    take_snapshot(repository, "monday")
    put(repository, "/d1/f1", b"of tuesday")
    # So that only the snapshot's tree of deletions has it as it was.
    put(repository, "/gone", b"back again")
    put_large(repository, "/big", noise(9_000_000))
    repository.close()


def looked(folder: Path, *, repair: bool = False) -> Verified:
    repository = open_repository(folder)
    try:
        return verify(repository, repair=repair)
    finally:
        repository.close()


def paths(found: Verified, kind: str = "file") -> list[str | None]:
    return [finding.path for finding in found.findings if finding.kind == kind]


def damage(folder: Path, data: bytes) -> None:
    """Change a byte of a chunk, on the disk."""
    with closing(sqlite3.connect(folder / "meta.sqlite3")) as db:
        row = db.execute(
            "SELECT pack, at, stored FROM chunks WHERE id = ?", (chunk_id(data),)
        ).fetchone()
    pack = folder / "packs" / f"{row[0]:08d}.pack"
    body = bytearray(pack.read_bytes())
    body[row[1] + row[2] // 2] ^= 1
    pack.write_bytes(body)


def sql(folder: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(folder / "meta.sqlite3")) as db, db:
        db.execute(statement, values)


def test_a_sound_store_is_sound_to_the_last_byte(tmp_path: Path) -> None:
    fill(tmp_path)
    found = looked(tmp_path)
    assert found.findings == []
    assert found.count == 0
    assert found.files >= 66
    assert found.chunks > 66
    assert found.entries > 66


def test_a_changed_byte_names_exactly_the_paths_that_need_it(tmp_path: Path) -> None:
    fill(tmp_path)
    damage(tmp_path, b"7 " * 100)
    found = looked(tmp_path)
    # The snapshot has it too, but as the same version.
    assert [(f.path, f.tree) for f in found.findings] == [("/d3/f7", "current")]
    damage(tmp_path, b"1 " * 100)
    found = looked(tmp_path)
    trees = sorted((str(f.path), f.tree) for f in found.findings)
    assert trees == [("/d1/f1", "snapshot monday"), ("/d3/f7", "current")]
    damage(tmp_path, b"the same" * 50)
    assert set(paths(looked(tmp_path))) == {"/d1/f1", "/d3/f7", "/twin1", "/twin2"}


def test_verifying_changes_nothing_and_repairing_makes_room_for_the_right_bytes(
    tmp_path: Path,
) -> None:
    fill(tmp_path)
    damage(tmp_path, b"7 " * 100)
    first = looked(tmp_path)
    second = looked(tmp_path)
    assert first.findings == second.findings
    assert looked(tmp_path, repair=True).quarantined == 1
    repository = open_repository(tmp_path)
    assert repository.missing([chunk_id(b"7 " * 100)])
    put(repository, "/again", b"7 " * 100)
    assert get(repository, "/d3/f7") == b"7 " * 100
    repository.close()
    assert looked(tmp_path).count == 0


def test_chunks_that_the_index_lost_are_found_in_the_packs(tmp_path: Path) -> None:
    fill(tmp_path)
    sql(tmp_path, "DELETE FROM chunks")
    lost = looked(tmp_path)
    assert {"/big", "/twin1", "/d3/f7"} <= set(paths(lost))
    repaired = looked(tmp_path, repair=True)
    assert repaired.count == 0
    assert repaired.recovered > 60
    repository = open_repository(tmp_path)
    assert files(repository)["/big"] == noise(9_000_000)
    repository.close()


def test_a_damaged_chunk_of_a_deleted_file_is_named(tmp_path: Path) -> None:
    fill(tmp_path)
    damage(tmp_path, b"deleted")
    assert paths(looked(tmp_path)) == ["/gone"]


def test_a_damaged_manifest_names_its_file(tmp_path: Path) -> None:
    fill(tmp_path)
    repository = open_repository(tmp_path)
    with repository.view() as view:
        sight = view.sight("/big")  # type: ignore[arg-type]
    assert sight is not None
    piece = bytes(repository.plain_chunk(sight.winner.content.refs[:32]))
    repository.close()
    damage(tmp_path, piece)
    assert paths(looked(tmp_path)) == ["/big"]


def test_garbage_that_is_damaged_is_told_apart(tmp_path: Path) -> None:
    fill(tmp_path)
    repository = open_repository(tmp_path)
    repository.store_small(b"nobody needs me")
    repository.close()
    damage(tmp_path, b"nobody needs me")
    found = looked(tmp_path)
    assert [(f.kind, f.path) for f in found.findings] == [("chunk", None)]
    assert looked(tmp_path, repair=True).count == 0
    assert looked(tmp_path).count == 0


@pytest.mark.parametrize(
    "how", ["DELETE FROM nodes", "UPDATE nodes SET body = CAST(body || x'00' AS BLOB)"]
)
def test_a_lost_tree_node_names_what_is_lost_with_it(tmp_path: Path, how: str) -> None:
    fill(tmp_path)
    repository = open_repository(tmp_path)
    root = decode_node(repository.store.node(repository.head.root))
    repository.close()
    assert root.level == 1
    sql(tmp_path, f"{how} WHERE name = ?", root.values[0][:32])
    found = looked(tmp_path)
    nodes = [finding for finding in found.findings if finding.kind == "node"]
    assert nodes
    assert nodes[0].path == "/" + root.keys[0].decode().replace("\0", "/")
    assert "from the first entry to" in nodes[0].text


def test_a_feed_with_a_gap_or_without_its_end_is_told(tmp_path: Path) -> None:
    fill(tmp_path)
    sql(tmp_path, "DELETE FROM feed WHERE seq = 30")
    assert [f.text for f in looked(tmp_path).findings] == ["rows 30 to 30 are missing"]
    sql(tmp_path, "DELETE FROM feed WHERE seq >= 30")
    assert [f.kind for f in looked(tmp_path).findings] == ["feed"]


def test_a_conflict_that_is_not_listed_is_told(tmp_path: Path) -> None:
    fill(tmp_path)
    sql(tmp_path, "DELETE FROM conflicts")
    sql(tmp_path, "INSERT INTO conflicts VALUES (?)", b"nowhere")
    found = looked(tmp_path)
    assert sorted(paths(found, "conflict"), key=str) == ["/both", "/nowhere"]


def test_a_snapshot_whose_tree_is_not_here_is_told(tmp_path: Path) -> None:
    fill(tmp_path)
    repository = open_repository(tmp_path)
    take_snapshot(repository, "other")
    root = repository.head.root
    put(repository, "/d1/f1", b"of wednesday")
    repository.store.sweep([name for name in [root] if name != repository.head.root], (), 0)
    repository.close()
    found = looked(tmp_path)
    # Its record made a root of its own, so only what the snapshot names is looked for.
    assert all(finding.kind in {"snapshot", "node"} for finding in found.findings)


def test_a_pack_that_is_gone_is_found_out_file_by_file(tmp_path: Path) -> None:
    fill(tmp_path)
    for pack in (tmp_path / "packs").glob("*.pack"):
        pack.rename(pack.with_suffix(".away"))
    found = looked(tmp_path)
    assert {"/big", "/twin1"} <= set(paths(found))
    for pack in (tmp_path / "packs").glob("*.away"):
        pack.rename(pack.with_suffix(".pack"))
    # Nothing was changed, so it is all there again.
    assert looked(tmp_path).count == 0


# Rules of trees


def whole(count: int, key_size: int = 1) -> tuple[bytes, dict[bytes, bytes]]:
    items: dict[bytes, bytes | None] = {
        b"%06d" % number + b"k" * key_size: b"v" for number in range(count)
    }
    edited = tree.edit(node_id(encode_node(Node(0, [], []))), lambda _: Node(0, [], []), items)
    return edited.root, edited.made


def problems(root: bytes, bodies: dict[bytes, bytes]) -> list[str]:
    found: list[str] = []
    waiting = [Place(root)]
    while waiting:
        place = waiting.pop()
        node = decode_node(bodies[place.name])
        problem = node_problem(place, node)
        if problem is not None:
            found.append(problem)
        if node.level:
            waiting += children(place, node)
    return found


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 3000), st.sampled_from([1, 300]))
def test_every_tree_that_was_edited_together_keeps_the_rules(count: int, key_size: int) -> None:
    root, bodies = whole(count, key_size)
    if count:
        assert problems(root, bodies) == []


BREAKS: dict[str, Callable[[Node], Node]] = {
    "out of order": lambda n: Node(n.level, [n.keys[1], n.keys[0], *n.keys[2:]], n.values),
    "entries are below it": lambda n: Node(n.level, n.keys[1:], n.values[1:]),
    "another key": lambda n: Node(n.level, [*n.keys[:-1], n.keys[-1] + b"x"], n.values),
    "of level": lambda n: Node(1, n.keys, [b"r" * 40 for _ in n.values]),
    "malformed": lambda n: Node(1, n.keys, n.values),
}


@pytest.mark.parametrize("word", BREAKS)
def test_each_broken_rule_is_named(word: str) -> None:
    root, bodies = whole(600)
    place = Place(root)
    while (node := decode_node(bodies[place.name])).level:
        place = next(p for p in children(place, node) if len(decode_node(bodies[p.name]).keys) > 3)
    assert node_problem(place, node) is None
    assert word in (node_problem(place, BREAKS[word](node)) or "")


def test_a_node_cut_elsewhere_is_named() -> None:
    leaves = [Node(0, [b"%06d" % n for n in range(k, k + 90)], [b"v"] * 90) for k in (0, 90)]
    texts = {
        node_problem(Place(b"", 0, None, leaf.keys[-1], 90, is_rightmost=at == 1), leaf)
        for at, leaf in enumerate(leaves)
    }
    assert texts <= {"it goes on where a node must end", "it ends where no node may end"}
    assert None not in texts


def test_what_was_collected_leaves_a_sound_store() -> None:
    wall = FakeClock()
    repository: Repository = memory_repository(wall=wall)
    for number in range(200):
        put(repository, f"/f{number % 40}", b"%d" % number * 30)
    wall.now += 2 * GRACE_MS
    assert Collector(repository, wall).run().chunks == 160
    found = verify(repository)
    assert (found.count, found.chunks) == (0, 40)
    repository.close()
