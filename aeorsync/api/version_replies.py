"""The bodies of `/versions`, both ways. Times are milliseconds since the Unix epoch."""

import msgspec
from msgspec import UNSET, UnsetType

# Requests


class SnapshotRequest(msgspec.Struct, frozen=True):
    """What to call a snapshot, and what to note with it."""

    name: str
    metadata: dict[str, str] = {}


class NameRequest(msgspec.Struct, frozen=True):
    """A new name."""

    name: str


class WhichRequest(msgspec.Struct, frozen=True):
    """A snapshot, by its id or its name."""

    id: str | None = None
    name: str | None = None


class SourceRequest(msgspec.Struct, frozen=True):
    """What to bring back: a state of a path.

    Attributes:
        id: Of a snapshot.
        snapshot: Name or id of a snapshot.
        version: Id of a version, or root of a snapshot's tree.
    """

    id: str | None = None
    snapshot: str | None = None
    version: str | None = None


class ForkRequest(msgspec.Struct, frozen=True):
    """What to call a fork, and the snapshot it begins with; None for the present."""

    name: str
    base: str | None = None


# Replies


class SnapshotReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """A tree of the past.

    Attributes:
        id: Names it for ever.
        name: For people.
        root_hash: Of its tree.
        created_at: When.
        metadata: As given, and ``type``: ``manual`` or ``auto``.
        node_id: Node that made it.
        available: Whether it can be read on this node.
        duplicate: It was there already, and nothing has changed since.
    """

    id: str
    name: str
    root_hash: str
    created_at: int
    metadata: dict[str, str]
    node_id: int
    available: bool
    duplicate: bool = False


class SnapshotsReply(msgspec.Struct, frozen=True):
    """All snapshots, oldest first."""

    items: list[SnapshotReply]


class RenamedSnapshotReply(msgspec.Struct, frozen=True):
    """A snapshot has another name."""

    renamed: bool
    source: str = msgspec.field(name="from")
    to: str
    id: str


class DeletedSnapshotReply(msgspec.Struct, frozen=True):
    """A snapshot is forgotten."""

    deleted: bool
    id: str
    name: str


class RestoredTreeReply(msgspec.Struct, frozen=True):
    """All files are what they were.

    Attributes:
        restored: True.
        id: Of the snapshot.
        name: Of the snapshot.
        auto_snapshot: Name of the snapshot of what was replaced; None when nothing was.
        changed: Paths that are different now.
    """

    restored: bool
    id: str
    name: str
    auto_snapshot: str | None
    changed: int


class RestoredPathReply(msgspec.Struct, frozen=True):
    """A path is what it was.

    Attributes:
        restored: True.
        path: Which.
        auto_snapshot: Name of the snapshot of what was replaced; None when nothing was.
        size: Bytes of the file; 0 for a folder.
        changed: Paths that are different now.
        from_snapshot: Name of the snapshot it came from.
        from_version: What was asked for as ``version``.
    """

    restored: bool
    path: str
    auto_snapshot: str | None
    size: int
    changed: int
    from_snapshot: str | UnsetType = UNSET
    from_version: str | UnsetType = UNSET


class ForkReply(msgspec.Struct, frozen=True):
    """A fork.

    Attributes:
        name: For people.
        root_hash: Of the tree it began with.
        created_at: When.
        id: Names it for ever.
        base: Name of the snapshot it began with; None for the tree of then.
        node_id: Node that made it.
        available: Whether it can be read and written on this node.
    """

    name: str
    root_hash: str
    created_at: int
    id: str
    base: str | None
    node_id: int
    available: bool


class ForksReply(msgspec.Struct, frozen=True):
    """All forks, oldest first."""

    items: list[ForkReply]


class PromotedReply(msgspec.Struct, frozen=True):
    """What a fork changed is in the tree now, and the fork is gone.

    Attributes:
        promoted: True.
        name: Of the fork.
        changed: Paths it had changed.
        conflicts: Those of them that the tree had changed too; both states are kept.
        auto_snapshot: Name of the snapshot made before; None when the fork had changed nothing.
    """

    promoted: bool
    name: str
    changed: int
    conflicts: int
    auto_snapshot: str | None


class AbandonedReply(msgspec.Struct, frozen=True):
    """A fork and what it changed are gone."""

    abandoned: bool
    name: str


class HistoryRow(msgspec.Struct, frozen=True):
    """A state that a path came to, or left.

    Attributes:
        id: Of the first snapshot that has it so; root of the present tree for the present.
        snapshot: Name of that snapshot; ``HEAD`` for the present.
        timestamp: When that snapshot was made; for the present, when the state was written.
        change_type: ``added``, ``modified`` or ``deleted``.
        size: Bytes of a file; absent for a deletion and a folder.
        content_hash: BLAKE3-256 of its bytes; likewise.
        content_type: Media type; likewise.
        hash: Identity: path, media type and chunks; likewise.
        entry_type: 2 file, 3 folder, 8 symlink.
        version: Id of the version; ``?version=`` reads it. Absent for a deletion.
        updated_at: When the version was accepted; absent for a deletion.
        stamp: Its hybrid logical clock; absent for a deletion.
        node_id: Node that accepted it; absent for a deletion.
        conflict: Whether other versions waited to be resolved.
    """

    id: str
    snapshot: str
    timestamp: int
    change_type: str
    entry_type: int
    conflict: bool
    size: int | UnsetType = UNSET
    content_hash: str | UnsetType = UNSET
    content_type: str | UnsetType = UNSET
    hash: str | UnsetType = UNSET
    version: str | UnsetType = UNSET
    updated_at: int | UnsetType = UNSET
    stamp: int | UnsetType = UNSET
    node_id: int | UnsetType = UNSET


class HistoryReply(msgspec.Struct, frozen=True):
    """What a path was, newest first.

    Attributes:
        path: Without its leading slash.
        history: The rows.
        unavailable: Names of snapshots that are not all on this node, so that nobody knows.
    """

    path: str
    history: list[HistoryRow]
    unavailable: list[str]
