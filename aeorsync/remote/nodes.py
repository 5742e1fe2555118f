"""Tree nodes as a peer sends them: taken apart, and held against what was asked for."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import msgspec

from aeorsync.core.hashing import HASH_SIZE
from aeorsync.core.hashing import node_id as tree_node_id
from aeorsync.errors import UNREADABLE, BadRequestError
from aeorsync.wire.framing import Frame, Kind, parse_missing
from aeorsync.wire.nodes import NodesHeader


@dataclass(frozen=True, slots=True)
class NodesAnswer:
    """Tree nodes of a peer.

    Attributes:
        header: Who answered, and its roots.
        bodies: By id, which they match; nothing else is checked.
        missing: Those that it does not hold.
        size: Bytes of question and answer.
    """

    header: NodesHeader
    bodies: dict[bytes, bytes]
    missing: set[bytes]
    size: int


def read_nodes(
    address: str, frames: Sequence[Frame], asked: AbstractSet[bytes], size: int
) -> NodesAnswer:
    """What some frames, the last of which is END, say.

    Args:
        address: Whom they are from.
        frames: All of an answer.
        asked: Ids that were asked for.
        size: Bytes of the frames.

    Raises:
        BadRequestError: They are no answer to the question.
    """
    if len(frames) < 2 or frames[0].kind is not Kind.HEADER:  # noqa: PLR2004
        raise BadRequestError(f"{address} sent tree nodes without a header")
    try:
        header = msgspec.msgpack.decode(frames[0].payload, type=NodesHeader)
        found = [
            body
            for frame in frames
            if frame.kind is Kind.ENTRIES
            for body in msgspec.msgpack.decode(frame.payload, type=list[bytes])
        ]
    except UNREADABLE as error:
        raise BadRequestError(f"{address} sent broken tree nodes: {error}") from error
    bodies = {tree_node_id(body): body for body in found}
    missing = {
        name
        for frame in frames
        if frame.kind is Kind.MISSING
        for name in parse_missing(frame.payload)
    }
    if not (bodies.keys() | missing) <= asked or len(bodies) < len(found):
        raise BadRequestError(f"{address} sent a tree node nobody asked for")
    if asked and not (bodies or missing):
        raise BadRequestError(f"{address} sent none of the tree nodes it was asked for")
    return NodesAnswer(header, bodies, missing, size + len(asked) * HASH_SIZE)
