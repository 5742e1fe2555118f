"""The bodies of ``/blobs/*``, as both ends of a connection know them.

The first four fields of the reply and the fields of `CommitFile` up to ``size`` are AeorDB's; the
rest is ours. The same request may come in frames (`wire.framing`) together with its chunks:

    POST /blobs/commit   HEADER `CommitRequest` as msgpack, CHUNK..., END
    POST /blobs/chunks   HEADER {}, CHUNK..., END

A check may also come as raw ids, joined, and is answered by those that are needed.

Hashes are hex. ``mtime_ns`` is nanoseconds since the Unix epoch. A ``base`` is an ETag with its
quotes, of what was edited, or ``""`` for "nothing was there"; None means: whatever is there now.
"""

from typing import Annotated, Literal

import msgspec

HASH_ALGORITHM = "blake3_256"
CHUNK_PREFIX = "chunk:"
MAX_OP = 64
"""Characters of the name of a commit."""


class ConfigReply(msgspec.Struct, frozen=True):
    """How chunks are named.

    Attributes:
        hash_algorithm: Its name.
        chunk_size: Bytes a chunk has at most.
        chunk_hash_prefix: What is hashed before its bytes.
        deltas: Whether bases may be named for chunks that are asked for (`wire.deltas`).
        packed: Whether chunks may be named by `CommitFile.chunk_ids`, and by raw ids in a check.
    """

    hash_algorithm: str
    chunk_size: int
    chunk_hash_prefix: str
    deltas: bool = False
    packed: bool = False


class CheckRequest(msgspec.Struct, frozen=True):
    """Which of these chunks need not be sent?"""

    hashes: list[str]


class CheckReply(msgspec.Struct, frozen=True):
    """``have`` stay for a day, whatever is collected; ``needed`` have to be sent."""

    have: list[str]
    needed: list[str]


class StoredReply(msgspec.Struct, frozen=True):
    """One chunk is stored: ``created`` or ``exists``."""

    status: Literal["created", "exists"]
    hash: str


class BatchReply(msgspec.Struct, frozen=True):
    """Many chunks are stored, durably."""

    created: int
    exists: int


class CommitFile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file to make of stored chunks.

    Attributes:
        path: Where.
        chunks: Its chunks in file order, repeats allowed; none makes an empty file.
        chunk_hashes: Another name for ``chunks``.
        chunk_ids: The same, as raw ids, joined; in JSON in base64. Only one of the three is given.
        content_type: Media type; guessed when absent.
        content_hash: BLAKE3 of the whole file; checked.
        size: Bytes; checked.
        base: See the top of the module.
        mtime_ns: When its content changed; now, when absent.
        executable: The one mode bit that matters; kept, when absent.
    """

    path: str
    chunks: list[str] = []
    chunk_hashes: list[str] | None = None
    chunk_ids: bytes = b""
    content_type: str | None = None
    content_hash: str | None = None
    size: int | None = None
    base: str | None = None
    mtime_ns: int | None = None
    executable: bool | None = None


class CommitLink(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A symbolic link to make."""

    path: str
    target: str
    base: str | None = None
    mtime_ns: int | None = None


class CommitFolder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A folder to make, with those above it; harmless where it exists."""

    path: str
    mtime_ns: int | None = None


class CommitDelete(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something to delete: a file, a link, or a folder that is empty by then.

    What is not there any more is no error. A version that ``base`` had not seen stays.

    Attributes:
        path: Where.
        base: See the top of the module.
        folder: Delete a folder; something else that is there by now stays, which is no error.
    """

    path: str
    base: str | None = None
    folder: bool = False


class CommitRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Many changes that all happen or do not; made in the order of these lists.

    Attributes:
        deletes: Deepest paths first, where a folder goes with what is in it.
        folders: Folders to make.
        files: Files to make or replace.
        links: Links to make or replace.
        on_conflict: What becomes of a version that a ``base`` had not seen: ``keep`` it as a
            conflict, or ``refuse`` the whole commit with 412.
        op: A name of the sender's own making, to ask later what became of it.
        since_root_hash: Where the sender stands (`wire.protocol.DiffRequest`).
    """

    deletes: list[CommitDelete] = []
    folders: list[CommitFolder] = []
    files: list[CommitFile] = []
    links: list[CommitLink] = []
    on_conflict: Literal["keep", "refuse"] = "keep"
    op: Annotated[str, msgspec.Meta(max_length=MAX_OP)] = ""
    since_root_hash: str | None = None


class Committed(msgspec.Struct, frozen=True, kw_only=True):
    """One path after a commit.

    Attributes:
        path: Where.
        size: Bytes of a file, or of a link's target.
        etag: Covers just the version that was written: send it as the ``base`` of the next edit.
        version: Id of that version; of a folder that was there, and of what was gone, empty.
        conflict: Whether other versions stand beside it now.
    """

    path: str
    size: int = 0
    etag: str | None = None
    version: str = ""
    conflict: bool = False


class CommitReply(msgspec.Struct, frozen=True, kw_only=True):
    """What was committed; each list in the order of the request.

    Attributes:
        root_hash: Where the sender, who stood at ``since_root_hash``, stands now. Empty when there
            is something to tell them: what others did, or a conflict.
        above: With that: folders that were made because something is in them now.
    """

    committed: int
    files: list[Committed]
    deletes: list[Committed] = []
    folders: list[Committed] = []
    links: list[Committed] = []
    root_hash: str = ""
    above: tuple[str, ...] = ()
