"""`/links/{path}`: symlinks themselves. Their targets are kept verbatim, wherever they lead.

The one target that is refused is the system namespace: to everybody but a peer it does not exist.
"""

import re

from starlette.responses import Response

from aeorsync.api import reach, seen
from aeorsync.api.downloads import link_reply
from aeorsync.api.endpoint import FORK, SNAPSHOT, Access, Call, Endpoint, Sees, answer
from aeorsync.api.node import Node
from aeorsync.api.replies import DeletedReply, LinkReply, LinkRequest
from aeorsync.api.uploads import CONDITIONS
from aeorsync.core import paths
from aeorsync.core.access import Op
from aeorsync.core.hashing import content_hash
from aeorsync.core.merge import see
from aeorsync.core.paths import TreePath, to_key
from aeorsync.core.versions import MAX_TARGET, Content, Entry, Kind, Version
from aeorsync.errors import (
    BadRequestError,
    ConflictError,
    InvalidFieldError,
    NotFoundError,
    PreconditionError,
)
from aeorsync.runtime import bridge
from aeorsync.storage import changes
from aeorsync.storage.bounds import demand_put
from aeorsync.storage.draft import Draft

_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


async def put(call: Call) -> Response:
    """Make a symlink, or point it elsewhere."""
    path = call.path
    reach.demand_any(call, path, (Op.CREATE, Op.UPDATE))
    conditions = seen.conditions(call.node, path, dict(call.request.scope["headers"]))
    target = (await call.body(LinkRequest)).target
    link = changes.LinkState(target, check_target(path, target))

    def operation(draft: Draft) -> tuple[Version, Entry]:
        demand_put(draft, path, call.caller.access)
        version = changes.put_link(draft, path, link, conditions)
        return version, draft.entry(to_key(path)) or Entry((version,))

    version, entry = await bridge.settle(call.node.repository.commit(operation))
    return _reply(call.node, path, version, entry, 201)


async def get(call: Call) -> Response:
    """Show a symlink itself."""
    path = call.path
    reach.demand(call, path, Op.READ, _no_link(path).message)
    entry = await bridge.run(_live, call.node, path)
    version = None if entry is None else see(entry).winner
    if entry is None or version is None or version.kind != Kind.SYMLINK:
        raise _no_link(path)
    return _reply(call.node, path, version, entry, 200)


async def delete(call: Call) -> Response:
    """Delete a symlink, not what it points at."""
    path = call.path
    reach.demand(call, path, Op.DELETE, _no_link(path).message)
    conditions = seen.conditions(call.node, path, dict(call.request.scope["headers"]))

    def operation(draft: Draft) -> None:
        sight = draft.live(path)
        if sight is None or sight.winner.kind != Kind.SYMLINK:
            raise _no_link(path)
        changes.delete(draft, path, conditions=conditions)

    await bridge.settle(call.node.repository.commit(operation))
    return answer(DeletedReply(deleted=True, path=path.removeprefix("/"), entry_type="symlink"))


def check_target(path: TreePath, target: str) -> Content:
    """The content of a symlink at ``path`` that points at ``target``.

    Raises:
        BadRequestError: The target is empty, too long, has control characters, or is the link.
        NotFoundError: It lies in the system namespace.
    """
    if _FORBIDDEN.search(target):
        raise BadRequestError("target has control characters or is not Unicode text")
    data = target.encode()
    if not 1 <= len(data) <= MAX_TARGET:
        raise BadRequestError(f"target must be of 1 to {MAX_TARGET} bytes")
    if paths.is_system(_resolved(path, target)):
        raise NotFoundError(f"not found: {target}")
    if paths.resolve_link(path, target) == path:
        raise BadRequestError("a symlink cannot point at itself")
    return Content(content_hash(data), len(data))


def _resolved(path: TreePath, target: str) -> str:
    """Where a target leads by its text, allowed or not; never above the root."""
    names = [] if target.startswith("/") else paths.to_names(paths.parent(path))
    for name in target.split("/"):
        if name == "..":
            names = names[:-1]
        elif name not in {"", "."}:
            names.append(name)
    return "/" + "/".join(names)


def _no_link(path: TreePath) -> NotFoundError:
    return NotFoundError(f"no symlink at {path}")


def _live(node: Node, path: TreePath) -> Entry | None:
    with node.repository.view() as view:
        return view.live_entry(path)


def _reply(node: Node, path: TreePath, version: Version, entry: Entry, status: int) -> Response:
    tag = seen.etag(node, path, entry)
    return answer(link_reply(path, version, tag), status, {"ETag": tag})


_ERRORS = (BadRequestError, NotFoundError)

ENDPOINTS = (
    Endpoint(
        "PUT",
        "/links/{path:path}",
        put,
        "Make a symlink, or point it elsewhere.",
        access=Access.USER,
        request=LinkRequest,
        reply=LinkReply,
        status=201,
        errors=(*_ERRORS, InvalidFieldError, ConflictError, PreconditionError),
        parameters=(*CONDITIONS, FORK),
        sees=Sees.FORKS,
    ),
    Endpoint(
        "GET",
        "/links/{path:path}",
        get,
        "Show a symlink itself.",
        access=Access.USER,
        reply=LinkReply,
        errors=_ERRORS,
        parameters=(SNAPSHOT, FORK),
        sees=Sees.ALL,
    ),
    Endpoint(
        "DELETE",
        "/links/{path:path}",
        delete,
        "Delete a symlink, not what it points at.",
        access=Access.USER,
        reply=DeletedReply,
        errors=(*_ERRORS, PreconditionError),
        parameters=(*CONDITIONS, FORK),
        sees=Sees.FORKS,
    ),
)
