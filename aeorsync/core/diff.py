"""What differs between two trees, without reading what they share."""

from collections.abc import Iterator

from aeorsync.core.nodes import MAX_LEVEL, Node, Reader, child_id


def diff(
    old: bytes, new: bytes, read_old: Reader, read_new: Reader
) -> Iterator[tuple[bytes, bytes | None, bytes | None]]:
    """Keys whose values differ, ascending, as (key, old value, new value).

    Never descends where both trees hold the same node: O(differences * height) reads.
    """
    if old == new:
        return
    left, right = _Walk(old, read_old), _Walk(new, read_new)
    while left.is_open and right.is_open:
        if left.level == right.level == 0:
            yield from _compare_items(left, right)
        elif left.name == right.name:
            left.skip()
            right.skip()
        elif left.level >= right.level:
            left.enter()
        else:
            right.enter()
    yield from _rest(left, is_old=True)
    yield from _rest(right, is_old=False)


def _rest(side: "_Walk", *, is_old: bool) -> Iterator[tuple[bytes, bytes | None, bytes | None]]:
    while side.is_open:
        if side.level:
            side.enter()
            continue
        key, value = side.item()
        yield (key, value, None) if is_old else (key, None, value)
        side.step()


def _compare_items(
    left: "_Walk", right: "_Walk"
) -> Iterator[tuple[bytes, bytes | None, bytes | None]]:
    (old_key, old), (new_key, new) = left.item(), right.item()
    if old_key <= new_key:
        left.step()
    if new_key <= old_key:
        right.step()
    if old_key < new_key:
        yield old_key, old, None
    elif new_key < old_key:
        yield new_key, None, new
    elif old != new:
        yield old_key, old, new


class _Walk:
    """Stands before a subtree (``level`` > 0, ``name`` set) or before one leaf item (level 0)."""

    def __init__(self, root: bytes, read: Reader) -> None:
        self._read = read
        self._stack: list[tuple[Node, int]] = []
        self.name = root
        self.level = MAX_LEVEL + 1
        self.is_open = True

    def enter(self) -> None:
        """Go into the subtree ahead."""
        self._stack.append((self._read(self.name), 0))
        self._settle()

    def item(self) -> tuple[bytes, bytes]:
        node, at = self._stack[-1]
        return node.keys[at], node.values[at]

    def skip(self) -> None:
        """Go past the subtree ahead."""
        if not self._stack:
            self.is_open = False
            return
        self.step()

    def step(self) -> None:
        """Go past the item or subtree ahead."""
        node, at = self._stack[-1]
        self._stack[-1] = (node, at + 1)
        self._settle()

    def _settle(self) -> None:
        while self._stack:
            node, at = self._stack[-1]
            if at < len(node.keys):
                self.level = node.level
                self.name = child_id(node.values[at]) if node.level else b""
                return
            self._stack.pop()
            if self._stack:
                parent, spot = self._stack[-1]
                self._stack[-1] = (parent, spot + 1)
        self.is_open = False
