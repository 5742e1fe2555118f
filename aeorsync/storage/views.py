"""Reading the trees as they were at one head.

A `View` is a snapshot: whatever is committed meanwhile, it goes on seeing what it saw when it was
opened. The nodes it needs are kept for it until it is closed.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Self

import msgspec

from aeorsync.core import tree
from aeorsync.core.hashing import node_id
from aeorsync.core.merge import Sight, see
from aeorsync.core.nodes import EMPTY, EMPTY_NODE, Node, decode_node
from aeorsync.core.paths import ROOT, SYSTEM, TreePath, from_key, to_key
from aeorsync.core.versions import Entry, Kind, Version, decode_entry
from aeorsync.errors import CorruptError
from aeorsync.storage.base import Head, Store

CACHED_BYTES = 32 << 20
"""Memory that decoded tree nodes may take, about."""
_NODE_BYTES = 500
_KEY_BYTES = 90
"""What a decoded node, and each key with its value in it, take beside their bytes."""
SYSTEM_KEY = to_key(SYSTEM)
_SYSTEM_END = SYSTEM_KEY + b"\x01"


class NodeCache:
    """Decoded tree nodes by id. Nodes never change, so nothing is ever stale.

    They are in two halves: what was read since the last `rest`, and what was read before that and
    not since. The latter goes with the next one, or when the former takes half of all memory.
    """

    def __init__(self, store: Store, most: int = CACHED_BYTES) -> None:
        """Hold nothing yet.

        Args:
            store: Has the nodes.
            most: Bytes that nodes may take, about. Their number would be no bound: a tree
                whose files are written all day leaves thousands of nodes that nobody reads.
        """
        self._store = store
        self._most = most
        self._new, self._old = _Held(), _Held()
        self._lock = threading.Lock()

    def read(self, name: bytes) -> Node:
        """A node by id.

        Raises:
            CorruptError: It is missing, or its bytes do not match its id.
        """
        known = self._new.nodes.get(name)
        if known is not None:
            return known[0]
        if name == EMPTY:
            return EMPTY_NODE
        known = self._old.nodes.get(name)
        if known is None:
            body = self._store.node(name)
            if node_id(body) != name:
                raise CorruptError(f"tree node {name.hex()} does not match its name")
            node = decode_node(body)
            known = node, len(body) + _NODE_BYTES + _KEY_BYTES * len(node.keys)
        self._hold(name, *known)
        return known[0]

    @property
    def held(self) -> int:
        """Bytes that the nodes take that are held, about."""
        return self._new.size + self._old.size

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._new, self._old = _Held(), _Held()

    def forget(self, names: Iterable[bytes]) -> None:
        """Let go of nodes that the present does not have any more."""
        with self._lock:
            for name in names:
                self._new.drop(name)
                self._old.drop(name)

    def rest(self) -> None:
        """Forget what was not read since the last time, where that is worth it."""
        with self._lock:
            if self.held > self._most // 4:
                self._new, self._old = _Held(), self._new

    def _hold(self, name: bytes, node: Node, size: int) -> None:
        with self._lock:
            if self._new.size + size > self._most // 2:
                self._new, self._old = _Held(), self._new
            self._old.drop(name)
            self._new.add(name, node, size)


class _Held:
    """Some nodes, and the bytes that they take, about."""

    def __init__(self) -> None:
        self.nodes: dict[bytes, tuple[Node, int]] = {}
        self.size = 0

    def add(self, name: bytes, node: Node, size: int) -> None:
        self.drop(name)
        self.nodes[name] = node, size
        self.size += size

    def drop(self, name: bytes) -> None:
        known = self.nodes.pop(name, None)
        if known is not None:
            self.size -= known[1]


class Child(msgspec.Struct, frozen=True):
    """One name in a folder.

    Attributes:
        path: Full path.
        entry: All that is known of it; None for a folder that exists only through what is in
            it.
        sight: What readers see of the entry; None with it.
    """

    path: TreePath
    entry: Entry | None = None
    sight: Sight | None = None

    @property
    def version(self) -> Version | None:
        """What is there; None for a folder that exists only through what is in it."""
        return None if self.sight is None else self.sight.winner

    @property
    def is_conflict(self) -> bool:
        """Whether other versions wait to be resolved."""
        return self.sight is not None and bool(self.sight.losers)

    @property
    def kind(self) -> Kind:
        """What the child is."""
        return Kind.DIRECTORY if self.version is None else Kind(self.version.kind)


class View:
    """The state at one head. Safe from any thread; close it soon, it holds old nodes back."""

    def __init__(self, head: Head, cache: NodeCache, release: Callable[[int], None]) -> None:
        self.head = head
        self.cache = cache
        self._read = cache.read
        self._release = release

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the snapshot."""
        self._release(self.head.seq)

    def at(self, root: bytes, graves: bytes = EMPTY) -> "View":
        """Other trees, of the past, in place of the current ones; to be closed in its place."""
        head = msgspec.structs.replace(self.head, root=root, graves=graves)
        return View(head, self.cache, self._release)

    def live_data(self, key: bytes) -> bytes | None:
        """The bytes of the live entry at a key."""
        return tree.get(self.head.root, self._read, key)

    def live_items(
        self, start: bytes = b"", stop: bytes | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """Live (key, entry bytes) pairs with start <= key < stop, in tree order."""
        return tree.scan(self.head.root, self._read, start, stop)

    def entry(self, key: bytes) -> Entry | None:
        """The entry at a key, live or deleted."""
        data = self.live_data(key)
        if data is None and self.head.graves != EMPTY:
            data = tree.get(self.head.graves, self._read, key)
        return None if data is None else decode_entry(data)

    def sight(self, path: TreePath) -> Sight | None:
        """What readers see at a path, if it is live."""
        data = self.live_data(to_key(path))
        return None if data is None else see(decode_entry(data))

    def live_entry(self, path: TreePath) -> Entry | None:
        """The entry at a path, if it is live."""
        data = self.live_data(to_key(path))
        return None if data is None else decode_entry(data)

    def has_inside(self, key: bytes) -> bool:
        """Whether anything live lies below a key."""
        return tree.has(self.head.root, self._read, *below(key))

    def is_folder(self, path: TreePath) -> bool:
        """Whether a path is a folder, of its own or through what is in it."""
        if path == ROOT:
            return True
        sight = self.sight(path)
        if sight is not None and sight.winner.kind == Kind.DIRECTORY:
            return True
        return self.has_inside(to_key(path))

    def children(self, folder: TreePath, *, system: bool = False) -> Iterator[Child]:
        """The names directly in a folder, in tree order, each once."""
        key = to_key(folder)
        prefix = key + b"\0" if key else b""
        start, stop = below(key)
        items = self.live_items(start, stop)
        skip = b""
        while (item := next(items, None)) is not None:
            at, data = item
            if at < skip:
                items = self.live_items(skip, stop)
                continue
            head = at[len(prefix) :].partition(b"\0")[0]
            path = prefix + head
            skip = path + b"\x01"
            if not prefix and head == SYSTEM_KEY and not system:
                continue
            if path == at:
                entry = decode_entry(data)
                yield Child(from_key(path), entry, see(entry))
            else:
                yield Child(from_key(path))

    def walk(
        self, folder: TreePath = ROOT, *, system: bool = False, after: bytes = b""
    ) -> Iterator[tuple[bytes, bytes]]:
        """Live (key, entry bytes) pairs below a folder, in tree order, past the key ``after``."""
        return _pass(self.live_items(*_range(folder, after)), system=system)

    def graves(
        self, folder: TreePath = ROOT, *, system: bool = False, after: bytes = b""
    ) -> Iterator[tuple[bytes, bytes]]:
        """Deleted (key, entry bytes) pairs below a folder, in tree order, past ``after``."""
        start, stop = _range(folder, after)
        found = tree.scan(self.head.graves, self._read, start, stop)
        return _pass(found, system=system)

    def count(self) -> int:
        """Live entries in the tree, system entries included."""
        return tree.count(self.head.root, self._read)


def below(key: bytes) -> tuple[bytes, bytes | None]:
    """The key range of everything inside a folder, the folder itself left out."""
    return (key + b"\0", key + b"\x01") if key else (b"", None)


def _range(folder: TreePath, after: bytes) -> tuple[bytes, bytes | None]:
    start, stop = below(to_key(folder))
    return (max(start, after + b"\0") if after else start), stop


def _pass(items: Iterator[tuple[bytes, bytes]], *, system: bool) -> Iterator[tuple[bytes, bytes]]:
    return ((key, data) for key, data in items if system or not is_system_key(key))


def is_system_key(key: bytes) -> bool:
    """Whether a key lies in the system namespace."""
    return SYSTEM_KEY <= key < _SYSTEM_END
