"""Rows of the ledger as values, and values as rows."""

from typing import Any, Final, TypeAlias

import msgspec

from aeorsync.core.versions import Kind
from aeorsync.folder.facts import Agreed, Copy, Fingerprint

ROWS: Final = (
    "SELECT name, kind, size, disk_mtime, ctime, inode, executable, racy"
    " FROM entries WHERE folder = ? AND name >= ?"
)
ROWS_TO: Final = ROWS + " AND name <= ?"
COPIES: Final = "SELECT folders.path, copies.* FROM copies JOIN folders ON id = folder"
COPIES_IN: Final = COPIES + " WHERE folder = ?"
COPIES_OF: Final = COPIES + " WHERE copies.path = ?"
_KINDS: Final = {int(kind): kind for kind in Kind}
Row: TypeAlias = tuple[str, int, int, int, int, int, int, int]
"""A name, its fingerprint, whether it is racy: what a scan compares."""


class Part(msgspec.Struct, frozen=True):
    """A download that was interrupted.

    Attributes:
        path: What it will be.
        temp: Name of the temporary file, in the folder of ``path``.
        content: Hash of the whole file.
        chunks: Packed list of all its chunks.
    """

    path: str
    temp: str
    content: bytes
    chunks: bytes


def subtree(path: str) -> tuple[str, tuple[object, ...]]:
    """The query for id and path of a folder and all folders below it."""
    if not path:
        return "SELECT id, path FROM folders ORDER BY path", ()
    # '0' is the character after '/'.
    return (
        "SELECT id, path FROM folders WHERE path = ? OR (path > ? AND path < ?) ORDER BY path",
        (path, path + "/", path + "0"),
    )


def columns(entry: Agreed) -> tuple[object, ...]:
    """The columns of a path, after folder and name."""
    return (
        *entry.fingerprint,
        entry.is_racy,
        entry.mtime_ns,
        entry.content,
        entry.base,
        entry.version,
        entry.chunks,
    )


def to_agreed(row: tuple[Any, ...]) -> Agreed:
    """What the columns of a path hold, from its name on."""
    _, *print_, racy, mtime, content, base, version, chunks = row
    return Agreed(to_fingerprint(*print_), mtime, content, chunks, base, version, bool(racy))


def to_copy(row: tuple[Any, ...]) -> Copy:
    """What the columns of a conflict copy hold, after its name."""
    *print_, path, version, etag, content = row
    return Copy(path, version, etag, content, to_fingerprint(*print_))


def to_fingerprint(
    kind: int, size: int, mtime: int, ctime: int, inode: int, executable: int
) -> Fingerprint:
    """The fingerprint that a row holds."""
    return Fingerprint(_KINDS[kind], size, mtime, ctime, inode, bool(executable))
