"""What the server told about paths, as the ledger keeps it until it was taken over.

    page of /sync/diff  ->  {path: Told, or None for gone}  ->  rows that wait  ->  agreed

Every page is written down before its cursor is, so a pass that breaks off never asks again for
what it was told, and what cannot be taken over now (a name that the disk cannot hold, a direction,
a full disk) waits without being forgotten. Paths are relative to the folder (`folder.facts`).
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from aeorsync.core.hashing import HASH_SIZE, parse_ids
from aeorsync.core.reconcile import FOLDER, State
from aeorsync.core.versions import MAX_SIZE, Kind
from aeorsync.errors import BadRequestError
from aeorsync.wire import protocol
from aeorsync.wire.headers import NS_PER_MS

Chunks = bytes
"""Ids, 32 bytes each, joined, in file order."""


class Loser(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A version that stands beside the one readers see; see `wire.protocol.Loser`."""

    version: str
    etag: str
    kind: int
    deleted: bool
    content: bytes
    size: int
    chunks: Chunks
    executable: bool
    mtime_ns: int
    node: int
    updated: int


class Told(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the server shows at a path.

    Attributes:
        kind: A `Kind`, as an int.
        content: Hash of a file; target of a link in UTF-8; empty for a folder.
        size: Bytes of a file.
        chunks: Of a file.
        executable: The one mode bit that matters.
        mtime_ns: When its content changed.
        base: ETag that covers just this version; empty for a folder.
        version: Id of this version; empty for a folder.
        losers: The versions in conflict with it.
    """

    kind: int
    content: bytes = b""
    size: int = 0
    chunks: Chunks = b""
    executable: bool = False
    mtime_ns: int = 0
    base: str = ""
    version: str = ""
    losers: tuple[Loser, ...] = ()

    @property
    def state(self) -> State:
        """For `core.reconcile`."""
        match Kind(self.kind):
            case Kind.DIRECTORY:
                return FOLDER
            case Kind.SYMLINK:
                return State(Kind.SYMLINK, self.content)
            case Kind.FILE:
                return State(Kind.FILE, self.content, self.executable, self.mtime_ns)


class Scope(NamedTuple):
    """Where on the server the folder is: ``""`` for all of it, or ``/a/b``."""

    prefix: str

    @classmethod
    def of(cls, path: str) -> "Scope":
        """The scope of a path, with or without slashes at its ends."""
        inner = path.strip("/")
        return cls(f"/{inner}" if inner else "")

    def absolute(self, path: str) -> str:
        """The server's name of a path of the folder."""
        return f"{self.prefix}/{path}" if path else self.prefix or "/"

    def relative(self, path: str) -> str | None:
        """The folder's name of a path of the server; None for what lies outside of it."""
        if path == self.prefix:
            return ""
        head = f"{self.prefix}/"
        return path[len(head) :] if path.startswith(head) else None

    @property
    def globs(self) -> list[str] | None:
        """What to ask the server for; None for everything."""
        if not self.prefix:
            return None
        escaped = "".join(f"\\{char}" if char in _SPECIAL else char for char in self.prefix)
        return [escaped, f"{escaped}/**"]


_SPECIAL: Final = frozenset("*?[]{}!\\,^-")
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Told)


def encode(told: Told | None) -> bytes:
    """The bytes of a row; empty for what is gone."""
    return b"" if told is None else _encoder.encode(told)


def decode(row: bytes) -> Told | None:
    """Read back what `encode` wrote."""
    return _decoder.decode(row) if row else None


def read_page(page: protocol.DiffReply, scope: Scope) -> dict[str, Told | None]:
    """What a page tells about paths inside of the scope.

    Raises:
        BadRequestError: It is not what any server of ours tells, or the scope is no folder.
    """
    found: dict[str, Told | None] = {}
    changes = page.changes
    for gone in (changes.files_deleted, changes.symlinks_deleted, changes.directories_deleted):
        found.update((path, None) for path in _paths(gone, scope))
    # Where a kind changed both are told, and what is there now is right.
    found.update((path, _FOLDER) for path in _paths(changes.directories_added, scope))
    for file in (*changes.files_added, *changes.files_modified):
        path = scope.relative(file.path)
        if path is not None:
            found[path] = _file(file)
    for link in (*changes.symlinks_added, *changes.symlinks_modified):
        path = scope.relative(link.path)
        if path is not None:
            found[path] = _link(link)
    top = found.pop("", None)
    if top is not None and top.kind != Kind.DIRECTORY:
        raise BadRequestError(f"{scope.absolute('')} is not a folder on the server")
    return found


_FOLDER: Final = Told(Kind.DIRECTORY)


def _paths(some: Sequence[protocol.PathOnly], scope: Scope) -> Iterator[str]:
    for item in some:
        path = scope.relative(item.path)
        if path is not None:
            yield path


def _file(file: protocol.FileAdded) -> Told:
    if file.content_hash is None or file.version is None:
        raise BadRequestError("the server tells of files without their hashes: it is too old")
    return Told(
        Kind.FILE,
        _hash(file.content_hash),
        _whole(file.size),
        _ids(file),
        file.executable or False,
        _mtime(file),
        file.base or file.etag or "",
        file.version,
        tuple(map(_loser, file.losers)),
    )


def _link(link: protocol.LinkAdded) -> Told:
    return Told(
        Kind.SYMLINK,
        link.target.encode(),
        mtime_ns=_mtime(link),
        base=link.base or link.etag or "",
        version=link.version or "",
        losers=tuple(map(_loser, link.losers)),
    )


def _mtime(change: protocol.FileAdded | protocol.LinkAdded) -> int:
    ms = change.mtime or 0
    return _whole(ms * NS_PER_MS if change.mtime_ns is None else change.mtime_ns, -MAX_SIZE)


def _whole(number: int, least: int = 0) -> int:
    """A number that can be meant, and that a disk and a database can hold."""
    if not least <= number < MAX_SIZE:
        raise BadRequestError("the server tells of a size or a time that cannot be")
    return number


_KINDS: Final = {"file": Kind.FILE, "symlink": Kind.SYMLINK, "directory": Kind.DIRECTORY}


def _loser(loser: protocol.Loser) -> Loser:
    kind = _KINDS.get(loser.kind)
    if kind is None:
        raise BadRequestError(f"the server tells of a {loser.kind}, which is nothing we know")
    is_link = kind is Kind.SYMLINK
    return Loser(
        loser.version,
        loser.etag,
        kind,
        loser.deleted,
        loser.target.encode() if is_link else _hash(loser.content_hash),
        _whole(loser.size),
        _ids(loser),
        loser.executable,
        _whole(loser.mtime_ns, -MAX_SIZE),
        _whole(loser.node_id),
        _whole(loser.updated_at),
    )


def _ids(some: protocol.FileAdded | protocol.Loser) -> bytes:
    """The chunks of a file, joined."""
    return b"".join(parse_ids(some.chunk_ids)) or _join(some.chunk_hashes)


def _join(hashes: list[str]) -> bytes:
    try:
        joined = bytes.fromhex("".join(hashes))
    except ValueError as error:
        raise BadRequestError("the server tells of chunks by no hashes") from error
    if len(joined) != HASH_SIZE * len(hashes):
        raise BadRequestError("the server tells of chunks by hashes of a wrong length")
    return joined


def _hash(text: str) -> bytes:
    return _join([text]) if text else b""
