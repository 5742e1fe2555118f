"""One node of the tree: its form, its bytes, and its references to nodes below."""

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from aeorsync.core.hashing import node_id
from aeorsync.errors import UNREADABLE, CorruptError

MAX_LEVEL = 64

Reader: TypeAlias = "Callable[[bytes], Node]"
"""Fetches a decoded node by id; raises when it is not there."""


class Node(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One node: parallel lists, keys strictly ascending.

    Attributes:
        level: 0 for a leaf.
        keys: Keys; above level 0 the last key of each child.
        values: Entry bytes; above level 0 child references (`child_id`, `child_count`).
    """

    level: int
    keys: list[bytes]
    values: list[bytes]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Node)


def encode_node(node: Node) -> bytes:
    """The canonical bytes of a node; its id is their hash."""
    return _encoder.encode(node)


def decode_node(body: bytes) -> Node:
    """Read a node and check its form.

    Raises:
        CorruptError: The bytes are not a node.
    """
    try:
        node = _decoder.decode(body)
    except UNREADABLE as error:
        raise CorruptError(f"a tree node cannot be read: {error}") from error
    if len(node.keys) != len(node.values) or not 0 <= node.level <= MAX_LEVEL:
        raise CorruptError("a tree node is malformed")
    return node


EMPTY = node_id(encode_node(Node(0, [], [])))
"""Root of the tree with nothing in it. Every reader knows it; no store keeps it."""
EMPTY_NODE = Node(0, [], [])


def child_id(ref: bytes) -> bytes:
    """Id of the child a reference names."""
    return ref[:32]


def child_count(ref: bytes) -> int:
    """How many leaf items lie below a reference."""
    return int.from_bytes(ref[32:])
