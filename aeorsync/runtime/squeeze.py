"""Making chunks smaller where that pays, and back; safe from any thread.

Whether it will pay is first asked of a sample, since most large files are compressed already and
trying each chunk of them costs more than hashing.
"""

import threading

import zstandard

from aeorsync.errors import CorruptError
from aeorsync.wire.limits import MAX_CHUNK

_LEVEL = 1
_SAMPLE = 4096
_MIN_SIZE = 128
"""Below this the frame costs more than it saves."""


class _PerThread(threading.local):
    """A compressor and a decompressor; neither may be shared by threads."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True)
        self.decompressor = zstandard.ZstdDecompressor()


_zstd = _PerThread()


def squeeze(plain: bytes | memoryview) -> bytes | None:
    """Return the bytes of a chunk as one zstd frame; None when that saves too little."""
    size = len(plain)
    if size < _MIN_SIZE or not _promises_to_shrink(plain):
        return None
    squeezed = _zstd.compressor.compress(plain)
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
        return _zstd.decompressor.decompress(squeezed, max_output_size=MAX_CHUNK)
    except zstandard.ZstdError as error:
        raise CorruptError("a chunk cannot be decompressed") from error


def _promises_to_shrink(plain: bytes | memoryview) -> bool:
    if len(plain) <= 2 * _SAMPLE:
        return True
    middle = len(plain) // 2
    sample = plain[middle : middle + _SAMPLE]
    return len(_zstd.compressor.compress(sample)) < _SAMPLE - _SAMPLE // 16
