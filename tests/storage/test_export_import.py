"""What is exported comes back whole, and an import loses, doubles and believes nothing."""

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aeorsync.errors import AeorError, BadRequestError, ConflictError, CorruptError, NotFoundError
from aeorsync.storage.archive import MAGIC, ArchiveReader, ArchiveWriter, Header
from aeorsync.storage.exporting import export
from aeorsync.storage.importing import Imported, import_archive
from aeorsync.storage.kept_trees import kept_roots
from aeorsync.storage.repository import Repository
from aeorsync.storage.verify import verify
from tests.storage.test_gc import held, take_snapshot
from tests.support.cycles import noise, put_large, remove
from tests.support.repositories import (
    entry_at,
    exchange,
    files,
    get,
    memory_repository,
    open_repository,
    put,
)

NOW = 1_700_000_000_000
VECTOR = Path(__file__).parents[2] / "docs/vectors/export.json"


def filled(node: int = 1) -> Repository:
    repository = memory_repository(node)
    for number in range(40):
        put(repository, f"/d{number % 4}/f{number}", b"%d " % number * 100)
    put(repository, "/empty", b"")
    put(repository, "/gone", b"deleted")
    remove(repository, "/gone")
    put(repository, "/both", b"one", base=())
    put(repository, "/both", b"two", base=())
    put_large(repository, "/big", noise(9_000_000))
    return repository


def write(repository: Repository, path: Path, **how: str) -> Path:
    export(repository, path, now_ms=NOW, **how)  # type: ignore[arg-type]
    return path


def read(repository: Repository, path: Path) -> Imported:
    return import_archive(repository, path)


def test_a_whole_store_comes_back_whole(tmp_path: Path) -> None:
    source, target = filled(), memory_repository(2)
    file = write(source, tmp_path / "all")
    done = read(target, file)
    assert files(target) == files(source)
    assert target.head.root == source.head.root
    assert target.head.graves == source.head.graves
    assert [c.path for c in target.conflicts()] == ["/both"]
    assert done.changed == done.entries
    assert verify(target).findings == []
    assert file.stat().st_mode & 0o777 == 0o600


def test_importing_twice_is_importing_once(tmp_path: Path) -> None:
    source, target = filled(), memory_repository(2)
    file = write(source, tmp_path / "all")
    read(target, file)
    head = target.head
    assert read(target, file).changed == 0
    assert read(source, file).changed == 0
    assert (target.head.root, target.head.seq) == (head.root, head.seq)


def test_what_was_changed_on_both_sides_becomes_a_conflict(tmp_path: Path) -> None:
    source, target = filled(), memory_repository(2)
    file = write(source, tmp_path / "all")
    put(target, "/d1/f1", b"mine")
    put(target, "/mine", b"only here")
    done = read(target, file)
    assert done.conflicts == 2
    assert {str(c.path) for c in target.conflicts()} == {"/both", "/d1/f1"}
    assert get(target, "/mine") == b"only here"
    entry = entry_at(target, "/d1/f1")
    assert entry is not None
    bodies = {b"".join(target.read(version.content)) for version in entry.versions}
    assert bodies == {b"mine", b"1 " * 100}


def test_an_older_export_never_takes_back_what_came_after_it(tmp_path: Path) -> None:
    source = filled()
    file = write(source, tmp_path / "all")
    put(source, "/d1/f1", b"newer")
    remove(source, "/d2/f2")
    head = source.head
    assert read(source, file).changed == 0
    assert source.head == head


def test_a_node_and_its_import_go_on_as_one_cluster(tmp_path: Path) -> None:
    source, target = filled(), memory_repository(2)
    read(target, write(source, tmp_path / "all"))
    put(target, "/d1/f1", b"edited there")
    exchange(source, target)
    assert get(source, "/d1/f1") == b"edited there"
    assert source.head.root == target.head.root


def test_a_snapshot_is_exported_as_it_was(tmp_path: Path) -> None:
    source, target = filled(), memory_repository(2)
    was = files(source)
    take_snapshot(source, "monday")
    put(source, "/d1/f1", b"of tuesday")
    remove(source, "/d2/f2")
    read(target, write(source, tmp_path / "monday", snapshot="monday"))
    assert files(target) == was


def test_a_patch_brings_what_differs_and_nothing_else(tmp_path: Path) -> None:
    source, target = filled(), memory_repository(2)
    take_snapshot(source, "monday")
    read(target, write(source, tmp_path / "monday", snapshot="monday"))
    put(source, "/d1/f1", b"of tuesday")
    put(source, "/copy", b"7 " * 100)
    remove(source, "/d2/f2")
    big = bytearray(noise(9_000_000))
    big[4_000_000] ^= 1
    put_large(source, "/big", bytes(big))
    file = write(source, tmp_path / "patch", base="monday")
    assert file.stat().st_size < 800_000
    read(target, file)
    assert files(target) == files(source)
    assert get(target, "/d2/f2") is None


def test_a_patch_whose_base_is_not_here_says_so_and_changes_nothing(tmp_path: Path) -> None:
    source, target = filled(), memory_repository(2)
    take_snapshot(source, "monday")
    big = bytearray(noise(9_000_000))
    big[4_000_000] ^= 1
    put_large(source, "/big", bytes(big))
    file = write(source, tmp_path / "patch", base="monday")
    put(target, "/a", b"1")
    head, chunks = target.head, held(target)
    with pytest.raises(CorruptError, match=r"/big.*snapshot monday: import that first"):
        read(target, file)
    assert (target.head, held(target)) == (head, chunks)


def test_names_that_name_no_snapshot_or_several_are_refused(tmp_path: Path) -> None:
    source = filled()
    with pytest.raises(NotFoundError, match="no snapshot nobody"):
        write(source, tmp_path / "x", snapshot="nobody")
    assert list(tmp_path.iterdir()) == []
    assert kept_roots(source) == {}


def test_an_existing_file_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "all").write_bytes(b"precious")
    with pytest.raises(ConflictError, match="exists already"):
        write(filled(), tmp_path / "all")
    assert (tmp_path / "all").read_bytes() == b"precious"


def test_a_damaged_file_stops_an_export_and_leaves_no_file(tmp_path: Path) -> None:
    source = filled()
    with source.view() as view:
        sight = view.sight("/d3/f7")  # type: ignore[arg-type]
    assert sight is not None
    source.store.quarantine([sight.winner.content.refs[:32]])
    with pytest.raises(CorruptError, match="/d3/f7 cannot be exported"):
        write(source, tmp_path / "all")
    assert list(tmp_path.iterdir()) == []


def test_system_entries_come_only_when_asked_for(tmp_path: Path) -> None:
    source = filled()
    take_snapshot(source, "monday")
    file = write(source, tmp_path / "all")
    target = memory_repository(2)
    assert read(target, file).skipped > 0
    assert kept_roots(target) == {}
    assert import_archive(target, file, system=True).skipped == 0
    assert set(kept_roots(target).values()) == {"snapshot monday"}


def test_entries_from_the_future_are_refused(tmp_path: Path) -> None:
    source = filled()
    put(source, "/late", b"1")
    file = write(source, tmp_path / "all")
    target = memory_repository(2)
    target._wall.now -= 3_600_000  # type: ignore[attr-defined]
    with pytest.raises(BadRequestError, match="written in the future"):
        read(target, file)


def small() -> Repository:
    repository = memory_repository(1)
    put(repository, "/a", b"hello " * 30)
    put(repository, "/b", b"")
    return repository


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write(small(), tmp_path_factory.mktemp("archive") / "a").read_bytes()


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_file_that_was_changed_anywhere_changes_nothing(
    archive: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    how = data.draw(st.sampled_from(["flip", "cut", "insert", "drop", "grow"]))
    at = data.draw(st.integers(0, len(archive) - 1))
    body = bytearray(archive)
    if how == "flip":
        body[at] ^= data.draw(st.integers(1, 255))
    elif how == "cut":
        del body[at:]
    elif how == "insert":
        body[at:at] = data.draw(st.binary(min_size=1, max_size=40))
    elif how == "drop":
        del body[at : at + data.draw(st.integers(1, 60))]
    else:
        body += b"x"
    if bytes(body) == archive:
        return
    file = tmp_path_factory.mktemp("altered") / "a"
    file.write_bytes(body)
    target = memory_repository(2)
    head = target.head
    with pytest.raises(BadRequestError, match=str(file)):
        read(target, file)
    assert (target.head, held(target)) == (head, set())


def crafted(path: Path, items: list[tuple[bytes, bytes]]) -> Path:
    """A file whose checks are right and whose contents are not."""
    with ArchiveWriter(path) as writer:
        writer.header(Header(1, NOW, 1, b"r" * 32, "current"))
        writer.entries(items)
        writer.finish()
    return path


@pytest.mark.parametrize(
    ("key", "data"),
    [
        (b"a\0..\0b", None),
        (b"", None),
        (b"a", b"\x91\x90"),
        (b"a", b"not msgpack"),
        (b"a\0\0b", None),
    ],
)
def test_a_crafted_entry_is_refused_whole(tmp_path: Path, key: bytes, data: bytes | None) -> None:
    source = small()
    with source.view() as view:
        good = dict(view.walk())
    file = crafted(tmp_path / "x", [(b"b", good[b"b"]), (key, data or good[b"b"])])
    target = memory_repository(2)
    with pytest.raises(BadRequestError, match="nothing was changed"):
        read(target, file)
    assert files(target) == {}


def test_a_file_that_does_not_match_its_content_hash_is_refused(tmp_path: Path) -> None:
    source = small()
    entry = entry_at(source, "/a")
    assert entry is not None
    version = entry.versions[0]
    content = msgspec.structs.replace(version.content, hash=b"h" * 32)
    lying = msgspec.structs.replace(version, content=content)
    data = msgspec.msgpack.encode(msgspec.structs.replace(entry, versions=(lying,)))
    put(target := memory_repository(2), "/x", b"hello " * 30)
    file = crafted(tmp_path / "x", [(b"a", data)])
    with pytest.raises(CorruptError, match="nothing was changed"):
        read(target, file)
    assert get(target, "/a") is None


def test_a_newer_format_is_told_from_damage(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "x") as writer:
        writer.header(Header(2, NOW, 1, b"r" * 32, "current"))
        writer.finish()
    with pytest.raises(BadRequestError, match="newer aeorsync"):
        read(memory_repository(2), tmp_path / "x")
    (tmp_path / "y").write_bytes(b"PK\x03\x04" * 10)
    with pytest.raises(BadRequestError, match="no export of aeorsync"):
        read(memory_repository(2), tmp_path / "y")
    with pytest.raises(AeorError, match="cannot be read"):
        read(memory_repository(2), tmp_path / "nowhere")


def test_the_vector_of_the_format_is_read_as_it_is_written_down(tmp_path: Path) -> None:
    vector = json.loads(VECTOR.read_text())
    body = bytes.fromhex(vector["archive"])
    assert body.startswith(MAGIC)
    (tmp_path / "v").write_bytes(body)
    target = open_repository(tmp_path / "data")
    done = read(target, tmp_path / "v")
    assert {path: data.decode() for path, data in files(target).items()} == vector["files"]
    assert done.header.root.hex() == target.head.root.hex() == vector["root"]
    with ArchiveReader(tmp_path / "v") as archive:
        assert [frame.kind.name for _, frame in archive.frames()] == vector["frames"]
    export(target, tmp_path / "again", now_ms=done.header.created)
    with ArchiveReader(tmp_path / "v") as old, ArchiveReader(tmp_path / "again") as new:
        assert [f for _, f in old.frames()][1:] == [f for _, f in new.frames()][1:]
    target.close()
