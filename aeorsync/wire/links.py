"""What nodes say to each other about their links: joining, clocks, waking. JSON bodies."""

import msgspec

from aeorsync.wire.protocol import NodeId


class JoinRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Let me in.

    Attributes:
        node_url: Base URL at which the joining node can be reached.
        label: Its name, for people.
        node_id: Its node id; an AeorDB node sends none.
    """

    node_url: str = ""
    label: str | None = None
    node_id: NodeId | None = None


class JoinReply(msgspec.Struct, frozen=True):
    """Welcome.

    Attributes:
        signing_key: Standard base64 of the cluster's 32-byte Ed25519 seed.
        responding_node_id: Who answers.
        new_peer_node_id: Node id under which the joining node is known here.
    """

    signing_key: str
    responding_node_id: int
    new_peer_node_id: int


class ClockRequest(msgspec.Struct, frozen=True):
    """What time is it? ``t0`` is when this was sent, by the sender's clock."""

    t0: int


class ClockReply(msgspec.Struct, frozen=True):
    """Four-timestamp clock probe; the asker adds the fourth.

    Attributes:
        t0: As it was sent.
        t1: When the request was received, by the answering node's clock.
        t2: When the answer was made.
        node_id: The answering node.
        database: Id made with its database.
        version: Version of its software.
    """

    t0: int
    t1: int
    t2: int
    node_id: int
    database: int
    version: str = ""


class WakeRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """``node_id`` has news: pull from it now.

    Attributes:
        node_id: Who has.
        repair: Compare the whole trees: the feed may not tell all of it.
    """

    node_id: NodeId
    repair: bool = False


class WakeReply(msgspec.Struct, frozen=True):
    """The node will pull soon.

    Attributes:
        accepted: Always true.
        linked: Whether a link from there to the caller is active: it pulls by itself, and needs
            no offers.
    """

    accepted: bool = True
    linked: bool = False
