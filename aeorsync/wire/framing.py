"""Frames: many values in one body, each with its kind and length. Sans-I/O.

    frame    kind u8 ‖ length u32 ‖ payload                         integers are big-endian

    kind  name     payload
    ----  ----     -------
    1     HEADER   msgpack map
    2     ENTRIES  msgpack array
    3     CHUNK    id 32 bytes ‖ codec u8 ‖ size u32 ‖ bytes as stored
    4     MISSING  ids, 32 bytes each
    5     END      msgpack map; nothing follows
    6     ERROR    msgpack map; nothing follows

Only END says that a stream is complete: a connection that breaks between two frames looks like
a short answer, and a short list of entries must never be taken for the whole.
"""

import struct
from enum import IntEnum
from typing import NamedTuple

from aeorsync.core.hashing import HASH_SIZE
from aeorsync.errors import BadRequestError
from aeorsync.wire.limits import MAX_CHUNK, MAX_FRAME

_FRAME_HEAD = struct.Struct(">BI")
HEAD_SIZE = _FRAME_HEAD.size
"""Bytes of a frame before its payload."""
_CHUNK_HEAD = struct.Struct(">32sBI")
_FRAME_AND_CHUNK_HEAD = struct.Struct(">BI32sBI")


class Kind(IntEnum):
    """What a frame carries; the number is the byte on the wire."""

    HEADER = 1
    ENTRIES = 2
    CHUNK = 3
    MISSING = 4
    END = 5
    ERROR = 6


class Codec(IntEnum):
    """How the bytes of a chunk are stored; the number is the byte on the wire."""

    RAW = 0
    ZSTD = 1


class Frame(NamedTuple):
    """One frame as it arrived."""

    kind: Kind
    payload: bytes


class Chunk(NamedTuple):
    """A chunk as stored and sent; nothing here checks its name.

    Attributes:
        id: Claimed name.
        codec: How ``stored`` holds the bytes.
        size: Claimed bytes when decompressed, at most `MAX_CHUNK`.
        stored: The bytes, at most `MAX_CHUNK`.
    """

    id: bytes
    codec: Codec
    size: int
    stored: bytes


_KINDS = {kind.value: kind for kind in Kind}
_CODECS = {codec.value: codec for codec in Codec}
_LAST = {Kind.END, Kind.ERROR}


def encode(kind: Kind, payload: bytes) -> bytes:
    """Return one frame."""
    return _FRAME_HEAD.pack(kind, len(payload)) + payload


def encode_chunk(name: bytes, codec: Codec, size: int, stored: bytes) -> bytes:
    """Return one CHUNK frame.

    Args:
        name: 32 bytes.
        codec: How ``stored`` holds the chunk.
        size: Bytes of the chunk when decompressed.
        stored: Bytes as stored.
    """
    # In one go, because this copies all that a node ever sends.
    length = _CHUNK_HEAD.size + len(stored)
    return _FRAME_AND_CHUNK_HEAD.pack(Kind.CHUNK, length, name, codec, size) + stored


def parse_chunk(payload: bytes) -> Chunk:
    """Return the chunk in the payload of a CHUNK frame.

    Raises:
        BadRequestError: It is too short, too long, or of an unknown codec.
    """
    if not _CHUNK_HEAD.size <= len(payload) <= _CHUNK_HEAD.size + MAX_CHUNK:
        raise BadRequestError("A chunk frame has an impossible length.")
    name, number, size = _CHUNK_HEAD.unpack_from(payload)
    codec = _CODECS.get(number)
    stored = payload[_CHUNK_HEAD.size :]
    if codec is None or size > MAX_CHUNK or (codec is Codec.RAW and size != len(stored)):
        raise BadRequestError("A chunk frame has an unknown codec or an impossible size.")
    return Chunk(name, codec, size, stored)


def parse_missing(payload: bytes) -> list[bytes]:
    """Return the ids in the payload of a MISSING frame.

    Raises:
        BadRequestError: Its length is no multiple of 32.
    """
    if len(payload) % HASH_SIZE:
        raise BadRequestError("A frame of missing chunks has an impossible length.")
    return [payload[at : at + HASH_SIZE] for at in range(0, len(payload), HASH_SIZE)]


class Decoder:
    """Bytes in, frames out; keeps at most one unfinished frame.

    Args:
        max_frame: Largest payload in bytes.
    """

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        self._max_frame = max_frame
        self._rest = bytearray()
        self._last: Kind | None = None

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that ``data`` completes, in order.

        Raises:
            BadRequestError: A frame is of an unknown kind, too long, or follows the last one.
        """
        if not self._rest:
            # What arrived whole is not copied into the buffer first.
            frames, at = self._frames(data)
            self._rest += memoryview(data)[at:]
            return frames
        self._rest += data
        frames, at = self._frames(self._rest)
        del self._rest[:at]
        return frames

    def finish(self) -> None:
        """Check that the stream is complete.

        Raises:
            BadRequestError: Its last frame is not END, or is cut.
        """
        if self._last is not Kind.END:
            raise BadRequestError("The stream of frames ends before its END.")

    def _frames(self, source: bytes | bytearray) -> tuple[list[Frame], int]:
        """Return the whole frames in ``source`` and where the first unfinished one begins."""
        frames: list[Frame] = []
        at = 0
        # Released at the end, or the buffer could not shrink.
        with memoryview(source) as view:
            while len(view) - at >= _FRAME_HEAD.size:
                kind, length = self._head(source, at)
                start, stop = at + _FRAME_HEAD.size, at + _FRAME_HEAD.size + length
                if stop > len(view):
                    break
                frames.append(Frame(kind, bytes(view[start:stop])))
                self._last = kind
                at = stop
            if self._last in _LAST and at < len(view):
                raise BadRequestError("Bytes follow the last frame.")
        return frames, at

    def _head(self, source: bytes | bytearray, at: int) -> tuple[Kind, int]:
        number, length = _FRAME_HEAD.unpack_from(source, at)
        kind = _KINDS.get(number)
        if kind is None or self._last in _LAST:
            raise BadRequestError("A frame is of an unknown kind, or follows the last one.")
        if length > self._max_frame:
            raise BadRequestError(f"A frame is longer than {self._max_frame} bytes.")
        return kind, length
