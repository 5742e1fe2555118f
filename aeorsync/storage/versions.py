"""Snapshots and forks: making, finding, and bringing back what they hold.

The functions that take a draft are operations, or parts of one, that must have a commit of their
own (`Repository.commit` with ``alone``): what they call the present is the view of the draft.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import TypeVar

import msgspec

from aeorsync.core.paths import TreePath, to_key
from aeorsync.core.versions import Content, Version, decode_entry
from aeorsync.errors import BadRequestError, ConflictError, NotFoundError, UnavailableError
from aeorsync.runtime import chance
from aeorsync.storage import forks as forking
from aeorsync.storage.changes import FileState, put_file
from aeorsync.storage.draft import Draft
from aeorsync.storage.forks import Promoted, new_fork_id
from aeorsync.storage.lifecycle import check_writes
from aeorsync.storage.repository import Repository
from aeorsync.storage.states import state_of
from aeorsync.storage.version_records import (
    FORKS,
    SNAPSHOTS,
    Fork,
    Snapshot,
    read_forks,
    read_snapshots,
)
from aeorsync.storage.views import is_system_key

__all__ = (
    "FORKS",
    "SNAPSHOTS",
    "Fork",
    "Snapshot",
    "forks",
    "snapshots",
)

MAX_NAME = 255
"""Bytes of a name."""
MAX_METADATA = 16 * 1024
"""Bytes of all keys and values a snapshot notes."""
_BATCH = 200

T = TypeVar("T")
Record = TypeVar("Record", Snapshot, Fork)


def snapshots(repository: Repository) -> list[Snapshot]:
    """All snapshots, oldest first."""
    with repository.view() as view:
        return read_snapshots(view, repository.read)


def forks(repository: Repository) -> list[Fork]:
    """All forks, oldest first."""
    with repository.view() as view:
        return read_forks(view, repository.read)


def choose(records: Iterable[Record], text: str, what: str) -> Record:
    """The one of some records that has this id, name or root; an id comes first.

    Args:
        records: Which to choose from.
        text: What was asked for.
        what: What they are, for the error.

    Raises:
        NotFoundError: None has.
        ConflictError: Several have that name.
    """
    known = list(records)
    for record in known:
        if record.id == text:
            return record
    named = [record for record in known if record.name == text]
    if len(named) > 1:
        ids = ", ".join(record.id for record in named)
        raise ConflictError(f"{len(named)} {what}s are called {text[:100]}; use an id: {ids}")
    found = named or [record for record in known if record.root == text.lower()]
    if not found:
        raise NotFoundError(f"there is no {what} {text[:100]}")
    return found[-1]


def check_name(name: str) -> str:
    """Demand a name that people can read and addresses can carry.

    Raises:
        BadRequestError: It is empty, over 255 bytes, has a slash or a character that cannot be
            seen, blanks at its ends, or could be taken for an id or a root.
    """
    if not name or not name.isprintable() or "/" in name or name != name.strip():
        raise BadRequestError("a name has at least one character, no slash, and no blanks around")
    if len(name.encode()) > MAX_NAME or name in {".", ".."}:
        raise BadRequestError(f"a name has at most {MAX_NAME} bytes and is not . or ..")
    is_hex = set("0123456789abcdef").issuperset(name.lower())
    if is_hex and len(name) in {16, 32, 64}:
        raise BadRequestError("a name of 16, 32 or 64 hex digits would be taken for an id")
    return name


def check_metadata(metadata: dict[str, str]) -> None:
    """Demand notes of a bounded size.

    Raises:
        BadRequestError: They are too long.
    """
    size = sum(len(key.encode()) + len(value.encode()) for key, value in metadata.items())
    if size > MAX_METADATA:
        raise BadRequestError(f"metadata is over {MAX_METADATA} bytes")


# Operations


def make_snapshot(
    repository: Repository, draft: Draft, name: str, metadata: dict[str, str]
) -> tuple[Snapshot, bool]:
    """Keep the present tree under a name; O(1) whatever its size.

    Returns:
        The snapshot, and whether it was there already: under this name, with nothing changed
        since.

    Raises:
        ConflictError: Another has the name.
        DeniedError: Snapshots are switched off.
    """
    check_writes(repository, draft)
    for known in read_snapshots(draft.view, repository.read):
        if known.name != name:
            continue
        if is_present(repository, draft, known):
            return known, True
        raise ConflictError(f"there is a snapshot {name} already")
    head = draft.view.head
    snapshot = Snapshot(
        id=chance.token_hex(16),
        name=name,
        root=head.root.hex(),
        graves=head.graves.hex(),
        created_at=draft.now_ms,
        metadata=metadata,
        node=draft.node,
    )
    return _keep(repository, draft, snapshot), False


def auto_snapshot(
    repository: Repository, draft: Draft, reason: str, by: Snapshot | None = None
) -> Snapshot:
    """Keep the present tree before something in it is replaced.

    Args:
        repository: Whose.
        draft: Where to write.
        reason: ``restore``, ``promote`` or ``delete``; empty for one that is made by the clock.
        by: The snapshot that is about to replace everything.

    Raises:
        DeniedError: Snapshots are switched off.
    """
    check_writes(repository, draft)
    when = datetime.fromtimestamp(draft.now_ms / 1000, UTC).isoformat(" ", "milliseconds")
    before = f"pre-{reason} " if reason else ""
    name = f"auto-{before}{when.removesuffix('+00:00')}"
    restored = None if by is None else (by.name, by.root)
    head = draft.view.head
    snapshot = Snapshot(
        id=chance.token_hex(16),
        name=name,
        root=head.root.hex(),
        graves=head.graves.hex(),
        created_at=draft.now_ms,
        kind="auto",
        node=draft.node,
        reason=reason,
        restored=restored,
    )
    return _keep(repository, draft, snapshot)


def rename_snapshot(repository: Repository, draft: Draft, text: str, name: str) -> Snapshot:
    """Give a snapshot another name; returns it as it was.

    Raises:
        NotFoundError: There is no such snapshot.
        ConflictError: Another has the name.
    """
    known = read_snapshots(draft.view, repository.read)
    chosen = choose(known, text, "snapshot")
    if any(other.name == name and other.id != chosen.id for other in known):
        raise ConflictError(f"there is a snapshot {name} already")
    _save(repository, draft, msgspec.structs.replace(chosen, name=name))
    return chosen


def delete_snapshot(repository: Repository, draft: Draft, text: str) -> Snapshot:
    """Forget a snapshot, on all nodes; files that only it had are gone for good.

    Raises:
        NotFoundError: There is no such snapshot.
    """
    chosen = choose(read_snapshots(draft.view, repository.read), text, "snapshot")
    _forget(draft, chosen)
    return chosen


def make_fork(repository: Repository, draft: Draft, name: str, base: str) -> Fork:
    """Begin a fork of the present tree, or of a snapshot's; O(1) whatever its size.

    Raises:
        NotFoundError: There is no such snapshot.
        ConflictError: Another fork has the name.
    """
    if any(known.name == name for known in read_forks(draft.view, repository.read)):
        raise ConflictError(f"there is a fork {name} already")
    head = draft.view.head
    root, graves, based_on = head.root.hex(), head.graves.hex(), ""
    if base:
        snapshot = choose(read_snapshots(draft.view, repository.read), base, "snapshot")
        root, graves, based_on = snapshot.root, snapshot.graves, snapshot.name
    repository.keep_everything()
    fork = Fork(
        id=new_fork_id(),
        name=name,
        root=root,
        graves=graves,
        base=based_on,
        created_at=draft.now_ms,
        node=draft.node,
    )
    _save(repository, draft, fork)
    return fork


def promote_fork(
    repository: Repository, draft: Draft, text: str
) -> tuple[Fork, Snapshot | None, Promoted]:
    """Apply what a fork changed to the tree, and end the fork.

    Raises:
        NotFoundError: There is no such fork.
        UnavailableError: The tree it began with is not here.
    """
    fork = choose(read_forks(draft.view, repository.read), text, "fork")
    if not repository.has_trees(fork.trees):
        raise not_here(f"what the fork {fork.name} began with")
    before = auto_snapshot(repository, draft, "promote") if draft.inside(fork.folder) else None
    promoted = forking.promote(draft, fork)
    # Its grave tells how it ended.
    _save(repository, draft, msgspec.structs.replace(fork, is_promoted=True))
    forking.discard(draft, fork)
    return fork, before, promoted


def abandon_fork(repository: Repository, draft: Draft, text: str) -> Fork:
    """End a fork, and delete what it changed.

    Raises:
        NotFoundError: There is no such fork.
    """
    fork = choose(read_forks(draft.view, repository.read), text, "fork")
    forking.discard(draft, fork)
    return fork


# What several need


def not_here(what: str) -> UnavailableError:
    """The error for a tree that is still to be fetched from other nodes."""
    text = f"{what} is not all on this node yet; ask the node that made it, or try later"
    return UnavailableError(text)


def check_here(repository: Repository, contents: Iterable[Content]) -> None:
    """Demand that every byte of some files is on this node.

    Raises:
        UnavailableError: Something is missing.
    """
    batch: list[Content] = []
    for content in contents:
        batch.append(content)
        if len(batch) >= _BATCH:
            _check_batch(repository, batch)
            batch = []
    _check_batch(repository, batch)


def find_version(
    repository: Repository, path: TreePath, version_id: str
) -> tuple[Version, Snapshot | None] | None:
    """A version of a path by its id, as the present or the latest snapshot that has it."""
    key = to_key(path)
    with repository.view() as view:
        entry = view.entry(key)
        version = None if entry is None else entry.version(version_id)
        if version is not None:
            return version, None
        for snapshot in reversed(read_snapshots(view, repository.read)):
            if repository.has_trees(snapshot.trees):
                data = view.at(*snapshot.trees).live_data(key)
                version = None if data is None else decode_entry(data).version(version_id)
                if version is not None:
                    return version, snapshot
    return None


def commit(repository: Repository, operation: Callable[[Draft], T]) -> "Future[T]":
    """Run an operation that may make records, in a commit of its own."""

    def settle(future: "Future[T]") -> None:
        if future.exception() is not None:
            # It may have begun to keep what no record came to name.
            repository.settle_trees()

    future = repository.commit(operation, alone=True)
    future.add_done_callback(settle)
    return future


def _check_batch(repository: Repository, batch: list[Content]) -> None:
    if batch and repository.lacking(batch)[0]:
        raise not_here("the content of a file that was to come back")


def is_present(repository: Repository, draft: Draft, snapshot: Snapshot) -> bool:
    """Whether nothing but records changed since a snapshot."""
    if not repository.has_trees(snapshot.trees):
        return False
    changed = repository.differences(snapshot.trees[0], draft.view.head.root)
    return all(is_system_key(key) for key, _, _ in changed)


def _keep(repository: Repository, draft: Draft, snapshot: Snapshot) -> Snapshot:
    # Before the record is there: what this commit itself replaces must stay already.
    repository.keep_everything()
    _save(repository, draft, snapshot)
    return snapshot


def _save(repository: Repository, draft: Draft, record: Snapshot | Fork) -> None:
    content = repository.store_small(msgspec.json.encode(record))
    put_file(draft, record.path, FileState(content, "application/json"))


def _forget(draft: Draft, record: Snapshot) -> None:
    sight = draft.live(record.path)
    if sight is not None:
        draft.write(record.path, state_of(sight.winner, deleted=True, base=b""))
