"""A store in dictionaries: for dry runs, and to hold the contract apart from any disk."""

import threading
from collections.abc import Callable, Collection, Sequence

from aeorsync.errors import CorruptError, StaleError
from aeorsync.runtime.clock import SystemClock, WallClock
from aeorsync.storage.base import (
    LOST,
    OLDEST,
    Change,
    ChunkRow,
    Commit,
    Compacted,
    Head,
    StoredChunk,
    StoreSizes,
)


class MemoryStore:
    """See `storage.base.Store`. Nothing survives the process."""

    def __init__(self, head: Head, wall: WallClock | None = None) -> None:
        self._lock = threading.Lock()
        self._head = head
        self._wall = wall or SystemClock()
        self._chunks: dict[bytes, StoredChunk] = {}
        self._touched: dict[bytes, int] = {}
        self._nodes: dict[bytes, bytes] = {}
        self._births: dict[bytes, int] = {}
        self._kept = -1
        self._feed: list[Change] = []
        self._roots: dict[bytes, int] = {head.root: head.seq}
        self._conflicts: set[bytes] = set()
        self._notes: dict[str, dict[str, bytes]] = {}

    def head(self) -> Head:
        """See the contract."""
        return self._head

    def put_chunks(self, chunks: Sequence[StoredChunk], *, are_missing: bool = False) -> None:
        """See the contract."""
        del are_missing
        with self._lock:
            for chunk in chunks:
                owned = StoredChunk(chunk.id, chunk.codec, chunk.size, bytes(chunk.data))
                self._chunks.setdefault(chunk.id, owned)
                self._touched[chunk.id] = self._wall.now_ms()

    def missing(self, ids: Collection[bytes]) -> set[bytes]:
        """See the contract."""
        with self._lock:
            self._touched.update((name, self._wall.now_ms()) for name in ids)
            return {name for name in ids if name not in self._chunks}

    def pin(self, ids: Collection[bytes]) -> set[bytes]:
        """See the contract."""
        return self.missing(ids)

    def chunk_sizes(self, ids: Collection[bytes]) -> dict[bytes, int]:
        """See the contract."""
        return {name: self._chunks[name].size for name in ids if name in self._chunks}

    def chunks(self, ids: Sequence[bytes]) -> list[StoredChunk]:
        """See the contract."""
        return [self._chunks[name] for name in ids if name in self._chunks]

    def peek(self, ids: Sequence[bytes]) -> list[StoredChunk]:
        """See the contract."""
        return self.chunks(ids)

    def quarantine(self, ids: Collection[bytes]) -> None:
        """See the contract."""
        with self._lock:
            for name in ids:
                self._chunks.pop(name, None)
                self._notes.setdefault(LOST, {})[name.hex()] = b""

    def node(self, name: bytes) -> bytes:
        """See the contract."""
        try:
            return self._nodes[name]
        except KeyError:
            raise CorruptError(f"tree node {name.hex()} is missing") from None

    def put_nodes(self, nodes: dict[bytes, bytes]) -> None:
        """See the contract."""
        with self._lock:
            self._add_nodes(nodes, OLDEST)

    def missing_nodes(self, names: Collection[bytes]) -> set[bytes]:
        """See the contract."""
        return {name for name in names if name not in self._nodes}

    def keep_until(self, seq: int | None) -> None:
        """See the contract."""
        self._kept = -1 if seq is None else seq

    def node_names(self, after: bytes, limit: int) -> list[bytes]:
        """See the contract."""
        return sorted(name for name in self._nodes if name > after)[:limit]

    def chunk_rows(self, after: bytes, limit: int) -> list[ChunkRow]:
        """See the contract."""
        names = sorted(name for name in self._chunks if name > after)[:limit]
        return [
            ChunkRow(name, len(chunk.data), chunk.size, self._touched[name])
            for name, chunk in ((name, self._chunks[name]) for name in names)
        ]

    def sweep(
        self, nodes: Collection[bytes], chunks: Collection[bytes], touched_before: int
    ) -> None:
        """See the contract."""
        with self._lock:
            for name in nodes:
                self._drop_node(name)
            for name in chunks:
                if self._touched.get(name, 0) < touched_before:
                    self._chunks.pop(name, None)

    def compact(
        self, garbage: float, goes_on: Callable[[], bool], *, dry_run: bool = False
    ) -> Compacted:
        """See the contract; there are no files to give back."""
        del garbage, goes_on, dry_run
        return Compacted()

    def retry(self, ids: Collection[bytes]) -> set[bytes]:
        """See the contract."""
        del ids
        return set()

    def recover(self, ids: Collection[bytes]) -> set[bytes]:
        """See the contract."""
        return {name for name in ids if name in self._chunks}

    def trim_feed(self, upto: int) -> None:
        """See the contract."""
        with self._lock:
            self._feed = [change for change in self._feed if change.seq > upto]
            self._roots = {root: seq for root, seq in self._roots.items() if seq >= upto}

    def commit(self, commit: Commit) -> None:
        """See the contract."""
        with self._lock:
            if commit.before != self._head:
                raise StaleError("the head moved since this commit was prepared")
            for name in commit.dropped:
                if self._births.get(name, 0) > self._kept:
                    self._drop_node(name)
            self._add_nodes(commit.nodes, commit.after.seq)
            self._feed.extend(commit.changes)
            self._roots[commit.after.root] = commit.after.seq
            for key, is_conflict in commit.conflicts.items():
                (self._conflicts.add if is_conflict else self._conflicts.discard)(key)
            self._head = commit.after

    def flush(self) -> None:
        """See the contract."""

    def changes(self, after: int, limit: int) -> list[Change]:
        """See the contract."""
        return [change for change in self._feed if change.seq > after][:limit]

    def first_seq(self) -> int:
        """See the contract."""
        return self._feed[0].seq if self._feed else self._head.seq + 1

    def seq_of_root(self, root: bytes) -> int | None:
        """See the contract."""
        return self._roots.get(root)

    def conflicts(self, after: bytes, limit: int) -> list[bytes]:
        """See the contract."""
        return sorted(key for key in self._conflicts if key > after)[:limit]

    def note(self, space: str, name: str) -> bytes | None:
        """See the contract."""
        return self._notes.get(space, {}).get(name)

    def notes(self, space: str) -> dict[str, bytes]:
        """See the contract."""
        return dict(self._notes.get(space, {}))

    def set_note(self, space: str, name: str, value: bytes | None) -> None:
        """See the contract."""
        with self._lock:
            if value is None:
                self._notes.get(space, {}).pop(name, None)
            else:
                self._notes.setdefault(space, {})[name] = value

    def sizes(self) -> StoreSizes:
        """See the contract."""
        return StoreSizes(
            chunks=len(self._chunks),
            chunk_bytes=sum(len(chunk.data) for chunk in self._chunks.values()),
            metadata_bytes=sum(map(len, self._nodes.values())),
            conflicts=len(self._conflicts),
        )

    def problems(self, *, repair: bool) -> list[tuple[str, str]]:
        """See the contract."""
        del repair
        return []

    def close(self) -> None:
        """See the contract."""

    def _add_nodes(self, nodes: dict[bytes, bytes], seq: int) -> None:
        for name, body in nodes.items():
            self._nodes.setdefault(name, body)
            self._births.setdefault(name, seq)

    def _drop_node(self, name: bytes) -> None:
        self._nodes.pop(name, None)
        self._births.pop(name, None)
