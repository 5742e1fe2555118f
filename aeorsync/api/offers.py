"""``POST /sync/offer`` and ``/sync/offer/chunks``: a peer that we cannot reach brings what it has.

`cluster.offers` decides; here frames come in, piece by piece.
"""

from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect
from starlette.responses import Response

from aeorsync.api.endpoint import Call, Endpoint, Parameter, answer
from aeorsync.api.members import admit_caller
from aeorsync.cluster.offers import read_offer
from aeorsync.errors import BadRequestError, ConflictError, StaleError, TooLargeError
from aeorsync.wire.framing import Decoder, Frame
from aeorsync.wire.limits import KIB, MAX_CHUNK, MAX_FRAME
from aeorsync.wire.offers import OfferedChunksReply, OfferReply
from aeorsync.wire.protocol import (
    FRAMES_TYPE,
)

_CHUNK_FRAME = MAX_CHUNK + KIB
_TYPE = Parameter("Content-Type", {"type": "string"}, f"{FRAMES_TYPE}, always.", "header")


async def take_offer(call: Call) -> Response:
    """Apply a page of entries, or say which chunks it needs first."""
    await admit_caller(call)
    offer = await read_offer(_frames(call, MAX_FRAME))
    node = call.node
    sender = offer.header.node_id
    stance = node.member.stance(sender)
    reply = await node.offers.take(node.repository, offer, stance)
    if reply.receipt is not None and not reply.problem_count:
        node.member.note_offer(sender)
    return answer(reply)


async def take_chunks(call: Call) -> Response:
    """Store chunks that an offer was answered with."""
    frames = _frames(call, _CHUNK_FRAME)
    return answer(await call.node.offers.take_chunks(call.node.repository, frames))


async def _frames(call: Call, max_frame: int) -> AsyncIterator[list[Frame]]:
    decoder = Decoder(max_frame)
    try:
        async for piece in call.request.stream():
            frames = decoder.feed(piece)
            if frames:
                yield frames
    except ClientDisconnect as error:
        raise BadRequestError("the body was cut off") from error
    decoder.finish()


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "POST",
        "/sync/offer",
        take_offer,
        "Take a page of entries from a peer, or say which chunks it needs first.",
        reply=OfferReply,
        errors=(BadRequestError, ConflictError, TooLargeError),
        parameters=(_TYPE,),
        takes_bytes=True,
    ),
    Endpoint(
        "POST",
        "/sync/offer/chunks",
        take_chunks,
        "Take chunks that an offer was answered with.",
        reply=OfferedChunksReply,
        errors=(BadRequestError, StaleError),
        parameters=(_TYPE,),
        takes_bytes=True,
    ),
)
