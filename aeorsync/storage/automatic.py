"""Snapshots that nobody asks for: by the clock, before a deletion; and their end, by their age.

Each is made, or forgotten, in a commit of its own (`storage.versions.commit`).
"""

from contextlib import suppress
from functools import partial
from typing import Final

from aeorsync.errors import NotFoundError
from aeorsync.storage.draft import Draft
from aeorsync.storage.lifecycle import outlived, read_lifecycle
from aeorsync.storage.repository import Repository
from aeorsync.storage.version_records import Snapshot, read_snapshots
from aeorsync.storage.versions import auto_snapshot, commit, delete_snapshot, is_present

DELETE_MS: Final = 60_000
"""Between two snapshots before deletions."""


def scheduled_snapshot(repository: Repository, draft: Draft) -> Snapshot | None:
    """Keep the present tree because it is time to; None when the latest snapshot has it already.

    Raises:
        DeniedError: Snapshots are switched off.
    """
    known = read_snapshots(draft.view, repository.read)
    if known and is_present(repository, draft, known[-1]):
        return None
    return auto_snapshot(repository, draft, "")


def wants_snapshot_before_delete(repository: Repository, now_ms: int) -> bool:
    """Whether the rules want a snapshot before a deletion that comes now. Blocking."""
    with repository.view() as view:
        rules = read_lifecycle(view, repository.read)
        if not (rules.snapshot_before_delete and rules.snapshot_writes_enabled):
            return False
        return not any(
            known.reason == "delete"
            and known.node == view.head.node
            and known.created_at > now_ms - DELETE_MS
            for known in read_snapshots(view, repository.read)
        )


def prune_snapshots(repository: Repository, now_ms: int) -> int:
    """Forget the snapshots that the rules keep no longer; returns how many. Blocking."""
    found = outlived(repository, now_ms)
    for snapshot in found:
        with suppress(NotFoundError):  # somebody was quicker
            commit(repository, partial(_forget, repository, snapshot.id)).result()
    return len(found)


def _forget(repository: Repository, name: str, draft: Draft) -> None:
    delete_snapshot(repository, draft, name)
