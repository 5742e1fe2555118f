"""A set of ids that may be large and need not last: kept in a temporary file, not in memory.

The file has no name, so it is gone with the process. Each id has the time it was last added at.
Safe from any thread.
"""

import sqlite3
import threading
from collections.abc import Collection, Iterable

from aeorsync.storage.marks import batches


class IdSet:
    """Ids, each with a time in milliseconds since the Unix epoch."""

    def __init__(self) -> None:
        """Make an empty one."""
        self._lock = threading.Lock()
        # An empty name is a temporary database; it takes to the disk what outgrows its cache.
        self._base = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for setting in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-1024"):
            self._base.execute(f"PRAGMA {setting}")
        self._base.execute("CREATE TABLE ids (id BLOB PRIMARY KEY, at INTEGER) WITHOUT ROWID")

    def add(self, ids: Iterable[bytes], at_ms: int) -> None:
        """Add ids; the time of those that are in it already moves on."""
        with self._lock:
            self._base.execute("BEGIN")
            self._base.executemany(
                "REPLACE INTO ids (id, at) VALUES (?, ?)", ((name, at_ms) for name in ids)
            )
            self._base.execute("COMMIT")

    def found(self, ids: Collection[bytes], since_ms: int = 0) -> set[bytes]:
        """Those that are in it, and were added at ``since_ms`` or later."""
        found: set[bytes] = set()
        with self._lock:
            for marks, batch in batches(ids):
                rows = self._base.execute(
                    f"SELECT id FROM ids WHERE at >= ? AND id IN ({marks})",  # noqa: S608 - marks
                    (since_ms, *batch),
                )
                found.update(row[0] for row in rows)
        return found

    def forget(self, before_ms: int) -> None:
        """Take out what was last added before a moment."""
        with self._lock:
            self._base.execute("DELETE FROM ids WHERE at < ?", (before_ms,))

    def __len__(self) -> int:
        with self._lock:
            (count,) = self._base.execute("SELECT count(*) FROM ids").fetchone()
        return int(count)

    def __del__(self) -> None:
        # Gives the file back when the last who uses it lets go.
        if hasattr(self, "_base"):
            self._base.close()
