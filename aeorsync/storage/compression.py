"""Plain bytes to stored chunks and back. A chunk is compressed where that saves space."""

from aeorsync.core.hashing import chunk_id
from aeorsync.errors import CorruptError
from aeorsync.runtime.squeeze import expand, squeeze
from aeorsync.storage.base import StoredChunk

PLAIN = 0
ZSTD = 1


def pack(name: bytes, plain: bytes | memoryview) -> StoredChunk:
    """The form ``plain`` is stored in; may refer to the caller's memory."""
    squeezed = squeeze(plain)
    if squeezed is not None:
        return StoredChunk(name, ZSTD, len(plain), squeezed)
    return StoredChunk(name, PLAIN, len(plain), plain)


def unpack(chunk: StoredChunk) -> bytes | memoryview:
    """The plain bytes, checked against the chunk's name.

    Raises:
        CorruptError: The bytes are not those the name stands for. Never takes more memory than
            one chunk may hold, whatever the bytes claim.
    """
    plain = unchecked(chunk)
    if len(plain) != chunk.size or chunk_id(plain) != chunk.id:
        raise CorruptError(f"chunk {chunk.id.hex()} does not match its name")
    return plain


def unchecked(chunk: StoredChunk) -> bytes | memoryview:
    """The plain bytes as they are, for who checks them otherwise.

    Raises:
        CorruptError: There is no saying what they are; as above for the memory it takes.
    """
    if chunk.codec == ZSTD:
        return _inflate(chunk)
    if chunk.codec != PLAIN:
        raise CorruptError(f"chunk {chunk.id.hex()} has an unknown codec")
    return chunk.data


def _inflate(chunk: StoredChunk) -> bytes:
    try:
        return expand(chunk.data, chunk.size)
    except CorruptError as error:
        raise CorruptError(f"chunk {chunk.id.hex()}: {error.message}") from error
