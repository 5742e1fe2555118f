"""The cluster as this node sees it: who is linked, joining, waking, comparing clocks."""

import re

import msgspec
from starlette.responses import Response

from aeorsync import __version__
from aeorsync.api.endpoint import Call, Endpoint, Parameter, answer
from aeorsync.api.node import Node
from aeorsync.api.parameters import Query
from aeorsync.cluster.peers import PeerState, TriggerReport
from aeorsync.cluster.terms import Removal
from aeorsync.core.paths import SYSTEM, join
from aeorsync.errors import (
    AeorError,
    BadRequestError,
    ConflictError,
    DeniedError,
    InvalidFieldError,
    NotFoundError,
    RateLimitedError,
)
from aeorsync.runtime import bridge
from aeorsync.storage.changes import FileState, put_file
from aeorsync.storage.draft import Draft
from aeorsync.wire.brief import BriefClock
from aeorsync.wire.links import (
    ClockReply,
    ClockRequest,
    JoinReply,
    JoinRequest,
    WakeReply,
    WakeRequest,
)
from aeorsync.wire.terms import LeaveReply, LeaveRequest, PeerPatch, PeerRequest

AUDIT = join(SYSTEM, "join-audit")
_UNSAFE = re.compile(r"[^0-9A-Za-z.:_-]")
_DIRECTIONS = ("pull", "push")
_NODE_ID = re.compile(r"[0-9]{1,20}\Z")


class PeersReply(msgspec.Struct, frozen=True):
    """The links of this node, oldest first."""

    items: list[PeerState]


class StatusReply(msgspec.Struct, frozen=True):
    """This node and its links.

    Attributes:
        node_id: This node.
        peer_count: How many links it has.
        peers: The links, oldest first.
        root_hash: Hex root of its live tree; nodes with equal files have equal roots.
        seq: Number of the last change in its feed.
        version: Version of its software.
    """

    node_id: int
    peer_count: int
    peers: list[PeerState]
    root_hash: str
    seq: int
    version: str


class RemovedReply(msgspec.Struct, frozen=True):
    """The link is gone.

    Attributes:
        removed: True.
        node_id: The peer.
        peer_told: Whether the peer has no link to this node any more, either.
        reason: Why it could not be told.
    """

    removed: bool
    node_id: int
    peer_told: bool
    reason: str | None


class JoinRecord(msgspec.Struct, frozen=True):
    """Who was given the cluster's key; a file of its own in the system namespace.

    Attributes:
        at: Milliseconds since the Unix epoch.
        address: Where the request came from.
        node_url: What the joining node called itself.
        label: Likewise.
        node_id: Under which it is known.
        key_id: API key that was shown, if it was one.
    """

    at: int
    address: str
    node_url: str
    label: str | None
    node_id: int
    key_id: str | None


async def list_peers(call: Call) -> Response:
    """List the links."""
    return answer(PeersReply(call.node.member.peers()))


async def add_peer(call: Call) -> Response:
    """Add a link."""
    request = await call.body(PeerRequest)
    if not request.address:
        raise BadRequestError("a peer needs an address")
    peer = await call.node.member.add_peer(request.address, request, request.node_id)
    return answer(peer, 201)


async def change_peer(call: Call) -> Response:
    """Change what is said of a link."""
    node_id = _peer_id(call)
    return answer(await call.node.member.change_peer(node_id, await call.body(PeerPatch)))


async def remove_peer(call: Call) -> Response:
    """Remove a link, on both ends if the other one can be reached."""
    removal: Removal = await call.node.member.remove_peer(_peer_id(call))
    return answer(
        RemovedReply(
            removed=True,
            node_id=removal.node_id,
            peer_told=removal.peer_told,
            reason=removal.reason,
        )
    )


async def leave(call: Call) -> Response:
    """Be told by a peer that it has no link to this node any more."""
    request = await call.body(LeaveRequest)
    member = call.node.member
    is_meant = request.told in {None, member.node_id}
    record = await member.forget_peer(request.node_id) if is_meant else None
    return answer(LeaveReply(removed=record is not None))


def _peer_id(call: Call) -> int:
    return _parse_node_id(call.request.path_params["node_id"])


def _parse_node_id(text: str) -> int:
    if not _NODE_ID.match(text):
        raise BadRequestError("a node id is a number")
    return int(text)


async def show_status(call: Call) -> Response:
    """Show this node and its links."""
    member, head = call.node.member, call.node.repository.head
    peers = member.peers()
    return answer(
        StatusReply(
            node_id=member.node_id,
            peer_count=len(peers),
            peers=peers,
            root_hash=head.root.hex(),
            seq=head.seq,
            version=__version__,
        )
    )


async def trigger(call: Call) -> Response:
    """Run a cycle with every peer, or one, now, and tell how it went."""
    query = Query(call.request.scope["query_string"])
    direction = query.text("direction") or "pull"
    if direction not in _DIRECTIONS:
        raise BadRequestError(f"direction must be {' or '.join(_DIRECTIONS)}; nothing was done")
    text = query.text("peer")
    report = await call.node.member.trigger(
        force_activate=query.flag("force_activate"),
        node_id=None if text is None else _parse_node_id(text),
        is_push=direction == "push",
    )
    return answer(report)


async def wake(call: Call) -> Response:
    """Be told that a peer has news."""
    request = await call.body(WakeRequest)
    call.node.member.wake(request.node_id, repair=request.repair)
    linked = call.node.member.stance(request.node_id).is_linked
    return answer(WakeReply(accepted=True, linked=linked), 202)


async def compare_clocks(call: Call) -> Response:
    """Answer a clock probe."""
    node = call.node
    received = node.wall.now_ms()
    request = await call.body(ClockRequest)
    reply = ClockReply(
        t0=request.t0,
        t1=received,
        t2=node.wall.now_ms(),
        node_id=node.member.node_id,
        database=node.repository.database_id,
        version=__version__,
    )
    if not Query(call.request.scope["query_string"]).flag("brief"):
        return answer(reply)
    brief = BriefClock(reply.t1, reply.t2, reply.node_id, reply.database, reply.version)
    return Response(msgspec.msgpack.encode(brief), media_type="application/msgpack")


async def join_cluster(call: Call) -> Response:
    """Take a node into the cluster: it gets the signing key, and becomes a peer."""
    node = call.node
    if call.caller.is_peer and not node.is_open:
        raise DeniedError("a token of scope sync cannot join; use one of root")
    address = call.request.client.host if call.request.client is not None else "unknown"
    for window in node.joins:
        window.take(address, node.wall.monotonic())
    request = await call.body(JoinRequest)
    if not request.node_url:
        raise BadRequestError("node_url is missing")
    if not node.can_share_key:
        raise AeorError("this node holds no signing key that it could share")
    peer = await node.member.admit(request.node_url, request.label, request.node_id)
    key_id = None if call.caller.key_id is None else str(call.caller.key_id)
    record = JoinRecord(
        at=node.wall.now_ms(),
        address=address,
        node_url=request.node_url,
        label=request.label,
        node_id=peer.node_id,
        key_id=key_id,
    )
    # On record first: nobody gets the key without leaving a trace.
    await _write(node, record)
    reply = JoinReply(node.signing_key.to_text(), node.member.node_id, peer.node_id)
    return answer(reply, headers={"Cache-Control": "no-store"})


async def _write(node: Node, record: JoinRecord) -> None:
    path = join(AUDIT, f"{record.at}-{_UNSAFE.sub('_', record.address)}.json")
    data = msgspec.json.format(msgspec.json.encode(record))
    content = await bridge.run(node.repository.store_small, data)

    def operation(draft: Draft) -> None:
        put_file(draft, path, FileState(content, "application/json"))

    await bridge.settle(node.repository.commit(operation))


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("GET", "/sync/peers", list_peers, "List the links.", reply=PeersReply),
    Endpoint(
        "POST",
        "/sync/peers",
        add_peer,
        "Add a link to a peer; adding it twice is adding it once.",
        request=PeerRequest,
        reply=PeerState,
        status=201,
        errors=(BadRequestError, InvalidFieldError, ConflictError),
    ),
    Endpoint(
        "PATCH",
        "/sync/peers/{node_id}",
        change_peer,
        "Change what is said of a link.",
        request=PeerPatch,
        reply=PeerState,
        errors=(BadRequestError, InvalidFieldError, NotFoundError, ConflictError),
    ),
    Endpoint(
        "DELETE",
        "/sync/peers/{node_id}",
        remove_peer,
        "Remove a link, on both ends if the other one can be reached.",
        reply=RemovedReply,
        errors=(BadRequestError, NotFoundError),
    ),
    Endpoint(
        "GET", "/sync/status", show_status, "Show this node and its links.", reply=StatusReply
    ),
    Endpoint(
        "POST",
        "/sync/trigger",
        trigger,
        "Run a cycle with every peer, or one, now, and tell how it went.",
        reply=TriggerReport,
        errors=(BadRequestError, NotFoundError),
        parameters=(
            Parameter("peer", {"type": "integer"}, "Node id of the only peer to ask."),
            Parameter(
                "direction",
                {"type": "string", "enum": list(_DIRECTIONS)},
                "`pull` (the default) what this node lacks, or `push` what the peer lacks.",
            ),
            Parameter(
                "force_activate",
                {"type": "boolean"},
                "Pull also from peers whose clocks have not settled.",
            ),
        ),
    ),
    Endpoint(
        "POST",
        "/sync/join",
        join_cluster,
        "Take a node into the cluster: it gets the signing key, and becomes a peer.",
        request=JoinRequest,
        reply=JoinReply,
        errors=(BadRequestError, InvalidFieldError, DeniedError, RateLimitedError),
    ),
    Endpoint(
        "POST",
        "/sync/clock",
        compare_clocks,
        "Answer a clock probe.",
        request=ClockRequest,
        reply=ClockReply,
        errors=(BadRequestError, InvalidFieldError),
    ),
    Endpoint(
        "POST",
        "/sync/leave",
        leave,
        "Be told that a peer has no link to this node any more, and drop the one to it.",
        request=LeaveRequest,
        reply=LeaveReply,
        errors=(BadRequestError, InvalidFieldError),
    ),
    Endpoint(
        "POST",
        "/sync/wake",
        wake,
        "Be told that a peer has news, and pull from it.",
        request=WakeRequest,
        reply=WakeReply,
        status=202,
        errors=(BadRequestError, InvalidFieldError),
    ),
)
