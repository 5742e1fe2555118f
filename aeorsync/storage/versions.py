"""Snapshots: trees of the past that stay readable.

A snapshot is a record in the system namespace, a JSON file of its own, so it replicates by the
same code as all files. It names the root of a tree; whoever collects garbage asks `kept_roots`.
"""

import msgspec

from aeorsync.core.paths import SYSTEM, join
from aeorsync.storage.repository import Repository

SNAPSHOTS = join(SYSTEM, "snapshots")


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A tree of the past.

    Attributes:
        id: Random hex; names it for ever.
        name: For people; two nodes may have given one name to two snapshots.
        root: Hex root of its live tree.
        created_at: Milliseconds since the Unix epoch.
        metadata: Whatever its maker wanted to note.
    """

    id: str
    name: str
    root: str
    created_at: int
    metadata: dict[str, str] = {}


def snapshots(repository: Repository) -> list[Snapshot]:
    """All snapshots, oldest first."""
    with repository.view() as view:
        children = list(view.children(SNAPSHOTS, system=True))
    found = [
        msgspec.json.decode(b"".join(repository.read(child.version.content)), type=Snapshot)
        for child in children
        if child.version is not None
    ]
    return sorted(found, key=lambda snapshot: (snapshot.created_at, snapshot.id))


def kept_roots(repository: Repository) -> dict[bytes, str]:
    """Roots of the trees that must stay readable besides the current one, and what they are."""
    return {bytes.fromhex(found.root): f"snapshot {found.name}" for found in snapshots(repository)}
