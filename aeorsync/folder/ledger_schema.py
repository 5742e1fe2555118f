"""The tables of the ledger; who writes which is told in `ledger`."""

from typing import Final

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
