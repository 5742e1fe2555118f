"""Memory for bodies that have to be held whole, or in large pieces, while they are worked on.

Each request takes what it holds out of one budget and gives it back; who would go over is told to
send it again, before more of it is read. So memory is bounded however many clients upload at once,
and whoever sends slowly holds no more than what arrived.
"""

from types import TracebackType
from typing import Final, Self

from aeorsync.errors import OverloadedError
from aeorsync.wire.limits import MIB

BYTES: Final = 256 * MIB


class Budget:
    """Bytes that may be held at once. Belongs to one event loop."""

    def __init__(self, limit: int = BYTES) -> None:
        """Begin with nothing held."""
        self.left = limit

    def share(self) -> "Share":
        """The part of one request, empty at first; use it in a ``with`` block."""
        return Share(self)


class Share:
    """What one request holds; given back at the end of its ``with`` block."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._held = 0

    def take(self, size: int) -> None:
        """Hold so many bytes more.

        Raises:
            OverloadedError: There are not so many left.
        """
        if size > self._budget.left:
            raise OverloadedError(
                "this node takes in too much at once; nothing was changed; send it again"
            )
        self._budget.left -= size
        self._held += size

    def give(self, size: int) -> None:
        """Hold so many bytes less."""
        self._budget.left += size
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
