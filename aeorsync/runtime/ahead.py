"""The hash of a long file, made in another thread while its next bytes are fetched."""

import threading
from functools import partial
from typing import TYPE_CHECKING, Final, Self

from aeorsync.core.hashing import Buffer, Hash, hasher
from aeorsync.runtime import threads

if TYPE_CHECKING:
    from concurrent.futures import Future

    from blake3 import blake3

GATHERED: Final = 4 << 20
"""Bytes that are hashed in one go: to hand over less takes longer than to hash it."""
MOST_AHEAD: Final = 4
"""Files that are hashed ahead at a time, which takes 8 MiB for each; others, and short ones, are
hashed as they come."""
_turns = threading.BoundedSemaphore(MOST_AHEAD)


class HasherAhead:
    """Hashes one file, in a ``with`` block. For one thread at a time, also one of the crew."""

    def __init__(self, size: int) -> None:
        """Begin.

        Args:
            size: Bytes that are expected; more may come.
        """
        self._hasher = hasher()
        self._has_turn = size > GATHERED and _turns.acquire(blocking=False)
        # A view, since a bytearray copies what it is given twice.
        self._gathering = memoryview(bytearray(GATHERED if self._has_turn else 0))
        self._spare: memoryview | None = None
        self._size = 0
        self._hashing: tuple[memoryview, Future[blake3]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._has_turn:
            _turns.release()

    def update(self, data: Buffer) -> None:
        """Take the next bytes; they may change afterwards."""
        if not self._has_turn:
            self._hasher.update(data)
            return
        view = memoryview(data)
        while view:
            if self._size == GATHERED:
                self._pass_on()
            part = view[: GATHERED - self._size]
            self._gathering[self._size : self._size + len(part)] = part
            self._size += len(part)
            view = view[len(part) :]

    def digest(self) -> Hash:
        """The hash of what came so far."""
        self._wait()
        self._hasher.update(self._gathering[: self._size])
        self._size = 0
        return self._hasher.digest()

    def _pass_on(self) -> None:
        self._wait()
        full, spare = self._gathering, self._spare or memoryview(bytearray(GATHERED))
        self._gathering, self._spare, self._size = spare, full, 0
        self._hashing = full, threads.crew().submit(partial(self._hasher.update, full))

    def _wait(self) -> None:
        """Wait for what was passed on, or do it here: all threads may be waiting like this one."""
        if self._hashing is None:
            return
        (full, future), self._hashing = self._hashing, None
        if future.cancel():
            self._hasher.update(full)
        else:
            future.result()
