"""``GET /sync/events``: tells a peer that there is something to pull.

First comes ``hello``. After that ``root`` whenever the tree moved, once for all commits that came
together; not for what came from that peer itself. ``heartbeat`` keeps its clock calibrated.
"""

from collections.abc import AsyncGenerator

import msgspec
from starlette.responses import Response

from aeorsync import __version__
from aeorsync.api.endpoint import Call, Endpoint, Parameter
from aeorsync.api.parameters import Query
from aeorsync.api.sse import EventStream, Watch, demand_room, print_event
from aeorsync.cluster.walk import is_news
from aeorsync.errors import BadRequestError
from aeorsync.wire.brief import BriefHello
from aeorsync.wire.peer_events import Hello, RootMoved

_MAX_WAITING = 16
_encode = msgspec.json.Encoder().encode


async def listen(call: Call) -> Response:
    """Open a stream."""
    demand_room(call)
    query = Query(call.request.scope["query_string"])
    asker = query.whole("node_id", 1) or 0
    return EventStream(_stream(call, asker, is_brief=query.flag("brief")))


async def _stream(call: Call, asker: int, *, is_brief: bool) -> AsyncGenerator[bytes, None]:
    node = call.node
    # From here on no commit goes unnoticed; only then may the present be looked at.
    # Few need to wait: a listener that lags knows enough, namely that there is news.
    with node.bus.listen(limit=_MAX_WAITING) as listener:
        watch = Watch(call, listener)
        head = node.repository.head
        hello = Hello(
            node_id=node.member.node_id,
            database=node.repository.database_id,
            root_hash=head.root.hex(),
            seq=head.seq,
            version=__version__,
        )
        told = BriefHello(head.seq) if is_brief else hello
        yield print_event("hello", _encode(told), str(head.seq))
        while (turn := await watch.turn()) is not None:
            if turn.batch is not None and is_news(turn.batch, asker):
                head = node.repository.head
                moved = RootMoved(head.root.hex(), head.seq)
                yield print_event("root", _encode(moved), str(head.seq))
            if turn.beat is not None:
                yield print_event("heartbeat", _encode(turn.beat), str(node.repository.head.seq))


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "GET",
        "/sync/events",
        listen,
        "Stream to a peer when there is something to pull.",
        errors=(BadRequestError,),
        media=("text/event-stream",),
        parameters=(
            Parameter("node_id", {"type": "integer", "minimum": 1}, "Who listens; for no echo."),
            Parameter("brief", {"type": "boolean"}, "Whether hello has nothing but seq."),
        ),
    ),
)
