"""The bodies of ``/sync/*``, as both ends of a connection know them.

JSON shapes are those of AeorDB 0.9.5 with fields of our own; what it sends may lack those.
Between aeorsync nodes ``Accept: application/vnd.aeorsync.frames`` chooses frames (`wire.framing`).

    /sync/diff      HEADER `DiffHeader`, ENTRIES list[`Item`]..., END `DiffEnd`
    /sync/chunks    HEADER {}, CHUNK..., MISSING, END {}

Hashes and roots are hex in JSON and in maps, raw bytes elsewhere. Times are milliseconds since
the Unix epoch. A Python name is never different from the name on the wire.
"""

from typing import Annotated

import msgspec

FRAMES_TYPE = "application/vnd.aeorsync.frames"
IDS_TYPE = "application/vnd.aeorsync.ids"
"""A request body of chunk ids, 32 raw bytes each, joined."""
NODE_HEADER = "X-AeorSync-Node"
"""Node id of the asking node, decimal."""
CHUNKS_HEADER = "X-AeorSync-Chunks"
"""How chunks are to be read for ``POST /sync/chunks``, in frames: ``checked``, before they are
sent; ``held``, that too, and peers are not asked for what is damaged."""
Item = tuple[bytes, bytes]
"""(tree key, entry bytes as stored)"""
NodeId = Annotated[int, msgspec.Meta(ge=1, le=(1 << 63) - 1)]


# POST /sync/diff


class DiffRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What changed since then?

    Attributes:
        since_root_hash: Token of an earlier JSON answer; None for a full listing.
        cursor: Token of an earlier answer in frames; None for a full listing.
        paths: Globs; only what matches is told. None for everything.
        node_id: Who is asking; what came from there is left out (frames only).
        knowledge: Tell what you know, in the END frame that reaches the present.
        excludes: Globs; what matches is not told after all (frames only). None for no exception.
        include_system: Root only: tell of the system namespace too. Peers always hear of it.
        current_root_hash: Hex root of the asker's live tree.
        current_graves_hash: Of its graves, in frames. If both are ours, nothing is listed.
        include_needed: Tell the ``chunk_hashes_needed``, too.
        packed: Tell the chunks of files as ``chunk_ids`` (JSON only).
        virtual_time: What an AeorDB node sends; we do not need it.
    """

    since_root_hash: str | None = None
    cursor: str | None = None
    paths: tuple[str, ...] | None = None
    node_id: int | None = None
    knowledge: bool = False
    excludes: tuple[str, ...] | None = None
    include_system: bool = False
    current_root_hash: str | None = None
    current_graves_hash: str | None = None
    include_needed: bool = True
    packed: bool = False
    virtual_time: int | None = None


class DiffHeader(msgspec.Struct, frozen=True):
    """Who answers.

    Attributes:
        node_id: The answering node.
        database: Id made with its database; a copy of the database keeps it.
        root_hash: Hex root of its live tree when this page was begun.
        version: Version of its software.
        deltas: Whether bases may be named for the chunks that are asked for (`wire.deltas`).
    """

    node_id: int
    database: int
    root_hash: str
    version: str = ""
    deltas: bool = False


class DiffEnd(msgspec.Struct, frozen=True, omit_defaults=True):
    """How to go on.

    Attributes:
        cursor: Send it with the next request.
        more: Whether there is more to ask for at once.
        root_hash: Hex root of the live tree when this page was begun.
        knowledge: What the node knew then (`core.knowledge`), if it was asked and no more follows.
    """

    cursor: str
    more: bool
    root_hash: str
    knowledge: tuple[tuple[int, int], ...] | None = None


class Loser(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A version that stands beside the one readers see.

    Attributes:
        version: Its id, to be picked or given up.
        etag: Covers just this version: the ``base`` of who edits it.
        kind: ``file``, ``symlink`` or ``directory``.
        deleted: Whether it is a deletion; then nothing of it can be read.
        size: Bytes.
        content_hash: BLAKE3 of the whole file, hex.
        chunk_hashes: Hex, in file order.
        chunk_ids: The same for who asked for them ``packed``: raw ids, joined; in JSON in base64.
        target: Where a link points.
        mtime_ns: When its content changed, nanoseconds since the Unix epoch.
        executable: The one mode bit that matters.
        node_id: Node that accepted it.
        updated_at: When.
    """

    version: str
    etag: str
    kind: str
    deleted: bool = False
    size: int = 0
    content_hash: str = ""
    chunk_hashes: list[str] = []
    chunk_ids: bytes = b""
    target: str = ""
    mtime_ns: int = 0
    executable: bool = False
    node_id: int = 0
    updated_at: int = 0


class FileAdded(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file that is new or different.

    Attributes:
        path: Where.
        hash: File identity, hex; the same as in listings.
        size: Bytes.
        content_type: Media type, if known. Always sent.
        chunk_hashes: Hex, in file order, with repeats.
        chunk_ids: The same for who asked for them ``packed``: raw ids, joined; in JSON in base64.
        content_hash: BLAKE3 of the whole file, hex.
        etag: What `If-Match` takes.
        mtime: When its content changed, as its writer stated; whole milliseconds.
        executable: The one mode bit that matters.
        version: Id of this version.
        updated_at: When it was accepted.
        mtime_ns: The same as ``mtime``, exactly.
        base: ETag that covers just this version; only where it is not ``etag``: in a conflict.
        losers: The versions in conflict with it.
    """

    path: str
    hash: str
    size: int
    content_type: str | None
    chunk_hashes: list[str]
    content_hash: str | None = None
    etag: str | None = None
    mtime: int | None = None
    executable: bool | None = None
    version: str | None = None
    updated_at: int | None = None
    mtime_ns: int | None = None
    base: str | None = None
    losers: list[Loser] = []
    chunk_ids: bytes = b""


class LinkAdded(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A symbolic link that is new or different.

    Attributes:
        path: Where.
        hash: Link identity, hex; the same as in listings.
        target: Where it points, verbatim.
        etag: What `If-Match` takes.
        mtime: When its content changed, as its writer stated; whole milliseconds.
        version: Id of this version.
        updated_at: When it was accepted.
        mtime_ns: The same as ``mtime``, exactly.
        base: ETag that covers just this version; only where it is not ``etag``: in a conflict.
        losers: The versions in conflict with it.
    """

    path: str
    hash: str
    target: str
    etag: str | None = None
    mtime: int | None = None
    version: str | None = None
    updated_at: int | None = None
    mtime_ns: int | None = None
    base: str | None = None
    losers: list[Loser] = []


class PathOnly(msgspec.Struct, frozen=True):
    """A path that is gone."""

    path: str


class FolderAdded(PathOnly, frozen=True, kw_only=True, omit_defaults=True):
    """A folder that is new, or that a conflict came to or went from.

    Attributes:
        path: Where.
        mtime_ns: When it was made, as its writer stated; nanoseconds since the Unix epoch.
        base: ETag that covers just this version; only in a conflict.
        losers: The versions in conflict with it.
    """

    mtime_ns: int | None = None
    base: str | None = None
    losers: list[Loser] = []


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What changed, each array sorted by path. The two last are ours."""

    files_added: list[FileAdded] = []
    files_modified: list[FileAdded] = []
    files_deleted: list[PathOnly] = []
    symlinks_added: list[LinkAdded] = []
    symlinks_modified: list[LinkAdded] = []
    symlinks_deleted: list[PathOnly] = []
    directories_added: list[FolderAdded] = []
    directories_deleted: list[PathOnly] = []


class DiffReply(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON answer.

    Attributes:
        root_hash: Token for ``since_root_hash``: the root's hex, or, before the end, longer hex.
        changes: What changed since.
        chunk_hashes_needed: All chunks of added and modified files, sorted, each once.
        more: Ours: ask for more at once.
        full: Ours: part of a listing; until one without ``more``, what is not told is not there.
        begins: Ours: a listing begins here, whatever was listed before.
    """

    root_hash: str
    changes: Changes
    chunk_hashes_needed: list[str] = []
    more: bool = False
    full: bool = False
    begins: bool = False


# POST /sync/seen


class Held(msgspec.Struct, frozen=True):
    """A version that a reader holds.

    Attributes:
        version: Its id.
        etag: Covers just that version, with its quotes.
    """

    version: str
    etag: str


class SeenRequest(msgspec.Struct, frozen=True):
    """What became of these versions? One for each path."""

    versions: dict[str, Held]


class SeenReply(msgspec.Struct, frozen=True):
    """What became of them.

    Attributes:
        stands: Paths whose version is shown, alone or in a conflict.
        past: Paths whose version was replaced or deleted by somebody who had seen it. Of the
            others the node has never seen it.
    """

    stands: list[str]
    past: list[str]


# POST /sync/chunks


class ChunksRequest(msgspec.Struct, frozen=True):
    """Which chunks, hex."""

    hashes: list[str]


class ChunkData(msgspec.Struct, frozen=True):
    """One chunk.

    Attributes:
        hash: As it was asked for.
        data: Plain bytes; standard base64 in JSON.
        size: Plain bytes.
    """

    hash: str
    data: bytes
    size: int


class ChunksReply(msgspec.Struct, frozen=True):
    """The chunks we hold, in the order asked."""

    chunks: list[ChunkData]


# Payloads of frames


def pack(value: msgspec.Struct | list[Item] | dict[str, str]) -> bytes:
    """Return the msgpack payload of a frame."""
    return _pack(value)


_pack = msgspec.msgpack.Encoder().encode
