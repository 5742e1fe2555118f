"""How the node does, for whoever watches it: metrics, the ledger, one word on its health."""

import re
from collections.abc import Sequence
from typing import Final

import msgspec
from starlette.responses import Response

from aeorsync.api import reach
from aeorsync.api.endpoint import Access, Call, Endpoint, Parameter, answer
from aeorsync.api.meter import MEDIA_TYPE, Facts
from aeorsync.api.node import Node
from aeorsync.api.parameters import Query
from aeorsync.cluster.peers import is_id
from aeorsync.cluster.verdict import Verdict, judge
from aeorsync.errors import BadRequestError, DeniedError
from aeorsync.runtime import bridge
from aeorsync.storage.ledger import DIRECTIONS, MAX_LIMIT, STATUSES, CycleRow

DEFAULT_LIMIT: Final = 100
_NUMBER: Final = re.compile(r"[0-9]{1,19}\Z", re.ASCII)


class HistoryReply(msgspec.Struct, frozen=True):
    """Cycles, newest first.

    Attributes:
        items: The cycles.
        more: Whether there are older ones; ask for them with the last id as ``before``.
    """

    items: list[CycleRow]
    more: bool


class HealthReply(msgspec.Struct, frozen=True, rename="camel"):
    """Whether the node is in step with its peers.

    Attributes:
        healthy: Whether data comes from every peer that is not paused.
        unhealthy_nodes: Node ids of those from which it does not.
        laggy_nodes: Node ids of those from which it comes too slowly.
        avg_lag_ms: How far behind the others we are, on average.
    """

    healthy: bool
    unhealthy_nodes: tuple[int, ...]
    laggy_nodes: tuple[int, ...]
    avg_lag_ms: int


async def show_metrics(call: Call) -> Response:
    """Tell everything that is counted."""
    reach.demand_insight(call)
    node = call.node
    facts = Facts(
        node_id=node.member.node_id,
        now_ms=node.wall.now_ms(),
        peers=node.member.peers(),
        sums=dict(node.tally.sums),
        verdict=_verdict(node),
        waiting=node.repository.waiting,
        streams=node.bus.listeners,
    )
    text = await bridge.run(_render, node, facts)
    return Response(text, headers={"Cache-Control": "no-store", "Content-Type": MEDIA_TYPE})


def _render(node: Node, facts: Facts) -> bytes:
    from aeorsync.api.exposition import render  # noqa: PLC0415 - see there

    return render(node.meter, facts, node.repository, node.wall)


async def show_health(call: Call) -> Response:
    """Say whether the node is in step with its peers."""
    verdict = _verdict(call.node)
    return answer(
        HealthReply(verdict.is_healthy, verdict.unhealthy, verdict.laggy, verdict.mean_lag_ms)
    )


def _verdict(node: Node) -> Verdict:
    return judge(node.member.peers(), node.wall.now_ms(), node.started_ms)


async def show_history(call: Call) -> Response:
    """Tell of past cycles."""
    query = Query(call.request.scope["query_string"])
    limit = query.whole("limit", 1, DEFAULT_LIMIT) or DEFAULT_LIMIT
    if limit > MAX_LIMIT:
        raise BadRequestError(f"limit must be a whole number from 1 to {MAX_LIMIT}")
    # One more tells whether there are more.
    rows = await bridge.run(
        call.node.tally.ledger.rows,
        peer=_number(query, "peer"),
        direction=_word(query, "direction", DIRECTIONS),
        status=_word(query, "status", STATUSES),
        limit=limit + 1,
        before=_number(query, "before"),
    )
    return answer(HistoryReply(rows[:limit], len(rows) > limit))


def _word(query: Query, name: str, words: Sequence[str]) -> str | None:
    return query.word(name, words, "") if query.text(name) else None


def _number(query: Query, name: str) -> int | None:
    text = query.text(name)
    if not text:
        return None
    if not _NUMBER.match(text) or not is_id(int(text)):
        raise BadRequestError(f"{name} must be a whole number of at least 1")
    return int(text)


def _metrics(path: str) -> Endpoint:
    return Endpoint(
        "GET",
        path,
        show_metrics,
        "Everything that is counted, for Prometheus.",
        access=Access.USER,
        errors=(DeniedError,),
        media=("text/plain",),
    )


ENDPOINTS: tuple[Endpoint, ...] = (
    _metrics("/metrics"),
    _metrics("/system/metrics"),
    Endpoint(
        "GET",
        "/sync/health",
        show_health,
        "Whether this node is in step with its peers.",
        reply=HealthReply,
    ),
    Endpoint(
        "GET",
        "/sync/history",
        show_history,
        "Past cycles with each peer, newest first.",
        reply=HistoryReply,
        errors=(BadRequestError,),
        parameters=(
            Parameter("peer", {"type": "integer", "minimum": 1}, "Only with this node."),
            Parameter("direction", {"enum": list(DIRECTIONS)}, "Only in this direction."),
            Parameter("status", {"enum": list(STATUSES)}, "Only those that stand so."),
            Parameter(
                "limit",
                {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
                "Rows at most.",
            ),
            Parameter("before", {"type": "integer", "minimum": 1}, "Only rows of a smaller id."),
        ),
    ),
)
