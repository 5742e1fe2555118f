"""What must be true of a cluster that was healed and left alone."""

from typing import TYPE_CHECKING

from aeorsync.core.merge import Sight, see
from aeorsync.core.paths import from_key
from aeorsync.core.versions import Entry, Kind, decode_entry
from aeorsync.storage.version_records import read_every
from aeorsync.storage.views import is_system_key
from tests.support.sim.history import BrokenError, demand
from tests.support.sim.nodes import Node

if TYPE_CHECKING:
    from tests.support.sim.small import Small


def check(run: "Small") -> None:
    """All of it.

    Raises:
        BrokenError: Something is not true.
    """
    staying = run.staying()
    held = set().union(*(node.past.held for node in staying))
    roots = {node.disk.head().root for node in staying}
    demand(len(roots) <= 1, f"{len(roots)} different trees")
    looked_at: dict[tuple[bytes, bytes], dict[bytes, Sight]] = {}
    for node in staying:
        entries = node.entries()
        # Equal trees are right or wrong together; that each has all of it was seen just now.
        head = node.disk.head()
        sights = looked_at.get((head.root, head.graves))
        if sights is None:
            run.history.check_tree(node.id, entries, held)
            sights = {key: see(entry) for key, entry in entries.items()}
            looked_at[head.root, head.graves] = sights
        _check_files(node, entries)
        _check_feed(node, sights)
        _check_conflicts(node, sights)
        _check_snapshots(run, node)


def _check_files(node: Node, entries: dict[bytes, Entry]) -> None:
    """Every file that can be read is all here, and right."""
    looked: set[bytes] = set()
    for entry in entries.values():
        for version in entry.versions:
            if version.deleted or version.kind != Kind.FILE or version.content.hash in looked:
                continue
            looked.add(version.content.hash)
            data = b"".join(node.repository.read(version.content))
            node.history.check_bytes(version, data)


def _check_feed(node: Node, sights: dict[bytes, Sight]) -> None:
    """Who followed the feed from its beginning knows what is there."""
    told: dict[bytes, int] = {}
    for seq, change in enumerate(node.disk.changes(0, 1 << 30), 1):
        if change.seq != seq or told.get(change.key, 0) != change.was:
            raise BrokenError(f"node {node.id} tells {change} in row {seq} of its feed")
        told[change.key] = change.now
    lives = {key: sight.winner.kind for key, sight in sights.items() if sight.is_live}
    demand(
        {key: kind for key, kind in told.items() if kind} == lives,
        f"the feed of node {node.id} tells of another tree than there is",
    )


def _check_conflicts(node: Node, sights: dict[bytes, Sight]) -> None:
    """The list of conflicts is neither too long nor too short."""
    lives = sorted(key for key, sight in sights.items() if sight.is_live)
    expected = {key for key, sight in sights.items() if sight.losers}
    for key in lives:
        is_file = sights[key].winner.kind != Kind.DIRECTORY and not is_system_key(key)
        if is_file and any(other.startswith(key + b"\0") for other in lives):
            expected.add(key)
    listed = {conflict.path for conflict in node.repository.conflicts()}
    expected_paths = {from_key(key) for key in expected if sights[key].is_live}
    demand(
        listed == expected_paths,
        f"node {node.id} lists conflicts at {sorted(listed)}, not {sorted(expected_paths)}",
    )


def _check_snapshots(run: "Small", node: Node) -> None:
    """Every snapshot that is all here shows what was there when it was made."""
    if not run.snapshots:
        return
    with node.repository.view() as view:
        snapshots, _ = read_every(view, node.repository.read)
        for snapshot in snapshots:
            if snapshot.id not in run.snapshots:
                continue
            maker, expected = run.snapshots[snapshot.id]
            if not node.repository.has_trees(snapshot.trees):
                lacks_it = maker != node.id or node.put_backs
                demand(lacks_it, f"node {node.id} has lost its snapshot {snapshot.id}")
                continue
            found = live(view.at(*snapshot.trees).walk(system=True))
            demand(
                found == expected,
                f"snapshot {snapshot.id} of node {node.id} shows {found}, not {expected}",
            )


def live(items: "object") -> dict[bytes, bytes]:
    """The paths of a tree that are no records, and the content of each."""
    pairs: dict[bytes, bytes] = dict(items)  # type: ignore[call-overload]
    return {
        key: see(decode_entry(data)).winner.content.hash
        for key, data in pairs.items()
        if not is_system_key(key)
    }
