"""Paths with versions that wait for somebody to decide, and deciding.

What readers see is the winner; the losers stay readable at ``/files/{path}?version=<id>``. To
resolve is to write a version that has seen them all, so it holds on every node.

    GET   /sync/conflicts           all
    GET   /sync/conflicts/{path}    one
    POST  /sync/conflicts           {"pick": "winner" | "loser", "paths" or "prefix"}: many
    POST  /sync/conflicts/{path}    {"pick": "winner" | "loser" | version id}; winner when absent
                                    {"give_up": version id}: the others stay in conflict
    POST  /sync/resolve/{path}      the same, pick is required
    POST  /sync/dismiss/{path}      the winner

To see one takes the right to read the path, to decide that to update it.
"""

import re
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import TypeVar
from urllib.parse import quote

import msgspec
from starlette.responses import Response

from aeorsync.api import reach, seen
from aeorsync.api.endpoint import (
    Access,
    Call,
    Endpoint,
    Parameter,
    Sees,
    answer,
    parse_body,
    walked,
)
from aeorsync.api.node import Node
from aeorsync.core import access as rules
from aeorsync.core import paths
from aeorsync.core.access import Op
from aeorsync.core.paths import TreePath, to_key
from aeorsync.core.versions import Kind, Version
from aeorsync.errors import (
    AeorError,
    BadRequestError,
    ConflictError,
    DeniedError,
    InvalidFieldError,
    NotFoundError,
    PreconditionError,
    TooLargeError,
)
from aeorsync.runtime import bridge
from aeorsync.storage.answers import Conflict
from aeorsync.storage.draft import Draft
from aeorsync.storage.history import history
from aeorsync.storage.settling import give_up, no_conflict
from aeorsync.storage.settling import resolve as settle_conflict
from aeorsync.wire import limits
from aeorsync.wire.conflicts import (
    Ancestor,
    ConflictsReply,
    DismissedReply,
    Meta,
    PickRequest,
    ResolvedReply,
    ResolveRequest,
    Settled,
    SettledReply,
    SettleRequest,
    Side,
    VersionMeta,
)

T = TypeVar("T")

_VERSION_ID = re.compile(r"[0-9a-f]{1,16}-[0-9a-f]{1,16}\Z")
_WORDS = frozenset({"winner", "loser"})
_FILE_AND_FOLDER = "FileDirectory"


async def list_conflicts(call: Call) -> Response:
    """List the conflicts."""
    reach.demand_somebody(call)
    return await walked(call, partial(_list, call.node, call.caller.access))


async def show_conflict(call: Call) -> Response:
    """Show one conflict."""
    reach.demand(call, call.path, Op.READ, no_conflict(call.path).message)
    return answer(await bridge.run(_show, call.node, call.path, call.caller.access))


async def pick_version(call: Call) -> Response:
    """Resolve a conflict, without a body in favour of the winner; or give one version up."""
    body = await call.bytes(limits.MAX_JSON)
    request = parse_body(body, PickRequest) if body.strip() else PickRequest()
    if request.give_up is not None:
        if request.pick is not None:
            raise BadRequestError("pick one version, or give one up, not both")
        return await _give_up(call, request.give_up)
    return await _resolved(call, request.pick or "winner")


async def resolve(call: Call) -> Response:
    """Resolve a conflict; without a body in favour of the winner."""
    body = await call.bytes(limits.MAX_JSON)
    pick = parse_body(body, ResolveRequest).pick if body.strip() else "winner"
    return await _resolved(call, pick)


async def dismiss(call: Call) -> Response:
    """Resolve a conflict in favour of the winner."""
    path = call.path
    version = await _settle(call, path, _picking(call, path, "winner"))
    return answer(DismissedReply(dismissed=True, path=path, version=version.id))


async def settle_many(call: Call) -> Response:
    """Resolve many conflicts in the same way, each for itself."""
    reach.demand_somebody(call)
    request = await call.body(SettleRequest, limits.MAX_BLOBS_JSON)
    places, more = await bridge.run(_places, call, request)
    repository, access = call.node.repository, call.caller.access
    futures = [
        repository.commit(partial(_settle_one, path=path, pick=request.pick, access=access))
        for path in places
    ]
    items = []
    for path, future in zip(places, futures, strict=True):
        try:
            version = await bridge.settle(future)
        except AeorError as error:
            items.append(Settled(path=path, resolved=False, error=error.message, code=error.code))
        else:
            tag = seen.version_etag(call.node, path, version)
            items.append(Settled(path=path, resolved=True, version=version.id, etag=tag))
    return answer(SettledReply(items, more))


def _places(call: Call, request: SettleRequest) -> tuple[list[TreePath], bool]:
    """The paths that a request names, and whether the folder has others."""
    if (request.paths is None) == (request.prefix is None):
        raise BadRequestError("name the paths, or a prefix")
    if request.paths is not None:
        if len(request.paths) > limits.MAX_PAGE:
            raise TooLargeError(f"at most {limits.MAX_PAGE} paths are settled at a time")
        return list(dict.fromkeys(map(paths.parse, request.paths))), False
    folder = paths.parse(request.prefix or "")
    node, access = call.node, call.caller.access
    found = (
        conflict.path
        for conflict in node.repository.conflicts()
        if paths.is_inside(conflict.path, folder) and _shown(node, conflict, access) is not None
    )
    return list(islice(found, limits.MAX_PAGE)), next(found, None) is not None


def _settle_one(draft: Draft, path: TreePath, pick: str, access: rules.Access) -> Version:
    if not access.may(path, Op.UPDATE):
        raise no_conflict(path)
    return settle_conflict(draft, path, pick, access)


async def _resolved(call: Call, pick: str) -> Response:
    path = call.path
    if pick not in _WORDS and not _VERSION_ID.match(pick):
        raise BadRequestError("pick must be winner, loser or the id of a version")
    version = await _settle(call, path, _picking(call, path, pick))
    tag = seen.version_etag(call.node, path, version)
    return answer(ResolvedReply(resolved=True, path=path, pick=pick, version=version.id, etag=tag))


async def _give_up(call: Call, version_id: str) -> Response:
    path = call.path

    def operation(draft: Draft) -> tuple[Version, bool]:
        version = give_up(draft, path, version_id)
        sight = draft.live(path)
        return version, sight is not None and bool(sight.losers)

    version, is_conflict = await _settle(call, path, operation)
    tag = seen.version_etag(call.node, path, version)
    reply = ResolvedReply(
        resolved=not is_conflict, path=path, given_up=version_id, version=version.id, etag=tag
    )
    return answer(reply)


def _picking(call: Call, path: TreePath, pick: str) -> Callable[[Draft], Version]:
    return partial(_settle_one, path=path, pick=pick, access=call.caller.access)


async def _settle(call: Call, path: TreePath, decide: Callable[[Draft], T]) -> T:
    reach.demand(call, path, Op.UPDATE, no_conflict(path).message)
    headers = dict(call.request.scope["headers"])
    tags = seen.conditions(call.node, path, headers).if_match

    def operation(draft: Draft) -> T:
        entry = draft.entry(to_key(path))
        if isinstance(tags, tuple) and (entry is None or entry.context not in tags):
            raise PreconditionError(f"{path} is not what If-Match names; nothing was changed")
        return decide(draft)

    return await bridge.settle(call.node.repository.commit(operation))


def _list(node: Node, access: rules.Access) -> ConflictsReply:
    shown = filter(None, (_shown(node, one, access) for one in node.repository.conflicts()))
    items = [_meta(node, conflict) for conflict in islice(shown, limits.MAX_PAGE)]
    return ConflictsReply(items, more=next(shown, None) is not None)


def _show(node: Node, path: TreePath, access: rules.Access) -> Meta:
    conflict = node.repository.conflict(path)
    shown = None if conflict is None else _shown(node, conflict, access)
    if shown is None:
        raise no_conflict(path)
    return _meta(node, shown, is_whole=True)


def _shown(node: Node, conflict: Conflict, access: rules.Access) -> Conflict | None:
    """A conflict as a caller may know of it: a folder of whose content they may not is none."""
    if paths.is_system(conflict.path) or not access.may(conflict.path, Op.READ):
        return None
    if not conflict.is_file_and_folder or access.is_everything:
        return conflict
    with node.repository.view() as view:
        is_both = reach.has_shown(access, view, conflict.path)
    return (
        msgspec.structs.replace(conflict, is_file_and_folder=is_both)
        if conflict.sight.losers or is_both
        else None
    )


def _meta(node: Node, conflict: Conflict, *, is_whole: bool = False) -> Meta:
    path, sight = conflict.path, conflict.sight
    versions = (sight.winner, *sight.losers)
    loser = _side(path, sight.losers[0]) if sight.losers else Side()
    kind = sight.conflict_type
    if kind is None or conflict.is_file_and_folder:
        kind = _FILE_AND_FOLDER
    return Meta(
        path=path,
        conflict_type=kind,
        auto_winner="winner",
        created_at=max(version.updated for version in versions),
        winner=_side(path, sight.winner),
        loser=loser,
        versions=[_version(node, path, version, sight.winner) for version in versions],
        etag=seen.etag(node, path, conflict.entry),
        base=_base(node, path, versions, is_whole=is_whole),
    )


def _base(
    node: Node, path: TreePath, versions: Sequence[Version], *, is_whole: bool
) -> Ancestor | None:
    """What all versions that are no deletions were made from; looked for if that is wanted."""
    bases = {version.base for version in versions if not version.deleted}
    known = bases.pop() if len(bases) == 1 else b""
    if not known:
        return None
    steps = history(node.repository, path, limits.MAX_PAGE).steps if is_whole else ()
    found = (step.version for step in steps if step.version.content.hash == known)
    version = next((version for version in found if version.kind == Kind.FILE), None)
    return Ancestor(known.hex(), None if version is None else _href(path, version))


def _href(path: TreePath, version: Version) -> str:
    return f"/files{quote(path)}?version={version.id}"


def _side(path: TreePath, version: Version) -> Side:
    if version.deleted:
        return Side(virtual_time=version.updated, node_id=version.node)
    return Side(
        hash=seen.identity(path, version),
        virtual_time=version.updated,
        node_id=version.node,
        size=version.content.size,
        content_type=version.content_type or None,
    )


def _version(node: Node, path: TreePath, version: Version, winner: Version) -> VersionMeta:
    has_bytes = not version.deleted and version.kind == Kind.FILE
    return VersionMeta(
        id=version.id,
        kind=Kind(version.kind).name.lower(),
        deleted=version.deleted,
        size=version.content.size,
        content_hash=version.content.hash.hex(),
        content_type=version.content_type or None,
        target=version.target or None,
        node_id=version.node,
        updated_at=version.updated,
        mtime=version.mtime // 1_000_000,
        is_winner=version is winner,
        href=_href(path, version) if has_bytes else None,
        etag=seen.version_etag(node, path, version),
        mtime_ns=version.mtime,
        executable=version.executable,
    )


_IF_MATCH = Parameter(
    "If-Match", {"type": "string"}, "Only if the conflict is still so.", "header"
)
_RESOLVING = (
    BadRequestError,
    InvalidFieldError,
    NotFoundError,
    ConflictError,
    PreconditionError,
)

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "GET",
        "/sync/conflicts",
        list_conflicts,
        "List the conflicts.",
        access=Access.USER,
        reply=ConflictsReply,
    ),
    Endpoint(
        "GET",
        "/sync/conflicts/{path:path}",
        show_conflict,
        "Show one conflict.",
        access=Access.USER,
        reply=Meta,
        errors=(BadRequestError, NotFoundError),
    ),
    Endpoint(
        "POST",
        "/sync/conflicts",
        settle_many,
        "Resolve many conflicts in the same way, each for itself.",
        access=Access.USER,
        request=SettleRequest,
        reply=SettledReply,
        errors=(BadRequestError, InvalidFieldError, DeniedError, NotFoundError, TooLargeError),
        sees=Sees.PRESENT,
    ),
    Endpoint(
        "POST",
        "/sync/conflicts/{path:path}",
        pick_version,
        "Resolve a conflict, without a body in favour of the winner; or give one version up.",
        access=Access.USER,
        request=PickRequest,
        reply=ResolvedReply,
        errors=_RESOLVING,
        parameters=(_IF_MATCH,),
        sees=Sees.PRESENT,
    ),
    Endpoint(
        "POST",
        "/sync/resolve/{path:path}",
        resolve,
        "Resolve a conflict.",
        access=Access.USER,
        request=ResolveRequest,
        reply=ResolvedReply,
        errors=_RESOLVING,
        parameters=(_IF_MATCH,),
        sees=Sees.PRESENT,
    ),
    Endpoint(
        "POST",
        "/sync/dismiss/{path:path}",
        dismiss,
        "Resolve a conflict in favour of the winner.",
        access=Access.USER,
        reply=DismissedReply,
        errors=_RESOLVING,
        parameters=(_IF_MATCH,),
        sees=Sees.PRESENT,
    ),
)
