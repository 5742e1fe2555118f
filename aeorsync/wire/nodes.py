"""The bodies of ``POST /sync/nodes`` and ``POST /sync/repair``.

In frames an answer is

    HEADER `NodesHeader`, ENTRIES list[bytes]..., MISSING, END `NodesEnd`

where each of the bytes is the body of a tree node: its hash tells which one. In the rules of
`wire.protocol`.
"""

import msgspec

MAX_NODES = 1_000
"""Tree nodes one request may name."""
ANSWER_BYTES = 6 << 20
"""Bytes of nodes after which an answer ends; what was not reached is asked for again."""


class NodesRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which tree nodes?

    Attributes:
        ids: Hex. With none, only the roots are told.
        include_system: Root has to say that it wants to see the system namespace, which no tree
            is without. Peers need not.
    """

    ids: list[str] = []
    include_system: bool = False


class NodesHeader(msgspec.Struct, frozen=True):
    """Who answers, and the trees it has now.

    Attributes:
        node_id: The answering node.
        database: Id made with its database.
        root_hash: Hex root of its live tree.
        graves_hash: Hex root of the tree of its deletions.
        seq: Number of the last change in its feed.
        version: Version of its software.
    """

    node_id: int
    database: int
    root_hash: str
    graves_hash: str
    seq: int
    version: str = ""


class NodesEnd(msgspec.Struct, frozen=True):
    """The last frame.

    Attributes:
        more: Whether nodes that are here were left out, since the answer is full.
    """

    more: bool = False


class NodeData(msgspec.Struct, frozen=True):
    """One tree node; ``data`` is its body, standard base64 in JSON."""

    hash: str
    data: bytes


class NodesReply(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON answer.

    Attributes:
        node_id: The answering node.
        root_hash: Hex root of its live tree.
        graves_hash: Hex root of the tree of its deletions.
        seq: Number of the last change in its feed.
        nodes: Those that are here, in the order asked.
        missing: Those that are not: they belong to no tree that must stay readable.
        more: Whether nodes that are here were left out, since the answer is full.
    """

    node_id: int
    root_hash: str
    graves_hash: str
    seq: int
    nodes: list[NodeData]
    missing: list[str]
    more: bool


class RepairResult(msgspec.Struct, frozen=True, kw_only=True):
    """What comparing the trees with one peer came to.

    Attributes:
        node_id: The peer.
        ok: Whether all that it has is here now.
        equal: Whether both trees of both nodes were equal in the end.
        round_trips: Requests for tree nodes.
        nodes: Tree nodes that came.
        bytes: Bytes of those requests and answers.
        keys_compared: Entries of ours and of the peer's that were looked at.
        keys_repaired: Entries that changed here.
        conflicts_detected: How many of them are in conflict.
        chunks_fetched: Chunks that came with them.
        peer_asked: Whether the peer was asked to repair itself from us.
        error: Why it is not ok.
    """

    node_id: int
    ok: bool
    equal: bool = False
    round_trips: int = 0
    nodes: int = 0
    bytes: int = 0
    keys_compared: int = 0
    keys_repaired: int = 0
    conflicts_detected: int = 0
    chunks_fetched: int = 0
    peer_asked: bool = False
    error: str | msgspec.UnsetType = msgspec.UNSET


class PeerAside(msgspec.Struct, frozen=True):
    """A peer that was not asked, and why."""

    node_id: int
    state: str
    reason: str


class RepairReply(msgspec.Struct, frozen=True, kw_only=True):
    """How comparing the trees with the peers went.

    Attributes:
        results: Of those that were asked.
        skipped: Those that were not, since their links are not active.
        root_hash: Hex root of our live tree in the end.
    """

    results: list[RepairResult]
    skipped: list[PeerAside]
    root_hash: str
