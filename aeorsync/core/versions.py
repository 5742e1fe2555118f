"""Versions of a path, their causal history, and the entry that holds them.

A *version* is one state of one path. Its *dot* ``(incarnation, n)`` names it for ever; its
*vector* says which other versions its writer had seen. Version *a* is an ancestor of *b* iff
a's dot is covered by b's vector. A version's own dot is never inside its own vector, so two
writes from the same old base through one node stay concurrent.

An *entry* is the set of maximal versions of a path: none is an ancestor of another.

Rules that every version made here keeps, and that `check_version` demands of a peer's:

1. The dot is not covered by the version's own vector.
2. Vectors are *closed*: whoever covers a version covers all that version covered. A writer's
   context is always that of a whole entry (`Entry.context`), never of a single dot.
3. ``refs`` lists whole 40-byte references, and their sizes add up to ``size``.

An entry has one spelling in bytes (`encode_entry`), for trees are compared by hashes.
"""

from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import TypeAlias

import msgspec

from aeorsync.core.clock import MAX_STAMP, wall_ms
from aeorsync.errors import UNREADABLE, BadRequestError

Dot: TypeAlias = tuple[int, int]
"""(incarnation u64, n >= 1): names one version for ever."""

Vector: TypeAlias = tuple[tuple[int, int], ...]
"""(incarnation, highest n seen), strictly sorted by incarnation."""

HASH_SIZE = 32
REF_SIZE = 40
MAX_REFS = 64
"""References kept inline; longer lists live in a manifest (`core.manifest`)."""
MAX_DEPTH = 4
MAX_SIZE = 1 << 62
MAX_TARGET = 4096
MAX_CONTENT_TYPE = 255
MAX_VECTOR = 4096
MAX_VERSIONS = 4096
"""Concurrent versions one entry may hold; a client may pile up 64 on each node."""
_U64 = 1 << 64


class Kind(IntEnum):
    """What a path is. The numbers are the wire's ``entry_type``."""

    FILE = 2
    DIRECTORY = 3
    SYMLINK = 8


class Content(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The bytes of a file.

    Attributes:
        hash: BLAKE3-256 of the whole file, no prefix.
        size: Bytes in the whole file.
        depth: Manifest levels between ``refs`` and the data; 0 when refs name data chunks.
        refs: Concatenated references, each a chunk id (32 bytes) and the number of file bytes
            below it (u64 big-endian), in file order.
    """

    hash: bytes
    size: int
    depth: int = 0
    refs: bytes = b""


class Version(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One state of one path. A deletion keeps the content it deleted, for undelete.

    Attributes:
        kind: A `Kind`, as an int.
        deleted: Whether this version is a deletion.
        content: Bytes of a file; hash of the target for a symlink; empty for a directory.
        target: Where a symlink points, verbatim; empty otherwise.
        content_type: Media type of a file; empty when unknown.
        executable: The one mode bit that matters.
        mtime: Nanoseconds since the Unix epoch as the writer stated, may be negative.
        created: Milliseconds since the Unix epoch when the path first came to be.
        stamp: Hybrid logical clock: ``wall_ms << 16 | tick``. Ranks concurrent versions only.
        node: Id of the accepting node; breaks ties and is shown to people.
        incarnation: First half of the dot.
        n: Second half of the dot.
        vector: What the writer had seen, without this version's own dot.
        base: Content hash this was edited from; empty for a new path.
    """

    kind: int
    deleted: bool
    content: Content
    target: str
    content_type: str
    executable: bool
    mtime: int
    created: int
    stamp: int
    node: int
    incarnation: int
    n: int
    vector: Vector = ()
    base: bytes = b""

    @property
    def dot(self) -> Dot:
        """The name of this version."""
        return (self.incarnation, self.n)

    @property
    def id(self) -> str:
        """The dot as text: ``<incarnation hex>-<n hex>``."""
        return f"{self.incarnation:x}-{self.n:x}"

    @property
    def updated(self) -> int:
        """When it was accepted, in milliseconds since the Unix epoch."""
        return wall_ms(self.stamp)

    @property
    def rank(self) -> tuple[bool, int, int, int, int]:
        """Sort key: the highest among concurrent versions is the one readers see."""
        return (not self.deleted, self.stamp, self.node, self.incarnation, self.n)


NO_CONTENT = Content(hash=b"", size=0)


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The concurrent versions of a path, usually one, sorted by dot."""

    versions: tuple[Version, ...]

    @property
    def context(self) -> Vector:
        """All that a reader of this entry has seen."""
        if len(self.versions) == 1:
            version = self.versions[0]
            if not version.vector:
                return ((version.incarnation, version.n),)
        seen: dict[int, int] = {}
        for version in self.versions:
            for incarnation, n in (*version.vector, version.dot):
                if seen.get(incarnation, 0) < n:
                    seen[incarnation] = n
        return tuple(sorted(seen.items()))

    def version(self, version_id: str) -> Version | None:
        """The version with this id, if the entry holds it."""
        return next((v for v in self.versions if v.id == version_id), None)


def covers(vector: Vector, dot: Dot) -> bool:
    """Whether ``vector`` has seen the version that ``dot`` names."""
    incarnation, n = dot
    # No generator: joining and checking ask this more often than anything else.
    for seen, upto in vector:  # noqa: SIM110
        if seen == incarnation and upto >= n:
            return True
    return False


_encoder = msgspec.msgpack.Encoder()
_entry_decoder = msgspec.msgpack.Decoder(Entry)


def encode_entry(entry: Entry) -> bytes:
    """The canonical bytes of an entry: equal entries, and only they, have equal bytes."""
    return _encoder.encode(entry)


def decode_entry(data: bytes) -> Entry:
    """Read back what `encode_entry` wrote; for bytes this node stored itself."""
    return _entry_decoder.decode(data)


def parse_entry(data: bytes) -> Entry:
    """Read an entry that a peer sent, and check every rule of this module.

    Raises:
        BadRequestError: It is not an entry, or breaks a rule.
    """
    try:
        entry = _entry_decoder.decode(data)
    except UNREADABLE as error:
        raise BadRequestError(f"not an entry: {error}") from error
    if not 1 <= len(entry.versions) <= MAX_VERSIONS:
        raise BadRequestError(f"an entry holds 1 to {MAX_VERSIONS} versions")
    for version in entry.versions:
        check_version(version)
    if len(entry.versions) > 1:
        _check_beside(entry.versions)
    if encode_entry(entry) != data:
        raise BadRequestError("the bytes of an entry are not canonical")
    return entry


def _check_beside(versions: tuple[Version, ...]) -> None:
    """Demand what versions must keep that are in one entry."""
    dots = [version.dot for version in versions]
    if dots != sorted(set(dots)):
        raise BadRequestError("the versions of an entry are not strictly sorted by dot")
    for version in versions:
        if any(covers(other.vector, version.dot) for other in versions):
            raise BadRequestError("an entry holds a version and its ancestor")


def check_version(version: Version) -> None:
    """Demand every rule a single version must keep.

    Raises:
        BadRequestError: It breaks one; the text says which.
    """
    problem = (
        _number_problem(version)
        or _text_problem(version)
        or _vector_problem(version)
        or _content_problem(version)
    )
    if problem:
        raise BadRequestError(f"bad version: {problem}")


def references(refs: bytes) -> Iterator[tuple[bytes, int]]:
    """The (chunk id, bytes below it) pairs of a reference list, in file order."""
    for at in range(0, len(refs), REF_SIZE):
        yield refs[at : at + HASH_SIZE], int.from_bytes(refs[at + HASH_SIZE : at + REF_SIZE])


def pack_references(pairs: Iterable[tuple[bytes, int]]) -> bytes:
    """The inverse of `references`."""
    return b"".join(chunk + size.to_bytes(8) for chunk, size in pairs)


_KINDS = frozenset(map(int, Kind))


def _number_problem(version: Version) -> str:
    if version.kind not in _KINDS:
        return f"unknown kind {version.kind}"
    if not (0 < version.node < _U64 and 0 < version.incarnation < _U64 and 0 < version.n < _U64):
        return "node, incarnation or n is out of range"
    if not 0 < version.stamp <= MAX_STAMP:
        return "stamp is out of range"
    if not abs(version.mtime) < MAX_SIZE > version.created >= 0:
        return "a time is out of range"
    return ""


def _text_problem(version: Version) -> str:
    if len(version.content_type) > MAX_CONTENT_TYPE:
        return "the content type is too long"
    if version.base and len(version.base) != HASH_SIZE:
        return "base is not a hash"
    if len(version.target) > MAX_TARGET:
        return "the target is too long"
    if bool(version.target) != (version.kind == Kind.SYMLINK):
        return "a symlink needs a target, and nothing else has one"
    return ""


def _vector_problem(version: Version) -> str:
    if not version.vector:
        return ""
    members = [incarnation for incarnation, _ in version.vector]
    if len(members) > MAX_VECTOR or members != sorted(set(members)):
        return "the vector is too long or not strictly sorted"
    if any(not (0 < i < _U64 and 0 < n < _U64) for i, n in version.vector):
        return "the vector has a member out of range"
    if covers(version.vector, version.dot):
        return "the vector covers the version itself"
    return ""


def _content_problem(version: Version) -> str:
    content = version.content
    if version.kind == Kind.DIRECTORY:
        return "a directory has no content" if content != NO_CONTENT else ""
    if len(content.hash) != HASH_SIZE:
        return "the content hash is not 32 bytes"
    if not 0 <= content.size < MAX_SIZE or not 0 <= content.depth <= MAX_DEPTH:
        return "size or depth is out of range"
    return _reference_problem(version.kind, content)


def _reference_problem(kind: int, content: Content) -> str:
    if kind == Kind.SYMLINK and content.refs:
        return "a symlink has no chunks"
    if len(content.refs) % REF_SIZE or len(content.refs) > MAX_REFS * REF_SIZE:
        return "the reference list is torn or too long"
    if kind == Kind.FILE and _total(content.refs) != content.size:
        return "the references do not add up to the size"
    return ""


def _total(refs: bytes) -> int:
    if len(refs) == REF_SIZE:
        return int.from_bytes(refs[HASH_SIZE:])
    return sum(size for _, size in references(refs))
