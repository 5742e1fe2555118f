"""The events of ``GET /sync/events``, as both ends know them."""

import msgspec


class Hello(msgspec.Struct, frozen=True):
    """First event, ``hello``: who answers, and where it stands; a brief one has ``seq`` alone.

    Attributes:
        node_id: The answering node.
        database: Id made with its database.
        root_hash: Hex root of its live tree.
        seq: Number of the last change in its feed.
        version: Version of its software.
    """

    node_id: int = 0
    database: int = 0
    root_hash: str = ""
    seq: int = 0
    version: str = ""


class RootMoved(msgspec.Struct, frozen=True):
    """Event ``root``: there is something to pull."""

    root_hash: str
    seq: int


class ClockTold(msgspec.Struct, frozen=True):
    """Two readings of the sender's clock.

    Attributes:
        intent_time: When the heartbeat was due.
        construct_time: When it was made.
        node_id: The sender.
    """

    intent_time: int
    construct_time: int
    node_id: int


class Heartbeat(msgspec.Struct, frozen=True):
    """Event ``heartbeat``, every 15 s."""

    clock: ClockTold
