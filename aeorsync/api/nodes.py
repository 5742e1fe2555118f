"""``POST /sync/nodes``: nodes of the Merkle trees by id, for peers that look for what differs.

Without ids only the roots are told, which is all there is to say while they are equal. The trees
of told roots stay readable for a while (`storage.shelf`); a node that is gone all the same is
*missing*, and the asker begins again at the present roots. One answer holds some MiB; what did not
fit is neither sent nor missing, and is asked for again.
"""

import asyncio

import msgspec
from starlette.responses import Response

from aeorsync import __version__
from aeorsync.api.diff import check_reader
from aeorsync.api.endpoint import Access, Call, Endpoint, Parameter, answer, parse_body
from aeorsync.api.frames import wants_frames
from aeorsync.api.members import admit_caller
from aeorsync.api.node import Node
from aeorsync.core.hashing import parse_hash, parse_ids
from aeorsync.errors import BadRequestError, DeniedError, InvalidFieldError, TooLargeError
from aeorsync.runtime import bridge
from aeorsync.storage.base import Head
from aeorsync.storage.shelf import HOLD_S
from aeorsync.storage.trees import NodeBodies
from aeorsync.wire import framing, limits
from aeorsync.wire.nodes import (
    ANSWER_BYTES,
    MAX_NODES,
    NodeData,
    NodesEnd,
    NodesHeader,
    NodesReply,
    NodesRequest,
)
from aeorsync.wire.protocol import FRAMES_TYPE, IDS_TYPE

_MAX_BODY = limits.MAX_FRAME - 64
"""Bytes of the largest node that fits into a frame."""
_FRAME_BYTES = 512 * limits.KIB
_pack = msgspec.msgpack.Encoder().encode


async def nodes(call: Call) -> Response:
    """Send tree nodes."""
    check_reader(call.caller)
    await admit_caller(call)
    body = await call.bytes(limits.MAX_JSON)
    is_raw = call.request.headers.get("content-type", "").startswith(IDS_TYPE)
    names, sees_system = _raw_ids(body) if is_raw else _hex_ids(body)
    if not (call.caller.is_peer or sees_system):
        raise DeniedError(
            "tree nodes hold the system namespace, too; ask with include_system: true"
        )
    head, found = await bridge.run(_read, call.node, names)
    if not names:
        asyncio.get_running_loop().call_later(HOLD_S + 1, call.node.shelf.tidy)
    if wants_frames(call.request):
        frames = await bridge.run(_frames, call.node, head, found)
        return Response(frames, media_type=FRAMES_TYPE)
    return answer(
        NodesReply(
            node_id=head.node,
            root_hash=head.root.hex(),
            graves_hash=head.graves.hex(),
            seq=head.seq,
            nodes=[NodeData(name.hex(), body) for name, body in found.found.items()],
            missing=[name.hex() for name in found.missing],
            more=bool(found.rest),
        )
    )


def _raw_ids(body: bytes) -> tuple[list[bytes], bool]:
    return _checked(parse_ids(body)), False


def _hex_ids(body: bytes) -> tuple[list[bytes], bool]:
    request = parse_body(body, NodesRequest)
    return _checked([parse_hash(text) for text in request.ids]), request.include_system


def _checked(names: list[bytes]) -> list[bytes]:
    if len(names) > MAX_NODES:
        raise BadRequestError(f"ask for at most {MAX_NODES} tree nodes at a time")
    return list(dict.fromkeys(names))


def _read(node: Node, names: list[bytes]) -> tuple[Head, NodeBodies]:
    repository = node.repository
    if not names:
        view = repository.view()
        node.shelf.put(view)
        return view.head, NodeBodies({}, [], [])
    found = repository.trees.bodies(names, ANSWER_BYTES)
    large = [name for name, body in found.found.items() if len(body) > _MAX_BODY]
    for name in large:
        del found.found[name]
    return repository.head, NodeBodies(found.found, [*found.missing, *large], found.rest)


def _frames(node: Node, head: Head, found: NodeBodies) -> bytes:
    header = NodesHeader(
        head.node,
        node.repository.database_id,
        head.root.hex(),
        head.graves.hex(),
        head.seq,
        __version__,
    )
    frames = [framing.encode(framing.Kind.HEADER, _pack(header))]
    group: list[bytes] = []
    size = 0
    for body in found.found.values():
        if group and size + len(body) > _FRAME_BYTES:
            frames.append(framing.encode(framing.Kind.ENTRIES, _pack(group)))
            group, size = [], 0
        group.append(body)
        size += len(body)
    if group:
        frames.append(framing.encode(framing.Kind.ENTRIES, _pack(group)))
    frames.append(framing.encode(framing.Kind.MISSING, b"".join(found.missing)))
    frames.append(framing.encode(framing.Kind.END, _pack(NodesEnd(bool(found.rest)))))
    return b"".join(frames)


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "POST",
        "/sync/nodes",
        nodes,
        "Send nodes of the Merkle trees by id.",
        access=Access.SYNC,
        request=NodesRequest,
        reply=NodesReply,
        errors=(BadRequestError, InvalidFieldError, DeniedError, TooLargeError),
        parameters=(
            Parameter("Accept", {"type": "string"}, f"{FRAMES_TYPE} for frames.", "header"),
            Parameter(
                "Content-Type", {"type": "string"}, f"{IDS_TYPE} for joined raw ids.", "header"
            ),
        ),
    ),
)
