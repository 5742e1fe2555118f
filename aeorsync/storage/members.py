"""Which nodes belong to the cluster, and what each has acknowledged.

    /.aeordb-system/members/<node id>.json    {"node_id": 7} or {"node_id": 7, "removed": true}
    /.aeordb-system/acks/<node id>            msgpack `core.knowledge.Ack`

Both replicate by the same code as all files. A member's record says nothing that two nodes could
disagree about, so writing it twice at once makes no conflict; a removal stands for ever. Acks are
written by the node they are about only.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import msgspec

from aeorsync.core.hashing import content_hash
from aeorsync.core.knowledge import Ack, is_vector
from aeorsync.core.merge import see
from aeorsync.core.paths import SYSTEM, TreePath, join, name, to_key
from aeorsync.core.versions import Content, Version
from aeorsync.errors import UNREADABLE, AeorError
from aeorsync.storage.base import Change
from aeorsync.storage.changes import FileState, put_file
from aeorsync.storage.draft import Draft
from aeorsync.storage.repository import Repository
from aeorsync.storage.views import Child, View, below

MEMBERS: Final = join(SYSTEM, "members")
ACKS: Final = join(SYSTEM, "acks")
_NAME: Final = re.compile(r"[1-9][0-9]{0,18}\.json\Z", re.ASCII)
_MAX_RECORD: Final = 1 << 16
_MAX_ACK: Final = 1 << 23


class _Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """A member's record as it is stored."""

    node_id: int
    removed: bool = False


class Membership(msgspec.Struct, frozen=True):
    """A node's place in the cluster. Times are milliseconds since the Unix epoch.

    Attributes:
        node_id: The node.
        joined_at: When it was first written down.
        removed_at: When it was removed, for ever; None if it was not.
    """

    node_id: int
    joined_at: int
    removed_at: int | None = None

    @property
    def is_removed(self) -> bool:
        """Whether it was removed."""
        return self.removed_at is not None


class Members:
    """The records, as the tree has them now. Blocking; safe from any thread."""

    def __init__(self, repository: Repository) -> None:
        """Look into a repository."""
        self._repository = repository

    def all(self) -> dict[int, Membership]:
        """All members, removed ones too, by node id, in this order."""
        with self._repository.view() as view:
            children = list(view.children(MEMBERS, system=True))
        read = (self._membership(child) for child in children)
        found = {member.node_id: member for member in read if member is not None}
        return dict(sorted(found.items()))

    def write(self, node_ids: Iterable[int]) -> None:
        """Write down those that are not written down; durable on return."""
        fresh = [(_path(node), self._store(_Record(node))) for node in node_ids]

        def operation(draft: Draft) -> None:
            for path, content in fresh:
                if draft.entry(to_key(path)) is None:
                    put_file(draft, path, FileState(content, "application/json"))

        self._repository.commit(operation).result()

    def remove(self, node_id: int) -> None:
        """Remove a node for ever; durable on return."""
        content = self._store(_Record(node_id, removed=True))

        def operation(draft: Draft) -> None:
            put_file(draft, _path(node_id), FileState(content, "application/json"))

        self._repository.commit(operation).result()

    def acks(self, view: View) -> dict[int, Ack]:
        """What each node has acknowledged, as of a view."""
        read = (self._ack(child) for child in view.children(ACKS, system=True))
        return {ack.node_id: ack for ack in read if ack is not None}

    def acknowledge(self, ack: Ack) -> None:
        """Tell everybody what this node knows; durable on return."""
        content = self._repository.store_small(msgspec.msgpack.encode(ack))
        path = join(ACKS, str(ack.node_id))

        def operation(draft: Draft) -> None:
            put_file(draft, path, FileState(content, "application/msgpack"))

        self._repository.commit(operation).result()

    def _store(self, record: _Record) -> Content:
        return self._repository.store_small(msgspec.json.encode(record))

    def _membership(self, child: Child) -> Membership | None:
        # A peer may put anything there; what is not called like a record of ours is none.
        if child.entry is None or not _NAME.match(name(child.path)):
            return None
        removals = [v for v in child.entry.versions if self._is_removal(v, child)]
        winner = see(child.entry).winner
        return Membership(
            node_id=_id(child),
            joined_at=winner.created,
            removed_at=min((v.updated for v in removals), default=None),
        )

    def _is_removal(self, version: Version, child: Child) -> bool:
        """Whether a version of a record says that its node was removed.

        There are two contents we ever write, so their hashes tell. A node that would have to
        read them could not ask anybody for those that are damaged: it would not know whom.
        """
        node_id = _id(child)
        if version.content.hash in _hashes(node_id):
            return version.content.hash == _hashes(node_id)[1]
        try:
            data = self._read(version, _MAX_RECORD)
            return msgspec.json.decode(data, type=_Record).removed
        except UNREADABLE:
            return False

    def _ack(self, child: Child) -> Ack | None:
        if child.version is None or child.entry is None or len(child.entry.versions) > 1:
            # A database that was put back wrote another one: neither can be relied on.
            return None
        try:
            ack = msgspec.msgpack.decode(self._read(child.version, _MAX_ACK), type=Ack)
        except (AeorError, *UNREADABLE):
            return None
        is_good = str(ack.node_id) == name(child.path) and is_vector(ack.vector)
        return ack if is_good else None

    def _read(self, version: Version, limit: int) -> bytes:
        if version.content.size > limit:
            return b""
        return b"".join(self._repository.read(version.content))


def is_about_members(change: Change) -> bool:
    """Whether a change is about who belongs to the cluster."""
    return _START <= change.key < (_STOP or b"")


def is_about_ack(change: Change, node_id: int) -> bool:
    """Whether a change is about what a node has acknowledged."""
    return change.key == to_key(join(ACKS, str(node_id)))


def _id(child: Child) -> int:
    return int(name(child.path).removesuffix(".json"))


@lru_cache(1024)
def _hashes(node_id: int) -> tuple[bytes, bytes]:
    """Content hashes of the record of a member, and of one that was removed."""
    records = (_Record(node_id), _Record(node_id, removed=True))
    present, removed = (content_hash(msgspec.json.encode(record)) for record in records)
    return present, removed


def _path(node_id: int) -> TreePath:
    return join(MEMBERS, f"{node_id}.json")


_START, _STOP = below(to_key(MEMBERS))
