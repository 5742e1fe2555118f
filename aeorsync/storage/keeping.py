"""Keeps the trees that snapshots and forks name.

A commit lets go of the nodes it replaces, unless they were born before a number it was told to
keep until. That number is set to *everything* before a record is made, or as soon as one has come
from a peer, and to the present head once all trees that records name are known to be whole here.
While one is not (its nodes are still to be fetched), everything stays. No record, nothing is kept.
A crash anywhere leaves more kept than need be; what is too much is for the garbage collection.
"""

from collections.abc import Callable
from collections.abc import Set as AbstractSet

from aeorsync.core.diff import diff
from aeorsync.core.hashing import node_id
from aeorsync.core.nodes import EMPTY, EMPTY_NODE, Node, decode_node
from aeorsync.errors import CorruptError
from aeorsync.storage.base import Head, Store
from aeorsync.storage.content import Reader
from aeorsync.storage.version_records import is_record_key, read_every
from aeorsync.storage.views import NodeCache, View
from aeorsync.storage.writer import Committed

EVERYTHING = (1 << 63) - 1
_SPACE = "whole trees"
"""Notes of the roots whose every node is here; a mere memory of what was looked at."""
COMPLETE = "past trees"
"""Notes of those whose files are all here, too; see `cluster.past`."""
LOST = "lost trees"
"""Notes of those that were noted so, and of which something is gone or damaged since."""


class Keeper:
    """Belongs to a repository; `heard` and `settle` are for its writer's thread."""

    def __init__(
        self, store: Store, cache: NodeCache, reader: Reader, again: Callable[[], object]
    ) -> None:
        """Start without knowing what is kept; `settle` finds out.

        Args:
            store: Where nodes are kept.
            cache: Reads them.
            reader: Reads records.
            again: Has `settle` called soon, in the writer's thread.
        """
        self._store = store
        self._cache = cache
        self._reader = reader
        self._again = again

    def keep_everything(self) -> None:
        """Let no node go from now on, until `settle` knows better."""
        self._store.keep_until(EVERYTHING)

    def heard(self, committed: Committed) -> None:
        """Look at a commit before the next one."""
        rows = committed.changes
        if any(bool(row.was) != bool(row.now) and is_record_key(row.key) for row in rows):
            try:
                self.keep_everything()
            finally:
                self._again()

    def settle(self, view: View) -> None:
        """Find out what must be kept."""
        try:
            trees = self._trees(view)
        except CorruptError:
            # What a damaged record names is not known; it may be had from a peer again.
            self.keep_everything()
            return
        noted = self._store.notes(_SPACE).keys()
        for name in noted - {root.hex() for pair in trees for root in pair}:
            self._store.set_note(_SPACE, name, None)
        are_whole = [self._check(pair, view.head, noted) for pair in trees]
        if not trees:
            self._store.keep_until(None)
        elif all(are_whole):
            self._store.keep_until(view.head.seq)
        else:
            self.keep_everything()

    def doubt(self, root: bytes) -> None:
        """A tree that was whole is not any more: look again, and have it fetched."""
        if self._store.note(COMPLETE, root.hex()) is not None:
            self._store.set_note(LOST, root.hex(), b"1")
        for space in (_SPACE, COMPLETE):
            self._store.set_note(space, root.hex(), None)
        self._again()

    def is_whole(self, trees: tuple[bytes, bytes], head: Head) -> bool:
        """Whether every node of a live tree and of its graves is here."""
        return all(
            self._is_noted(root) or self._walk(here, root)
            for here, root in zip((head.root, head.graves), trees, strict=True)
        )

    def _trees(self, view: View) -> list[tuple[bytes, bytes]]:
        snapshots, forks = read_every(view, self._reader.read)
        return [*(found.trees for found in snapshots), *(found.trees for found in forks)]

    def _check(self, trees: tuple[bytes, bytes], head: Head, noted: AbstractSet[str]) -> bool:
        fresh = [root for root in trees if root.hex() not in noted and root != EMPTY]
        if fresh and not self.is_whole(trees, head):
            return False
        for root in fresh:
            self._store.set_note(_SPACE, root.hex(), b"1")
        return True

    def _is_noted(self, root: bytes) -> bool:
        return root == EMPTY or self._store.note(_SPACE, root.hex()) is not None

    def _walk(self, here: bytes, root: bytes) -> bool:
        """Read all that a tree does not share with the current one, which is whole."""
        try:
            for _ in diff(here, root, self._cache.read, self._read_stored):
                pass
        except CorruptError:
            return False
        return True

    def _read_stored(self, name: bytes) -> Node:
        """A node as the store has it; the cache may remember what is gone."""
        if name == EMPTY:
            return EMPTY_NODE
        body = self._store.node(name)
        if node_id(body) != name:
            raise CorruptError(f"tree node {name.hex()} does not match its name")
        return decode_node(body)
