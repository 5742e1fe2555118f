"""`/files/deleted` and `/files/restore`: what was deleted, and back with it."""

import heapq
from collections.abc import Iterator

from starlette.responses import Response

from aeorsync.api import downloads
from aeorsync.api.endpoint import Call, Endpoint, Parameter, Sees, answer
from aeorsync.api.node import Node
from aeorsync.api.parameters import Query
from aeorsync.api.replies import DeletedItem, DeletedListing, PathRequest, RestoredReply
from aeorsync.api.rescue import rescued
from aeorsync.core import paths
from aeorsync.core.merge import see
from aeorsync.core.paths import TreePath, from_key, to_key
from aeorsync.core.versions import Version, decode_entry
from aeorsync.errors import BadRequestError, ConflictError, InvalidFieldError, NotFoundError
from aeorsync.runtime import bridge
from aeorsync.storage import changes
from aeorsync.storage.draft import Draft
from aeorsync.storage.views import View
from aeorsync.wire.limits import MAX_PAGE

_NAME = paths.parse("/deleted")


async def list_deleted(call: Call) -> Response:
    """What was deleted at and below a path, latest first.

    Without ``path`` an entry ``/deleted`` of the tree comes first, or nobody could read it.
    """
    query = Query(call.request.scope["query_string"])
    limit = query.whole("limit", 0, MAX_PAGE)
    text = query.text("path")
    if text is None and await bridge.run(_is_there, call.node, _NAME):
        return await downloads.get_named(call, _NAME)
    listing = await bridge.run(_deleted, call.node, paths.parse(text or "/"), limit or 0)
    return answer(listing)


async def restore(call: Call) -> Response:
    """Bring back what was deleted last at a path."""
    path = paths.parse((await call.body(PathRequest)).path)
    await rescued(call.node, _check_content, call.node, path)

    def operation(draft: Draft) -> Version:
        return changes.restore(draft, path)

    await bridge.settle(call.node.repository.commit(operation))
    return answer(RestoredReply(restored=True, path=path))


def _is_there(node: Node, path: TreePath) -> bool:
    with node.repository.view() as view:
        return view.live_entry(path) is not None or view.has_inside(to_key(path))


def _deleted(node: Node, path: TreePath, limit: int) -> DeletedListing:
    total = 0

    def counted(view: View) -> Iterator[tuple[int, TreePath, Version]]:
        nonlocal total
        for at, version in _graves(view, path):
            total += 1
            yield version.updated, at, version

    with node.repository.view() as view:
        # Asked for none it would not even count.
        latest = heapq.nlargest(max(1, limit), counted(view), key=lambda found: found[:2])
    return DeletedListing([_item(at, version) for _, at, version in latest[:limit]], total)


def _graves(view: View, path: TreePath) -> Iterator[tuple[TreePath, Version]]:
    """Deleted paths with what a restore would bring back."""
    own = None if view.live_entry(path) is not None else view.entry(to_key(path))
    if own is not None and path != paths.ROOT:
        yield path, see(own).winner
    for key, data in view.graves(path):
        yield from_key(key), see(decode_entry(data)).winner


def _item(path: TreePath, version: Version) -> DeletedItem:
    return DeletedItem(
        path=path,
        name=paths.name(path),
        deleted_at=version.updated,
        reason="deleted",
        entry_type=version.kind,
        size=version.content.size,
    )


def _check_content(node: Node, path: TreePath) -> None:
    """Refuse to bring back a file whose bytes are gone.

    Raises:
        NotFoundError: They are.
    """
    with node.repository.view() as view:
        entry = view.entry(to_key(path))
    if entry is None:
        return
    lacking, _ = node.repository.lacking([see(entry).winner.content])
    if lacking:
        raise NotFoundError(f"the bytes of {path} are no longer on this node")


ENDPOINTS = (
    Endpoint(
        "GET",
        "/files/deleted",
        list_deleted,
        "What was deleted at and below a path, latest first.",
        reply=DeletedListing,
        errors=(BadRequestError, NotFoundError),
        parameters=(
            Parameter("path", {"type": "string"}, "A folder, or one path."),
            Parameter("limit", {"type": "integer", "minimum": 0}, "At most so many rows."),
        ),
        sees=Sees.PRESENT,
    ),
    Endpoint(
        "POST",
        "/files/restore",
        restore,
        "Bring back what was deleted last at a path.",
        request=PathRequest,
        reply=RestoredReply,
        errors=(BadRequestError, InvalidFieldError, NotFoundError, ConflictError),
        sees=Sees.PRESENT,
    ),
)
