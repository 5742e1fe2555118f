"""Making chunks smaller where that pays, and back; safe from any thread.

Whether it will pay is first asked of a sample, since most large files are compressed already and
trying each chunk of them costs more than hashing.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final, Generic, TypeVar

import zstandard

from aeorsync.errors import CorruptError
from aeorsync.wire.limits import MAX_CHUNK

T = TypeVar("T")
_LEVEL = 1
_SAMPLE = 4096
_MIN_SIZE = 128
"""Below this the frame costs more than it saves."""


class _Tools(Generic[T]):
    """Things of which each may be used by one thread at a time.

    There are as many as were used at once. One for each thread would be one MiB for each of
    sixteen compressors, of which one or two are at work.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._idle: list[T] = []

    @contextmanager
    def one(self) -> Iterator[T]:
        """One of them, for as long as the block lasts."""
        try:
            tool = self._idle.pop()
        except IndexError:
            tool = self._make()
        try:
            yield tool
        finally:
            self._idle.append(tool)


_compressors: Final = _Tools(partial(zstandard.ZstdCompressor, _LEVEL, write_content_size=True))
_decompressors: Final = _Tools(zstandard.ZstdDecompressor)


def squeeze(plain: bytes | memoryview) -> bytes | None:
    """Return the bytes of a chunk as one zstd frame; None when that saves too little."""
    size = len(plain)
    if size < _MIN_SIZE or not _promises_to_shrink(plain):
        return None
    with _compressors.one() as compressor:
        squeezed = compressor.compress(plain)
    return squeezed if len(squeezed) < size - size // 16 else None


def expand(squeezed: bytes | memoryview, size: int) -> bytes:
    """Return the bytes in a zstd frame that claims to hold ``size`` of them.

    Raises:
        CorruptError: It does not. Never takes more memory than one chunk may hold, whatever the
            bytes claim.
    """
    try:
        stated = zstandard.frame_content_size(squeezed)
        if stated != size or stated > MAX_CHUNK:
            raise CorruptError("a chunk states a wrong size")
        with _decompressors.one() as decompressor:
            return decompressor.decompress(squeezed, max_output_size=MAX_CHUNK)
    except zstandard.ZstdError as error:
        raise CorruptError("a chunk cannot be decompressed") from error


def _promises_to_shrink(plain: bytes | memoryview) -> bool:
    if len(plain) <= 2 * _SAMPLE:
        return True
    middle = len(plain) // 2
    sample = plain[middle : middle + _SAMPLE]
    with _compressors.one() as compressor:
        return len(compressor.compress(sample)) < _SAMPLE - _SAMPLE // 16
