"""Collecting garbage: mark what is in use, sweep the rest, give the space back.

In use is what any of these refers to: the live tree and the graves (losers of conflicts and what
can be undeleted included), the kept roots (snapshots, fork bases), and what an open view shows.
Chunks are kept for `GRACE_MS` after they were put or said to be held, whatever else.

The node goes on serving meanwhile:

1. *Mark* from views, outside of the writer's thread, twice: the second time catches up with what
   was committed during the first.
2. *Sweep* in steps. Each runs in the writer's thread between two commits, and first marks what
   changed since; so nothing that is committed at that moment is ever taken.
3. A writer that was told that a chunk is held, and commits after it was swept, is refused
   (`storage.holdings`) and may send it again.
4. *Compact* (`storage.compaction`), and trim the feed.

What was in use once while a collection runs is not taken by it, so whoever opens a view after the
first marking reads in peace. Older views are waited for; if one stays, nothing is swept.

Where something is damaged, or a kept tree is not all here yet, what lies below is unknown: then
nothing is swept either, and the report says why.
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from aeorsync.errors import BusyError, UnavailableError
from aeorsync.runtime import chance
from aeorsync.runtime.clock import WallClock
from aeorsync.storage.base import TOUCH_MS, ChunkRow, Compacted, Head, Store
from aeorsync.storage.keeping import COMPLETE
from aeorsync.storage.kept_trees import kept_roots
from aeorsync.storage.marking import Marking
from aeorsync.storage.progress import Progress, quiet
from aeorsync.storage.repository import Repository

DAY_MS = 24 * 3_600_000
GRACE_MS = DAY_MS + TOUCH_MS
"""A day after the latest touch, which is noted to the `TOUCH_MS`."""
PACK_GARBAGE = 0.2
"""Packs of which a smaller part is garbage are left alone."""
FEED_ROWS = 1_000_000
_STEP = 2000
_OLD_READERS_S = 40


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection did, or would do.

    Attributes:
        versions: Versions that were looked at.
        live_entries: Entries of the live tree.
        chunks: Chunks that nothing refers to, and that are old enough to go.
        nodes: Tree nodes that nothing refers to.
        chunk_bytes: Stored bytes of ``chunks``.
        freed_bytes: Bytes given back to the file system.
        packs: Pack files that were rewritten or removed.
        held_back: Why some or all of it was not swept; None when all was.
    """

    versions: int = 0
    live_entries: int = 0
    chunks: int = 0
    nodes: int = 0
    chunk_bytes: int = 0
    freed_bytes: int = 0
    packs: int = 0
    held_back: str | None = None


class Collector:
    """Collects the garbage of one repository, once at a time. Safe from any thread."""

    def __init__(self, repository: Repository, wall: WallClock) -> None:
        self._repository = repository
        self._wall = wall
        self._turn = threading.Lock()
        self._is_stopped = threading.Event()

    def stop(self) -> None:
        """End a collection that is under way within moments, and start none any more."""
        self._is_stopped.set()

    def last_ms(self) -> int:
        """When the last collection ended, in milliseconds since the Unix epoch; 0 for never."""
        return int(self._repository.note("care", "collected") or 0)

    def run(
        self,
        *,
        dry_run: bool = False,
        progress: Progress = quiet,
        check: Callable[[], None] = lambda: None,
    ) -> Collected:
        """Collect; blocking, for as long as it takes to read all tree nodes.

        Args:
            dry_run: Only find out, and change nothing.
            progress: Told how it goes.
            check: Called now and then; what it raises ends the collection.

        Raises:
            BusyError: A collection is under way.
            CorruptError: The current trees are damaged; nothing was swept.
            UnavailableError: The node is stopping, or the disk refused; what was swept till then
                was garbage.
        """
        if not self._turn.acquire(blocking=False):
            raise BusyError("a garbage collection is under way; wait until it has ended")
        try:
            run = _Run(self._repository, self._wall.now_ms(), self._is_stopped, progress, check)
            if dry_run:
                return run.look()
            found = run.collect()
            self._repository.set_note("care", "collected", b"%d" % self._wall.now_ms())
            return found
        finally:
            self._turn.release()


@dataclass(slots=True)
class _Run:
    """One collection.

    Attributes:
        repository: Whose garbage.
        now_ms: When it began.
        stopped: Set when it must end.
        progress: Told how it goes.
        check: Raises when it is to end.
    """

    repository: Repository
    now_ms: int
    stopped: threading.Event
    progress: Progress
    check: Callable[[], None]
    _marking: Marking = field(init=False)
    _marked: Head | None = field(init=False, default=None)
    _absent: dict[bytes, str] = field(init=False, default_factory=dict)
    _began: int = field(init=False, default=0)
    _held_back: str | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._marking = Marking(self._store, chance.bits(64), self._check_stop)

    @property
    def _store(self) -> Store:
        return self.repository.store

    @property
    def _before(self) -> int:
        return self.now_ms - GRACE_MS

    def look(self) -> Collected:
        """Find out what there is to collect."""
        self._mark()
        if self._marking.damage:
            return self._report((0, 0), 0, Compacted())
        nodes = sum(len(names) for names in self._dead_nodes())
        chunks = size = 0
        for dead in self._dead_chunks():
            chunks, size = chunks + len(dead), size + sum(row.stored for row in dead)
        packs = self._store.compact(PACK_GARBAGE, lambda: True, dry_run=True)
        return self._report((chunks, size), nodes, packs)

    def collect(self) -> Collected:
        """Collect."""
        self._mark()
        self._let_old_readers_go()
        nodes = chunks = size = 0
        for names in self._dead_nodes():
            nodes += self.repository.sweep(partial(self._take_nodes, names)).result()
        for dead in self._dead_chunks():
            if dead:
                taken = self.repository.sweep(partial(self._take_chunks, dead)).result()
                chunks, size = chunks + len(taken), size + sum(row.stored for row in taken)
        self._check_stop()
        self.progress("compacting", 0, 0)
        packs = self._store.compact(PACK_GARBAGE, lambda: not self.stopped.is_set())
        self.repository.sweep(self._trim_feed).result()
        return self._report((chunks, size), nodes, packs)

    def _report(self, chunks: tuple[int, int], nodes: int, packs: Compacted) -> Collected:
        with self.repository.view() as view:
            live_entries = view.count()
        return Collected(
            versions=self._marking.versions,
            live_entries=live_entries,
            chunks=chunks[0],
            nodes=nodes,
            chunk_bytes=chunks[1],
            freed_bytes=packs.freed_bytes,
            packs=packs.packs,
            held_back=self._held_back or self._marking.damage,
        )

    def _check_stop(self) -> None:
        self.check()
        if self.stopped.is_set():
            raise UnavailableError("this node is shutting down; the rest is collected next time")

    # Marking

    def _mark(self) -> None:
        self.progress("marking", 0, 0)
        self._store.flush()
        self._catch_up()
        self._began = self._marked.seq if self._marked is not None else 0
        self._catch_up()

    def _catch_up(self) -> None:
        """Mark what the current trees and the kept ones refer to."""
        with self.repository.view() as view:
            if view.head != self._marked:
                self._marking.add_head_tree(view.head.root)
                self._marking.add_head_tree(view.head.graves)
                self._absent = kept_roots(self.repository)
                self._marked = view.head
        # A kept tree may come here, from a peer, without a change of the head.
        whole = self.repository.notes(COMPLETE) if self._absent else {}
        for root, name in list(self._absent.items()):
            was_sound = self._marking.damage is None
            if self._marking.add_kept(root, name):
                del self._absent[root]
            elif root.hex() in whole:
                self._marking.miss(name)
            if was_sound and self._marking.damage is not None:
                self.repository.doubt_tree(root)

    # Sweeping

    def _let_old_readers_go(self) -> None:
        """Wait for views from before we began: what they show may be marked by nobody."""
        for _ in range(_OLD_READERS_S * 10):
            if not self._has_old_readers() or self.stopped.wait(0.1):
                return

    def _has_old_readers(self) -> bool:
        oldest = self.repository.oldest_reader
        return oldest is not None and oldest < self._began

    def _may_take(self) -> bool:
        """Whether anything may be swept at this moment; in the writer's thread."""
        self._catch_up()
        if self._has_old_readers():
            self._held_back = "an older state is still being read; the rest goes next time"
            return False
        return self._marking.damage is None

    def _dead_nodes(self) -> Iterator[list[bytes]]:
        after = b""
        while names := self._store.node_names(after, _STEP):
            self._check_stop()
            after = names[-1]
            dead = self._dead_among(names)
            if dead:
                yield dead

    def _dead_among(self, names: list[bytes]) -> list[bytes]:
        # What was dropped just now goes by itself when nobody reads it any more.
        waiting = self.repository.waiting_nodes
        return [n for n in names if n not in self._marking.nodes and n not in waiting]

    def _take_nodes(self, names: list[bytes]) -> int:
        """In the writer's thread: sweep those nobody refers to at this moment."""
        if not self._may_take():
            return 0
        dead = self._dead_among(names)
        self._store.sweep(dead, (), 0)
        return len(dead)

    def _dead_chunks(self) -> Iterator[list[ChunkRow]]:
        after, done, total = b"", 0, self._store.sizes().chunks
        while rows := self._store.chunk_rows(after, _STEP):
            self._check_stop()
            after, done = rows[-1].id, done + len(rows)
            self.progress("sweeping", done, max(done, total))
            yield self._dead(rows)

    def _dead(self, rows: list[ChunkRow]) -> list[ChunkRow]:
        marked, before = self._marking.chunks, self._before
        return [row for row in rows if row.touched < before and row.id not in marked]

    def _take_chunks(self, rows: list[ChunkRow]) -> list[ChunkRow]:
        """In the writer's thread: sweep those nobody refers to at this moment."""
        if not self._may_take():
            return []
        dead = self._dead(rows)
        self._store.sweep((), [row.id for row in dead], self._before)
        return dead

    def _trim_feed(self) -> None:
        """In the writer's thread: keep the feed within its bound."""
        upto = self.repository.head.seq - FEED_ROWS
        if upto >= self._store.first_seq():
            self._store.trim_feed(upto)
