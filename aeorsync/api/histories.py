"""`/versions/history/{path}`: what a path was, snapshot by snapshot."""

from msgspec import UNSET
from starlette.responses import Response

from aeorsync.api import reach, seen
from aeorsync.api.endpoint import Access, Call, Endpoint, Parameter, Sees, answer
from aeorsync.api.node import Node
from aeorsync.api.parameters import Query
from aeorsync.api.places import Places
from aeorsync.api.version_replies import HistoryReply, HistoryRow
from aeorsync.core.access import Op
from aeorsync.core.merge import see
from aeorsync.core.paths import TreePath
from aeorsync.core.versions import Kind
from aeorsync.errors import BadRequestError, NotFoundError
from aeorsync.runtime import bridge
from aeorsync.storage.history import Step, history

_DEFAULT, _MOST = 200, 1000


async def show(call: Call) -> Response:
    """Tell what a path was, newest first."""
    limit = Query(call.request.scope["query_string"]).whole("limit", 1, _DEFAULT) or _DEFAULT
    path = call.path
    reach.demand(call, path, Op.READ, _unknown(path).message)
    return answer(await bridge.run(_show, call.node, path, min(limit, _MOST), reach.places(call)))


def _unknown(path: TreePath) -> NotFoundError:
    return NotFoundError(f"nothing is known of {path}")


def _show(node: Node, path: TreePath, limit: int, places: Places) -> HistoryReply:
    found = history(node.repository, path, limit)
    if not found.steps and not found.unseen:
        raise _unknown(path)
    head = places.root(found.head.hex())
    rows = [_row(path, head, step) for step in found.steps]
    return HistoryReply(path.removeprefix("/"), rows, [one.name for one in found.unseen])


def _row(path: TreePath, head: str, step: Step) -> HistoryRow:
    version, snapshot = step.version, step.snapshot
    name, at = ("HEAD", head) if snapshot is None else (snapshot.name, snapshot.id)
    if step.entry is None:
        return HistoryRow(at, name, step.when, step.change, version.kind, conflict=False)
    is_file = version.kind == Kind.FILE
    return HistoryRow(
        id=at,
        snapshot=name,
        timestamp=step.when,
        change_type=step.change,
        entry_type=version.kind,
        conflict=bool(see(step.entry).losers),
        size=version.content.size if is_file else UNSET,
        content_hash=version.content.hash.hex() if is_file else UNSET,
        content_type=version.content_type if is_file else UNSET,
        hash=seen.identity(path, version) if is_file else UNSET,
        version=version.id,
        updated_at=version.updated,
        stamp=version.stamp,
        node_id=version.node,
    )


ENDPOINTS = (
    Endpoint(
        "GET",
        "/versions/history/{path:path}",
        show,
        "Tell what a path was, newest first.",
        access=Access.USER,
        reply=HistoryReply,
        errors=(BadRequestError, NotFoundError),
        parameters=(
            Parameter(
                "limit",
                {"type": "integer", "minimum": 1, "maximum": _MOST},
                f"At most so many rows; {_DEFAULT} when absent.",
            ),
        ),
        sees=Sees.PRESENT,
    ),
)
