"""Answers without what the asker knows already, so that a reconnect costs little. Sans-I/O.

    POST /sync/clock?brief=true     `BriefClock` as msgpack
    GET /sync/events?brief=true     ``hello`` has nothing but ``seq``
    POST /sync/diff?same=MARK       in frames: END `Same` alone, if the answer would be an empty
                                    page that ends where the cursor stands, and its root and
                                    knowledge those told before, of which MARK is the name

A node that does not know these parameters answers as ever, and is understood.
"""

from typing import NamedTuple

import msgspec
from blake3 import blake3

from aeorsync.core.versions import Vector

_MARK_SIZE = 8
_encode = msgspec.msgpack.Encoder().encode


class BriefClock(msgspec.Struct, frozen=True, array_like=True):
    """Answer to a clock probe; see `wire.links.ClockReply`."""

    t1: int
    t2: int
    node_id: int
    database: int
    version: str = ""


class BriefHello(msgspec.Struct, frozen=True):
    """First event of a stream; see `wire.peer_events.Hello`."""

    seq: int


class Same(msgspec.Struct, frozen=True):
    """Nothing changed since the cursor; root and knowledge are those told with it.

    Attributes:
        node_id: The answering node.
        database: Id made with its database.
        same: True.
    """

    node_id: int
    database: int
    same: bool


class Mark(NamedTuple):
    """What a node told at the end of a page.

    Attributes:
        root_hash: Hex root of its live tree.
        text: A short name for that and for what it knew, hex.
    """

    root_hash: str
    text: str


def mark(root_hash: str, knowledge: Vector) -> Mark:
    """The mark of a node that has this live tree, and knows this."""
    text = blake3(root_hash.encode() + _encode(knowledge)).hexdigest(length=_MARK_SIZE)
    return Mark(root_hash, text)
