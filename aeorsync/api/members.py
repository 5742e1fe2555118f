"""The nodes of the cluster: who they are, and removing one for ever."""

import re

import msgspec
from starlette.responses import Response
from starlette.types import Scope

from aeorsync.api.endpoint import Call, Endpoint, answer
from aeorsync.api.node import Node
from aeorsync.core.knowledge import Ack
from aeorsync.errors import (
    BadRequestError,
    ConflictError,
    DeniedError,
    NotFoundError,
    RemovedError,
)
from aeorsync.runtime import bridge
from aeorsync.storage.members import Members, Membership
from aeorsync.storage.repository import Repository
from aeorsync.wire.headers import FROM_HEADER, RUN_HEADER

_FROM = FROM_HEADER.lower().encode()
_RUN = RUN_HEADER.lower().encode()
_RUN_FORM = re.compile(r"[0-9a-f]{1,16}\Z")
_MAX_ID = len(str(1 << 63))


class MemberState(msgspec.Struct, frozen=True, kw_only=True):
    """A node of the cluster. Times are milliseconds since the Unix epoch.

    Attributes:
        node_id: The node.
        is_self: Whether it is the one that answers.
        address: Base URL by which we are linked to it; null without a link.
        label: What it is called here, for people.
        joined_at: When it was first known.
        removed_at: When it was removed, for ever; null if it was not.
        acknowledged_at: When it last told all others what it knows; null if it never did.
    """

    node_id: int
    is_self: bool
    address: str | None
    label: str | None
    joined_at: int
    removed_at: int | None
    acknowledged_at: int | None


class MembersReply(msgspec.Struct, frozen=True):
    """All members, removed ones too, ascending by node id."""

    items: list[MemberState]


async def list_members(call: Call) -> Response:
    """List the members."""
    node = call.node
    known = await node.member.roster.members()
    acks = await bridge.run(_acks, node.repository)
    return answer(MembersReply([_state(node, member, acks) for member in known.values()]))


async def remove_member(call: Call) -> Response:
    """Remove a node for ever."""
    if call.caller.is_peer and not call.node.is_open:
        raise DeniedError("a token of scope sync cannot remove a node; use one of root")
    node_id = parse_id(call.request.path_params["node_id"])
    member = await call.node.member.roster.remove(node_id)
    return answer(_state(call.node, member, await bridge.run(_acks, call.node.repository)))


async def admit_caller(call: Call) -> None:
    """Write down the node that calls, before it is given anything.

    Raises:
        RemovedError: It was removed.
    """
    node_id = caller_id(call.request.scope)
    if call.caller.is_peer and node_id is not None:
        await call.node.member.roster.admit(node_id)


def caller_id(scope: Scope) -> int | None:
    """Node id of the calling node; None for who says nothing.

    Raises:
        BadRequestError: What it says is no node id.
    """
    for name, value in scope["headers"]:
        if name == _FROM:
            return parse_id(value.decode("latin-1"))
    return None


def caller_run(scope: Scope) -> int | None:
    """Which run of the calling node it is; None for who says nothing.

    Raises:
        BadRequestError: What it says is no run.
    """
    for name, value in scope["headers"]:
        if name == _RUN:
            text = value.decode("latin-1")
            if not _RUN_FORM.match(text):
                raise BadRequestError("a run is 1 to 16 hex digits")
            return int(text, 16)
    return None


def parse_id(text: str) -> int:
    """Return the node id that ``text`` spells.

    Raises:
        BadRequestError: It spells none.
    """
    if (
        not (text.isascii() and text.isdigit())
        or len(text) > _MAX_ID
        or not 0 < int(text) < 1 << 63
    ):
        raise BadRequestError("a node id is a number")
    return int(text)


def _acks(repository: Repository) -> dict[int, Ack]:
    with repository.view() as view:
        return Members(repository).acks(view)


def _state(node: Node, member: Membership, acks: dict[int, Ack]) -> MemberState:
    link = next((p for p in node.member.peers() if p.node_id == member.node_id), None)
    ack = acks.get(member.node_id)
    return MemberState(
        node_id=member.node_id,
        is_self=member.node_id == node.member.node_id,
        address=None if link is None else link.address,
        label=None if link is None else link.label,
        joined_at=member.joined_at,
        removed_at=member.removed_at,
        acknowledged_at=None if ack is None else ack.at,
    )


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("GET", "/sync/members", list_members, "List the nodes.", reply=MembersReply),
    Endpoint(
        "DELETE",
        "/sync/members/{node_id}",
        remove_member,
        "Remove a node for ever.",
        reply=MemberState,
        errors=(BadRequestError, ConflictError, NotFoundError, DeniedError, RemovedError),
    ),
)
