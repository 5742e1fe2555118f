"""What the disk side says about paths, as values.

A *path* is relative to the folder, ``a/b``, without a slash at either end; the folder itself is
the empty text. It has passed `names.flaw`.

A *fingerprint* is what `stat` tells of an entry: equal fingerprints mean that nothing was changed
since, so that nothing has to be read again (`is_racy` says when that cannot be known yet). Those
of folders are all equal: what happens inside is not their change.
"""

import os
import stat
import struct
from collections.abc import Iterator
from enum import Enum
from typing import Final, NamedTuple

import msgspec

from aeorsync.core.hashing import HASH_SIZE
from aeorsync.core.reconcile import FOLDER as FOLDER_STATE
from aeorsync.core.reconcile import State
from aeorsync.core.versions import Kind

REFERENCE: Final = struct.Struct(f">{HASH_SIZE}sI")
"""One entry of a packed chunk list: its id, its size in bytes."""

SURE_NS: Final = 20_000_000
"""No clock of a file system is coarser, unless it counts in seconds."""
_COARSE_NS: Final = 2_100_000_000
_SECOND_NS: Final = 1_000_000_000
_DAY_NS: Final = 86_400 * _SECOND_NS
_LARGEST: Final = (1 << 63) - 1
_TYPE: Final = 0o170000
_KINDS: Final = {
    stat.S_IFREG: Kind.FILE,
    stat.S_IFDIR: Kind.DIRECTORY,
    stat.S_IFLNK: Kind.SYMLINK,
}


class Fingerprint(NamedTuple):
    """How an entry looks from outside.

    Attributes:
        kind: What it is.
        size: Bytes of a file or of a link's target.
        mtime_ns: When its content changed, nanoseconds since the Unix epoch.
        ctime_ns: When anything about it changed; cannot be set by hand.
        inode: Which object of the file system it is.
        executable: Whether its owner may run it; of files only.
    """

    kind: Kind
    size: int = 0
    mtime_ns: int = 0
    ctime_ns: int = 0
    inode: int = 0
    executable: bool = False

    @classmethod
    def of(cls, found: os.stat_result) -> "Fingerprint | None":
        """The fingerprint of what was found; None for a pipe, a socket or a device."""
        return cls.of_look(
            found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino
        )

    @classmethod
    def of_look(
        cls, mode: int, size: int, mtime_ns: int, ctime_ns: int, inode: int
    ) -> "Fingerprint | None":
        """Likewise of the numbers alone."""
        kind = _KINDS.get(mode & _TYPE)
        if kind is None:
            return None
        if kind is Kind.DIRECTORY:
            return FOLDER
        # A time after the year 2262 stands for the last one that a ledger or a server can name.
        mtime_ns = min(_LARGEST, mtime_ns)
        ctime_ns = min(_LARGEST, ctime_ns)
        executable = kind is Kind.FILE and mode & stat.S_IXUSR != 0
        return cls(kind, size, mtime_ns, ctime_ns, inode & _LARGEST, executable)

    def is_like(self, other: "Fingerprint") -> bool:
        """Whether both are the same, but for the ctime, which our own renames move."""
        return self[:3] == other[:3] and self[4:] == other[4:]

    def is_racy(self, now_ns: int) -> bool:
        """Whether a change at ``now_ns`` or later might leave the fingerprint as it is.

        So it is when it changed so lately that the clock of the file system may not have moved
        on since. The mtime says nothing: anybody may set it.
        """
        return is_young(self.ctime_ns, now_ns)

    def is_racy_when_placed(self, now_ns: int) -> bool:
        """Likewise of a file that we put there just now: whoever writes to it moves its mtime."""
        return is_young(self.mtime_ns, now_ns)


def is_young(time_ns: int, since_ns: int) -> bool:
    """Whether a time may be that of something that happened after another.

    One that is a day ahead is not: a clock was set back, and what happens now gets another time.
    """
    grain = SURE_NS if time_ns % _SECOND_NS else _COARSE_NS
    return since_ns - grain < time_ns < since_ns + _DAY_NS


FOLDER: Final = Fingerprint(Kind.DIRECTORY)
NOWHERE: Final = Fingerprint(Kind.FILE)
"""Of what was never seen: no file has this inode."""


class Content(NamedTuple):
    """The bytes of a file, by their names.

    Attributes:
        hash: Of the whole file (`core.hashing.content_hash`).
        size: Bytes.
        chunks: In file order, packed; see `references`.
    """

    hash: bytes
    size: int
    chunks: bytes


class Place(NamedTuple):
    """Where one chunk of a file lies."""

    id: bytes
    start: int
    size: int


def pack(references: Iterator[tuple[bytes, int]]) -> bytes:
    """A chunk list in the form the ledger keeps: of the ids and the sizes in bytes."""
    return b"".join(REFERENCE.pack(name, size) for name, size in references)


def places(chunks: bytes) -> Iterator[Place]:
    """The chunks of a packed list, in file order."""
    start = 0
    for name, size in REFERENCE.iter_unpack(chunks):
        yield Place(name, start, size)
        start += size


class Agreed(msgspec.Struct, frozen=True):
    """What both sides last had at a path.

    Attributes:
        fingerprint: How it looked on the disk.
        mtime_ns: When its content changed, as both sides say; a disk may keep it less exactly
            than the fingerprint has it.
        content: Hash of a file, target of a link in UTF-8; empty for a folder.
        chunks: A file's packed chunk list; empty when it is not known.
        base: ETag of just the version, with its quotes; empty for a folder.
        version: Id of the version on the server; empty for a folder.
        is_racy: Whether the next scan has to read it again (`Fingerprint.is_racy`).
    """

    fingerprint: Fingerprint
    mtime_ns: int = 0
    content: bytes = b""
    chunks: bytes = b""
    base: str = ""
    version: str = ""
    is_racy: bool = False

    @property
    def kind(self) -> Kind:
        """What it is."""
        return self.fingerprint.kind

    @property
    def state(self) -> State:
        """For `core.reconcile`."""
        match self.kind:
            case Kind.DIRECTORY:
                return FOLDER_STATE
            case Kind.SYMLINK:
                return State(Kind.SYMLINK, self.content)
            case Kind.FILE:
                executable = self.fingerprint.executable
                return State(Kind.FILE, self.content, executable, self.mtime_ns)


class Copy(msgspec.Struct, frozen=True):
    """A losing version of a path, shown as a file beside it; the tree knows nothing of it.

    Attributes:
        path: The path whose version it is.
        version: Id of the version on the server.
        etag: Covers just that version, with its quotes.
        content: Hash of the version's bytes, or target of a link.
        fingerprint: How the file looked when it was written; `NOWHERE` when it is about to be.
    """

    path: str
    version: str
    etag: str
    content: bytes
    fingerprint: Fingerprint

    @property
    def is_announced(self) -> bool:
        """Whether it was about to be written, and nobody knows what came of it."""
        return self.fingerprint == NOWHERE


class Found(msgspec.Struct, frozen=True):
    """A path that is not as agreed.

    Attributes:
        path: Which.
        fingerprint: How it looks now; None when it is gone.
        was: What was agreed; None for what is new.
        content: Of a file.
        target: Of a link.
        copy: When the path is a conflict copy: which one it was.
        is_racy: Whether what is recorded of it has to be `Agreed.is_racy`.
        is_unread: A file whose content is known to be another one than agreed, and no more: it is
            read when it is sent.
    """

    path: str
    fingerprint: Fingerprint | None
    was: Agreed | None = None
    content: Content | None = None
    target: str = ""
    copy: Copy | None = None
    is_racy: bool = False
    is_unread: bool = False

    @property
    def mtime_ns(self) -> int:
        """When the content changed; what was agreed, unless the disk says otherwise."""
        if self.fingerprint is None or self.fingerprint.kind is Kind.DIRECTORY:
            return 0
        if self.was and self.was.fingerprint.mtime_ns == self.fingerprint.mtime_ns:
            # The disk may keep times less exactly than both sides agreed on.
            return self.was.mtime_ns
        return self.fingerprint.mtime_ns

    @property
    def state(self) -> State | None:
        """For `core.reconcile`."""
        if self.fingerprint is None:
            return None
        match self.fingerprint.kind:
            case Kind.DIRECTORY:
                return FOLDER_STATE
            case Kind.SYMLINK:
                return State(Kind.SYMLINK, self.target.encode())
            case Kind.FILE:
                content = b"" if self.content is None else self.content.hash
                return State(Kind.FILE, content, self.fingerprint.executable, self.mtime_ns)


class Flaw(Enum):
    """Why a path was left out; the value is its word for programs."""

    UNREADABLE = "unreadable"
    CHANGING = "changing"
    SPECIAL = "special"
    NAME = "name"
    DISK = "disk"


class Trouble(msgspec.Struct, frozen=True):
    """A path that was left out; the rest went on, and nothing was lost.

    Attributes:
        path: Which, fit for print; empty for the folder as a whole.
        flaw: Kind.
        message: What happened, what was kept, what to do.
    """

    path: str
    flaw: Flaw
    message: str


def inode(found: os.stat_result) -> int:
    """Which object of the file system it is, as a number that a ledger can hold."""
    return found.st_ino & _LARGEST


def printable(path: str) -> str:
    """A path fit for a terminal and a log, whatever is in its name."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in path)


def parent(path: str) -> str:
    """The folder that holds a path; the folder's own is itself."""
    return path.rpartition("/")[0]


def name(path: str) -> str:
    """The last component; the folder's own is empty."""
    return path.rpartition("/")[2]


def join(folder: str, name: str) -> str:
    """The path of an entry of a folder."""
    return f"{folder}/{name}" if folder else name


def ways(path: str) -> Iterator[str]:
    """A path and the folders above it, nearest first, without the folder itself."""
    while path:
        yield path
        path = parent(path)


def is_inside(path: str, folder: str) -> bool:
    """Whether a path is ``folder`` or lies anywhere beneath it."""
    return not folder or path == folder or path.startswith(folder + "/")
