"""The rows of the embedded store that are no bytes: feed, roots, conflicts, notes."""

from aeorsync.storage.base import Change, Head
from aeorsync.storage.database import Database
from aeorsync.storage.rows import write_note


class Records:
    """A part of `storage.embedded.EmbeddedStore`, which says what the methods promise."""

    _database: Database
    _head: Head

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
                write_note(db, space, name, value)

    def trim_feed(self, upto: int) -> None:
        """See the contract."""
        with self._database.transaction() as db:
            db.execute("DELETE FROM feed WHERE seq <= ?", (upto,))
            # From the root at ``upto`` itself the rows that are left lead on.
            db.execute("DELETE FROM roots WHERE seq < ?", (upto,))
