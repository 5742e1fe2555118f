"""The bodies of ``/sync/conflicts``, as both ends of a connection know them.

Shapes are AeorDB's, with fields of our own. Times are milliseconds since the Unix epoch unless
said otherwise; hashes are hex.
"""

from typing import Literal

import msgspec


class Side(msgspec.Struct, frozen=True):
    """One side of a conflict, as AeorDB tells it; a deletion and a folder have no hash.

    Attributes:
        hash: Identity, hex.
        virtual_time: When the version was accepted, in milliseconds since the Unix epoch.
        node_id: Node that accepted it.
        size: Bytes.
        content_type: Media type of a file, if known.
    """

    hash: str = ""
    virtual_time: int = 0
    node_id: int = 0
    size: int = 0
    content_type: str | None = None


class VersionMeta(msgspec.Struct, frozen=True, kw_only=True):
    """One version that may be picked.

    Attributes:
        id: What to send as ``pick``.
        kind: ``file``, ``directory`` or ``symlink``.
        deleted: Whether picking it deletes the path.
        size: Bytes.
        content_hash: BLAKE3 of the whole content, hex; empty for a folder.
        content_type: Media type of a file, if known.
        target: Where a symlink points.
        node_id: Node that accepted it.
        updated_at: When, in milliseconds since the Unix epoch.
        mtime: When its content changed, as its writer stated, in milliseconds.
        is_winner: Whether it is what readers see.
        href: Where its bytes can be read; None when it has none.
        etag: Covers just this version: the ``base`` of who edits it.
        mtime_ns: The same as ``mtime``, exactly.
        executable: The one mode bit that matters.
    """

    id: str
    kind: str
    deleted: bool
    size: int
    content_hash: str
    content_type: str | None
    target: str | None
    node_id: int
    updated_at: int
    mtime: int
    is_winner: bool
    href: str | None
    etag: str = ""
    mtime_ns: int = 0
    executable: bool = False


class Ancestor(msgspec.Struct, frozen=True):
    """What all versions of a conflict were made from, for who compares three ways.

    Attributes:
        content_hash: BLAKE3 of the whole content, hex.
        href: Where its bytes can be read; None where they cannot any more, and in lists, where
            nobody looks for them.
    """

    content_hash: str
    href: str | None = None


class Meta(msgspec.Struct, frozen=True, kw_only=True):
    """A conflict.

    Attributes:
        path: Where.
        conflict_type: ``ConcurrentCreate``, ``ConcurrentModify``, ``ModifyDelete``, or
            ``FileDirectory``: two nodes made a file and a folder of one name. Renaming or
            deleting one of them settles the last.
        auto_winner: Always ``winner``: what readers see until somebody decides.
        created_at: When it arose, in milliseconds since the Unix epoch.
        winner: What readers see.
        loser: The best of the others; of a ``FileDirectory`` the folder.
        versions: All that may be picked, the winner first.
        etag: For If-Match, to decide only about what was shown.
        base: What they were made from; None where that is not known.
    """

    path: str
    conflict_type: str
    auto_winner: str
    created_at: int
    winner: Side
    loser: Side
    versions: list[VersionMeta]
    etag: str
    base: Ancestor | None = None


class ConflictsReply(msgspec.Struct, frozen=True):
    """Conflicts in tree order; ``more`` says that there are others behind them."""

    items: list[Meta]
    more: bool = False


class PickRequest(msgspec.Struct, frozen=True):
    """Which version is to stay, or which one not; the others stay in conflict then."""

    pick: str | None = None
    give_up: str | None = None


class SettleRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which version is to stay, at many paths.

    Attributes:
        pick: ``winner`` or ``loser``.
        paths: The paths.
        prefix: A folder: all conflicts in it, and at it.
    """

    pick: Literal["winner", "loser"]
    paths: list[str] | None = None
    prefix: str | None = None


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one path.

    Attributes:
        path: Where.
        resolved: Whether it is settled now.
        version: Id of the version that settles it.
        etag: Covers just that version.
        error: Why it is not settled.
        code: The same, for programs.
    """

    path: str
    resolved: bool
    version: str | None = None
    etag: str | None = None
    error: str | None = None
    code: str | None = None


class SettledReply(msgspec.Struct, frozen=True):
    """What became of each path; ``more`` says that there are others in the folder."""

    items: list[Settled]
    more: bool = False


class ResolveRequest(msgspec.Struct, frozen=True):
    """Which version is to stay; a body that does not say so is a mistake, no body is not."""

    pick: str


class ResolvedReply(msgspec.Struct, frozen=True):
    """The conflict is settled.

    Attributes:
        resolved: Always true.
        path: Where.
        pick: As it was sent.
        version: Id of the version that settles it.
        etag: Covers just that version.
    """

    resolved: bool
    path: str
    pick: str
    version: str
    etag: str = ""


class GivenUpReply(msgspec.Struct, frozen=True, kw_only=True):
    """One version was given up.

    Attributes:
        given_up: Its id.
        path: Where.
        version: Id of the version that readers see now; its content is as before.
        etag: Covers just that version.
        conflict: Whether others are still in conflict with it.
    """

    given_up: str
    path: str
    version: str
    etag: str
    conflict: bool


class DismissedReply(msgspec.Struct, frozen=True):
    """The conflict is settled in favour of the winner."""

    dismissed: bool
    path: str
    version: str
