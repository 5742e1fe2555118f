"""The bodies of `/files`, `/links`, `/auth/token` and `/system/health`, both ways.

Times are milliseconds since the Unix epoch unless said otherwise; hashes are 64 hex digits.
``entry_type`` is a `core.versions.Kind`. Names and shapes are AeorDB's, with fields of our own
added: ``content_hash``, ``etag``, ``mtime``, ``executable``, ``conflict``.
"""

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType


class Problem(msgspec.Struct, frozen=True):
    """Why a request was refused.

    Attributes:
        error: One sentence for a person.
        code: Stable upper-case word for programs.
    """

    error: str
    code: str


# Requests


class TokenRequest(msgspec.Struct, frozen=True):
    """An API key to be traded for a token."""

    api_key: str
    include_refresh: bool = False


class RefreshRequest(msgspec.Struct, frozen=True):
    """A refresh token to be traded for a token and the next refresh token."""

    refresh_token: str


class RenameRequest(msgspec.Struct, frozen=True):
    """Where to move an entry."""

    to: str = ""


class PathRequest(msgspec.Struct, frozen=True):
    """The path that a request is about."""

    path: str


class CopyRequest(msgspec.Struct, frozen=True):
    """What to copy, and the folder to copy it into."""

    paths: list[str]
    destination: str


class LinkRequest(msgspec.Struct, frozen=True):
    """Where a symlink points; kept verbatim."""

    target: str = ""


# Replies


class TokenReply(msgspec.Struct, frozen=True):
    """A token, the seconds it lives, and what gives the next one, if that was asked for."""

    token: str
    expires_in: int
    refresh_token: str | msgspec.UnsetType = msgspec.UNSET


class FileReply(msgspec.Struct, frozen=True):
    """A file that was stored.

    Attributes:
        path: Its path.
        content_type: Media type, as stated or as guessed.
        size: Bytes.
        created_at: When the path first came to be.
        updated_at: When this version was accepted.
        hash: Identity: path, media type and chunks.
        content_hash: BLAKE3-256 of the bytes.
        etag: Value of the ETag field, quotes included: what the writer has seen by now, so it is
            a base for the next write and never covers somebody else's version.
        conflict: Whether somebody else's version is kept beside this one.
    """

    path: str
    content_type: str
    size: int
    created_at: int
    updated_at: int
    hash: str
    content_hash: str
    etag: str
    conflict: bool = False


class LinkReply(msgspec.Struct, frozen=True):
    """A symlink itself, not what it points at."""

    path: str
    target: str
    entry_type: int
    created_at: int
    updated_at: int
    hash: str
    etag: str


class Item(msgspec.Struct, frozen=True):
    """One row of a listing.

    Attributes:
        path: Full path.
        name: Last component.
        entry_type: 2 file, 3 folder, 8 symlink.
        hash: Identity; empty for a folder.
        size: Bytes; 0 for a folder.
        created_at: 0 for a folder that exists only through what is in it.
        updated_at: Likewise.
        content_type: None for anything but a file.
        content_hash: BLAKE3-256 of a file's bytes; None for anything else.
        etag: Value of the ETag field; None for a folder that is not an entry of its own.
        mtime: When the content changed, as its writer stated.
        executable: Whether a file may be executed.
        conflict: Whether other versions wait to be resolved.
        target: Where a symlink points; absent otherwise.
        effective_permissions: The eight flags of who asks; absent for whom no rule binds.
    """

    path: str
    name: str
    entry_type: int
    hash: str
    size: int
    created_at: int
    updated_at: int
    content_type: str | None
    content_hash: str | None
    etag: str | None
    mtime: int
    executable: bool
    conflict: bool
    target: str | UnsetType = UNSET
    effective_permissions: str | UnsetType = UNSET


class Listing(msgspec.Struct, frozen=True):
    """Part of what is in a folder.

    Attributes:
        items: The rows asked for.
        total: How many there are, whatever was asked for.
        limit: As asked; None for no limit.
        offset: As asked.
    """

    items: list[Item]
    total: int
    limit: int | None
    offset: int


class DeletedReply(msgspec.Struct, frozen=True):
    """Something was deleted; ``entry_type`` is absent for a file."""

    deleted: bool
    path: str
    entry_type: Literal["symlink", "directory"] | UnsetType = UNSET


class RenamedReply(msgspec.Struct, frozen=True):
    """Something was moved."""

    source: str = msgspec.field(name="from")
    to: str
    entry_type: Literal["file", "symlink", "directory"]


class MadeReply(msgspec.Struct, frozen=True):
    """A folder exists; ``created`` says whether it did not before."""

    path: str
    entry_type: int
    created: bool


class CopiedReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """The paths that were made, and for each source that could not be copied why not."""

    copied: list[str]
    errors: list[str] = []


class DeletedItem(msgspec.Struct, frozen=True):
    """One deletion that can be taken back."""

    path: str
    name: str
    deleted_at: int
    reason: str
    entry_type: int
    size: int


class DeletedListing(msgspec.Struct, frozen=True):
    """Deletions, latest first; ``total`` counts those left out by the limit, too."""

    items: list[DeletedItem]
    total: int


class RestoredReply(msgspec.Struct, frozen=True):
    """A deletion was taken back."""

    restored: bool
    path: str


class HealthReply(msgspec.Struct, frozen=True):
    """How the node is."""

    status: Literal["healthy", "degraded", "unhealthy"]
    version: str


class StartingReply(msgspec.Struct, frozen=True):
    """A node that is not ready yet; the two ``_at`` are RFC 3339.

    Attributes:
        status: ``failed`` is for ever: the process is about to end.
        phase: Word for what it is doing.
        message: Sentence for a person.
        version: Of the software.
        started_at: When the process began.
        updated_at: When the phase or its progress last changed.
        progress: 0 to 1.
        eta: Always None: nobody knows.
        elapsed_ms: Milliseconds since ``started_at``.
    """

    status: Literal["starting", "failed"]
    phase: str
    message: str
    version: str
    started_at: str
    updated_at: str
    progress: float
    eta: None
    elapsed_ms: int
