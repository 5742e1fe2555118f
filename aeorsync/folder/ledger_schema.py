"""The tables of the ledger; who writes which is told in `ledger`."""

import sqlite3
from pathlib import Path
from typing import Final

from aeorsync.errors import CorruptError

_BUSY_MS: Final = 10_000

SCHEMA_VERSION: Final = 1
SCHEMA: Final = """
CREATE TABLE folders (
    id   INTEGER PRIMARY KEY,
    path TEXT NOT NULL UNIQUE,        -- relative to the folder, which itself is ''
    seen BLOB                         -- digest of a listing in which all is as agreed
);
CREATE TABLE entries (
    folder     INTEGER NOT NULL,
    name       TEXT NOT NULL,
    kind       INTEGER NOT NULL,      -- core.versions.Kind
    size       INTEGER NOT NULL,      -- bytes; like the next four as the disk has it
    disk_mtime INTEGER NOT NULL,      -- ns since the Unix epoch
    ctime      INTEGER NOT NULL,      -- likewise
    inode      INTEGER NOT NULL,      -- the lower 63 bits
    executable INTEGER NOT NULL,
    racy       INTEGER NOT NULL,      -- whether the next scan reads it again
    mtime      INTEGER NOT NULL,      -- ns since the Unix epoch, as both sides say
    content    BLOB NOT NULL,         -- hash of a file, target of a link
    base       TEXT NOT NULL,         -- ETag of the version
    version    TEXT NOT NULL,
    chunks     BLOB NOT NULL,         -- packed, see facts.REFERENCE; last, for it may be long
    PRIMARY KEY (folder, name)
) WITHOUT ROWID;
CREATE INDEX entries_by_content ON entries (content) WHERE kind = 2;
CREATE TABLE copies (
    folder     INTEGER NOT NULL,
    name       TEXT NOT NULL,
    kind       INTEGER NOT NULL,
    size       INTEGER NOT NULL,
    disk_mtime INTEGER NOT NULL,
    ctime      INTEGER NOT NULL,
    inode      INTEGER NOT NULL,
    executable INTEGER NOT NULL,
    path       TEXT NOT NULL,         -- whose version it is
    version    TEXT NOT NULL,
    etag       TEXT NOT NULL,
    content    BLOB NOT NULL,
    PRIMARY KEY (folder, name)
) WITHOUT ROWID;
CREATE INDEX copies_by_path ON copies (path);
CREATE TABLE pending (
    path   TEXT PRIMARY KEY,
    change BLOB NOT NULL              -- as the engine wrote it
) WITHOUT ROWID;
CREATE TABLE partials (
    path    TEXT PRIMARY KEY,
    temp    TEXT NOT NULL,            -- name of the temporary file in the folder of the path
    content BLOB NOT NULL,
    chunks  BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE notes (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
"""


def open_database(path: Path) -> sqlite3.Connection:
    """Open the file of a ledger, making it when it is not there; what is written to it lasts.

    Raises:
        CorruptError: It is of a later version.
        DatabaseError: It is damaged, no ledger, or the disk refused.
    """
    db = sqlite3.connect(
        path, timeout=_BUSY_MS / 1000, isolation_level=None, check_same_thread=False
    )
    try:
        db.execute("PRAGMA synchronous=FULL")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            db.execute("PRAGMA journal_mode=WAL")
            db.executescript(
                f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;"
            )
        _demand_version(path, db)
    except BaseException:
        db.close()
        raise
    return db


def _demand_version(path: Path, db: sqlite3.Connection) -> None:
    if db.execute("PRAGMA user_version").fetchone()[0] != SCHEMA_VERSION:
        raise CorruptError(f"{path} was written by a newer aeorsync; upgrade this one")
    db.execute("SELECT count(*) FROM notes").fetchone()
