"""Looking many keys up in one tree, best nearly in order.

A `Finder` remembers the leaf that it looked into last, and which keys would be in it if they were
anywhere. So a run of neighbouring keys costs one way down the tree, whether they are there or not.
"""

from bisect import bisect_left

from aeorsync.core.nodes import Reader, child_id


class Finder:
    """One tree, for one thread."""

    __slots__ = ("_high", "_keys", "_low", "_read", "_root", "_values")

    def __init__(self, root: bytes, read: Reader) -> None:
        """Look at nothing yet.

        Args:
            root: Id of the root.
            read: Fetches nodes.
        """
        self._root = root
        self._read = read
        # A leaf that decides about no key: all keys k with low < k <= high, high None for no end.
        self._low = b""
        self._high: bytes | None = b""
        self._keys: list[bytes] = []
        self._values: list[bytes] = []

    def get(self, key: bytes) -> bytes | None:
        """The value at ``key``, or None."""
        self._go_to(key)
        keys = self._keys
        at = bisect_left(keys, key)
        return self._values[at] if at < len(keys) and keys[at] == key else None

    def has(self, start: bytes, stop: bytes | None = None) -> bool:
        """Whether there is a key with start <= key < stop (None: to the end)."""
        self._go_to(start)
        keys = self._keys
        at = bisect_left(keys, start)
        # Past the last key of a tree the leaf is empty; any other ends at or after ``start``.
        return at < len(keys) and (stop is None or keys[at] < stop)

    def _go_to(self, key: bytes) -> None:
        """Look into the leaf that decides about ``key``."""
        if self._low < key and (self._high is None or key <= self._high):
            return
        low = self._low = self._high = b""
        self._keys, self._values = [], []
        node = self._read(self._root)
        while True:
            at = bisect_left(node.keys, key)
            if at == len(node.keys):
                if not low:
                    # Past the last key of the whole tree.
                    self._low, self._high = (node.keys[-1] if node.keys else low), None
                return
            if not node.level:
                self._low, self._high = low, node.keys[-1]
                self._keys, self._values = node.keys, node.values
                return
            if at:
                low = node.keys[at - 1]
            node = self._read(child_id(node.values[at]))
