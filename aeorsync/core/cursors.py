"""Where a reader of changes stands: the tokens of ``/sync/diff``.

A reader that has nothing is given a full listing, and remembers where the feed stood when that
began. When the listing is done it follows the feed from there, so nothing that happened meanwhile
is missed.

    phase     stands
    -----     ------
    FEED      in the feed, after ``seq``
    LIVE      in the listing of live entries, past ``key``; the listing began at ``seq``
    GRAVES    in the listing of deletions, past ``key``; the listing began at ``seq``

    printed      between nodes: base64url(msgpack [epoch, seq, phase, key])     no padding
    hex token    in JSON, in place of a root: hex("aeorsync page 1" NUL, epoch u64, seq u64,
                 phase u8, key), big-endian; 66 digits or more, a root has 64

A token is no secret and no proof: what it leads to is decided by who shows it. What is not a
token of ours, or one of another database, reads as None: the reader is to start again.
"""

import base64
import re
import struct
from enum import IntEnum
from typing import Annotated

import msgspec

from aeorsync.core.paths import MAX_PATH
from aeorsync.errors import UNREADABLE

_TAG = b"aeorsync page 1\0"
_FIXED = struct.Struct(">16sQQB")
_MAX_PRINTED = 2 * MAX_PATH
_PRINTED = re.compile(r"[A-Za-z0-9_-]+\Z")
_HEX = re.compile(r"(?:[0-9a-f]{2})+\Z")


class Phase(IntEnum):
    """Which part of the way the reader is on; the number is the one on the wire."""

    FEED = 0
    LIVE = 1
    GRAVES = 2


_U64 = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
_Key = Annotated[bytes, msgspec.Meta(max_length=MAX_PATH)]


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """One place on the way.

    Attributes:
        epoch: Run of the database that gave `seq` out (`Repository.epoch`).
        seq: A row of its feed.
        phase: Which part of the way.
        key: Last tree key told of; empty in the feed, and where a listing begins.
    """

    epoch: _U64
    seq: _U64
    phase: Phase = Phase.FEED
    key: _Key = b""


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Cursor)


def print_cursor(cursor: Cursor) -> str:
    """Return the text that nodes exchange."""
    return base64.urlsafe_b64encode(_encode(cursor)).rstrip(b"=").decode()


def parse_cursor(text: str) -> Cursor | None:
    """Return the cursor that `print_cursor` printed; None for any other text."""
    if len(text) > _MAX_PRINTED or len(text) % 4 == 1 or not _PRINTED.match(text):
        return None
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    try:
        cursor = _decoder.decode(raw)
    except UNREADABLE:
        return None
    return cursor if print_cursor(cursor) == text else None


def print_hex(cursor: Cursor) -> str:
    """Return the token that stands in for a root."""
    fixed = _FIXED.pack(_TAG, cursor.epoch, cursor.seq, cursor.phase)
    return (fixed + cursor.key).hex()


def parse_hex(text: str) -> Cursor | None:
    """Return the cursor that `print_hex` printed; None for any other text, also for a root."""
    if len(text) > _MAX_PRINTED + 2 * _FIXED.size or not _HEX.match(text):
        return None
    raw = bytes.fromhex(text)
    if len(raw) < _FIXED.size:
        return None
    tag, epoch, seq, phase = _FIXED.unpack_from(raw)
    key = raw[_FIXED.size :]
    is_ours = tag == _TAG and max(epoch, seq) < 1 << 63 and phase in _PHASES
    return Cursor(epoch, seq, Phase(phase), key) if is_ours else None


_PHASES = frozenset(phase.value for phase in Phase)
