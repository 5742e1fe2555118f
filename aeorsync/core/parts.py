"""The parts of a chunk, for who has the new bytes and no old ones. Pure.

A chunk is cut once more, by its content, into parts of about a kilobyte, and each has a *mark*:
the first bytes of its hash. Whoever has the old chunk tells its parts; whoever has the new one
cuts it the same way, and says how to make it: which bytes to copy, and which are new.

    parts    (size u16 ‖ mark 8)...                     of a chunk, in order
    steps    offset u32 ‖ length u32                    copy from the old chunks, joined
             2^31 + length u32 ‖ bytes                  these are new

What is made is checked by its name, so marks can be short: two parts of one mark make a chunk that
is refused, and then it is sent whole.
"""

import struct
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Final

from blake3 import blake3

from aeorsync.errors import BadRequestError

if TYPE_CHECKING:
    from pyfastcdc import FastCDC

MARK_SIZE: Final = 8
_PART: Final = struct.Struct(">H8s")
_WORD: Final = struct.Struct(">I")
_COPY: Final = struct.Struct(">II")
_NEW: Final = 1 << 31


@cache
def _cutter() -> "FastCDC":
    from pyfastcdc import FastCDC  # noqa: PLC0415  # only where there is something to cut

    return FastCDC(avg_size=1024, min_size=256, max_size=4096)


def describe(plain: bytes | memoryview) -> bytes:
    """Return the parts of a chunk."""
    return b"".join(_PART.pack(size, mark) for _, size, mark in _parts(plain))


def check_parts(described: bytes) -> bytes:
    """Return what somebody says the parts of a chunk are.

    Raises:
        BadRequestError: It is cut off.
    """
    if len(described) % _PART.size:
        raise BadRequestError("the parts of a chunk are cut off")
    return described


def write_steps(plain: bytes, described: Sequence[bytes]) -> bytes:
    """Return how to make a chunk of old ones, joined.

    Args:
        plain: The chunk.
        described: The parts of the old ones, each as `describe` has them.
    """
    places: dict[tuple[int, bytes], int] = {}
    offset = 0
    for size, mark in _PART.iter_unpack(b"".join(described)):
        places.setdefault((size, mark), offset)
        offset += size
    steps: list[bytes] = []
    done = place = length = 0  # steps cover so many bytes; the last of them is not written yet
    for start, size, mark in _parts(plain):
        found = places.get((size, mark))
        if found is None:
            continue
        if start != done or found != place + length:
            steps += (*_copy(place, length), *_literal(plain[done:start]))
            place, length = found, 0
        length += size
        done = start + size
    steps += (*_copy(place, length), *_literal(plain[done:]))
    return b"".join(steps)


def follow_steps(steps: bytes, old: bytes, size: int) -> bytes:
    """Return what steps make of old chunks, joined.

    Raises:
        BadRequestError: They are cut off, leave the old chunks, or make another size. Never makes
            more than ``size`` bytes.
    """
    made = bytearray()
    at = 0
    while at + _WORD.size <= len(steps):
        (word,) = _WORD.unpack_from(steps, at)
        at += _WORD.size
        if word & _NEW:
            piece = steps[at : at + (word ^ _NEW)]
            at += word ^ _NEW
        elif at + _WORD.size <= len(steps):
            (length,) = _WORD.unpack_from(steps, at)
            at += _WORD.size
            piece = old[word : word + length] if length <= len(old) - word else b""
            if len(piece) != length:
                raise BadRequestError("steps copy what is not there")
        else:
            break
        made += piece
        if len(made) > size:
            break
    if at != len(steps) or len(made) != size:
        raise BadRequestError("steps do not make what they claim")
    return bytes(made)


def _copy(place: int, length: int) -> tuple[bytes, ...]:
    return (_COPY.pack(place, length),) if length else ()


def _literal(data: bytes) -> tuple[bytes, ...]:
    return (_WORD.pack(_NEW | len(data)), data) if data else ()


def _parts(plain: bytes | memoryview) -> Iterator[tuple[int, int, bytes]]:
    """Where each part begins, its size, its mark."""
    view = memoryview(plain)
    for cut in _cutter().cut_buf(plain) if len(plain) else ():
        stop = cut.offset + cut.length
        yield cut.offset, cut.length, blake3(view[cut.offset : stop]).digest(length=MARK_SIZE)
