"""``POST /sync/repair``: compare the trees with peers now, and tell what came of it."""

from starlette.responses import Response

from aeorsync.api.endpoint import Call, Endpoint, Parameter, answer
from aeorsync.api.parameters import Query
from aeorsync.errors import BadRequestError, NotFoundError
from aeorsync.wire.nodes import RepairReply


async def repair(call: Call) -> Response:
    """Compare the trees with one peer, or with all."""
    peer = Query(call.request.scope["query_string"]).whole("peer", 1)
    repaired = await call.node.member.repair(peer)
    root = call.node.repository.head.root.hex()
    return answer(RepairReply(results=repaired.results, skipped=repaired.skipped, root_hash=root))


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "POST",
        "/sync/repair",
        repair,
        "Compare the trees with the peers now, take over what differs, and tell how it went.",
        reply=RepairReply,
        errors=(BadRequestError, NotFoundError),
        parameters=(
            Parameter("peer", {"type": "integer"}, "Node id of one peer; all of them without."),
        ),
    ),
)
