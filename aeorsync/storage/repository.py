"""The waist of a node: above it are paths and versions, below it bytes.

Blocking; every method is safe from any thread. Writing goes through `Repository.commit`: the
operation runs in the writer thread, together with whatever else waits, and its future resolves
when it is durable.
"""

import copy
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Self, TypeVar

from aeorsync.core import clock
from aeorsync.core.diff import diff
from aeorsync.core.knowledge import Knowledge
from aeorsync.core.merge import see
from aeorsync.core.paths import TreePath, from_key
from aeorsync.core.versions import Content, Entry, Kind
from aeorsync.errors import CorruptError, UnavailableError
from aeorsync.runtime.clock import WallClock
from aeorsync.storage.answers import Applied, Conflict
from aeorsync.storage.base import Change, Commit, Head, Store, StoredChunk, StoreSizes
from aeorsync.storage.composing import Known, Plan, Taken, compose, take_in
from aeorsync.storage.compression import pack, unpack
from aeorsync.storage.content import Reader, Upload, lacking
from aeorsync.storage.damage import Damage
from aeorsync.storage.draft import Draft
from aeorsync.storage.identities import begin_epoch, database_id, new_incarnation
from aeorsync.storage.keeping import Keeper
from aeorsync.storage.knowledge import KnowledgeBook
from aeorsync.storage.lenses import Lens
from aeorsync.storage.trees import Trees
from aeorsync.storage.views import NodeCache, View
from aeorsync.storage.writer import Committed, Pins, Writer

T = TypeVar("T")


class Repository:
    """One node's files, their history, and the feed of their changes.

    Attributes:
        database_id: Random, made with the database; a copy of the database keeps it.
        trees: The nodes of its trees.
        damage: Chunks that were damaged or lost here.
    """

    def __init__(self, store: Store, wall: WallClock) -> None:
        """Take over a store; `close` closes it."""
        self._store = store
        self._wall = wall
        # First what may find the store damaged or read-only, before any thread is begun.
        self.database_id = database_id(store)
        self._epochs = begin_epoch(store)
        self._cache = NodeCache(store)
        self._pins = Pins()
        self.trees = Trees(store, self._cache)
        self.damage = Damage(store, wall)
        self._reader = Reader(store)
        self._knowledge = KnowledgeBook(store)
        self._writer = Writer(
            store, self._cache, self._pins, wall, new_incarnation, self._knowledge
        )
        self._keeper = Keeper(store, self._cache, self._reader, self.settle_trees)
        self._writer.listen(self._keeper.heard)
        self._lens: Lens | None = None
        self.settle_trees()

    # Care of the store

    @property
    def store(self) -> Store:
        """What is below, for those who collect garbage, verify, export and import."""
        return self._store

    @property
    def oldest_reader(self) -> int | None:
        """``seq`` of the oldest head that an open view shows; None when none is open."""
        return self._pins.oldest()

    @property
    def waiting_nodes(self) -> frozenset[bytes]:
        """Tree nodes that go by themselves as soon as no open view needs them."""
        return frozenset(self._pins.leftover())

    def sweep(self, work: Callable[[], T]) -> "Future[T]":
        """Throw chunks or nodes away, between two commits; from now on commits look twice.

        ``work`` runs in the writer's thread with no operation begun. Whoever was told before
        that a chunk is here, and commits after, fails when it is gone; see `storage.holdings`.
        """

        def operation(_: Draft) -> T:
            self._writer.holdings.begin_sweep()
            try:
                return work()
            finally:
                self._writer.holdings.end_sweep()

        return self._writer.submit(operation, alone=True)

    # Reading

    @property
    def head(self) -> Head:
        """The current head."""
        return self._store.head()

    def view(self) -> View:
        """A snapshot of the current trees; use it in a ``with`` block."""
        view = View(self._pins.take(self._store.head), self._cache, self._pins.release)
        return view if self._lens is None else self._lens.view(view)

    def rest(self) -> None:
        """Forget tree nodes that nobody has read for a while; for every few minutes."""
        self._cache.rest()

    @property
    def is_present(self) -> bool:
        """Whether its tree is the present one, not seen through a lens."""
        return self._lens is None

    def through(self, lens: Lens) -> Self:
        """This repository with its tree in another state; the two share everything else."""
        other = copy.copy(self)
        other._lens = lens  # noqa: SLF001 - of the same class
        return other

    def read(
        self, content: Content, start: int = 0, stop: int | None = None
    ) -> Iterator[bytes | memoryview]:
        """Checked bytes of a file; see `storage.content.Reader.read`.

        Raises:
            UnavailableError: It is seen through a lens, and not all of it is here.
        """
        if self._lens is not None and self.lacking([content])[0]:
            raise UnavailableError(
                "the bytes of this file are not all on this node; ask another, or try later"
            )
        return self._reader.read(content, start, stop)

    def references(self, content: Content) -> Iterator[tuple[int, bytes, int]]:
        """(offset, chunk id, size) of a file's data chunks, in order."""
        return self._reader.references(content)

    def conflicts(self) -> Iterator[Conflict]:
        """All conflicts, in tree order."""
        after = b""
        while keys := self._store.conflicts(after, 500):
            yield from filter(None, map(self.conflict, map(from_key, keys)))
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

    def commit(self, operation: Callable[[Draft], T], *, alone: bool = False) -> "Future[T]":
        """Run an operation on the draft of the next commit.

        The future carries what the operation returned, once that is durable, or what it raised.
        An operation may be run again on a newer head, so it must not do anything but decide.

        Args:
            operation: What to do.
            alone: Give it a commit of its own, so that ``draft.view`` is what it changes.
        """
        lens = self._lens
        if lens is None:
            return self._writer.submit(operation, alone=alone)
        return self._writer.submit(lambda draft: operation(lens.draft(draft)), alone=alone)

    def upload(self) -> Upload:
        """Start taking in a file; commit the content that its ``finish`` returns."""
        return Upload(self._store, self._writer.holdings.prove())

    def store_small(self, data: bytes) -> Content:
        """Take in a file that is at hand whole."""
        upload = self.upload()
        upload.feed(data)
        return upload.finish()

    def listen(self, listener: Callable[[Committed], None], *, first: bool = False) -> None:
        """Be called in the writer thread after each commit, maybe first; must not block."""
        self._writer.listen(listener, first=first)

    @property
    def waiting(self) -> int:
        """Operations that wait for the next commit, about."""
        return self._writer.waiting

    # Trees of the past

    def keep_everything(self) -> None:
        """Let no tree node go until `settle_trees` is done; see `storage.keeping`."""
        self._keeper.keep_everything()

    def settle_trees(self) -> "Future[None]":
        """Look again which trees records name and whether they are whole; see `keeping`."""
        return self._writer.submit(lambda draft: self._keeper.settle(draft.view), alone=True)

    def doubt_tree(self, root: bytes) -> None:
        """Somebody found that a tree that records name is damaged here."""
        self._keeper.doubt(root)

    def has_trees(self, trees: tuple[bytes, bytes]) -> bool:
        """Whether every node of a live tree and of its graves is here."""
        with self.view() as view:
            return self._keeper.is_whole(trees, view.head)

    def differences(
        self, old: bytes, new: bytes
    ) -> Iterator[tuple[bytes, bytes | None, bytes | None]]:
        """Keys whose entries differ in two trees that are here; see `core.diff.diff`."""
        return diff(old, new, self._cache.read, self._cache.read)

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

    def pin(self, ids: Collection[bytes]) -> set[bytes]:
        """Which chunks this node does not hold; the others stay for a day, whatever happens."""
        return self._store.pin(ids)

    def flush(self) -> None:
        """Make every chunk durable that was stored by now."""
        self._store.flush()

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

    def take_in(self, chunks: Sequence[StoredChunk]) -> Taken:
        """Check and store chunks that a client brings; see `storage.composing`.

        Raises:
            CorruptError: One does not match its name; none was stored.
        """
        return take_in(self._store, chunks)

    def compose(self, plans: Sequence[Plan], known: Known) -> list[Content]:
        """Make files of chunks that are here; see `storage.composing`.

        Raises:
            BadRequestError: One cannot be made; ``path`` says which.
        """
        ended = self._writer.holdings.prove()
        contents = compose(self._store, plans, known)
        for content in contents:
            ended(content)
        return contents

    def lacking(self, contents: Sequence[Content]) -> tuple[dict[bytes, int], bool]:
        """What must be fetched before these files can be read here.

        Returns:
            Chunk ids with the bytes expected of each, and whether these are manifest pieces;
            then ask again once they are here. Empty when nothing is missing.

        Raises:
            CorruptError: A reference list breaks a rule of `core.manifest`.
        """
        return lacking(self._store, self._reader, contents)

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

    def known(self) -> dict[int, int]:
        """What this node knows; whoever opens a view afterwards finds all of it there."""
        return self._knowledge.known()

    def learn(self, theirs: Knowledge) -> None:
        """Add what a peer knew when we had taken in all that it had; durable on return."""
        self._knowledge.learn(theirs)

    def forget(self, graves: Sequence[tuple[bytes, Entry]]) -> "Future[int]":
        """Take graves out of the trees, leaving nothing; see `core.knowledge` for when.

        Those that changed meanwhile stay. The future carries how many went.
        """
        return self._writer.submit(
            lambda draft: sum(draft.forget(key, entry) for key, entry in graves)
        )

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
        with suppress(UnavailableError, CorruptError):
            self._store.commit(Commit(head, head, dropped=self._pins.leftover()))
        self._store.close()
