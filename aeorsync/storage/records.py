"""The rows of the embedded store that are no bytes: feed, roots, conflicts, notes, the index."""

from collections.abc import Collection, Iterator
from typing import Any, Literal

from aeorsync.storage.base import Change, ChunkRow, Head
from aeorsync.storage.database import Database
from aeorsync.storage.marks import batches
from aeorsync.storage.rows import write_note
from aeorsync.storage.sums import check_note


class Records:
    """A part of `storage.embedded.EmbeddedStore`, which says what the methods promise."""

    _database: Database
    _head: Head

    def changes(self, after: int, limit: int) -> list[Change]:
        """See the contract."""
        rows = self._database.typed(
            (int, bytes, int, int, int),
            "SELECT seq, key, was, now, via FROM feed WHERE seq > ? ORDER BY seq LIMIT ?",
            (after, limit),
        )
        return [Change(*row) for row in rows]

    def first_seq(self) -> int:
        """See the contract."""
        (row,) = self._database.rows("SELECT min(seq) FROM feed")
        return self._head.seq + 1 if row[0] is None else int(row[0])

    def seq_of_root(self, root: bytes) -> int | None:
        """See the contract."""
        rows = self._database.typed((int,), "SELECT seq FROM roots WHERE root = ?", (root,))
        return int(rows[0][0]) if rows else None

    def conflicts(self, after: bytes, limit: int) -> list[bytes]:
        """See the contract."""
        rows = self._database.typed(
            (bytes,),
            "SELECT key FROM conflicts WHERE key > ? ORDER BY key LIMIT ?",
            (after, limit),
        )
        return [row[0] for row in rows]

    def note(self, space: str, name: str) -> bytes | None:
        """See the contract."""
        rows = self._database.rows(
            "SELECT value, sum FROM notes WHERE space = ? AND name = ?", (space, name)
        )
        return check_note(space, name, *rows[0]) if rows else None

    def notes(self, space: str) -> dict[str, bytes]:
        """See the contract."""
        rows = self._database.rows(
            "SELECT name, value, sum FROM notes WHERE space = ? ORDER BY name", (space,)
        )
        return {name: check_note(space, name, value, kept) for name, value, kept in rows}

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

    def node_names(self, after: bytes, limit: int) -> list[bytes]:
        """See the contract."""
        rows = self._database.typed(
            (bytes,),
            "SELECT name FROM nodes WHERE name > ? ORDER BY name LIMIT ?",
            (after, limit),
        )
        return [row[0] for row in rows]

    def chunk_rows(self, after: bytes, limit: int) -> list[ChunkRow]:
        """See the contract."""
        rows = self._database.typed(
            (bytes, int, int, int),
            "SELECT id, stored, size, touched FROM chunks WHERE id > ? ORDER BY id LIMIT ?",
            (after, limit),
        )
        return [ChunkRow(*row) for row in rows]

    def _rows(
        self,
        columns: str,
        names: Collection[bytes],
        table: Literal["chunks", "nodes"] = "chunks",
        *,
        types: tuple[type, ...],
    ) -> Iterator[tuple[Any, ...]]:
        """Some columns of the rows that go by these names."""
        key = "id" if table == "chunks" else "name"
        for marks, batch in batches(names):
            # What is put in are names of ours and question marks.
            yield from self._database.typed(
                types,
                f"SELECT {columns} FROM {table} WHERE {key} IN ({marks})",  # noqa: S608
                batch,
            )
