"""Chunks as deltas against what they replaced: how they are asked for, and sent. Sans-I/O.

    wants    (bases u8 ‖ id 32 ‖ base id 32 ...)...        body of ``POST /sync/chunks``
    DELTA    id 32 ‖ size u32 ‖ bases u8 ‖ base id 32 ... ‖ zstd frame

Whoever asks names, for a chunk, those it has that are probably alike. The answer to that is the
chunk as ever, or a delta that makes it of some of these, joined in the order of the frame. It is
checked by its name like any other, so a delta can be useless, and never wrong.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from aeorsync.core.hashing import HASH_SIZE
from aeorsync.core.replaced import MAX_BASES
from aeorsync.errors import BadRequestError
from aeorsync.wire import framing
from aeorsync.wire.limits import MAX_CHUNK

WANTS_TYPE: Final = "application/vnd.aeorsync.wants"
_HEAD: Final = struct.Struct(">32sIB")

Bases = Mapping[bytes, Sequence[bytes]]
"""Chunks that are at hand and probably alike, by the id of the one that is wanted."""


class Delta(NamedTuple):
    """A chunk that is to be made; nothing here checks its name.

    Attributes:
        id: Claimed name.
        size: Claimed bytes of the chunk, at most `MAX_CHUNK`.
        bases: Of what it is made, 1 to `MAX_BASES` chunks.
        stored: How, at most `MAX_CHUNK` bytes.
    """

    id: bytes
    size: int
    bases: tuple[bytes, ...]
    stored: bytes


def encode_wants(ids: Sequence[bytes], bases: Bases) -> bytes:
    """Return the body that asks for chunks, with what is at hand for some of them."""
    parts: list[bytes] = []
    for name in ids:
        known = tuple(bases.get(name, ()))[:MAX_BASES]
        parts += (bytes((len(known),)), name, *known)
    return b"".join(parts)


def parse_wants(body: bytes) -> dict[bytes, tuple[bytes, ...]]:
    """Return the chunks that a body asks for, each with what is at hand for it.

    Raises:
        BadRequestError: It is cut, or names more than `MAX_BASES` for a chunk.
    """
    wants: dict[bytes, tuple[bytes, ...]] = {}
    at = 0
    while at < len(body):
        count = body[at]
        stop = at + 1 + HASH_SIZE * (1 + count)
        if count > MAX_BASES or stop > len(body):
            raise BadRequestError("the body is no list of wanted chunks")
        name, *bases = _ids(body, at + 1, stop)
        wants[name] = tuple(bases)
        at = stop
    return wants


def encode_delta(delta: Delta) -> bytes:
    """Return one DELTA frame."""
    return framing.encode(framing.Kind.DELTA, join_delta(delta))


def join_delta(delta: Delta) -> bytes:
    """Return the payload of the frame that carries a delta."""
    head = _HEAD.pack(delta.id, delta.size, len(delta.bases))
    return b"".join((head, *delta.bases, delta.stored))


def parse_delta(payload: bytes) -> Delta:
    """Return the delta in the payload of a DELTA frame.

    Raises:
        BadRequestError: It is too short or too long, or made of nothing or of too much.
    """
    if len(payload) < _HEAD.size:
        raise BadRequestError("A delta frame is too short.")
    name, size, count = _HEAD.unpack_from(payload)
    start = _HEAD.size + HASH_SIZE * count
    if not 1 <= count <= MAX_BASES or not start <= len(payload) <= start + MAX_CHUNK:
        raise BadRequestError("A delta frame has an impossible length.")
    if size > MAX_CHUNK:
        raise BadRequestError("A delta frame has an impossible size.")
    return Delta(name, size, _ids(payload, _HEAD.size, start), payload[start:])


def _ids(data: bytes, start: int, stop: int) -> tuple[bytes, ...]:
    return tuple(data[at : at + HASH_SIZE] for at in range(start, stop, HASH_SIZE))
