"""The records of snapshots and forks.

Each is a JSON file of its own in the system namespace, so that it replicates by the same code as
all files, and its deletion too:

    /.aeordb-system/snapshots/<id>.json      a tree of the past
    /.aeordb-system/forks/<id>.json          a fork, and the tree it began with
    /.aeordb-system/forks/<id>/...           what was changed in the fork (`storage.forks`)

Ids are random, so two nodes that give one name at once make two records, and both are kept.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TypeVar

import msgspec

from aeorsync.core.nodes import EMPTY
from aeorsync.core.paths import SYSTEM, TreePath, from_key, join, to_key
from aeorsync.core.versions import Content
from aeorsync.errors import UNREADABLE, AeorError, CorruptError
from aeorsync.storage.views import View

SNAPSHOTS = join(SYSTEM, "snapshots")
FORKS = join(SYSTEM, "forks")
MAX_RECORD = 64 * 1024
"""Bytes of JSON; what is longer is no record of ours."""
_FOLDERS = tuple(to_key(folder) + b"\0" for folder in (SNAPSHOTS, FORKS))
_FORKS = to_key(FORKS) + b"\0"
_EMPTY = EMPTY.hex()

_MOST_PARSED = 4096
_parsed: dict[bytes, "Snapshot | Fork"] = {}
"""Records by the hash of their file, which says all of them; so it is right for every node."""

ReadContent = Callable[[Content], Iterator[bytes | memoryview]]


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A tree of the past.

    Attributes:
        id: Random hex; names it for ever.
        name: For people; two nodes may have given one name to two snapshots.
        root: Hex root of its live tree.
        graves: Hex root of its tree of deletions.
        created_at: Milliseconds since the Unix epoch.
        metadata: Whatever its maker wanted to note.
        kind: ``manual``, or ``auto`` for one made before something is replaced.
        node: Node that made it.
        reason: What an automatic one was made before: ``restore``, ``promote``, ``delete``.
        restored: Name and root of the snapshot that then replaced everything.
    """

    id: str
    name: str
    root: str
    graves: str = _EMPTY
    created_at: int
    metadata: dict[str, str] = {}
    kind: str = "manual"
    node: int = 0
    reason: str = ""
    restored: tuple[str, str] | None = None

    @property
    def path(self) -> TreePath:
        """Where the record is."""
        return join(SNAPSHOTS, f"{self.id}.json")

    @property
    def trees(self) -> tuple[bytes, bytes]:
        """Roots of the live tree and of the graves."""
        return bytes.fromhex(self.root), bytes.fromhex(self.graves)


class Fork(msgspec.Struct, frozen=True, kw_only=True):
    """A second state of the tree, which nobody sees who does not ask for it.

    Attributes:
        id: Random hex; names it for ever.
        name: For people; two nodes may have given one name to two forks.
        root: Hex root of the live tree it began with.
        graves: Hex root of the deletions then.
        base: Name of the snapshot it began with; empty when it began with the tree of then.
        created_at: Milliseconds since the Unix epoch.
        node: Node that made it.
        is_promoted: Only in a deleted record: whether it was promoted, not abandoned.
    """

    id: str
    name: str
    root: str
    graves: str = _EMPTY
    base: str = ""
    created_at: int
    node: int = 0
    is_promoted: bool = False

    @property
    def path(self) -> TreePath:
        """Where the record is."""
        return join(FORKS, f"{self.id}.json")

    @property
    def folder(self) -> TreePath:
        """Where its changes are."""
        return join(FORKS, self.id)

    @property
    def trees(self) -> tuple[bytes, bytes]:
        """Roots of the live tree and of the graves it began with."""
        return bytes.fromhex(self.root), bytes.fromhex(self.graves)


Record = TypeVar("Record", Snapshot, Fork)


def is_record_key(key: bytes) -> bool:
    """Whether a record lies at a key, and not something inside a fork."""
    return any(key.startswith(folder) and b"\0" not in key[len(folder) :] for folder in _FOLDERS)


def path_in_fork(key: bytes) -> TreePath | None:
    """The path, as its fork has it, of what was changed in a fork; None for any other key."""
    if not key.startswith(_FORKS):
        return None
    own = key[len(_FORKS) :].partition(b"\0")[2]
    return from_key(own) if own else None


def read_snapshots(view: View, read: ReadContent) -> list[Snapshot]:
    """All snapshots that can be read, oldest first."""
    return _read_all(view, read, SNAPSHOTS, Snapshot)[0]


def read_forks(view: View, read: ReadContent) -> list[Fork]:
    """All forks that can be read, oldest first."""
    return _read_all(view, read, FORKS, Fork)[0]


def read_every(view: View, read: ReadContent) -> tuple[list[Snapshot], list[Fork]]:
    """All snapshots and forks, for those who decide what may go.

    Raises:
        CorruptError: The bytes of a record are not here, so nobody can say what it keeps.
    """
    snapshots, are_all = _read_all(view, read, SNAPSHOTS, Snapshot)
    forks, are_all_forks = _read_all(view, read, FORKS, Fork)
    if not (are_all and are_all_forks):
        raise CorruptError("the record of a snapshot or a fork is damaged; all is kept meanwhile")
    return snapshots, forks


def parse(data: bytes, shape: type[Record]) -> Record | None:
    """The record that some JSON is; None when it is none, as a peer may send anything."""
    try:
        record = msgspec.json.decode(data, type=shape)
    except UNREADABLE:
        return None
    is_sound = all(len(root) == len(_EMPTY) for root in (record.root, record.graves))
    with suppress(ValueError):
        return record if is_sound and record.trees else None
    return None


def read_record(content: Content, read: ReadContent, shape: type[Record]) -> Record | None:
    """The record in a file; None when it is none, or its bytes are not here."""
    with suppress(AeorError):
        return _read_record(content, read, shape)
    return None


def _read_record(content: Content, read: ReadContent, shape: type[Record]) -> Record | None:
    """The record in a file; None when it is none.

    Raises:
        AeorError: Its bytes are not here.
    """
    if content.size > MAX_RECORD:
        return None
    known = _parsed.get(content.hash)
    if isinstance(known, shape):
        return known
    record = parse(b"".join(read(content)), shape)
    if record is not None:
        if len(_parsed) >= _MOST_PARSED:
            _parsed.clear()
        _parsed[content.hash] = record
    return record


def _read_all(
    view: View, read: ReadContent, folder: TreePath, shape: type[Record]
) -> tuple[list[Record], bool]:
    """All records of a kind, oldest first, and whether the bytes of each are here."""
    found: list[Record] = []
    are_all = True
    for child in view.children(folder, system=True):
        if child.version is None or not child.path.endswith(".json"):
            continue
        try:
            record = _read_record(child.version.content, read, shape)
        except AeorError:
            are_all = False
            continue
        # A record in another's place would be deleted and renamed there in vain.
        if record is not None and record.path == child.path:
            found.append(record)
    return sorted(found, key=lambda record: (record.created_at, record.id)), are_all
