"""Bringing back what the tree, a folder or a file was.

Nothing is put back by moving the head: what was is written anew, as versions that have seen all
that is there, deletions included. So it is an ordinary change, which replicates and which others
may have edited beside. Paths in conflict then are in conflict again. A snapshot of what was
replaced is made in the same commit.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from aeorsync.core.merge import see
from aeorsync.core.paths import ROOT, TreePath, from_key, parent, to_key
from aeorsync.core.versions import Content, Entry, Kind, Version, decode_entry, encode_entry
from aeorsync.errors import BadRequestError, ConflictError, NotFoundError
from aeorsync.storage.changes import make_folder
from aeorsync.storage.draft import Draft
from aeorsync.storage.repository import Repository
from aeorsync.storage.states import State, state_of
from aeorsync.storage.version_records import Snapshot
from aeorsync.storage.versions import auto_snapshot
from aeorsync.storage.views import View, is_system_key


@dataclass(frozen=True, slots=True)
class Restored:
    """What bringing back did.

    Attributes:
        changed: Paths that are different now.
        before: Snapshot of what was there; None when nothing was changed.
    """

    changed: int
    before: Snapshot | None


def contents_of_tree(repository: Repository, root: bytes) -> Iterator[Content]:
    """Contents that a tree has and the present has not; to be checked before `restore_tree`."""
    with repository.view() as view:
        for key, _, data in repository.differences(view.head.root, root):
            if data is not None and not is_system_key(key):
                yield from (version.content for version in decode_entry(data).versions)


def contents_at(view: View, path: TreePath) -> Iterator[Content]:
    """Contents at and below a path; to be checked before `restore_path`."""
    own = view.live_data(to_key(path))
    for data in [] if own is None else [own]:
        yield from (version.content for version in decode_entry(data).versions)
    for _, data in view.walk(path):
        yield from (version.content for version in decode_entry(data).versions)


def restore_tree(repository: Repository, draft: Draft, snapshot: Snapshot) -> Restored:
    """Make all files what they were in a snapshot. Needs a commit of its own."""
    plan = [
        (key, data)
        for key, _, data in repository.differences(draft.view.head.root, snapshot.trees[0])
        if not is_system_key(key)
    ]
    return _carry_out(repository, draft, plan, by=snapshot)


def restore_path(
    repository: Repository, draft: Draft, path: TreePath, trees: tuple[bytes, bytes]
) -> Restored:
    """Make a path, and all below it, what it was. Needs a commit of its own.

    Raises:
        NotFoundError: It was not there.
        ConflictError: A file is where a folder above it must be.
    """
    then = draft.view.at(*trees)
    key = to_key(path)
    was = dict(then.walk(path))
    own = then.live_data(key)
    if own is not None:
        was[key] = own
    if not was:
        raise NotFoundError(f"{path} was not there")
    is_now = set(draft.inside(path))
    if draft.live(path) is not None:
        is_now.add(key)
    plan = [(key, was.get(key)) for key in sorted(is_now | was.keys())]
    return _carry_out(repository, draft, plan, parent(path))


def restore_version(
    repository: Repository, draft: Draft, path: TreePath, version: Version
) -> Restored:
    """Make a path what one version left. Needs a commit of its own.

    Raises:
        ConflictError: A folder is there, or a file is where a folder above it must be.
    """
    if path == ROOT:
        raise BadRequestError("the root has no versions")
    sight = draft.live(path)
    if draft.has_inside(path) or (sight is not None and sight.winner.kind == Kind.DIRECTORY):
        raise ConflictError(f"{path} is a folder now; move or delete it first")
    plan: _Plan = [(to_key(path), encode_entry(Entry((version,))))]
    return _carry_out(repository, draft, plan, parent(path))


_Plan: TypeAlias = list[tuple[bytes, bytes | None]]
"""Keys, and the entry that was at each; None where nothing was."""


def _carry_out(
    repository: Repository,
    draft: Draft,
    plan: _Plan,
    folder: TreePath = ROOT,
    by: Snapshot | None = None,
) -> Restored:
    steps = [(key, data) for key, data in plan if _states(draft.entry(key)) != _parse(data)[1]]
    if not steps:
        return Restored(0, None)
    before = auto_snapshot(repository, draft, "restore", by)
    if folder != ROOT:
        make_folder(draft, folder)
    for key, data in steps:
        entry = draft.entry(key)
        context = entry.context if entry is not None else ()
        then, _ = _parse(data)
        if then is not None:
            # From one context, so that versions in conflict stay beside each other.
            for version in _sorted(then):
                draft.write(from_key(key), state_of(version, base=b""), context)
            draft.may_collide(from_key(key))
        elif entry is not None:
            gone = state_of(see(entry).winner, deleted=True, base=b"")
            draft.write(from_key(key), gone, context)
    return Restored(len(steps), before)


def _parse(data: bytes | None) -> tuple[Entry | None, list[State]]:
    entry = None if data is None else decode_entry(data)
    return entry, _states(entry)


def _states(entry: Entry | None) -> list[State]:
    """What readers see of an entry, whoever wrote it and whenever; nothing if it is deleted."""
    if entry is None or not see(entry).is_live:
        return []
    return [state_of(version, base=b"") for version in _sorted(entry)]


def _sorted(entry: Entry) -> list[Version]:
    sight = see(entry)
    return sorted((sight.winner, *sight.losers), key=lambda version: version.rank)
