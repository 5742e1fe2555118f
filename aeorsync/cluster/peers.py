"""Who this node is linked to: what is remembered of each link, and what is told of it."""

from collections.abc import Sequence
from enum import Enum
from typing import Final
from urllib.parse import urlsplit

import msgspec

from aeorsync.core.globs import Globs
from aeorsync.errors import BadRequestError
from aeorsync.storage.repository import Repository
from aeorsync.wire.encoding import Encoding
from aeorsync.wire.limits import MAX_FILTERS

_LINKS: Final = "links"
_CURSORS: Final = "cursors"
_PUSHES: Final = "pushes"
_MAX_ADDRESS: Final = 2048
_MAX_LABEL: Final = 255
_MAX_ID: Final = (1 << 63) - 1


class Direction(Enum):
    """Which way data moves over a link, seen from this node; the value is its word."""

    BOTH = "both"
    PULL = "pull"
    PUSH = "push"


class LinkRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A link as it is remembered.

    Attributes:
        id: Names the link here; also the peer's node id until that is known.
        address: Base URL without a trailing slash.
        node_id: The peer's node id, once it was told or seen.
        label: For people.
        sync_paths: Globs of what to take; None for everything.
        enabled: False while a person keeps the link paused.
        added_at: Milliseconds since the Unix epoch.
        excludes: Globs of what not to take after all; None for no exception.
        direction: Which way data moves.
        compression: How the peer's answers are to be compressed.
        bandwidth_limit: Thousands of bytes a second for what is fetched and sent; 0 for no limit.
    """

    id: int
    address: str
    node_id: int | None = None
    label: str | None = None
    sync_paths: tuple[str, ...] | None = None
    enabled: bool = True
    added_at: int = 0
    excludes: tuple[str, ...] | None = None
    direction: Direction = Direction.BOTH
    compression: Encoding = Encoding.ZSTD
    bandwidth_limit: int = 0

    @property
    def pulls(self) -> bool:
        """Whether we take from the peer."""
        return self.direction is not Direction.PUSH

    @property
    def pushes(self) -> bool:
        """Whether we may offer the peer what we have."""
        return self.direction is not Direction.PULL

    @property
    def is_filtered(self) -> bool:
        """Whether something is left out on purpose."""
        return bool(self.sync_paths or self.excludes)

    @property
    def peer_id(self) -> int:
        """The peer's node id; a stand-in until that is known."""
        return self.node_id or self.id

    def goes_by(self, node_id: int) -> bool:
        """Whether this is the number by which somebody may mean this link."""
        return node_id in {self.id, self.node_id}


class CursorRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How far this node has followed a peer.

    Attributes:
        node_id: The peer's node id.
        database: Id of the peer's database.
        sync_paths: The filters with which it was followed.
        cursor: The peer's own mark.
        synced_at: When it was recorded, in milliseconds since the Unix epoch.
        excludes: Likewise.
    """

    node_id: int
    database: int
    sync_paths: tuple[str, ...] | None
    cursor: str
    synced_at: int
    excludes: tuple[str, ...] | None = None

    def fits(self, link: LinkRecord, database: int) -> bool:
        """Whether the peer may go on from here; a changed filter starts afresh."""
        return (
            self.node_id == link.node_id
            and self.database == database
            and (self.sync_paths, self.excludes) == (link.sync_paths, link.excludes)
        )


Filters = tuple[tuple[str, ...] | None, tuple[str, ...] | None]
"""Globs of what passes, and of what does not after all; None for everything, and for nothing."""


class PushRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How far a peer has acknowledged what this node has.

    Attributes:
        node_id: The peer's node id.
        database: Id of the peer's database.
        offered: Our filters with which it was offered.
        taken: The peer's own filters.
        cursor: A place in our feed, or on the way there (`core.cursors`).
        receipt: What the peer answered; proves to it that it got so far.
        pushed_at: When this was recorded, in milliseconds since the Unix epoch.
    """

    node_id: int
    database: int
    offered: Filters
    taken: Filters
    cursor: str
    receipt: str | None
    pushed_at: int

    def fits(self, link: LinkRecord, database: int) -> bool:
        """Whether pushing may go on from here; a changed filter starts afresh."""
        return (
            self.node_id == link.node_id
            and self.database == database
            and self.offered == (link.sync_paths, link.excludes)
        )


class LinkBook:
    """The links of this node and their cursors, on disk. Blocking; safe from any thread."""

    def __init__(self, repository: Repository) -> None:
        """Keep them among the notes of ``repository``."""
        self._repository = repository

    def links(self) -> list[LinkRecord]:
        """All links, oldest first."""
        notes = self._repository.notes(_LINKS).values()
        records = [msgspec.msgpack.decode(note, type=LinkRecord) for note in notes]
        return sorted(records, key=lambda record: (record.added_at, record.id))

    def save(self, link: LinkRecord) -> None:
        """Write a link; durable on return."""
        self._repository.set_note(_LINKS, str(link.id), msgspec.msgpack.encode(link))

    def remove(self, link: LinkRecord) -> None:
        """Forget a link and its cursors."""
        self.drop_cursor(link)
        self._repository.set_note(_PUSHES, str(link.id), None)
        self._repository.set_note(_LINKS, str(link.id), None)

    def cursor(self, link: LinkRecord) -> CursorRecord | None:
        """How far the peer was followed, if it was."""
        note = self._repository.note(_CURSORS, str(link.id))
        return None if note is None else msgspec.msgpack.decode(note, type=CursorRecord)

    def save_cursor(self, link: LinkRecord, cursor: CursorRecord) -> None:
        """Note how far the peer was followed; durable on return."""
        self._repository.set_note(_CURSORS, str(link.id), msgspec.msgpack.encode(cursor))

    def drop_cursor(self, link: LinkRecord) -> None:
        """Forget how far the peer was followed; durable on return."""
        self._repository.set_note(_CURSORS, str(link.id), None)

    def pushed(self, link: LinkRecord) -> PushRecord | None:
        """How far the peer has acknowledged what we have, if it did."""
        note = self._repository.note(_PUSHES, str(link.id))
        return None if note is None else msgspec.msgpack.decode(note, type=PushRecord)

    def save_pushed(self, link: LinkRecord, mark: PushRecord) -> None:
        """Note how far the peer has acknowledged; durable on return."""
        self._repository.set_note(_PUSHES, str(link.id), msgspec.msgpack.encode(mark))


class SyncStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How the cycles with a peer went. Times are milliseconds since the Unix epoch."""

    last_success_at: int | None = None
    last_attempt_at: int | None = None
    last_error: str | None = None
    consecutive_failures: int = 0
    total_syncs: int = 0
    total_failures: int = 0


class PeerState(msgspec.Struct, frozen=True, kw_only=True):
    """What is told of a link.

    Attributes:
        node_id: The peer's node id; a stand-in until that is known.
        address: Base URL.
        label: For people.
        state: ``disconnected``, ``honeymoon`` or ``active``.
        last_sync_at: When it was last up to date, in milliseconds since the Unix epoch.
        sync_status: How its cycles went.
        sync_paths: Globs of what is taken; None for everything.
        reason: Why it is not active; of a link that is active by force, what was overruled.
        since: Since when it is in this state, in milliseconds since the Unix epoch.
        enabled: False while a person keeps it paused.
        behind_since: Since when we may lack something the peer has, likewise; None while we
            are in step with it.
        clock_offset_ms: How far the peer's clock is ahead of ours; None when unknown.
        round_trip_ms: Shortest way there and back; None when unknown.
        jitter_ms: How much that varies; None when unknown.
        samples: How many comparisons of the clocks this rests on.
        forced: Whether it is active only because a person said so.
        excludes: Globs of what is not taken after all; None for no exception.
        direction: Which way data moves, seen from this node.
        compression: How the peer's answers are compressed.
        bandwidth_limit: Thousands of bytes a second; 0 for no limit.
        last_push_at: When it last acknowledged all we have, in milliseconds since the Unix epoch;
            None when it did not, or pulls by itself.
        push_error: Why it did not; None when nothing is wrong.
        last_offer_at: When we last took all that it pushed to us, likewise; None when it did not.
    """

    node_id: int
    address: str
    label: str | None
    state: str
    last_sync_at: int | None
    sync_status: SyncStatus
    sync_paths: tuple[str, ...] | None
    reason: str | None
    since: int
    enabled: bool = True
    behind_since: int | None = None
    clock_offset_ms: float | None = None
    round_trip_ms: float | None = None
    jitter_ms: float | None = None
    samples: int = 0
    forced: bool = False
    excludes: tuple[str, ...] | None = None
    direction: Direction = Direction.BOTH
    compression: Encoding = Encoding.ZSTD
    bandwidth_limit: int = 0
    last_push_at: int | None = None
    push_error: str | None = None
    last_offer_at: int | None = None


class PeerResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a cycle went that somebody asked for.

    Attributes:
        node_id: The peer.
        ok: Whether everything it has is here now; of a push, everything we have there.
        changes_applied: Whether anything changed here; of a push, there.
        operations_applied: How many entries changed.
        conflicts_detected: How many of them are in conflict.
        error: Why it is not ok.
    """

    node_id: int
    ok: bool
    changes_applied: bool | msgspec.UnsetType = msgspec.UNSET
    operations_applied: int | msgspec.UnsetType = msgspec.UNSET
    conflicts_detected: int | msgspec.UnsetType = msgspec.UNSET
    error: str | msgspec.UnsetType = msgspec.UNSET


class PeerSkipped(msgspec.Struct, frozen=True):
    """A peer that was not asked, and why."""

    node_id: int
    state: str
    reason: str


class TriggerReport(msgspec.Struct, frozen=True, kw_only=True):
    """How the cycles went that somebody asked for.

    Attributes:
        peers_synced: How many are ok.
        peers_failed: How many are not.
        peers_skipped: How many were not asked.
        results: Of those asked.
        skipped: Those not asked.
        forced_active: Node ids of those that were not active and are now, because of
            ``force_activate``.
    """

    peers_synced: int
    peers_failed: int
    peers_skipped: int
    results: tuple[PeerResult, ...] = ()
    skipped: tuple[PeerSkipped, ...] = ()
    forced_active: tuple[int, ...] = ()


def is_id(number: int) -> bool:
    """Whether a number can be the id of a node or of a database."""
    return 0 < number <= _MAX_ID


def parse_address(text: str) -> str:
    """Return the base URL ``text`` names, without a trailing slash, host in lower case.

    Raises:
        BadRequestError: It is not the http or https URL of a host.
    """
    if not text or len(text) > _MAX_ADDRESS or not text.isprintable() or " " in text:
        raise BadRequestError(
            f"a peer's address must be a URL of at most {_MAX_ADDRESS} characters"
        )
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise BadRequestError(f"a peer's address is malformed: {error}") from error
    if parts.scheme not in {"http", "https"} or not host:
        raise BadRequestError("a peer's address must be http://host:port or https://host:port")
    if parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise BadRequestError("a peer's address must have nothing but a scheme, a host and a port")
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + (f":{port}" if port is not None else "")


def parse_label(text: str | None) -> str | None:
    """Return a label fit to be kept and shown.

    Raises:
        BadRequestError: It is too long or not printable.
    """
    if text is not None and (len(text) > _MAX_LABEL or not text.isprintable()):
        raise BadRequestError(f"a label has at most {_MAX_LABEL} printable characters")
    return text or None


def parse_filters(globs: Sequence[str] | None) -> tuple[str, ...] | None:
    """Return filters fit to be kept; None and an empty list both mean everything.

    Raises:
        BadRequestError: One is no glob, or there are too many.
    """
    if not globs:
        return None
    if len(globs) > MAX_FILTERS:
        raise BadRequestError(f"a link has at most {MAX_FILTERS} filters")
    Globs.parse(globs)
    return tuple(globs)
