"""Space is given back, and no reader meets a wrong byte or a missing one meanwhile."""

import os
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from aeorsync.core.hashing import chunk_id
from aeorsync.errors import UnavailableError
from aeorsync.storage import packs
from aeorsync.storage.base import StoredChunk
from aeorsync.storage.embedded import EmbeddedStore
from tests.storage.test_store_contract import HEAD, chunk, commit_once


def always() -> bool:
    return True


def pack_files(folder: Path) -> list[str]:
    return sorted(pack.name for pack in (folder / "packs").glob("*.pack"))


def filled(folder: Path, count: int = 40) -> tuple[EmbeddedStore, list[StoredChunk]]:
    store = EmbeddedStore(folder, HEAD)
    chunks = [chunk(b"%04d" % number * 500) for number in range(count)]
    store.put_chunks(chunks)
    commit_once(store)
    return store, chunks


def drop(store: EmbeddedStore, chunks: list[StoredChunk]) -> None:
    store.sweep((), [c.id for c in chunks], 1 << 60)


def size(folder: Path) -> int:
    return sum(pack.stat().st_size for pack in (folder / "packs").glob("*.pack"))


def test_a_pack_with_much_garbage_is_rewritten(tmp_path: Path) -> None:
    store, chunks = filled(tmp_path)
    drop(store, chunks[10:])
    told = store.compact(0.2, always, dry_run=True)
    assert pack_files(tmp_path) == ["00000001.pack"]
    done = store.compact(0.2, always)
    assert (done.packs, done.damaged) == (1, ())
    assert done.freed_bytes == told.freed_bytes > 30 * 2000
    assert pack_files(tmp_path) == ["00000002.pack"]
    assert size(tmp_path) < 11 * 2100
    assert [bytes(c.data) for c in store.chunks([c.id for c in chunks])] == [
        c.data for c in chunks[:10]
    ]
    store.close()
    store = EmbeddedStore(tmp_path, HEAD)
    assert store.missing([c.id for c in chunks]) == {c.id for c in chunks[10:]}
    store.put_chunks([chunk(b"more")])
    commit_once(store, b"k2")
    assert pack_files(tmp_path) == ["00000002.pack"]
    store.close()


def test_a_pack_with_little_garbage_is_left_alone(tmp_path: Path) -> None:
    store, chunks = filled(tmp_path)
    drop(store, chunks[:7])
    assert store.compact(0.2, always).packs == 0
    assert store.compact(0.1, always).packs == 1
    assert store.compact(0.1, always).packs == 0
    store.close()


def test_a_pack_that_nobody_needs_is_removed_and_records_nobody_indexes_count_as_garbage(
    tmp_path: Path,
) -> None:
    store, chunks = filled(tmp_path)
    with store._database.transaction() as db:
        db.execute("DELETE FROM chunks")
    assert store.compact(0.2, always).packs == 1
    assert pack_files(tmp_path) == []
    store.put_chunks(chunks)
    commit_once(store, b"k2")
    assert store.missing([c.id for c in chunks]) == set()
    store.close()
    store = EmbeddedStore(tmp_path, HEAD)
    assert len(store.chunks([c.id for c in chunks])) == len(chunks)
    store.close()


def test_what_is_not_indexed_yet_is_never_lost(tmp_path: Path) -> None:
    store, chunks = filled(tmp_path)
    fresh = chunk(b"on its way" * 100)
    store.put_chunks([fresh])
    drop(store, chunks)
    store.compact(0.2, always)
    assert bytes(store.chunks([fresh.id])[0].data) == fresh.data
    commit_once(store, b"k2")
    store.close()
    store = EmbeddedStore(tmp_path, HEAD)
    assert bytes(store.chunks([fresh.id])[0].data) == fresh.data
    store.close()


def test_a_pack_in_which_something_waits_to_be_indexed_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, chunks = filled(tmp_path)
    fresh = chunk(b"came after the flush" * 100)
    drop(store, chunks)
    with monkeypatch.context() as patch:
        patch.setattr(store, "flush", lambda: store.put_chunks([fresh]))
        patch.setattr(store._packs, "sealed", lambda: {1, 2})
        store.compact(0.2, always)
    assert bytes(store.chunks([fresh.id])[0].data) == fresh.data
    commit_once(store, b"k2")
    assert bytes(store.chunks([fresh.id])[0].data) == fresh.data
    store.close()


def test_a_damaged_chunk_is_not_copied(tmp_path: Path) -> None:
    store, chunks = filled(tmp_path)
    drop(store, chunks[10:])
    store.flush()
    pack = tmp_path / "packs" / "00000001.pack"
    body = bytearray(pack.read_bytes())
    body[16 + 45 + 100] ^= 1
    with pack.open("r+b") as file:
        file.write(body)
    done = store.compact(0.2, always)
    assert done.damaged == (chunks[0].id,)
    assert store.missing([c.id for c in chunks[:10]]) == {chunks[0].id}
    store.close()


def test_a_compaction_that_is_stopped_leaves_everything_readable(tmp_path: Path) -> None:
    store, chunks = filled(tmp_path)
    drop(store, chunks[10:])
    asked = iter([True, False])
    store.compact(0.2, lambda: next(asked, False))
    assert len(store.chunks([c.id for c in chunks[:10]])) == 10
    assert store.compact(0.2, always).packs >= 0
    assert len(store.chunks([c.id for c in chunks[:10]])) == 10
    store.close()


def test_a_full_disk_stops_a_compaction_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, chunks = filled(tmp_path)
    drop(store, chunks[10:])

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(packs, "_write_all", full)
        with pytest.raises(UnavailableError, match="nothing was lost"):
            store.compact(0.2, always)
    assert len(store.chunks([c.id for c in chunks[:10]])) == 10
    assert store.compact(0.2, always).packs >= 1
    assert len(store.chunks([c.id for c in chunks[:10]])) == 10
    store.close()


def test_a_reader_that_looked_a_chunk_up_before_it_moved_reads_it_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, chunks = filled(tmp_path)
    drop(store, chunks[10:])
    locate = store._locate
    has_moved = False

    def late(ids: set[bytes]) -> dict[bytes, packs.Location]:
        nonlocal has_moved
        found = locate(ids)
        if not has_moved:
            has_moved = True
            assert store.compact(0.2, always).packs == 1
        return found

    monkeypatch.setattr(store, "_locate", late)
    found = store.chunks([c.id for c in chunks[:10]])
    assert [bytes(c.data) for c in found] == [c.data for c in chunks[:10]]
    assert store.missing([c.id for c in chunks[:10]]) == set()
    store.close()


def test_a_chunk_that_goes_while_it_is_looked_for_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, chunks = filled(tmp_path)
    locate = store._locate

    def late(ids: set[bytes]) -> dict[bytes, packs.Location]:
        found = locate(ids)
        if store._database.reader.execute("SELECT count(*) FROM chunks").fetchone()[0]:
            drop(store, chunks)
            store.compact(0.2, always)
        return found

    monkeypatch.setattr(store, "_locate", late)
    assert store.chunks([chunks[0].id]) == []
    store.close()


@dataclass
class Users:
    """Threads that read what is kept and write what is new, and note what goes wrong."""

    store: EmbeddedStore
    kept: list[StoredChunk]
    stop: threading.Event = field(default_factory=threading.Event)
    failures: list[object] = field(default_factory=list)

    def read(self) -> None:
        while not self.stop.is_set():
            found = self.store.chunks([c.id for c in self.kept])
            if [bytes(c.data) for c in found] != [c.data for c in self.kept]:
                self.failures.append(len(found))

    def write(self) -> None:
        number = 0
        while not self.stop.is_set():
            fresh = chunk(b"w%08d" % number * 100)
            self.store.put_chunks([fresh])
            self.store.flush()
            if bytes(self.store.chunks([fresh.id])[0].data) != fresh.data:
                self.failures.append(fresh.id)
            number += 1


def test_readers_and_writers_go_on_while_packs_are_rewritten(tmp_path: Path) -> None:
    store, chunks = filled(tmp_path, 200)
    users = Users(store, chunks[:60])
    threads = [threading.Thread(target=work) for work in (users.read, users.read, users.write)]
    for thread in threads:
        thread.start()
    drop(store, chunks[60:])
    for number in range(8):
        extra = [chunk(b"x%d-%d" % (number, n) * 300) for n in range(60)]
        store.put_chunks(extra)
        store.flush()
        drop(store, extra)
        store.compact(0.05, always)
    users.stop.set()
    for thread in threads:
        thread.join()
    assert users.failures == []
    store.close()
    store = EmbeddedStore(tmp_path, HEAD)
    assert len(store.chunks([c.id for c in users.kept])) == 60
    store.close()


def test_removed_packs_keep_no_file_open(tmp_path: Path) -> None:
    store, chunks = filled(tmp_path)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for number in range(20):
        drop(store, chunks)
        store.compact(0.2, always)
        store.put_chunks(chunks)
        commit_once(store, b"k%d" % number)
        store.chunks([chunks[0].id])
    assert len(os.listdir("/proc/self/fd")) <= before + 1  # noqa: PTH208
    store.close()


def test_lost_rows_are_found_in_the_packs_and_wrong_bytes_are_not(tmp_path: Path) -> None:
    store, chunks = filled(tmp_path)
    lost = [c.id for c in chunks[:3]]
    store.quarantine(lost)
    pack = tmp_path / "packs" / "00000001.pack"
    body = bytearray(pack.read_bytes())
    body[16 + 45 + 100] ^= 1
    with pack.open("r+b") as file:
        file.write(body)
    assert store.recover([*lost, chunk_id(b"never was")]) == set(lost[1:])
    assert store.missing(lost) == {lost[0]}
    store.close()
