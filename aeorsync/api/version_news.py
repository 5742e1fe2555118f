"""What the feed says of snapshots and forks, as events.

    row about a record            event
    ------------------            -----
    it is there                   versions_created
    ... made before a restore     versions_restored, after it
    it is gone                    versions_deleted, or versions_promoted of a fork that was

A record that is written again (a new name, a write into its fork) is no event.
"""

import msgspec

from aeorsync.core.merge import see
from aeorsync.core.paths import to_key
from aeorsync.storage.base import Change
from aeorsync.storage.version_records import (
    SNAPSHOTS,
    Fork,
    ReadContent,
    Snapshot,
    is_record_key,
    read_record,
)
from aeorsync.storage.views import View

_SNAPSHOTS = to_key(SNAPSHOTS)


class VersionTold(msgspec.Struct, frozen=True, omit_defaults=True):
    """One snapshot or fork in an event.

    Attributes:
        name: Its name.
        version_type: ``snapshot`` or ``fork``.
        root_hash: Root of its tree; of a fork the one it began with.
        id: Its id; absent in what was restored.
        created_at: Milliseconds since the Unix epoch; likewise.
    """

    name: str
    version_type: str
    root_hash: str
    id: str | msgspec.UnsetType = msgspec.UNSET
    created_at: int | msgspec.UnsetType = msgspec.UNSET


class Versions(msgspec.Struct, frozen=True):
    """The payload of an event about snapshots or forks."""

    versions: tuple[VersionTold, ...]


def tell(view: View, read: ReadContent, row: Change) -> list[tuple[str, VersionTold]]:
    """The events that a row of the feed is worth, as (type, what it is about)."""
    if not is_record_key(row.key) or bool(row.was) == bool(row.now):
        return []
    entry = view.entry(row.key)
    sight = None if entry is None else see(entry)
    if sight is None or sight.is_live != bool(row.now):
        return []  # a later row says so
    content = sight.winner.content
    if row.key.startswith(_SNAPSHOTS):
        snapshot = read_record(content, read, Snapshot)
        return [] if snapshot is None else _tell_snapshot(snapshot, is_there=sight.is_live)
    fork = read_record(content, read, Fork)
    return [] if fork is None else [_tell_fork(fork, is_there=sight.is_live)]


def _tell_snapshot(snapshot: Snapshot, *, is_there: bool) -> list[tuple[str, VersionTold]]:
    told = VersionTold(snapshot.name, "snapshot", snapshot.root, snapshot.id, snapshot.created_at)
    events = [("versions_created" if is_there else "versions_deleted", told)]
    if is_there and snapshot.restored is not None:
        name, root = snapshot.restored
        events.append(("versions_restored", VersionTold(name, "snapshot", root)))
    return events


def _tell_fork(fork: Fork, *, is_there: bool) -> tuple[str, VersionTold]:
    told = VersionTold(fork.name, "fork", fork.root, fork.id, fork.created_at)
    if is_there:
        return "versions_created", told
    return "versions_promoted" if fork.is_promoted else "versions_deleted", told
