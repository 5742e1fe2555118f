"""What the frames of an answer hold: chunks, and pages that say little."""

from collections.abc import Sequence

import msgspec

from aeorsync.errors import UNREADABLE, BadRequestError
from aeorsync.wire.brief import Same
from aeorsync.wire.deltas import Bases, Delta, parse_delta
from aeorsync.wire.framing import Chunk, Frame, Kind, parse_chunk


def read_chunk(frame: Frame) -> Chunk | Delta | None:
    """The chunk that a frame brings, if it brings one."""
    if frame.kind is Kind.DELTA:
        return parse_delta(frame.payload)
    return parse_chunk(frame.payload) if frame.kind is Kind.CHUNK else None


def weigh(chunk: Chunk | Delta, bases: Bases) -> int:
    """Bytes of memory that a chunk takes before it is stored.

    Raises:
        BadRequestError: It is a delta against something that was not named.
    """
    if isinstance(chunk, Chunk):
        return len(chunk.stored)
    if not set(chunk.bases) <= set(bases.get(chunk.id, ())):
        raise BadRequestError("a delta is made against what nobody named")
    return chunk.size


def read_same(frames: Sequence[Frame]) -> Same | None:
    """What a page says that says that nothing changed; None for any other.

    Raises:
        BadRequestError: It is broken.
    """
    if len(frames) != 1 or frames[0].kind is not Kind.END:
        return None
    try:
        return msgspec.msgpack.decode(frames[0].payload, type=Same)
    except UNREADABLE as error:
        raise BadRequestError(f"a page without a header is broken: {error}") from error
