"""What a store promises, whatever it is made of.

A store keeps immutable chunks and tree nodes by hash, one *head* that names the current trees,
the *feed* of changes that led there, the paths in conflict, and *notes*: small node-local records
(links, cursors, settings) that are no part of the replicated state.

Every implementation passes ``tests/storage/test_store_contract.py``.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

OLDEST = 0
"""Birth of tree nodes that came by no commit."""


class StoredChunk(msgspec.Struct, frozen=True, gc=False):
    """A chunk in the form it is kept and sent in.

    Attributes:
        id: BLAKE3-256 of ``chunk:`` and the plain bytes.
        codec: 0 plain, 1 zstd.
        size: Plain size in bytes, at most `core.chunking.MAX_CHUNK`.
        data: Stored bytes.
    """

    id: bytes
    codec: int
    size: int
    data: bytes | memoryview


class Head(msgspec.Struct, frozen=True, array_like=True):
    """Where the replicated state stands; replaced as a whole by each commit.

    Attributes:
        root: Root of the tree of live entries.
        graves: Root of the tree of deletions.
        seq: Number of the last change in the feed.
        stamp: Last hybrid logical stamp given out or seen.
        incarnation: First half of every dot this database mints; random, never reused.
        n: Second half of the last dot minted.
        node: This node's id, 1 to 2**53 - 1.
    """

    root: bytes
    graves: bytes
    seq: int
    stamp: int
    incarnation: int
    n: int
    node: int


class ChunkRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the index knows of a chunk.

    Attributes:
        id: Of the chunk.
        stored: Bytes it takes.
        size: Plain bytes.
        touched: When it was last put or said to be held, to the `TOUCH_MS`, in milliseconds
            since the Unix epoch.
    """

    id: bytes
    stored: int
    size: int
    touched: int


LOST = "lost chunks"
"""Space of the notes that name damaged chunks; see `storage.damage`."""
UNREAD = "unread chunks"
"""Space of the notes that say where chunks lay that could not be read, or not rightly."""
TOUCH_MS = 12 * 3_600_000
"""A chunk that was touched so lately is not touched again, which saves the writing."""


class Change(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One row of the feed.

    Attributes:
        seq: 1, 2, 3, ... without gaps.
        key: Tree key of the path (`core.paths.to_key`).
        was: `core.versions.Kind` before, 0 when the path did not exist.
        now: Kind after, 0 when the path does not exist any more.
        via: Node id of the peer that this very state came from; 0 when it came to be here.
    """

    seq: int
    key: bytes
    was: int
    now: int
    via: int = 0


class Commit(msgspec.Struct, frozen=True):
    """All that changes together.

    Attributes:
        before: The head this was built on.
        after: The head to publish.
        nodes: New tree nodes by id; those that are new are born at ``after.seq``.
        dropped: Ids of tree nodes no head needs any more; see `Store.keep_until`.
        changes: Feed rows, ascending, ending at ``after.seq``.
        conflicts: Keys that entered (True) or left (False) conflict.
    """

    before: Head
    after: Head
    nodes: dict[bytes, bytes] = msgspec.field(default_factory=dict)
    dropped: Collection[bytes] = ()
    changes: Sequence[Change] = ()
    conflicts: dict[bytes, bool] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoreSizes:
    """Rough sizes for people and metrics; bytes unless named otherwise."""

    chunks: int
    chunk_bytes: int
    metadata_bytes: int
    conflicts: int = 0


@dataclass(frozen=True, slots=True)
class Compacted:
    """What giving space back did, or would do.

    Attributes:
        packs: Files that were rewritten or removed.
        moved_bytes: Bytes in use that were copied for it.
        freed_bytes: Bytes given back to the file system.
        damaged: Chunks that were found damaged on the way, and quarantined.
    """

    packs: int = 0
    moved_bytes: int = 0
    freed_bytes: int = 0
    damaged: tuple[bytes, ...] = ()


class Store(Protocol):
    """Chunks, nodes, one head, its feed. Blocking; every method is safe from any thread."""

    def head(self) -> Head:
        """The current head."""

    def put_chunks(self, chunks: Sequence[StoredChunk], *, are_missing: bool = False) -> None:
        """Add chunks; those already held are left as they are.

        Readable once this returns, durable once a later `commit` or `flush` returns. The data
        may be a view into the caller's memory; nothing refers to it afterwards. The caller has
        checked that bytes and ids belong together.

        Args:
            chunks: What to add.
            are_missing: Whether the caller has just asked, and found none of them held, and none
                is among them twice: then they are not looked up again.
        """

    def missing(self, ids: Collection[bytes]) -> set[bytes]:
        """Which of these chunks the store does not hold; the others are touched."""

    def pin(self, ids: Collection[bytes]) -> set[bytes]:
        """Like `missing`; the others are durable on return, and that they were touched is."""

    def chunk_sizes(self, ids: Collection[bytes]) -> dict[bytes, int]:
        """Plain bytes of each of these chunks that is held, as it was put."""

    def chunks(self, ids: Sequence[bytes]) -> list[StoredChunk]:
        """Held chunks in the order asked; those not held are left out. Bytes are unchecked.

        Chunks whose place is gone are quarantined on the way.
        """

    def peek(self, ids: Sequence[bytes]) -> list[StoredChunk]:
        """Like `chunks`, but changes nothing, whatever it finds."""

    def quarantine(self, ids: Collection[bytes]) -> None:
        """Hold these chunks no more, since their bytes are damaged: they may be put again.

        Their ids, in hex, become names of empty notes in the space `LOST`, durably.
        """

    def node(self, name: bytes) -> bytes:
        """Bytes of a tree node.

        Raises:
            CorruptError: The node is not held.
        """

    def put_nodes(self, nodes: dict[bytes, bytes]) -> None:
        """Add tree nodes that no commit made; durable on return.

        Nobody knows when they were born, so they count as `OLDEST`: trees of the past have them.
        """

    def missing_nodes(self, names: Collection[bytes]) -> set[bytes]:
        """Which of these tree nodes the store does not hold."""

    def keep_until(self, seq: int | None) -> None:
        """Let `commit` leave dropped nodes that were born at or before ``seq``; durable on return.

        They wait for `sweep`. None: every dropped node goes at once, as in a new store.
        """

    def node_names(self, after: bytes, limit: int) -> list[bytes]:
        """Ids of held tree nodes, ascending, greater than ``after``."""

    def chunk_rows(self, after: bytes, limit: int) -> list[ChunkRow]:
        """Chunks that are durable, by ascending id, greater than ``after``."""

    def sweep(
        self, nodes: Collection[bytes], chunks: Collection[bytes], touched_before: int
    ) -> None:
        """Hold these nodes and chunks no more; all or nothing, durable on return.

        Chunks touched at or after ``touched_before`` (milliseconds since the Unix epoch) stay.
        """

    def compact(
        self, garbage: float, goes_on: Callable[[], bool], *, dry_run: bool = False
    ) -> Compacted:
        """Give back the space of chunks that are held no more; a crash leaves only garbage.

        Args:
            garbage: Leave files alone of which a smaller part (0 to 1) is garbage.
            goes_on: Asked every few MiB; False ends it early.
            dry_run: Only say what there is to do.
        """

    def retry(self, ids: Collection[bytes]) -> set[bytes]:
        """Hold chunks again that were quarantined, and can be read now where they lay.

        A disk, its cable or a mount may fail for a while.

        Returns:
            Those of ``ids`` that are held again, each checked; durable on return.
        """

    def recover(self, ids: Collection[bytes]) -> set[bytes]:
        """Hold chunks again whose bytes are still here though the index lost them.

        Returns:
            Those of ``ids`` that were found, each checked; durable on return.
        """

    def trim_feed(self, upto: int) -> None:
        """Forget feed rows with ``seq`` <= ``upto``, and the places of roots from before it."""

    def commit(self, commit: Commit) -> None:
        """Publish a new head with all that belongs to it; all or nothing, durable on return.

        Every chunk put before this call is durable when it returns.

        Raises:
            StaleError: ``commit.before`` is not the head; nothing was changed.
            UnavailableError: The disk refused; nothing was changed. Once it has failed to make
                data durable, all writing is refused until it keeps what it takes again.
        """

    def flush(self) -> None:
        """Make every chunk put so far durable, without a new head."""

    def changes(self, after: int, limit: int) -> list[Change]:
        """Feed rows with ``seq`` > ``after``, ascending, at most ``limit``."""

    def first_seq(self) -> int:
        """The oldest row the feed still holds; one past the head's ``seq`` when it holds none."""

    def seq_of_root(self, root: bytes) -> int | None:
        """``seq`` of the latest head that had this live root, if it is still known."""

    def conflicts(self, after: bytes, limit: int) -> list[bytes]:
        """Keys in conflict, ascending, greater than ``after``."""

    def note(self, space: str, name: str) -> bytes | None:
        """One node-local record."""

    def notes(self, space: str) -> dict[str, bytes]:
        """All node-local records of one space."""

    def set_note(self, space: str, name: str, value: bytes | None) -> None:
        """Write (or, with None, remove) a node-local record; durable on return."""

    def sizes(self) -> StoreSizes:
        """How much the store holds, counted row by row: not for every second."""

    def problems(self, *, repair: bool) -> list[tuple[str, str]]:
        """What is wrong with what is kept beside chunks and nodes: a kind and a sentence each.

        Args:
            repair: Mend what can be mended, and tell the rest.

        Raises:
            CorruptError: It cannot be read any further.
        """

    def close(self) -> None:
        """Flush and let go of all files; no method may be called afterwards."""
