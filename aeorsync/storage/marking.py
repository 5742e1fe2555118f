"""Finding what is in use: every tree node and chunk that a tree refers to.

Tree nodes and manifest pieces are remembered exactly, since what lies below one that was seen is
skipped; data chunks, of which there are far more, as `core.marks.Marks`. That is about 4 bytes an
entry and 4 bytes a chunk. Marking again after a change reads only the nodes that changed.
"""

from collections.abc import Callable

from aeorsync.core.hashing import node_id
from aeorsync.core.manifest import check_piece, check_references
from aeorsync.core.marks import Marks
from aeorsync.core.nodes import EMPTY, Node, child_id, decode_node
from aeorsync.core.versions import Content, decode_entry
from aeorsync.errors import CorruptError
from aeorsync.storage.base import Store
from aeorsync.storage.content import Peeking, Reader


class Marking:
    """What was found to be in use so far. Belongs to one thread at a time.

    Attributes:
        nodes: Ids of tree nodes.
        chunks: Ids of chunks, manifest pieces among them.
        versions: Versions looked at.
        damage: Why not everything could be followed; None when everything was. What lies below
            a damaged place is unknown, so no chunk may be thrown away then.
    """

    def __init__(self, store: Store, salt: int, check: Callable[[], None]) -> None:
        """Start with nothing.

        Args:
            store: What is looked at.
            salt: For `core.marks.Marks`.
            check: Called now and then; it may raise to end the work.
        """
        self._check = check
        self._store = store
        self._reader = Reader(Peeking(store))
        self._pieces: set[tuple[int, bytes, int]] = set()
        self.nodes: set[bytes] = set()
        self.chunks = Marks(store.sizes().chunks, salt)
        self.versions = 0
        self.damage: str | None = None

    def add_head_tree(self, root: bytes) -> None:
        """Mark a tree that must be whole.

        Raises:
            CorruptError: A node is missing or damaged.
        """
        self._add_tree(root, None)

    def add_kept(self, root: bytes, name: str) -> bool:
        """Mark a tree that may still be on its way here; returns whether its root is here."""
        if root in self.nodes or root == EMPTY:
            return True
        if self._store.missing_nodes([root]):
            return False
        self._add_tree(root, name)
        return True

    def miss(self, name: str) -> None:
        """A tree that was whole here lacks its root."""
        self.damage = self.damage or f"{name} is not whole here: its root is missing"

    def _add_tree(self, root: bytes, tolerant: str | None) -> None:
        waiting = [root]
        while waiting:
            name = waiting.pop()
            if name == EMPTY or name in self.nodes:
                continue
            try:
                node = self._node(name)
            except CorruptError as error:
                if tolerant is None:
                    raise
                self.damage = self.damage or f"{tolerant} is not whole here: {error.message}"
                continue
            self.nodes.add(name)
            self._check()
            if node.level:
                waiting += map(child_id, node.values)
            else:
                for data in node.values:
                    self._add_entry(data)

    def _node(self, name: bytes) -> Node:
        body = self._store.node(name)
        if node_id(body) != name:
            raise CorruptError(f"tree node {name.hex()} does not match its name")
        return decode_node(body)

    def _add_entry(self, data: bytes) -> None:
        for version in decode_entry(data).versions:
            self.versions += 1
            try:
                self._add_content(version.content)
            except CorruptError as error:
                # What was deleted can be had back as long as it is here, and no longer.
                if not version.deleted:
                    self.damage = self.damage or f"a file is damaged: {error.message}"

    def _add_content(self, content: Content) -> None:
        waiting = [(content.depth, content.refs)]
        while waiting:
            depth, refs = waiting.pop()
            for name, size in check_references(refs):
                self.chunks.add(name)
                if not depth or (depth, name, size) in self._pieces:
                    continue
                below = check_piece(self._reader.piece(name), size)
                self._pieces.add((depth, name, size))
                waiting.append((depth - 1, below))
