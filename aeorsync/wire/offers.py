"""The bodies of ``/sync/offer*``: a node that cannot be reached pushes.

Requests are frames (`wire.framing`), answers JSON.

    /sync/offer         HEADER `OfferHeader`, ENTRIES list[`Item`]..., MISSING, END {}
    /sync/offer/chunks  HEADER `OfferHeader`, CHUNK..., END {}
"""

import msgspec

from aeorsync.wire.protocol import NodeId


class OfferHeader(msgspec.Struct, frozen=True, kw_only=True):
    """Who offers.

    Attributes:
        node_id: The offering node.
        database: Id made with its database.
        root_hash: Hex root of its live tree when this was read.
        version: Version of its software.
        receipt: ``receipt`` of the last answer that was acted on; None for none.
        knowledge: What the offering node knows, if with this page everything it has was offered
            and taken; see `wire.protocol.DiffEnd`.
    """

    node_id: NodeId
    database: int
    root_hash: str = ""
    version: str = ""
    receipt: str | None = None
    knowledge: tuple[tuple[int, int], ...] | None = None


class OfferProblem(msgspec.Struct, frozen=True):
    """An entry that was not taken, and why."""

    path: str
    text: str


class OfferReply(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an offer.

    Attributes:
        node_id: The answering node.
        database: Id made with its database.
        linked: Whether it has an active link to the offering node, and so pulls by itself.
        takes: Whether it takes anything from that node; if not, nothing was done.
        known: Whether ``receipt`` of the offer is one of this database as it is now; if not,
            nothing was done, and everything is to be offered again.
        sync_paths: Globs of what it takes; the rest was passed over. None for everything.
        excludes: Globs of what it does not take after all; None for no exception.
        receipt: For the header of the next offer: proves that what was taken is still there.
        lacking: Hex ids of chunks to send before the same is offered again; empty when the offer
            was applied.
        applied: Entries that are different there now.
        conflicts: How many of them are in conflict.
        problems: Some of the entries that were not taken.
        problem_count: All of them.
    """

    node_id: int
    database: int
    linked: bool = False
    takes: bool = True
    known: bool = True
    sync_paths: tuple[str, ...] | None = None
    excludes: tuple[str, ...] | None = None
    receipt: str | None = None
    lacking: list[str] = []
    applied: int = 0
    conflicts: int = 0
    problems: list[OfferProblem] = []
    problem_count: int = 0


class OfferedChunksReply(msgspec.Struct, frozen=True):
    """What became of some chunks.

    Attributes:
        stored: How many are here now.
        refused: Hex ids of those whose bytes do not match their names.
    """

    stored: int
    refused: list[str] = []
