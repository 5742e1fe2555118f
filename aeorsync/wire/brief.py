"""Answers without what the asker knows, and with what it would ask for next. Sans-I/O.

    POST /sync/clock?brief=true     `BriefClock` as msgpack
    GET /sync/events?brief=true     ``hello`` has nothing but ``seq``
    POST /sync/diff?same=MARK       in frames: END `Same` alone, if the answer would be an empty
                                    page that ends where the cursor stands, and its root and
                                    knowledge those told before, of which MARK is the name
    POST /sync/diff?along=ROOT      in frames, from a place in the feed: CHUNK frames before END
                                    bring small files that were written at the answering node
                                    itself, unless its live root begins with ROOT, as the asker's

A node that does not know these parameters answers as ever, and is understood.
"""

from typing import Final, NamedTuple

import msgspec
from blake3 import blake3

from aeorsync.core.versions import Vector

_MARK_SIZE = 8
ROOT_DIGITS: Final = 16
"""Hex digits of the asker's root that say whether it has all of it already."""
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


def diff_query(same: Mark | None, along: bytes | None) -> str:
    """The query of a request for changes, its question mark included.

    Args:
        same: What was told with the cursor, if a word is enough where nothing changed.
        along: Root of the asker's live tree, if it wishes to be sent small files.
    """
    wishes = [] if same is None else [f"same={same.text}"]
    if along is not None:
        wishes.append(f"along={along.hex()[:ROOT_DIGITS]}")
    return f"?{'&'.join(wishes)}" if wishes else ""
