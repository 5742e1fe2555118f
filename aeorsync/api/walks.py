"""Long walks of the tree that callers wait for: few at a time, so that others are served."""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from aeorsync.errors import OverloadedError
from aeorsync.runtime import bridge

T = TypeVar("T")

WALKS: Final = 2
WAITING: Final = 64


class Walks:
    """`WALKS` go on at a time, `WAITING` may wait. Belongs to one event loop."""

    def __init__(self) -> None:
        """Begin with none."""
        self._turn = asyncio.Semaphore(WALKS)
        self._waiting = 0

    async def run(self, walk: Callable[[], T]) -> T:
        """Take a walk in a thread.

        Raises:
            OverloadedError: Too many wait already.
        """
        if self._waiting >= WAITING:
            raise OverloadedError("this node lists too much at once; ask again")
        self._waiting += 1
        try:
            async with self._turn:
                return await bridge.run(walk)
        finally:
            self._waiting -= 1
