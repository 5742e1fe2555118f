"""What a disk adds to the contract: reopening, locks, damage."""

import errno
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
import zstandard

from aeorsync.core.hashing import chunk_id
from aeorsync.errors import CorruptError, UnavailableError
from aeorsync.storage import packs
from aeorsync.storage.base import Commit, StoredChunk
from aeorsync.storage.compression import PLAIN, ZSTD, pack, unpack
from aeorsync.storage.embedded import EmbeddedStore
from aeorsync.storage.identities import first_head
from aeorsync.wire.limits import MAX_CHUNK
from tests.storage.test_store_contract import HEAD, chunk, commit_once, later
from tests.support.clock import FakeClock
from tests.support.repositories import memory_repository


def test_everything_is_there_after_reopening(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path, HEAD)
    store.put_chunks([chunk(b"aaa")])
    before = store.head()
    head = later(before, root=b"r" * 32)
    store.commit(Commit(before, head, {b"n" * 32: b"body"}, conflicts={b"c": True}))
    store.set_note("links", "a", b"1")
    store.close()
    store = EmbeddedStore(tmp_path, first_head(99))
    assert store.head() == head
    assert bytes(store.chunks([chunk_id(b"aaa")])[0].data) == b"aaa"
    assert store.node(b"n" * 32) == b"body"
    assert store.conflicts(b"", 9) == [b"c"]
    assert store.note("links", "a") == b"1"
    store.close()


def test_a_folder_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path, HEAD)
    store.put_chunks([chunk(b"aaa")])
    store.put_nodes({b"n" * 32: b"body"})
    store.close()
    with closing(sqlite3.connect(tmp_path / "meta.sqlite3")) as old:
        old.executescript(
            "ALTER TABLE nodes DROP COLUMN born; ALTER TABLE chunks DROP COLUMN touched;"
            "ALTER TABLE nodes DROP COLUMN sum; ALTER TABLE feed DROP COLUMN sum;"
            "ALTER TABLE roots DROP COLUMN sum; ALTER TABLE notes DROP COLUMN sum;"
            "PRAGMA user_version=1;"
        )
    store = EmbeddedStore(tmp_path, HEAD)
    assert store.node(b"n" * 32) == b"body"
    assert [row.touched for row in store.chunk_rows(b"", 9)] == [0]
    assert store.missing([chunk_id(b"aaa")]) == set()
    store.sweep([], [chunk_id(b"aaa")], 1)
    assert store.missing([chunk_id(b"aaa")]) == set()
    store.close()


def test_what_is_kept_stays_kept_after_reopening(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path, HEAD)
    store.put_nodes({b"n" * 32: b"body"})
    store.keep_until(store.head().seq)
    store.close()
    store = EmbeddedStore(tmp_path, HEAD)
    store.commit(Commit(store.head(), later(store.head()), dropped=[b"n" * 32]))
    assert store.node(b"n" * 32) == b"body"
    store.close()


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path, HEAD)
    with pytest.raises(UnavailableError, match="another aeorsync process"):
        EmbeddedStore(tmp_path, HEAD)
    store.close()
    EmbeddedStore(tmp_path, HEAD).close()


def test_bytes_after_the_last_indexed_record_do_no_harm(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path, HEAD)
    store.put_chunks([chunk(b"aaa")])
    commit_once(store)
    store.close()
    pack_file = next((tmp_path / "packs").glob("*.pack"))
    kept = pack_file.read_bytes()
    pack_file.write_bytes(kept + b"torn record")
    store = EmbeddedStore(tmp_path, HEAD)
    store.put_chunks([chunk(b"bbb")])
    commit_once(store, b"k2")
    assert [bytes(c.data) for c in store.chunks([chunk_id(b"aaa"), chunk_id(b"bbb")])] == [
        b"aaa",
        b"bbb",
    ]
    store.close()
    assert pack_file.read_bytes() == kept + b"torn record"


def test_appending_goes_on_in_the_same_pack_after_a_clean_stop(tmp_path: Path) -> None:
    for data in (b"a", b"b", b"c"):
        store = EmbeddedStore(tmp_path, HEAD)
        store.put_chunks([chunk(data)])
        store.close()
    assert len(list((tmp_path / "packs").glob("*.pack"))) == 1


@pytest.mark.parametrize("length", [None, 500], ids=["gone", "shortened"])
def test_what_a_damaged_pack_held_is_missing_and_can_be_put_again(
    tmp_path: Path, length: int | None
) -> None:
    kept, lost = chunk(b"kept" * 20), chunk(b"a" * 1000)
    store = EmbeddedStore(tmp_path, HEAD)
    store.put_chunks([kept, lost])
    store.close()
    pack_file = next((tmp_path / "packs").glob("*.pack"))
    whole = pack_file.read_bytes()
    pack_file.unlink()
    if length is not None:
        pack_file.write_bytes(whole[:length])
    store = EmbeddedStore(tmp_path, HEAD)
    found = [c.id for c in store.chunks([lost.id, kept.id])]
    assert found == ([kept.id] if length else [])
    assert lost.id in store.missing([lost.id, kept.id])
    store.put_chunks([lost])
    assert [bytes(c.data) for c in store.chunks([lost.id])] == [lost.data]
    store.close()


def failing_disk(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(packs, "sync_file", fail)
    return monkeypatch


def test_a_failed_fsync_is_never_followed_by_an_acknowledgement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wall = FakeClock()
    store = EmbeddedStore(tmp_path, HEAD, wall)
    store.put_chunks([chunk(b"aaa")])
    failing_disk(monkeypatch)
    with pytest.raises(UnavailableError):
        commit_once(store)
    # The system has forgotten the pages by now, and the next fsync of that file would succeed.
    monkeypatch.undo()
    with pytest.raises(UnavailableError, match="tried again by itself"):
        commit_once(store)
    with pytest.raises(UnavailableError, match="tried again by itself"):
        store.put_chunks([chunk(b"bbb")])
    with pytest.raises(UnavailableError, match="tried again by itself"):
        store.flush()
    assert store.head() == HEAD
    assert [bytes(c.data) for c in store.chunks([chunk_id(b"aaa")])] == [b"aaa"]
    store.close()


def test_after_a_failed_fsync_nothing_depends_on_the_file_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wall = FakeClock()
    store = EmbeddedStore(tmp_path, HEAD, wall)
    store.put_chunks([chunk(b"aaa")])
    failing_disk(monkeypatch)
    for _ in range(5):
        with pytest.raises(UnavailableError):
            store.flush()
        wall.now += 31_000
    assert len(list((tmp_path / "packs").glob("*.pack"))) == 1, "each try left a pack"
    monkeypatch.undo()
    write = packs._write_all

    def full(handle: int, buffers: list[bytes | memoryview], at: int) -> None:
        write(handle, buffers, at)
        if len(buffers) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(packs, "_write_all", full)
        for _ in range(3):
            with pytest.raises(UnavailableError, match="No space left"):
                store.flush()
            wall.now += 31_000
    assert len(list((tmp_path / "packs").glob("*.pack"))) == 1, "each try left a pack"
    store.put_chunks([chunk(b"bbb")])
    commit_once(store)
    store.close()
    (tmp_path / "packs" / "00000001.pack").unlink()
    store = EmbeddedStore(tmp_path, HEAD)
    names = [chunk_id(b"aaa"), chunk_id(b"bbb")]
    assert [bytes(c.data) for c in store.chunks(names)] == [b"aaa", b"bbb"]
    store.close()


def test_what_a_failed_fsync_took_for_good_is_never_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wall = FakeClock()
    store = EmbeddedStore(tmp_path, HEAD, wall)
    store.put_chunks([chunk(b"a" * 1000)])
    with failing_disk(monkeypatch).context(), pytest.raises(UnavailableError):
        store.flush()
    monkeypatch.undo()
    os.truncate(tmp_path / "packs" / "00000001.pack", 500)
    wall.now += 31_000
    for _ in range(2):
        with pytest.raises(UnavailableError, match="restart the node"):
            commit_once(store)
        wall.now += 31_000
    store.close()
    store = EmbeddedStore(tmp_path, HEAD)
    assert store.missing([chunk_id(b"a" * 1000)])
    commit_once(store)
    store.close()


def test_a_copy_made_by_a_collection_does_not_count_when_another_fsync_took_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wall = FakeClock()
    store = EmbeddedStore(tmp_path, HEAD, wall)
    store.put_chunks([chunk(b"kept" * 20), chunk(b"gone" * 500)])
    store.flush()
    store.sweep((), [chunk_id(b"gone" * 500)], wall.now_ms() + 1)
    append = packs.Packs.append

    def failing_meanwhile(
        self: packs.Packs, chunks: Sequence[StoredChunk]
    ) -> list[packs.Location]:
        places = append(self, chunks)
        with monkeypatch.context() as patch:
            failing_disk(patch)
            with pytest.raises(OSError):
                self.sync()
        return places

    with monkeypatch.context() as patch:
        patch.setattr(packs.Packs, "append", failing_meanwhile)
        with pytest.raises(UnavailableError, match="nothing was lost"):
            store.compact(0.1, lambda: True)
    (tmp_path / "packs" / "00000002.pack").unlink()
    assert [bytes(c.data) for c in store.chunks([chunk_id(b"kept" * 20)])] == [b"kept" * 20]
    store.close()


def test_tries_on_a_full_disk_leave_no_packs_and_no_open_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    store = EmbeddedStore(tmp_path, HEAD)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with monkeypatch.context() as full:
        full.setattr(packs, "_write_all", fail)
        for _ in range(20):
            with pytest.raises(UnavailableError, match="No space left"):
                store.put_chunks([chunk(b"aaa")])
    assert list((tmp_path / "packs").iterdir()) == []
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1
    store.close()


def test_a_disk_that_is_full_when_a_pack_is_begun_is_got_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    store = EmbeddedStore(tmp_path, HEAD)
    with monkeypatch.context() as full:
        full.setattr(packs, "_write_all", fail)
        with pytest.raises(UnavailableError, match="No space left"):
            store.put_chunks([chunk(b"aaa")])
    store.put_chunks([chunk(b"aaa")])
    commit_once(store)
    assert store.missing([chunk_id(b"aaa")]) == set()
    store.close()


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "meta.sqlite3").write_bytes(b"this is not a database at all" * 100)
    with pytest.raises(CorruptError, match="file is not a database"):
        EmbeddedStore(tmp_path, HEAD)


def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path, HEAD)
    store._database.writer.execute("PRAGMA user_version=99")
    store.close()
    with pytest.raises(CorruptError, match="newer aeorsync"):
        EmbeddedStore(tmp_path, HEAD)


@pytest.mark.parametrize("data", [b"a", b"text " * 5000, bytes(range(256)) * 40])
def test_packing_and_unpacking_gives_the_same_bytes(data: bytes) -> None:
    stored = pack(chunk_id(data), data)
    assert bytes(unpack(stored)) == data
    assert len(stored.data) <= len(data)


def test_what_shrinks_is_compressed_and_what_does_not_is_kept_plain() -> None:
    assert pack(b"n" * 32, b"text " * 5000).codec == ZSTD
    noise = b"".join(chunk_id(b"%d" % i) for i in range(4000))
    assert pack(b"n" * 32, noise).codec == PLAIN


@pytest.mark.parametrize(
    "bad",
    [
        StoredChunk(chunk_id(b"a"), 0, 1, b"b"),
        StoredChunk(chunk_id(b"a"), 0, 2, b"a"),
        StoredChunk(chunk_id(b"a"), 9, 1, b"a"),
        StoredChunk(chunk_id(b"a"), 1, 1, b"not zstd"),
        StoredChunk(chunk_id(b"a"), 1, 1, b""),
    ],
)
def test_a_chunk_that_does_not_match_its_name_is_never_unpacked(bad: StoredChunk) -> None:
    with pytest.raises(CorruptError):
        unpack(bad)


def test_a_bomb_is_refused_before_it_goes_off() -> None:
    bomb = pack(b"n" * 32, bytes(200_000))
    lying = StoredChunk(bomb.id, bomb.codec, 10, bomb.data)
    with pytest.raises(CorruptError, match="states a wrong size"):
        unpack(lying)


def test_a_bomb_that_does_not_lie_is_refused_as_well() -> None:
    size = MAX_CHUNK + 1
    honest = StoredChunk(b"n" * 32, ZSTD, size, zstandard.ZstdCompressor().compress(bytes(size)))
    with pytest.raises(CorruptError, match="states a wrong size"):
        unpack(honest)


@pytest.mark.parametrize("are_plain", [False, True])
def test_chunks_from_elsewhere_are_checked_before_any_is_stored(*, are_plain: bool) -> None:
    repository = memory_repository()
    right, wrong = pack(chunk_id(b"right"), b"right"), pack(chunk_id(b"right!"), b"wrong!")
    with pytest.raises(CorruptError):
        repository.receive([right, wrong], are_plain=are_plain)
    assert repository.store.missing([right.id, wrong.id]) == {right.id, wrong.id}
    repository.receive([right], are_plain=are_plain)
    assert repository.store.missing([right.id, wrong.id]) == {wrong.id}
    repository.close()
