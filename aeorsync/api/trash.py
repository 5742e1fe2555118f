"""`/files/deleted` and `/files/restore`: what was deleted, and back with it.

To know of it one has to be allowed to read what was there, to bring it back to create it.
"""

import heapq
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

from starlette.responses import Response

from aeorsync.api import downloads, reach
from aeorsync.api.endpoint import Access, Call, Endpoint, Parameter, Sees, answer, walked
from aeorsync.api.node import Node
from aeorsync.api.parameters import Query
from aeorsync.api.replies import DeletedItem, DeletedListing, PathRequest, RestoredReply
from aeorsync.api.rescue import rescued
from aeorsync.api.resolve import find
from aeorsync.core import access as rules
from aeorsync.core import paths
from aeorsync.core.access import Op
from aeorsync.core.merge import see
from aeorsync.core.paths import TreePath, from_key, to_key
from aeorsync.core.versions import Content, Kind, Version, decode_entry
from aeorsync.errors import (
    BadRequestError,
    ConflictError,
    InvalidFieldError,
    NotFoundError,
    StaleError,
)
from aeorsync.runtime import bridge
from aeorsync.storage import changes
from aeorsync.storage.bounds import demand_new
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
    access = call.caller.access
    if text is None and await bridge.run(_is_there, call.node, _NAME, access):
        return await downloads.get_named(call, _NAME)
    path = paths.parse(text or "/")
    return await walked(call, partial(_deleted, call.node, path, limit or 0, access))


async def restore(call: Call) -> Response:
    """Bring back what was deleted last at a path."""
    path = paths.parse((await call.body(PathRequest)).path)
    reach.demand(call, path, Op.CREATE, changes.nothing_deleted(path).message)
    held = await rescued(call.node, _held_content, call.node, path)

    def operation(draft: Draft) -> Version:
        demand_new(draft, path, call.caller.access)
        version = changes.restore(draft, path, call.caller.access)
        if version.content != held:
            # A peer brought it meanwhile, and its bytes may not be here.
            raise StaleError(f"{path} was deleted once more meanwhile; nothing was changed")
        return version

    await bridge.settle(call.node.repository.commit(operation))
    return answer(RestoredReply(restored=True, path=path))


def _is_there(node: Node, path: TreePath, access: rules.Access) -> bool:
    with node.repository.view() as view, suppress(NotFoundError):
        find(view, path, follow=False, access=access)
        return True
    return False


def _deleted(node: Node, path: TreePath, limit: int, access: rules.Access) -> DeletedListing:
    total = 0

    def counted(view: View) -> Iterator[tuple[int, TreePath, Version]]:
        nonlocal total
        for at, version in _graves(view, path):
            if not access.may(at, Op.READ):
                continue
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


def _held_content(node: Node, path: TreePath) -> Content | None:
    """What would be brought back, all of whose bytes are here; None for nothing.

    Raises:
        NotFoundError: They are no longer.
        CorruptError: They are not what they should be.
    """
    with node.repository.view() as view:
        entry = view.entry(to_key(path))
    if entry is None:
        return None
    last = changes.last_of(entry)
    lacking, _ = node.repository.lacking([last.content])
    if lacking:
        raise NotFoundError(f"the bytes of {path} are no longer on this node")
    if last.kind == Kind.FILE:
        # Of a deletion that came from a peer nobody has proven what was deleted.
        node.repository.check_content(last.content)
    return last.content


ENDPOINTS = (
    Endpoint(
        "GET",
        "/files/deleted",
        list_deleted,
        "What was deleted at and below a path, latest first.",
        access=Access.USER,
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
        access=Access.USER,
        request=PathRequest,
        reply=RestoredReply,
        errors=(BadRequestError, InvalidFieldError, NotFoundError, ConflictError, StaleError),
        sees=Sees.PRESENT,
    ),
)
