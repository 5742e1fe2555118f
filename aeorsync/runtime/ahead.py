"""The hash of a long file, made in another thread while its next bytes are fetched."""

from functools import partial
from typing import TYPE_CHECKING, Final

from aeorsync.core.hashing import Buffer, Hash, hasher
from aeorsync.runtime import threads

if TYPE_CHECKING:
    from concurrent.futures import Future

    from blake3 import blake3

GATHERED: Final = 4 << 20
"""Bytes that are hashed in one go: to hand over less takes longer than to hash it."""


class HasherAhead:
    """Hashes one file. For one thread at a time; may be called in one of `runtime.threads`."""

    def __init__(self, size: int) -> None:
        """Begin.

        Args:
            size: Bytes that are expected; more may come.
        """
        self._hasher = hasher()
        # A view, since a bytearray copies what it is given twice.
        self._gathering = memoryview(bytearray(max(1, min(size, GATHERED))))
        self._spare: memoryview | None = None
        self._size = 0
        self._hashing: tuple[memoryview, Future[blake3]] | None = None

    def update(self, data: Buffer) -> None:
        """Take the next bytes; they may change afterwards."""
        view = memoryview(data)
        while view:
            if self._size == len(self._gathering):
                self._pass_on()
            part = view[: len(self._gathering) - self._size]
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
        full, spare = self._gathering, self._spare or memoryview(bytearray(len(self._gathering)))
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
