"""The embedded store: packs and one SQLite file in one folder.

    DATA/lock            held while a process has the store open
    DATA/meta.sqlite3    head, tree nodes, chunk index, feed, conflicts, notes
    DATA/packs/          chunk bytes

Write order, in `EmbeddedStore.commit`: (1) chunk bytes, (2) fsync of the packs, (3) one SQLite
transaction with index rows, tree nodes, feed and head. A crash between any two of them leaves
bytes nobody refers to, and nothing else.
"""

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import msgspec

from aeorsync.errors import CorruptError, StaleError, UnavailableError
from aeorsync.runtime.clock import SystemClock, WallClock
from aeorsync.storage.base import (
    LOST,
    TOUCH_MS,
    UNREAD,
    Commit,
    Compacted,
    Head,
    StoredChunk,
    StoreSizes,
)
from aeorsync.storage.compaction import Compaction, find_records, is_whole
from aeorsync.storage.database import REMEDY, Database
from aeorsync.storage.lock import FolderLock
from aeorsync.storage.packs import Location, Packs
from aeorsync.storage.pending import Pending
from aeorsync.storage.records import Records
from aeorsync.storage.rows import (
    forget_locations,
    insert_changes,
    insert_locations,
    insert_nodes,
    mark_conflicts,
    note_places,
    touch,
    write_note,
    write_root,
)
from aeorsync.storage.sums import problems

_PLACE = (bytes, int, int, int, int, int)
_FLUSH_ROWS = 8192
"""Index rows held back in memory before a long upload makes them durable on its own."""


class EmbeddedStore(Records):
    """See `storage.base.Store`."""

    def __init__(self, folder: Path, first_head: Head, wall: WallClock | None = None) -> None:
        """Open the store in ``folder``, which must exist.

        Args:
            folder: The data folder.
            first_head: Head of the store when it is new; not looked at otherwise.
            wall: Tells when chunks were touched.

        Raises:
            UnavailableError: Another process has it open.
            CorruptError: What is there cannot be read.
        """
        self._wall = wall or SystemClock()
        self._lock = FolderLock(folder)
        try:
            self._database = Database(folder / "meta.sqlite3")
        except BaseException:
            self._lock.release()
            raise
        try:
            self._head = self._read_head(first_head)
            self._packs = self._open_packs(folder / "packs")
        except BaseException:
            self._database.close()
            self._lock.release()
            raise
        self._kept = int(self.note("nodes", "kept") or -1)
        self._pending = Pending(self._packs, self._wall)
        self._touched: dict[bytes, int] = {}
        self._touched_lock = threading.Lock()

    def head(self) -> Head:
        """See the contract."""
        return self._head

    def put_chunks(self, chunks: Sequence[StoredChunk], *, are_missing: bool = False) -> None:
        """See the contract."""
        self._check_disk()
        if not are_missing:
            fresh = self.missing([chunk.id for chunk in chunks])
            # Two threads may append the same chunk; the index keeps one, the other is garbage.
            chunks = list({chunk.id: chunk for chunk in chunks if chunk.id in fresh}.values())
        if not chunks:
            return
        self._pending.put(chunks)
        if len(self._pending) >= _FLUSH_ROWS:
            self.flush()

    def missing(self, ids: Collection[bytes]) -> set[bytes]:
        """See the contract."""
        unknown = {name for name in ids if name not in self._pending}
        if not unknown:
            return unknown
        now_ms = self._wall.now_ms()
        stale: dict[bytes, int] = {}
        for name, touched in self._rows("id, touched", unknown, types=(bytes, int)):
            unknown.discard(name)
            if touched < now_ms - TOUCH_MS:
                stale[name] = now_ms
        if stale:
            with self._touched_lock:
                self._touched.update(stale)
        return unknown

    def pin(self, ids: Collection[bytes]) -> set[bytes]:
        """See the contract."""
        self._check_disk()
        unknown = self.missing(ids)
        if any(name in self._pending for name in ids):
            self.flush()
        elif self._touched:
            with self._database.write_lock, self._database.transaction() as db:
                self._write_chunk_rows(db, {})
        return unknown

    def chunk_sizes(self, ids: Collection[bytes]) -> dict[bytes, int]:
        """See the contract."""
        sizes = {}
        for name in ids:
            location = self._pending.get(name)
            if location is not None:
                sizes[name] = location.size
        sizes.update(
            self._rows("id, size", [n for n in ids if n not in sizes], types=(bytes, int))
        )
        return sizes

    def chunks(self, ids: Sequence[bytes]) -> list[StoredChunk]:
        """See the contract."""
        read, gone = self._read(ids)
        if gone:
            self._pending.drop(gone)
            with self._database.transaction() as db:
                forget_locations(db, gone)
                note_places(db, gone)
        return [read[name] for name in ids if name in read]

    def peek(self, ids: Sequence[bytes]) -> list[StoredChunk]:
        """See the contract."""
        read, _ = self._read(ids)
        return [read[name] for name in ids if name in read]

    def quarantine(self, ids: Collection[bytes]) -> None:
        """See the contract."""
        self._pending.drop(ids)
        with self._database.transaction() as db:
            note_places(db, self._find(ids))
            db.executemany("DELETE FROM chunks WHERE id = ?", ((name,) for name in ids))
            for name in ids:
                write_note(db, LOST, name.hex(), b"")

    def node(self, name: bytes) -> bytes:
        """See the contract."""
        rows = self._database.typed((bytes,), "SELECT body FROM nodes WHERE name = ?", (name,))
        if not rows:
            raise CorruptError(f"tree node {name.hex()} is missing")
        body: bytes = rows[0][0]
        return body

    def put_nodes(self, nodes: dict[bytes, bytes]) -> None:
        """See the contract."""
        self._check_disk()
        with self._database.transaction() as db:
            insert_nodes(db, nodes)

    def missing_nodes(self, names: Collection[bytes]) -> set[bytes]:
        """See the contract."""
        return set(names) - {row[0] for row in self._rows("name", names, "nodes", types=(bytes,))}

    def keep_until(self, seq: int | None) -> None:
        """See the contract."""
        kept = -1 if seq is None else seq
        self._kept = max(self._kept, kept)  # more is kept also where the disk refuses the note
        with self._database.transaction() as db:
            write_note(db, "nodes", "kept", b"%d" % kept)
        self._kept = kept

    def sweep(
        self, nodes: Collection[bytes], chunks: Collection[bytes], touched_before: int
    ) -> None:
        """See the contract."""
        with self._database.write_lock:
            with self._touched_lock:
                touched = dict(self._touched)
            with self._database.transaction() as db:
                touch(db, touched)
                db.executemany("DELETE FROM nodes WHERE name = ?", ((name,) for name in nodes))
                db.executemany(
                    "DELETE FROM chunks WHERE id = ? AND touched < ?",
                    ((name, touched_before) for name in chunks),
                )

    def compact(
        self, garbage: float, goes_on: Callable[[], bool], *, dry_run: bool = False
    ) -> Compacted:
        """See the contract."""
        self._check_disk()
        compaction = Compaction(self._database, self._packs, self._pending.sync_packs)
        if dry_run:
            return compaction.estimate(garbage)
        compaction.seal(garbage)
        self.flush()
        with self._database.write_lock, self._pending.put_lock:
            # Nobody will index anything in these any more: not what is pending, not what comes.
            still = self._packs.sealed() - self._pending.packs - self._unread_packs()
        return compaction.run(still, garbage, goes_on)

    def retry(self, ids: Collection[bytes]) -> set[bytes]:
        """See the contract."""
        notes = self.notes(UNREAD)
        places = {
            name: msgspec.msgpack.decode(notes[name.hex()], type=Location)
            for name in self.missing({name for name in ids if name.hex() in notes})
        }
        sound = {name: at for name, at in places.items() if is_whole(self._packs, name, at)}
        if sound:
            with self._database.transaction() as db:
                insert_locations(db, sound, self._wall.now_ms(), is_newest=False)
        return set(sound)

    def recover(self, ids: Collection[bytes]) -> set[bytes]:
        """See the contract."""
        found = find_records(self._packs, set(ids))
        with self._database.transaction() as db:
            insert_locations(db, found, self._wall.now_ms(), is_newest=False)
        return set(found)

    def commit(self, commit: Commit) -> None:
        """See the contract."""
        self._check_disk()
        with self._database.write_lock:
            if commit.before != self._head:
                raise StaleError("the head moved since this commit was prepared")
            rows = self._pending.sync()
            with self._database.transaction() as db:
                self._write_chunk_rows(db, rows)
                insert_nodes(db, commit.nodes, commit.after.seq)
                db.executemany(
                    "DELETE FROM nodes WHERE name = ? AND born > ?",
                    ((name, self._kept) for name in commit.dropped),
                )
                insert_changes(db, commit.changes)
                mark_conflicts(db, commit.conflicts)
                after = commit.after
                write_root(db, after.root, after.seq)
                write_note(db, "head", "current", msgspec.msgpack.encode(after))
            self._head = commit.after
            self._pending.drop(rows)

    def flush(self) -> None:
        """See the contract."""
        self._check_disk()
        with self._database.write_lock:
            rows = self._pending.sync()
            if rows or self._touched:
                with self._database.transaction() as db:
                    self._write_chunk_rows(db, rows)
                self._pending.drop(rows)

    def sizes(self) -> StoreSizes:
        """See the contract."""
        rows = self._database.rows
        ((chunks, stored),) = rows("SELECT count(*), coalesce(sum(stored), 0) FROM chunks")
        pages, page_size = (rows(f"PRAGMA {name}")[0][0] for name in ("page_count", "page_size"))
        ((conflicts,),) = rows("SELECT count(*) FROM conflicts")
        return StoreSizes(chunks, stored, pages * page_size, conflicts)

    def problems(self, *, repair: bool) -> list[tuple[str, str]]:
        """See the contract."""
        return problems(self._database, repair=repair)

    def close(self) -> None:
        """See the contract."""
        try:
            with contextlib.suppress(UnavailableError, CorruptError):
                self.flush()
        finally:
            self._database.close()
            self._packs.close()
            self._lock.release()

    def _read(
        self, ids: Collection[bytes]
    ) -> tuple[dict[bytes, StoredChunk], dict[bytes, Location]]:
        """Stored bytes, and where those should be that cannot be read."""
        read: dict[bytes, StoredChunk] = {}
        failed: dict[bytes, Location] = {}
        wanted = set(ids)
        while wanted:
            places = self._locate(wanted)
            # What has moved since it was looked up is read where it is now.
            fresh = {name: at for name, at in places.items() if at != failed.get(name)}
            for name in wanted - places.keys():
                failed.pop(name, None)
            found, bad = self._packs.read_all(fresh)
            read.update(found)
            for name in found:
                failed.pop(name, None)
            failed.update((name, fresh[name]) for name in bad)
            wanted = bad
        return read, failed

    def _locate(self, ids: Collection[bytes]) -> dict[bytes, Location]:
        """Where chunks lie, indexed or not yet."""
        found: dict[bytes, Location] = {}
        for name in ids:
            location = self._pending.get(name)
            if location is not None:
                found[name] = location
        found.update(self._find({name for name in ids if name not in found}))
        return found

    def _find(self, ids: Collection[bytes]) -> dict[bytes, Location]:
        """Where indexed chunks lie."""
        rows = self._rows("id, pack, at, stored, size, codec", ids, types=_PLACE)
        return {row[0]: Location(*row[1:]) for row in rows}

    def _write_chunk_rows(self, db: sqlite3.Connection, rows: dict[bytes, Location]) -> None:
        """Write what is new about chunks."""
        insert_locations(db, rows, self._wall.now_ms())
        if self._touched:
            with self._touched_lock:
                touched, self._touched = self._touched, {}
            touch(db, touched)

    def _unread_packs(self) -> set[int]:
        """Packs in which chunks lie that may be read again one day."""
        places = self.notes(UNREAD).values()
        return {msgspec.msgpack.decode(place, type=Location).pack for place in places}

    def _check_disk(self) -> None:
        """Refuse to write while the disk does not keep what it takes; see `storage.pending`.

        Raises:
            UnavailableError: It does not.
        """
        if self._pending.is_refusing:
            with self._database.write_lock:
                self._pending.mend()

    def _read_head(self, first_head: Head) -> Head:
        stored = self.note("head", "current")
        if stored is not None:
            return msgspec.msgpack.decode(stored, type=Head)
        if self._database.rows("SELECT 1 FROM roots LIMIT 1"):
            # It never was without one: not to be taken for an empty store.
            raise CorruptError(f"the database is damaged (its head is gone); {REMEDY}")
        with self._database.transaction() as db:
            write_note(db, "head", "current", msgspec.msgpack.encode(first_head))
            write_root(db, first_head.root, 0)
        return first_head

    def _open_packs(self, folder: Path) -> Packs:
        stored = self.note("packs", "end")
        newest, end = msgspec.msgpack.decode(stored, type=tuple[int, int]) if stored else (0, 0)
        return Packs(folder, newest, end)
