"""What a path was: in each snapshot, and now."""

from collections.abc import Iterator
from dataclasses import dataclass

from aeorsync.core.merge import is_same_state, see
from aeorsync.core.paths import TreePath, to_key
from aeorsync.core.versions import Entry, Version, decode_entry
from aeorsync.storage.records import Snapshot, read_snapshots
from aeorsync.storage.repository import Repository


@dataclass(frozen=True, slots=True)
class Step:
    """A state that a path came to, or left.

    Attributes:
        snapshot: The first snapshot that has it so; None for the present.
        change: ``added``, ``modified`` or ``deleted``.
        version: What is there then; of a deletion what was there before.
        entry: All that is there then; None for a deletion.
    """

    snapshot: Snapshot | None
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
    points: list[tuple[Snapshot | None, Entry | None]] = []
    unseen = []
    with repository.view() as view:
        for snapshot in read_snapshots(view, repository.read):
            if repository.has_trees(snapshot.trees):
                data = view.at(*snapshot.trees).live_data(key)
                points.append((snapshot, None if data is None else decode_entry(data)))
            else:
                unseen.append(snapshot)
        points.append((None, view.live_entry(path)))
        head = view.head.root
    return History(list(_steps(points))[::-1][:limit], unseen, head)


def _steps(points: list[tuple[Snapshot | None, Entry | None]]) -> Iterator[Step]:
    last: Version | None = None
    for snapshot, entry in points:
        now = None if entry is None else see(entry).winner
        if now is not None:
            if last is None:
                yield Step(snapshot, "added", now, entry)
            elif not is_same_state(last, now) or last.mtime != now.mtime:
                yield Step(snapshot, "modified", now, entry)
        elif last is not None:
            yield Step(snapshot, "deleted", last, None)
        last = now
