"""The embedded store: packs and one SQLite file in one folder.

    DATA/lock            held while a process has the store open
    DATA/meta.sqlite3    head, tree nodes, chunk index, feed, conflicts, notes
    DATA/packs/          chunk bytes

Write order, in `EmbeddedStore.commit`: (1) chunk bytes, (2) fsync of the packs, (3) one SQLite
transaction with index rows, tree nodes, feed and head. A crash between any two of them leaves
bytes nobody refers to, and nothing else.
"""

import contextlib
import fcntl
import os
import sqlite3
import threading
from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec

from aeorsync.errors import CorruptError, StaleError, UnavailableError
from aeorsync.storage.base import Change, Commit, Head, StoredChunk, StoreSizes
from aeorsync.storage.database import Database
from aeorsync.storage.packs import Location, Packs

_FLUSH_ROWS = 8192
"""Index rows held back in memory before a long upload makes them durable on its own."""
_BATCH = 400
"""Parameters a query names at once."""


class FolderLock:
    """Keeps a second process off a data folder; released when the process ends, however."""

    def __init__(self, folder: Path) -> None:
        """Take the lock.

        Raises:
            UnavailableError: Another process holds it.
        """
        self._handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._handle)
            text = f"another aeorsync process uses {folder}; stop it, or choose another folder"
            raise UnavailableError(text) from error

    def release(self) -> None:
        """Let go of the lock."""
        os.close(self._handle)


class EmbeddedStore:
    """See `storage.base.Store`."""

    def __init__(self, folder: Path, first_head: Head) -> None:
        """Open the store in ``folder``, which must exist.

        Args:
            folder: The data folder.
            first_head: Head of the store when it is new; not looked at otherwise.

        Raises:
            UnavailableError: Another process has it open.
            CorruptError: What is there cannot be read.
        """
        self._lock = FolderLock(folder)
        try:
            self._database = Database(folder / "meta.sqlite3")
            self._head = self._read_head(first_head)
            self._packs = self._open_packs(folder / "packs")
        except BaseException:
            self._lock.release()
            raise
        self._pending: dict[bytes, Location] = {}
        self._pending_lock = threading.Lock()
        self._failure: str | None = None

    def head(self) -> Head:
        """See the contract."""
        return self._head

    def put_chunks(self, chunks: Sequence[StoredChunk]) -> None:
        """See the contract."""
        self._check_disk()
        fresh = self.missing([chunk.id for chunk in chunks])
        wanted = [chunk for chunk in chunks if chunk.id in fresh]
        if not wanted:
            return
        # Two threads may append the same chunk; the index keeps one, the other is garbage.
        unique = list({chunk.id: chunk for chunk in wanted}.values())
        try:
            locations = self._packs.append(unique)
        except OSError as error:
            raise _refused(error) from error
        with self._pending_lock:
            self._pending.update((c.id, at) for c, at in zip(unique, locations, strict=True))
            is_long = len(self._pending) >= _FLUSH_ROWS
        if is_long:
            self.flush()

    def missing(self, ids: Collection[bytes]) -> set[bytes]:
        """See the contract."""
        unknown = {name for name in ids if name not in self._pending}
        return unknown - self._find(unknown).keys() if unknown else unknown

    def chunks(self, ids: Sequence[bytes]) -> list[StoredChunk]:
        """See the contract."""
        found: dict[bytes, Location] = {}
        for name in ids:
            location = self._pending.get(name)
            if location is not None:
                found[name] = location
        found.update(self._find({name for name in ids if name not in found}))
        read: dict[bytes, StoredChunk] = {}
        damaged: list[bytes] = []
        for name, location in found.items():
            try:
                read[name] = self._packs.read(name, location)
            except CorruptError:
                damaged.append(name)
        if damaged:
            self.quarantine(damaged)
        return [read[name] for name in ids if name in read]

    def quarantine(self, ids: Collection[bytes]) -> None:
        """See the contract."""
        with self._pending_lock:
            for name in ids:
                self._pending.pop(name, None)
        with self._database.transaction() as db:
            db.executemany("DELETE FROM chunks WHERE id = ?", ((name,) for name in ids))

    def node(self, name: bytes) -> bytes:
        """See the contract."""
        row = self._database.reader.execute(
            "SELECT body FROM nodes WHERE name = ?", (name,)
        ).fetchone()
        if row is None:
            raise CorruptError(f"tree node {name.hex()} is missing")
        body: bytes = row[0]
        return body

    def commit(self, commit: Commit) -> None:
        """See the contract."""
        self._check_disk()
        with self._database.write_lock:
            if commit.before != self._head:
                raise StaleError("the head moved since this commit was prepared")
            rows = self._sync_pending()
            with self._database.transaction() as db:
                _insert_locations(db, rows)
                db.executemany(
                    "INSERT OR IGNORE INTO nodes (name, body) VALUES (?, ?)", commit.nodes.items()
                )
                db.executemany(
                    "DELETE FROM nodes WHERE name = ?", ((name,) for name in commit.dropped)
                )
                db.executemany(
                    "INSERT INTO feed (seq, key, was, now, via) VALUES (?, ?, ?, ?, ?)",
                    map(msgspec.structs.astuple, commit.changes),
                )
                _mark_conflicts(db, commit.conflicts)
                after = commit.after
                db.execute("REPLACE INTO roots (root, seq) VALUES (?, ?)", (after.root, after.seq))
                _write_note(db, "head", "current", msgspec.msgpack.encode(after))
            self._head = commit.after
            self._settle(rows)

    def flush(self) -> None:
        """See the contract."""
        self._check_disk()
        with self._database.write_lock:
            rows = self._sync_pending()
            if rows:
                with self._database.transaction() as db:
                    _insert_locations(db, rows)
                self._settle(rows)

    def changes(self, after: int, limit: int) -> list[Change]:
        """See the contract."""
        rows = self._database.reader.execute(
            "SELECT seq, key, was, now, via FROM feed WHERE seq > ? ORDER BY seq LIMIT ?",
            (after, limit),
        )
        return [Change(*row) for row in rows]

    def first_seq(self) -> int:
        """See the contract."""
        row = self._database.reader.execute("SELECT min(seq) FROM feed").fetchone()
        return self._head.seq + 1 if row[0] is None else int(row[0])

    def seq_of_root(self, root: bytes) -> int | None:
        """See the contract."""
        row = self._database.reader.execute(
            "SELECT seq FROM roots WHERE root = ?", (root,)
        ).fetchone()
        return None if row is None else int(row[0])

    def conflicts(self, after: bytes, limit: int) -> list[bytes]:
        """See the contract."""
        rows = self._database.reader.execute(
            "SELECT key FROM conflicts WHERE key > ? ORDER BY key LIMIT ?", (after, limit)
        )
        return [row[0] for row in rows]

    def note(self, space: str, name: str) -> bytes | None:
        """See the contract."""
        row = self._database.reader.execute(
            "SELECT value FROM notes WHERE space = ? AND name = ?", (space, name)
        ).fetchone()
        return None if row is None else bytes(row[0])

    def notes(self, space: str) -> dict[str, bytes]:
        """See the contract."""
        rows = self._database.reader.execute(
            "SELECT name, value FROM notes WHERE space = ? ORDER BY name", (space,)
        )
        return {name: bytes(value) for name, value in rows}

    def set_note(self, space: str, name: str, value: bytes | None) -> None:
        """See the contract."""
        with self._database.transaction() as db:
            if value is None:
                db.execute("DELETE FROM notes WHERE space = ? AND name = ?", (space, name))
            else:
                _write_note(db, space, name, value)

    def sizes(self) -> StoreSizes:
        """See the contract."""
        reader = self._database.reader
        chunks, stored = reader.execute(
            "SELECT count(*), coalesce(sum(stored), 0) FROM chunks"
        ).fetchone()
        pages, page_size = (
            reader.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size")
        )
        return StoreSizes(chunks=chunks, chunk_bytes=stored, metadata_bytes=pages * page_size)

    def close(self) -> None:
        """See the contract."""
        try:
            with contextlib.suppress(UnavailableError):
                self.flush()
        finally:
            self._database.close()
            self._packs.close()
            self._lock.release()

    def _find(self, ids: Collection[bytes]) -> dict[bytes, Location]:
        """Where indexed chunks lie."""
        names = list(ids)
        found: dict[bytes, Location] = {}
        for start in range(0, len(names), _BATCH):
            batch = names[start : start + _BATCH]
            marks = ",".join("?" * len(batch))
            rows = self._database.reader.execute(
                # Only question marks are put in.
                f"SELECT id, pack, at, stored, size, codec FROM chunks WHERE id IN ({marks})",  # noqa: S608
                batch,
            )
            found.update((row[0], Location(*row[1:])) for row in rows)
        return found

    def _sync_pending(self) -> dict[bytes, Location]:
        """Make the bytes of all pending chunks durable; returns the index rows they need."""
        with self._pending_lock:
            rows = dict(self._pending)
        if rows:
            try:
                self._packs.sync()
            except OSError as error:
                self._failure = f"the disk lost data it had taken ({error.strerror})"
                raise _refused(error) from error
        return rows

    def _check_disk(self) -> None:
        """Refuse to write once the disk has lost what it had taken.

        Raises:
            UnavailableError: It has; only reading what is on the disk again tells what is there.
        """
        if self._failure is not None:
            text = f"{self._failure}; nothing was changed; see to the disk, then restart the node"
            raise UnavailableError(text)

    def _settle(self, rows: dict[bytes, Location]) -> None:
        """Forget pending chunks that the index knows by now."""
        with self._pending_lock:
            for name in rows:
                self._pending.pop(name, None)

    def _read_head(self, first_head: Head) -> Head:
        stored = self.note("head", "current")
        if stored is not None:
            return msgspec.msgpack.decode(stored, type=Head)
        with self._database.transaction() as db:
            _write_note(db, "head", "current", msgspec.msgpack.encode(first_head))
            db.execute("INSERT INTO roots (root, seq) VALUES (?, ?)", (first_head.root, 0))
        return first_head

    def _open_packs(self, folder: Path) -> Packs:
        stored = self.note("packs", "end")
        newest, end = msgspec.msgpack.decode(stored, type=tuple[int, int]) if stored else (0, 0)
        return Packs(folder, newest, end)


def _refused(error: OSError) -> UnavailableError:
    return UnavailableError(f"the disk refused a write: {error.strerror}; nothing was changed")


def _insert_locations(db: sqlite3.Connection, rows: dict[bytes, Location]) -> None:
    db.executemany(
        "INSERT OR IGNORE INTO chunks (id, pack, at, stored, size, codec)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        ((name, *msgspec.structs.astuple(location)) for name, location in rows.items()),
    )
    if rows:
        end = max((location.pack, location.at + location.stored) for location in rows.values())
        _write_note(db, "packs", "end", msgspec.msgpack.encode(end))


def _mark_conflicts(db: sqlite3.Connection, conflicts: dict[bytes, bool]) -> None:
    for key, is_conflict in conflicts.items():
        if is_conflict:
            db.execute("INSERT OR IGNORE INTO conflicts (key) VALUES (?)", (key,))
        else:
            db.execute("DELETE FROM conflicts WHERE key = ?", (key,))


def _write_note(db: sqlite3.Connection, space: str, name: str, value: bytes) -> None:
    db.execute("REPLACE INTO notes (space, name, value) VALUES (?, ?, ?)", (space, name, value))
