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
    7     DELTA    see `wire.deltas`; sent only to who named a base
    8     PARTS    see `wire.recipes`; like the next, in ``/blobs`` only
    9     RECIPE   likewise

Only END says that a stream is complete: a connection that breaks between two frames looks like
a short answer, and a short list of entries must never be taken for the whole.
"""

import struct
from enum import IntEnum
from typing import NamedTuple, cast

from aeorsync.core.hashing import HASH_SIZE, Buffer
from aeorsync.errors import BadRequestError
from aeorsync.wire.limits import MAX_CHUNK, MAX_FRAME

_FRAME_HEAD = struct.Struct(">BI")
HEAD_SIZE = _FRAME_HEAD.size
"""Bytes of a frame before its payload."""
_CHUNK_HEAD = struct.Struct(">32sBI")
CHUNK_HEAD_SIZE = _CHUNK_HEAD.size
"""Bytes of the payload of a CHUNK frame before the chunk's own."""
_FRAME_AND_CHUNK_HEAD = struct.Struct(">BI32sBI")


class Kind(IntEnum):
    """What a frame carries; the number is the byte on the wire."""

    HEADER = 1
    ENTRIES = 2
    CHUNK = 3
    MISSING = 4
    END = 5
    ERROR = 6
    DELTA = 7
    PARTS = 8
    RECIPE = 9


class Codec(IntEnum):
    """How the bytes of a chunk are stored; the number is the byte on the wire."""

    RAW = 0
    ZSTD = 1


class Frame(NamedTuple):
    """One frame as it arrived.

    Attributes:
        kind: What it carries.
        payload: Its bytes; of a CHUNK really a view of what was fed, and only for `parse_chunk`.
    """

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
    stored: bytes | memoryview


_KINDS = {kind.value: kind for kind in Kind}
_CODECS = {codec.value: codec for codec in Codec}
_LAST = {Kind.END, Kind.ERROR}
_PARTS = 32
"""Parts of a frame that are kept as they came."""


def encode(kind: Kind, payload: bytes) -> bytes:
    """Return one frame."""
    return _FRAME_HEAD.pack(kind, len(payload)) + payload


def encode_chunk(name: bytes, codec: Codec, size: int, stored: bytes | memoryview) -> bytes:
    """Return one CHUNK frame.

    Args:
        name: 32 bytes.
        codec: How ``stored`` holds the chunk.
        size: Bytes of the chunk when decompressed.
        stored: Bytes as stored.
    """
    return encode_chunk_head(name, codec, size, len(stored)) + stored


def encode_chunk_head(name: bytes, codec: Codec, size: int, stored: int) -> bytes:
    """Return what comes before the ``stored`` bytes of a chunk in its frame.

    Who sends many puts them together once, and not each first.
    """
    length = _CHUNK_HEAD.size + stored
    return _FRAME_AND_CHUNK_HEAD.pack(Kind.CHUNK, length, name, codec, size)


def parse_chunk(payload: bytes | memoryview) -> Chunk:
    """Return the chunk in the payload of a CHUNK frame.

    Raises:
        BadRequestError: It is too short, too long, or of an unknown codec.
    """
    if not CHUNK_HEAD_SIZE <= len(payload) <= CHUNK_HEAD_SIZE + MAX_CHUNK:
        raise BadRequestError("A chunk frame has an impossible length.")
    name, number, size = _CHUNK_HEAD.unpack_from(payload)
    codec = _CODECS.get(number)
    stored = payload[CHUNK_HEAD_SIZE:]
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

    Payloads of chunks are views of what was fed, so their bytes are not copied where a whole frame
    comes at once; of others they are bytes.

    Args:
        max_frame: Largest payload in bytes.
    """

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        self._max_frame = max_frame
        self._begun: list[Buffer] = []
        self._size = 0
        self._needed = HEAD_SIZE
        self._last: Kind | None = None

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that ``data`` completes, in order.

        Raises:
            BadRequestError: A frame is of an unknown kind, too long, or follows the last one.
        """
        frames: list[Frame] = []
        view = memoryview(data)
        while self._begun and view:
            # Of the frame that was begun only as much is joined as belongs to it.
            lacking = self._needed - self._size
            self._keep(view[:lacking])
            view = view[lacking:]
            if self._size < self._needed:
                return frames
            joined = b"".join(self._begun)
            self._begun, self._size = [], 0
            if not self._take(memoryview(joined), frames):
                self._begun, self._size = [joined], len(joined)
        if self._begun:
            return frames
        at = 0
        while size := self._take(view[at:], frames):
            at += size
        if at < len(view):
            if self._last in _LAST:
                raise BadRequestError("Bytes follow the last frame.")
            self._keep(view[at:])
        return frames

    def finish(self) -> None:
        """Check that the stream is complete.

        Raises:
            BadRequestError: Its last frame is not END, or is cut.
        """
        if self._last is not Kind.END:
            raise BadRequestError("The stream of frames ends before its END.")

    def _keep(self, part: memoryview) -> None:
        """Put a part of an unfinished frame by."""
        self._begun.append(part)
        self._size += len(part)
        if len(self._begun) >= _PARTS:
            # Or what comes byte by byte would take many times its size.
            first, *rest = self._begun
            whole = first if isinstance(first, bytearray) else bytearray(first)
            for each in rest:
                whole += each
            self._begun = [whole]

    def _take(self, view: memoryview, frames: list[Frame]) -> int:
        """Add the frame that a view begins with; returns its bytes, 0 when it is not whole.

        Then it is known how many bytes are needed to go on.
        """
        if len(view) < HEAD_SIZE:
            self._needed = HEAD_SIZE
            return 0
        kind, length = self._head(view)
        self._needed = HEAD_SIZE + length
        if len(view) < self._needed:
            return 0
        payload = view[HEAD_SIZE : self._needed]
        frames.append(
            Frame(kind, cast("bytes", payload) if kind is Kind.CHUNK else bytes(payload))
        )
        self._last = kind
        return self._needed

    def _head(self, view: memoryview) -> tuple[Kind, int]:
        number, length = _FRAME_HEAD.unpack_from(view)
        kind = _KINDS.get(number)
        if kind is None or self._last is Kind.END or self._last is Kind.ERROR:
            raise BadRequestError("A frame is of an unknown kind, or follows the last one.")
        if length > self._max_frame:
            raise BadRequestError(f"A frame is longer than {self._max_frame} bytes.")
        return kind, length
