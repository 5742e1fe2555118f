"""Answers in frames: who gets them, and compressed how (`wire.encoding`)."""

from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from aeorsync.api.endpoint import Parameter
from aeorsync.runtime import bridge
from aeorsync.wire.encoding import Encoding, Squeezer, accepted
from aeorsync.wire.protocol import FRAMES_TYPE

_GZIP = {"Content-Encoding": "gzip"}
ENCODING_PARAMETER = Parameter(
    "Accept-Encoding",
    {"type": "string"},
    "Of frames only: zstd for chunks as they are stored, gzip, identity for plain ones.",
    "header",
)


def wants_frames(request: Request) -> bool:
    """Whether the answer is to be in frames."""
    return FRAMES_TYPE in request.headers.get("accept", "")


def wanted_encoding(request: Request) -> Encoding:
    """How frames are to be compressed."""
    return accepted(request.headers.get("accept-encoding"))


async def framed(request: Request, frames: bytes | AsyncIterator[bytes]) -> Response:
    """The answer that carries some frames, as the request wants them compressed."""
    is_gzip = wanted_encoding(request) is Encoding.GZIP
    headers = _GZIP if is_gzip else None
    if isinstance(frames, bytes):
        body = await bridge.run(_squeezed, frames) if is_gzip else frames
        return Response(body, headers=headers, media_type=FRAMES_TYPE)
    parts = _squeezing(frames) if is_gzip else frames
    return StreamingResponse(parts, headers=headers, media_type=FRAMES_TYPE)


def _squeezed(data: bytes) -> bytes:
    squeezer = Squeezer()
    return squeezer.feed(data) + squeezer.finish()


async def _squeezing(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    squeezer = Squeezer()
    async for part in parts:
        if squeezed := await bridge.run(squeezer.feed, part):
            yield squeezed
    yield squeezer.finish()
