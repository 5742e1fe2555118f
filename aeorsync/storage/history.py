"""What a path was: in each snapshot, and now."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from aeorsync.core.merge import is_same_state, see
from aeorsync.core.paths import TreePath, to_key
from aeorsync.core.versions import Entry, Version, decode_entry
from aeorsync.storage.repository import Repository
from aeorsync.storage.version_records import Snapshot, read_snapshots


@dataclass(frozen=True, slots=True)
class Step:
    """A state that a path came to, or left.

    Attributes:
        snapshot: The first snapshot that has it so; None for the present.
        when: When that snapshot was made; for the present, when the state was written; in
            milliseconds since the Unix epoch.
        change: ``added``, ``modified`` or ``deleted``.
        version: What is there then; of a deletion what was there before.
        entry: All that is there then; None for a deletion.
    """

    snapshot: Snapshot | None
    when: int
    change: str
    version: Version
    entry: Entry | None


@dataclass(frozen=True, slots=True)
class History:
    """The states of a path that are known.

    Attributes:
        steps: The newest first.
        unseen: Snapshots whose trees are not here yet, so that nobody knows.
        head: The present live root.
    """

    steps: list[Step]
    unseen: list[Snapshot]
    head: bytes


def history(repository: Repository, path: TreePath, limit: int) -> History:
    """The last ``limit`` states of a path. Blocking; O(snapshots)."""
    key = to_key(path)
    points: list[_Point] = []
    unseen = []
    with repository.view() as view:
        for snapshot in read_snapshots(view, repository.read):
            if repository.has_trees(snapshot.trees):
                data = view.at(*snapshot.trees).live_data(key)
                entry = None if data is None else decode_entry(data)
                points.append((snapshot, snapshot.created_at, entry))
            else:
                unseen.append(snapshot)
        last = view.entry(key)
        when = 0 if last is None else see(last).winner.updated
        points.append((None, when, view.live_entry(path)))
        head = view.head.root
    return History(list(_steps(points))[::-1][:limit], unseen, head)


_Point: TypeAlias = tuple[Snapshot | None, int, Entry | None]


def _steps(points: list[_Point]) -> Iterator[Step]:
    last: Version | None = None
    for snapshot, when, entry in points:
        now = None if entry is None else see(entry).winner
        if now is not None:
            if last is None:
                yield Step(snapshot, when, "added", now, entry)
            elif not is_same_state(last, now) or last.mtime != now.mtime:
                yield Step(snapshot, when, "modified", now, entry)
        elif last is not None:
            yield Step(snapshot, when, "deleted", last, None)
        last = now
