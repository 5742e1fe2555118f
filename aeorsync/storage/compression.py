"""Plain bytes to stored chunks and back.

A chunk is compressed where that saves space. Whether it will is first asked of a sample, since
most large files are compressed already and trying each chunk of them costs more than hashing.
"""

import threading

import zstandard

from aeorsync.core.chunking import MAX_CHUNK
from aeorsync.core.hashing import chunk_id
from aeorsync.errors import CorruptError
from aeorsync.storage.base import StoredChunk

PLAIN = 0
ZSTD = 1
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


def pack(name: bytes, plain: bytes | memoryview) -> StoredChunk:
    """The form ``plain`` is stored in; may refer to the caller's memory."""
    size = len(plain)
    if size >= _MIN_SIZE and _promises_to_shrink(plain):
        squeezed = _zstd.compressor.compress(plain)
        if len(squeezed) < size - size // 16:
            return StoredChunk(name, ZSTD, size, squeezed)
    return StoredChunk(name, PLAIN, size, plain)


def unpack(chunk: StoredChunk) -> bytes | memoryview:
    """The plain bytes, checked against the chunk's name.

    Raises:
        CorruptError: The bytes are not those the name stands for. Never takes more memory than
            one chunk may hold, whatever the bytes claim.
    """
    plain: bytes | memoryview = chunk.data
    if chunk.codec == ZSTD:
        plain = _inflate(chunk)
    elif chunk.codec != PLAIN:
        raise CorruptError(f"chunk {chunk.id.hex()} has an unknown codec")
    if len(plain) != chunk.size or chunk_id(plain) != chunk.id:
        raise CorruptError(f"chunk {chunk.id.hex()} does not match its name")
    return plain


def _inflate(chunk: StoredChunk) -> bytes:
    try:
        stated = zstandard.frame_content_size(chunk.data)
        if stated != chunk.size or stated > MAX_CHUNK:
            raise CorruptError(f"chunk {chunk.id.hex()} states a wrong size")
        return _zstd.decompressor.decompress(chunk.data, max_output_size=MAX_CHUNK)
    except zstandard.ZstdError as error:
        raise CorruptError(f"chunk {chunk.id.hex()} cannot be decompressed") from error


def _promises_to_shrink(plain: bytes | memoryview) -> bool:
    if len(plain) <= 2 * _SAMPLE:
        return True
    middle = len(plain) // 2
    sample = plain[middle : middle + _SAMPLE]
    return len(_zstd.compressor.compress(sample)) < _SAMPLE - _SAMPLE // 16
