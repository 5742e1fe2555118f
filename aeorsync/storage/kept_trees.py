"""Trees that must stay readable besides the current ones: those that records name."""

from typing import NamedTuple

from aeorsync.core.nodes import EMPTY
from aeorsync.storage.repository import Repository
from aeorsync.storage.version_records import Fork, Snapshot, read_every


class KeptTree(NamedTuple):
    """A tree that must stay readable besides the current ones.

    Attributes:
        root: Its root.
        name: What it is, for people.
        is_grave: Whether it is a tree of deletions: these tell what a snapshot's writers had seen.
        node: Node that made it.
    """

    root: bytes
    name: str
    is_grave: bool
    node: int


def kept_trees(repository: Repository) -> list[KeptTree]:
    """All that must stay readable besides the current ones.

    Raises:
        CorruptError: A record is damaged here, so there are trees that nobody can tell.
    """
    with repository.view() as view:
        found_snapshots, found_forks = read_every(view, repository.read)
    named: list[tuple[Snapshot | Fork, str]] = []
    named += [(one, f"snapshot {one.name}") for one in found_snapshots]
    named += [(one, f"base of fork {one.name}") for one in found_forks]
    return [
        KeptTree(root, name, is_grave, one.node)
        for one, name in named
        for root, is_grave in zip(one.trees, (False, True), strict=True)
        if root != EMPTY
    ]


def kept_roots(repository: Repository) -> dict[bytes, str]:
    """Roots of `kept_trees`, and what they are.

    Raises:
        CorruptError: As `kept_trees`.
    """
    return {kept.root: kept.name for kept in kept_trees(repository)}
