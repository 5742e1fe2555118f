"""The SQLite file of the embedded store: schema, connections, settings.

WAL with ``synchronous=FULL``: a commit is on disk when it returns. One connection writes, under
`Database.write_lock`; each reading thread has a connection of its own.
"""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from aeorsync.errors import AeorError, CorruptError, UnavailableError

SCHEMA_VERSION = 3
_PAGE_SIZE = 8192
_BUSY_MS = 10_000
_PASSING: Final = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_AUTH,
}
"""Errors after which the file is as good as before."""
_SCHEMA = """
-- Tree nodes of the current trees and of whoever still reads older ones.
CREATE TABLE nodes (
    number INTEGER PRIMARY KEY,
    name   BLOB NOT NULL UNIQUE,      -- core.hashing.node_id of the body
    born   INTEGER NOT NULL,          -- seq of the commit that made it
    body   BLOB NOT NULL,
    sum    INTEGER                    -- of name and born; all sums: storage.sums
);
-- Where each chunk lies in the packs.
CREATE TABLE chunks (
    id     BLOB PRIMARY KEY,          -- core.hashing.chunk_id of the plain bytes
    pack   INTEGER NOT NULL,
    at     INTEGER NOT NULL,          -- offset of the stored bytes, in bytes
    stored INTEGER NOT NULL,          -- stored bytes
    size   INTEGER NOT NULL,          -- plain bytes
    touched INTEGER NOT NULL,         -- last put or said to be held, ms since the Unix epoch
    codec  INTEGER NOT NULL           -- 0 plain, 1 zstd
) WITHOUT ROWID;
-- This node's numbered changes, oldest first, without gaps.
CREATE TABLE feed (
    seq INTEGER PRIMARY KEY,
    key BLOB NOT NULL,
    was INTEGER NOT NULL,             -- kind before, 0 for nothing
    now INTEGER NOT NULL,             -- kind after, 0 for nothing
    sum INTEGER,
    via INTEGER NOT NULL              -- node this very state came from, 0 for here
);
-- At which seq a live root was last current: turns a peer's root into a place in the feed.
CREATE TABLE roots (
    root BLOB PRIMARY KEY,
    seq  INTEGER NOT NULL,
    sum  INTEGER
) WITHOUT ROWID;
CREATE TABLE conflicts (key BLOB PRIMARY KEY) WITHOUT ROWID;
-- Node-local records: the head, links, cursors, settings.
CREATE TABLE notes (
    space TEXT NOT NULL,
    name  TEXT NOT NULL,
    value BLOB NOT NULL,
    sum   INTEGER,
    PRIMARY KEY (space, name)
) WITHOUT ROWID;
"""


# What brings a file of each older version one version further.
_STEPS = {
    1: """
ALTER TABLE nodes ADD COLUMN born INTEGER NOT NULL DEFAULT 0;
ALTER TABLE chunks ADD COLUMN touched INTEGER NOT NULL DEFAULT 0;
""",
    2: """
ALTER TABLE nodes ADD COLUMN sum INTEGER;
ALTER TABLE feed ADD COLUMN sum INTEGER;
ALTER TABLE roots ADD COLUMN sum INTEGER;
ALTER TABLE notes ADD COLUMN sum INTEGER;
""",
}


REMEDY: Final = (
    "nothing was changed. Restore from a peer: move the data folder away and start with an empty"
    " one and --join; or put a backup of the whole folder back"
)


_READER_KIB: Final = 256
"""Pages that each reading thread holds: there are many, the system has the pages as well, and
what is read again and again is held decoded."""


class Database:
    """Connections to one SQLite file."""

    def __init__(self, path: Path) -> None:
        """Open the file, making it with an empty schema when it is new.

        Raises:
            CorruptError: The file is no database of ours, or of a later version.
            UnavailableError: The disk does not let us.
        """
        self._path = path
        self._per_thread = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self._readers_lock = threading.Lock()
        self.write_lock = threading.RLock()
        try:
            self.writer = self._connect()
            self._prepare()
        except sqlite3.Error as error:
            problem = _problem(error, "open the database")
            raise type(problem)(f"{path}: {problem.message}") from error

    @property
    def reader(self) -> sqlite3.Connection:
        """This thread's reading connection."""
        connection: sqlite3.Connection | None = getattr(self._per_thread, "connection", None)
        if connection is None:
            connection = self._connect()
            connection.execute("PRAGMA query_only=ON")
            connection.execute(f"PRAGMA cache_size=-{_READER_KIB}")
            self._per_thread.connection = connection
            with self._readers_lock:
                self._readers.append(connection)
        return connection

    def rows(self, query: str, values: Sequence[object] = ()) -> list[Any]:
        """What a query finds, read to the end.

        Raises:
            CorruptError: The file is damaged there.
            UnavailableError: The disk cannot read it now, or there are no more files to open.
        """
        try:
            return self.reader.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise _problem(error, "read the database") from error

    def typed(
        self, types: tuple[type, ...], query: str, values: Sequence[object] = ()
    ) -> list[Any]:
        """Like `rows`; each column is of a type, which a damaged page need not be true to.

        Raises:
            CorruptError: The file is damaged there.
            UnavailableError: As `rows`.
        """
        found = self.rows(query, values)
        for row in found:
            if tuple(map(type, row)) != types:
                raise CorruptError(f"the database is damaged (a value of a wrong type); {REMEDY}")
        return found

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Write in one durable transaction; rolled back when the block raises.

        Raises:
            UnavailableError: The disk refused; nothing was changed.
            CorruptError: The file is damaged; likewise.
        """
        with self.write_lock:
            try:
                self.writer.execute("BEGIN IMMEDIATE")
                yield self.writer
                self.writer.execute("COMMIT")
            except BaseException as error:
                if self.writer.in_transaction:
                    self.writer.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error):
                    raise _problem(error) from error
                raise

    def close(self) -> None:
        """Close every connection; the last one folds the write-ahead log into the file."""
        with self._readers_lock:
            while self._readers:
                self._readers.pop().close()
        self.writer.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path,
            timeout=_BUSY_MS / 1000,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA temp_store=MEMORY")
        return connection

    def _prepare(self) -> None:
        version = self.writer.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            self.writer.execute(f"PRAGMA page_size={_PAGE_SIZE}")
            self.writer.execute("PRAGMA journal_mode=WAL")
            self.writer.executescript(
                f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;"
            )
        elif version > SCHEMA_VERSION:
            raise CorruptError(f"{self._path} was written by a newer aeorsync; upgrade this one")
        else:
            for old in range(version, SCHEMA_VERSION):
                self.writer.executescript(
                    f"BEGIN IMMEDIATE; {_STEPS[old]} PRAGMA user_version={old + 1}; COMMIT;"
                )
        self.writer.execute("PRAGMA wal_autocheckpoint=2000")


def _problem(error: sqlite3.Error, doing: str | None = None) -> AeorError:
    """What SQLite says, as an error of ours, which callers may read: it names no file.

    Args:
        error: Its own.
        doing: What could not be done; None when it was a write.
    """
    if (getattr(error, "sqlite_errorcode", 0) & 0xFF) not in _PASSING:
        return CorruptError(f"the database is damaged ({error}); {REMEDY}")
    if doing is None:
        return UnavailableError(f"the disk refused a write: {error}; nothing was changed")
    return UnavailableError(f"the disk does not let us {doing} now: {error}; nothing was lost")
