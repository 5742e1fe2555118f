"""A chunk as a delta against chunks that are most likely alike; safe from any thread.

zstd with the *base* as the text that went before: what the base holds as well takes a few bytes.
The search is the fastest one that zstd has, so it costs about as much as reading and hashing, and
a base that is of no use costs less.
"""

from typing import Final

import zstandard

from aeorsync.errors import CorruptError
from aeorsync.wire.limits import MAX_CHUNK

_PARAMETERS: Final = zstandard.ZstdCompressionParameters(
    strategy=zstandard.STRATEGY_FAST,
    # Base and chunk together; of the base each 16th byte or so finds its place in the table.
    window_log=21,
    hash_log=16,
    min_match=7,
    write_content_size=True,
    write_checksum=False,
    write_dict_id=False,
)


def liken(plain: bytes | memoryview, base: bytes) -> bytes:
    """Return a delta that makes ``plain`` of ``base``; it may be longer than ``plain``.

    Args:
        plain: A chunk.
        base: What it may be alike, at most 1 MiB and not empty.
    """
    past = zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    return zstandard.ZstdCompressor(dict_data=past, compression_params=_PARAMETERS).compress(plain)


def unlike(delta: bytes | memoryview, base: bytes, size: int) -> bytes:
    """Return what a delta makes of a base.

    Args:
        delta: From anybody.
        base: As for `liken`; another one gives other bytes, or an error.
        size: Bytes that the delta claims to make.

    Raises:
        CorruptError: It cannot be read. Never takes more memory than one chunk may hold, whatever
            the bytes claim.
    """
    try:
        stated = zstandard.frame_content_size(delta)
        if stated != size or stated > MAX_CHUNK:
            raise CorruptError("a delta states a wrong size")
        past = zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
        unpacker = zstandard.ZstdDecompressor(dict_data=past, max_window_size=1 << 21)
        return unpacker.decompress(delta, max_output_size=MAX_CHUNK)
    except zstandard.ZstdError as error:
        raise CorruptError("a delta cannot be read") from error
