"""The waist of a node: above it are paths and versions, below it bytes.

Blocking; every method is safe from any thread. Writing goes through `Repository.commit`: the
operation runs in the writer thread, together with whatever else waits, and its future resolves
when it is durable.
"""

import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from aeorsync.core import clock
from aeorsync.core.manifest import check_piece, check_references
from aeorsync.core.merge import Sight, see
from aeorsync.core.nodes import EMPTY
from aeorsync.core.paths import TreePath, from_key
from aeorsync.core.versions import Content, Entry, Kind
from aeorsync.errors import UnavailableError
from aeorsync.runtime.clock import WallClock
from aeorsync.storage.base import Change, Commit, Head, Store, StoredChunk, StoreSizes
from aeorsync.storage.compression import pack, unpack
from aeorsync.storage.content import Reader, Upload, store_small
from aeorsync.storage.draft import Draft
from aeorsync.storage.views import NodeCache, View
from aeorsync.storage.writer import Committed, Pins, Writer

T = TypeVar("T")

_MAX_EPOCHS = 10_000
"""Runs whose cursors stay good; a peer with an older one lists everything again."""


def first_head(node: int) -> Head:
    """The head of an empty store, under a fresh incarnation."""
    return Head(EMPTY, EMPTY, 0, 0, new_incarnation(), 0, node)


def new_incarnation() -> int:
    """A random id, 1 to 2**63 - 1, under which a database mints its dots."""
    return secrets.randbelow((1 << 63) - 1) + 1


def new_node_id() -> int:
    """A random node id, 1 to 2**53 - 1, exact in JSON numbers."""
    return secrets.randbelow((1 << 53) - 1) + 1


@dataclass(frozen=True, slots=True)
class Conflict:
    """A path with versions that wait for somebody to decide.

    Attributes:
        path: Where.
        entry: All versions of it.
        sight: Which of them readers see, and which lost.
        is_file_and_folder: Two nodes made a file and a folder of one name; both are kept, and
            renaming or deleting one of them settles it.
    """

    path: TreePath
    entry: Entry
    sight: Sight
    is_file_and_folder: bool


@dataclass(frozen=True, slots=True)
class Applied:
    """What joining a peer's entries did.

    Attributes:
        changed: Entries that are different now.
        conflicts: Paths among them that are in conflict now.
        files: How many of them are files, for readers; deleted ones included.
    """

    changed: int
    conflicts: int
    files: int = 0


class Repository:
    """One node's files, their history, and the feed of their changes.

    Attributes:
        database_id: Random, made with the database; a copy of the database keeps it.
    """

    def __init__(self, store: Store, wall: WallClock) -> None:
        """Take over a store; `close` closes it."""
        self._store = store
        self._wall = wall
        self._cache = NodeCache(store)
        self._pins = Pins()
        self._reader = Reader(store)
        self._writer = Writer(store, self._cache, self._pins, wall.now_ms, new_incarnation)
        self.database_id = _database_id(store)
        self._epochs = _begin_epoch(store)

    # Reading

    @property
    def head(self) -> Head:
        """The current head."""
        return self._store.head()

    def view(self) -> View:
        """A snapshot of the current trees; use it in a ``with`` block."""
        return View(self._pins.take(self._store.head), self._cache, self._pins.release)

    def read(
        self, content: Content, start: int = 0, stop: int | None = None
    ) -> Iterator[bytes | memoryview]:
        """Checked bytes of a file; see `storage.content.Reader.read`."""
        return self._reader.read(content, start, stop)

    def references(self, content: Content) -> Iterator[tuple[int, bytes, int]]:
        """(offset, chunk id, size) of a file's data chunks, in order."""
        return self._reader.references(content)

    def conflicts(self) -> Iterator[Conflict]:
        """All conflicts, in tree order."""
        after = b""
        while keys := self._store.conflicts(after, 500):
            for key in keys:
                conflict = self.conflict(from_key(key))
                if conflict is not None:
                    yield conflict
            after = keys[-1]

    def conflict(self, path: TreePath) -> Conflict | None:
        """The conflict at a path, if there is one."""
        with self.view() as view:
            entry = view.live_entry(path)
            if entry is None:
                return None
            sight = see(entry)
            is_both = sight.winner.kind != Kind.DIRECTORY and view.is_folder(path)
        return Conflict(path, entry, sight, is_both) if sight.losers or is_both else None

    # Writing

    def commit(self, operation: Callable[[Draft], T]) -> "Future[T]":
        """Run an operation on the draft of the next commit.

        The future carries what the operation returned, once that is durable, or what it raised.
        An operation may be run again on a newer head, so it must not do anything but decide.
        """
        return self._writer.submit(operation)

    def upload(self) -> Upload:
        """Start taking in a file; commit the content that its ``finish`` returns."""
        return Upload(self._store)

    def store_small(self, data: bytes) -> Content:
        """Take in a file that is at hand whole."""
        return store_small(self._store, data)

    def listen(self, listener: Callable[[Committed], None]) -> None:
        """Be called in the writer thread after each commit; must not block."""
        self._writer.listen(listener)

    # Replication

    def changes(self, after: int, limit: int) -> list[Change]:
        """Feed rows past ``after``, ascending."""
        return self._store.changes(after, limit)

    @property
    def epoch(self) -> int:
        """Names this run of the database in the cursors it hands out."""
        return self._epochs[-1][0]

    def has_feed_since(self, epoch: int, seq: int) -> bool:
        """Whether the feed tells everything that happened after ``seq``, seen in ``epoch``.

        A database that was put back to an older copy numbers other changes alike; its epochs
        tell which numbers it had really given out.
        """
        return self.has_given_out(epoch, seq) and self.reaches_back_to(seq)

    def has_given_out(self, epoch: int, seq: int) -> bool:
        """Whether the change that was numbered ``seq`` in ``epoch`` is part of this database."""
        ends = [first - 1 for _, first in self._epochs[1:]] + [self.head.seq]
        given_out = dict(zip((known for known, _ in self._epochs), ends, strict=True))
        return seq <= given_out.get(epoch, -1)

    def reaches_back_to(self, seq: int) -> bool:
        """Whether the feed still holds every row after ``seq``."""
        return self._store.first_seq() - 1 <= seq <= self.head.seq

    def seq_of_root(self, root: bytes) -> int | None:
        """The place in the feed where a live root was last current."""
        return self._store.seq_of_root(root)

    def missing(self, ids: Collection[bytes]) -> set[bytes]:
        """Which chunks this node does not hold."""
        return self._store.missing(ids)

    def stored_chunks(self, ids: Sequence[bytes]) -> list[StoredChunk]:
        """Chunks as stored, in the order asked, unchecked; unknown ones are left out."""
        return self._store.chunks(ids)

    def plain_chunk(self, name: bytes) -> bytes | memoryview:
        """One checked chunk."""
        return self._reader.chunk(name)

    def receive(
        self, chunks: Sequence[StoredChunk], *, are_plain: bool = False
    ) -> list[bytes | memoryview]:
        """Check and store chunks from elsewhere; returns their plain bytes, in order.

        Args:
            chunks: As they came.
            are_plain: Compress those that shrink; without it each is stored as it came.

        Raises:
            CorruptError: One does not match its name; none was stored.
        """
        plain = [unpack(chunk) for chunk in chunks]
        if are_plain:
            chunks = [pack(chunk.id, data) for chunk, data in zip(chunks, plain, strict=True)]
        self._store.put_chunks(chunks)
        return plain

    def lacking(self, contents: Sequence[Content]) -> tuple[dict[bytes, int], bool]:
        """What must be fetched before these files can be read here.

        Returns:
            Chunk ids with the bytes expected of each, and whether these are manifest pieces;
            then ask again once they are here. Empty when nothing is missing.

        Raises:
            CorruptError: A reference list breaks a rule of `core.manifest`.
        """
        level = {(content.depth, content.refs) for content in contents}
        data: dict[bytes, int] = {}
        while level:
            # Each piece once a level, however often it is named: a list may repeat itself.
            pieces: set[tuple[int, bytes, int]] = set()
            for depth, refs in level:
                pairs = check_references(refs)
                if depth:
                    pieces.update((depth, name, size) for name, size in pairs)
                else:
                    data.update(pairs)
            unknown = self._store.missing({name for _, name, _ in pieces})
            if unknown:
                return dict.fromkeys(unknown, 0), True
            level = {
                (depth - 1, check_piece(self._reader.piece(name), size))
                for depth, name, size in pieces
            }
        return {name: data[name] for name in self._store.missing(data)}, False

    def check_content(self, content: Content) -> None:
        """Compare a whole stored file with its content hash; see `Reader.check_content`."""
        self._reader.check_content(content)

    def apply(self, items: Sequence[tuple[bytes, Entry]], via: int) -> "Future[Applied]":
        """Join a peer's entries into ours, in one commit.

        Every chunk of every version that is not a deletion must be here already.

        Args:
            items: Checked (key, entry) pairs.
            via: Node id of the peer.
        """

        def operation(draft: Draft) -> Applied:
            changed = [key for key, entry in items if draft.merge(key, entry, via)]
            entries = [draft.entry(key) for key in changed]
            sights = [see(entry) for entry in entries if entry is not None]
            conflicts = sum(1 for sight in sights if sight.losers)
            files = sum(1 for sight in sights if sight.winner.kind == Kind.FILE)
            return Applied(len(changed), conflicts, files)

        return self._writer.submit(operation)

    def is_too_far_ahead(self, entry: Entry) -> bool:
        """Whether a version claims to come from further in the future than clocks may differ."""
        now = self._wall.now_ms()
        return any(clock.is_too_far_ahead(version.stamp, now) for version in entry.versions)

    # Node-local records, sizes, end

    def note(self, space: str, name: str) -> bytes | None:
        """One node-local record."""
        return self._store.note(space, name)

    def notes(self, space: str) -> dict[str, bytes]:
        """All node-local records of one space."""
        return self._store.notes(space)

    def set_note(self, space: str, name: str, value: bytes | None) -> None:
        """Write (or, with None, remove) a node-local record; durable on return."""
        self._store.set_note(space, name, value)

    def sizes(self) -> StoreSizes:
        """How much the store holds."""
        return self._store.sizes()

    def close(self) -> None:
        """Finish queued writes and close the store."""
        self._writer.close()
        head = self._store.head()
        with suppress(UnavailableError):
            self._store.commit(Commit(head, head, dropped=self._pins.leftover()))
        self._store.close()


def _database_id(store: Store) -> int:
    stored = store.note("database", "id")
    if stored is None:
        stored = msgspec.msgpack.encode(new_incarnation())
        store.set_note("database", "id", stored)
    return msgspec.msgpack.decode(stored, type=int)


def _begin_epoch(store: Store) -> list[tuple[int, int]]:
    """Note that the feed goes on under a new epoch; returns all (epoch, first seq), in order."""
    stored = store.note("database", "epochs")
    known = msgspec.msgpack.decode(stored, type=list[tuple[int, int]]) if stored else []
    epochs = [*known[-_MAX_EPOCHS:], (new_incarnation(), store.head().seq + 1)]
    store.set_note("database", "epochs", msgspec.msgpack.encode(epochs))
    return epochs
