"""`GET /events/me`: what is addressed to the caller alone.

In AeorDB that is somebody sharing a file with them. There is no sharing here, so nothing ever is:
the stream opens, lives, and ends with the key, for clients that keep one open.
"""

from collections.abc import AsyncGenerator

from starlette.responses import Response

from aeorsync.api.endpoint import Access, Call, Endpoint
from aeorsync.api.sse import EventStream, Watch, demand_room

_PING = b": ping\n\n"


async def listen(call: Call) -> Response:
    """Open a stream."""
    demand_room(call)
    return EventStream(_stream(call))


async def _stream(call: Call) -> AsyncGenerator[bytes, None]:
    with call.node.bus.listen(limit=1) as listener:
        watch = Watch(call, listener)
        yield _PING
        while (turn := await watch.turn()) is not None:
            if turn.beat is not None:
                yield _PING


ENDPOINTS = (
    Endpoint(
        "GET",
        "/events/me",
        listen,
        "Stream what is addressed to the caller, as server-sent events.",
        access=Access.USER,
        media=("text/event-stream",),
    ),
)
