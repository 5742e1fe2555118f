"""Memory for what requests hold: bodies on their way in, listings and files on their way out.

Each request takes what it holds out of one budget and gives it back at its end; who would go over
is told to send it again, before more of it is read. So memory is bounded however many clients come
at once, and whoever sends or reads slowly holds no more than what arrived.

    all requests together    `BYTES`
    those of one caller      half of it, so that nobody can take all
    peers' ids of chunks     not counted: whoever uploads much is not to keep the nodes apart

JSON takes more memory than its text; `weigh` says how much at most.
"""

import threading
from types import TracebackType
from typing import Final, Self

from aeorsync.errors import OverloadedError
from aeorsync.wire.limits import MIB

BYTES: Final = 512 * MIB
_STRING, _ITEM, _LIST, _OBJECT = 30, 40, 64, 232
"""Bytes that a quote, a comma, a bracket, a brace of JSON may cost beside its text, at most."""


def weigh(text: bytes) -> int:
    """About the bytes that JSON takes once it is read, its text included; not less than that."""
    count = text.count
    extra = _STRING * count(b'"') + _ITEM * count(b",")
    return len(text) + extra + _LIST * count(b"[") + _OBJECT * count(b"{")


class Budget:
    """Bytes that may be held at once. Safe from any thread."""

    def __init__(self, limit: int = BYTES) -> None:
        """Begin with nothing held."""
        self.left = limit
        self._most = limit // 2
        self._held: dict[bytes, int] = {}
        self._lock = threading.Lock()

    def share(self, owner: bytes = b"") -> "Share":
        """The part of one request of a caller, empty at first; use it in a ``with`` block."""
        return Share(self, owner)

    def held(self, owner: bytes) -> int:
        """Bytes that the requests of a caller hold."""
        return self._held.get(owner, 0)

    def is_half_used(self, owner: bytes) -> bool:
        """Whether a caller should begin to save."""
        return self.held(owner) * 2 > self._most or self.left < self._most

    def take(self, owner: bytes, size: int) -> bool:
        """Hold so many bytes more, if there are so many left; for `Share`."""
        with self._lock:
            held = self._held.get(owner, 0) + size
            if size > self.left or held > self._most:
                return False
            self.left -= size
            self._held[owner] = held
            return True

    def give(self, owner: bytes, size: int) -> None:
        """Hold so many bytes less; for `Share`."""
        with self._lock:
            self.left += size
            held = self._held.get(owner, 0) - size
            self._held[owner] = held
            if not held:
                del self._held[owner]


class Share:
    """What one request holds; given back at the end of its ``with`` block."""

    def __init__(self, budget: Budget, owner: bytes) -> None:
        self._budget = budget
        self._owner = owner
        self._held = 0

    @property
    def should_save(self) -> bool:
        """Whether it had better do with little."""
        return self._budget.is_half_used(self._owner)

    def take(self, size: int) -> None:
        """Hold so many bytes more.

        Raises:
            OverloadedError: There are not so many left.
        """
        if not self.try_take(size):
            raise OverloadedError(
                "this node has too much to hold at once; nothing was changed; send it again"
            )

    def try_take(self, size: int) -> bool:
        """The same, but False when there are not so many left."""
        if not self._budget.take(self._owner, size):
            return False
        self._held += size
        return True

    def give(self, size: int) -> None:
        """Hold so many bytes less."""
        if size:
            self._budget.give(self._owner, size)
            self._held -= size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.give(self._held)
