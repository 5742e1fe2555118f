"""What the client library hands out: plain values with the names of the wire.

Times are milliseconds since the Unix epoch unless a name says otherwise, hashes are hex, sizes
bytes, paths ``/a/b``. An *etag* has its quotes and stands for what a reader has seen of a path:
send it back as ``if_match`` or ``base``. All of them become JSON by `to_json`.
"""

from typing import Any, Final, Literal

import msgspec

Kind = Literal["file", "directory", "symlink"]

FILE: Final = 2
DIRECTORY: Final = 3
SYMLINK: Final = 8
_KINDS: Final[dict[int, Kind]] = {FILE: "file", DIRECTORY: "directory", SYMLINK: "symlink"}


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A file, a folder or a symbolic link.

    Attributes:
        path: Where.
        name: Last part of the path.
        entry_type: 2 file, 3 folder, 8 symbolic link; see `kind`.
        size: Bytes of a file; 0 of a folder.
        created_at: When the path came to be; 0 for a folder that exists through its contents.
        updated_at: When this version was accepted by a server; 0 likewise.
        mtime: When the content changed, as its writer stated; 0 where that is not told.
        content_type: Media type of a file.
        content_hash: BLAKE3 of a file's bytes.
        hash: Identity: path, media type and chunks; empty where it is not told.
        etag: None for a folder that exists only through its contents.
        executable: Whether a file may be executed.
        conflict: Whether other versions wait to be resolved.
        target: Where a symbolic link points, as it was written.
        version: Id of the version; only told by `stat`.
        mtime_ns: As ``mtime``, exactly; only told by `stat`.
    """

    path: str
    name: str = ""
    entry_type: int = FILE
    size: int = 0
    created_at: int = 0
    updated_at: int = 0
    mtime: int = 0
    content_type: str | None = None
    content_hash: str | None = None
    hash: str = ""
    etag: str | None = None
    executable: bool = False
    conflict: bool = False
    target: str | None = None
    version: str | None = None
    mtime_ns: int | None = None

    @property
    def kind(self) -> Kind:
        """What it is, in a word."""
        return _KINDS.get(self.entry_type, "file")

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.entry_type == DIRECTORY


class Page(msgspec.Struct, frozen=True):
    """Part of a listing.

    Attributes:
        items: The entries asked for.
        total: How many there are in all.
    """

    items: list[Entry]
    total: int


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a file or link that was written.

    Attributes:
        path: Where.
        size: Bytes.
        etag: What its writer has seen by now: the base of the next edit.
        content_hash: BLAKE3 of the bytes; of a link empty.
        conflict: Whether somebody else's version is kept beside this one.
    """

    path: str
    size: int = 0
    etag: str = ""
    content_hash: str = ""
    conflict: bool = False


class Copied(msgspec.Struct, frozen=True):
    """What was copied, and for each source that was not, why."""

    copied: list[str]
    errors: list[str] = []


class Trashed(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was deleted and may be restored."""

    path: str
    name: str = ""
    deleted_at: int = 0
    reason: str = ""
    entry_type: int = FILE
    size: int = 0


class ConflictVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a path in conflict.

    Attributes:
        id: What `resolve` and `give_up` take.
        kind: What it is.
        deleted: Whether it is a deletion.
        size: Bytes.
        content_hash: BLAKE3 of the content; empty for a folder.
        content_type: Media type of a file.
        target: Where a link points.
        node_id: Node that accepted it.
        updated_at: When.
        mtime: When its content changed.
        is_winner: Whether readers see it.
        href: Where its bytes are; None when it has none.
    """

    id: str
    kind: str = "file"
    deleted: bool = False
    size: int = 0
    content_hash: str = ""
    content_type: str | None = None
    target: str | None = None
    node_id: int = 0
    updated_at: int = 0
    mtime: int = 0
    is_winner: bool = False
    href: str | None = None


class Conflict(msgspec.Struct, frozen=True, kw_only=True):
    """A path that somebody has to decide about.

    Attributes:
        path: Where.
        conflict_type: ``ConcurrentModify``, ``ConcurrentCreate``, ``ModifyDelete`` or
            ``FileDirectory``.
        created_at: When it arose.
        versions: All that may be picked, the winner first.
        etag: Give it to `resolve`, to decide only about what was shown.
    """

    path: str
    conflict_type: str
    created_at: int = 0
    versions: list[ConflictVersion] = []
    etag: str = ""


class Resolved(msgspec.Struct, frozen=True):
    """A conflict that is settled, and by which version."""

    path: str
    version: str


class Event(msgspec.Struct, frozen=True):
    """Something that happened on the server.

    Attributes:
        id: Where to go on after it (``last_id``); means nothing to another node.
        kind: ``entries_created``, ``entries_deleted``, ``conflicts_created``,
            ``syncs_completed``, ``reset``, ... (see the protocol).
        timestamp: When.
        payload: What exactly; its shape depends on the kind.
    """

    id: str
    kind: str
    timestamp: int
    payload: dict[str, Any]


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """An API key.

    Attributes:
        key_id: Names it.
        label: For people.
        user_id: Whom it speaks for.
        created_at: When it was made.
        expires_at: When it ends.
        is_revoked: Whether it was withdrawn.
        rules: What it may do, in order, as the server tells them; empty for no limit.
        key: Its text, only where it was just made. Not in the ``repr``.
    """

    key_id: str
    label: str | None = None
    user_id: str = ""
    created_at: int = 0
    expires_at: int = 0
    is_revoked: bool = False
    rules: list[Any] = []
    key: str | None = None

    def __repr__(self) -> str:
        return f"Key(key_id={self.key_id!r}, label={self.label!r})"


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A state of the whole tree that is kept."""

    id: str
    name: str
    root_hash: str = ""
    created_at: int = 0
    metadata: dict[str, str] = {}
    node_id: int = 0
    available: bool = True
    duplicate: bool = False


class Fork(msgspec.Struct, frozen=True, kw_only=True):
    """A second state of the tree, to try changes in."""

    name: str
    id: str = ""
    root_hash: str = ""
    created_at: int = 0
    base: str | None = None
    node_id: int = 0
    available: bool = True


class Promoted(msgspec.Struct, frozen=True, kw_only=True):
    """What a fork brought when it was applied."""

    name: str
    changed: int
    conflicts: int
    auto_snapshot: str | None = None


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What was brought back; ``auto_snapshot`` keeps what it replaced."""

    changed: int
    auto_snapshot: str | None = None
    path: str | None = None
    name: str | None = None


class HistoryRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a path was in one snapshot, or is now (``HEAD``)."""

    id: str
    snapshot: str
    timestamp: int
    change_type: str
    entry_type: int = FILE
    conflict: bool = False
    version: str | None = None
    updated_at: int = 0
    size: int = 0
    content_hash: str | None = None
    content_type: str | None = None


class History(msgspec.Struct, frozen=True):
    """What a path was, newest first; ``unavailable`` snapshots could not be looked at."""

    path: str
    history: list[HistoryRow]
    unavailable: list[str] = []


def to_json(value: object) -> Any:  # noqa: ANN401  # any JSON
    """Plain JSON types for a value of this module, or a container of some."""
    return msgspec.to_builtins(value)
