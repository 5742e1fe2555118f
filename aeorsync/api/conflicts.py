"""Paths with versions that wait for somebody to decide, and deciding.

What readers see is the winner; the losers stay readable at ``/files/{path}?version=<id>``. To
resolve is to write a version that has seen them all, so it holds on every node.

    GET   /sync/conflicts           all
    GET   /sync/conflicts/{path}    one
    POST  /sync/conflicts/{path}    {"pick": "winner" | "loser" | version id}; winner when absent
    DELETE  ...?version=<id>          that version goes, the others stay
    POST  /sync/resolve/{path}      the same, pick is required
    POST  /sync/dismiss/{path}      the winner

To see one takes the right to read the path, to decide that to update it.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from urllib.parse import quote

import msgspec
from starlette.responses import Response

from aeorsync.api import reach, seen
from aeorsync.api.endpoint import Access, Call, Endpoint, Parameter, Sees, answer, parse_body
from aeorsync.api.node import Node
from aeorsync.api.parameters import Query
from aeorsync.core import access as rules
from aeorsync.core import paths
from aeorsync.core.access import Op
from aeorsync.core.paths import TreePath, to_key
from aeorsync.core.versions import Kind, Version
from aeorsync.errors import (
    BadRequestError,
    ConflictError,
    InvalidFieldError,
    NotFoundError,
    PreconditionError,
)
from aeorsync.runtime import bridge
from aeorsync.storage.answers import Conflict
from aeorsync.storage.draft import Draft
from aeorsync.storage.giving_up import give_up
from aeorsync.storage.settling import no_conflict
from aeorsync.storage.settling import resolve as settle_conflict
from aeorsync.wire import limits

_VERSION_ID = re.compile(r"[0-9a-f]{1,16}-[0-9a-f]{1,16}\Z")
_WORDS = frozenset({"winner", "loser"})
_FILE_AND_FOLDER = "FileDirectory"


class Side(msgspec.Struct, frozen=True):
    """One side of a conflict, as AeorDB tells it; a deletion and a folder have no hash.

    Attributes:
        hash: Identity, hex.
        virtual_time: When the version was accepted, in milliseconds since the Unix epoch.
        node_id: Node that accepted it.
        size: Bytes.
        content_type: Media type of a file, if known.
    """

    hash: str = ""
    virtual_time: int = 0
    node_id: int = 0
    size: int = 0
    content_type: str | None = None


class VersionMeta(msgspec.Struct, frozen=True, kw_only=True):
    """One version that may be picked.

    Attributes:
        id: What to send as ``pick``.
        kind: ``file``, ``directory`` or ``symlink``.
        deleted: Whether picking it deletes the path.
        size: Bytes.
        content_hash: BLAKE3 of the whole content, hex; empty for a folder.
        content_type: Media type of a file, if known.
        target: Where a symlink points.
        node_id: Node that accepted it.
        updated_at: When, in milliseconds since the Unix epoch.
        mtime: When its content changed, as its writer stated, in milliseconds.
        is_winner: Whether it is what readers see.
        href: Where its bytes can be read; None when it has none.
    """

    id: str
    kind: str
    deleted: bool
    size: int
    content_hash: str
    content_type: str | None
    target: str | None
    node_id: int
    updated_at: int
    mtime: int
    is_winner: bool
    href: str | None


class Meta(msgspec.Struct, frozen=True, kw_only=True):
    """A conflict.

    Attributes:
        path: Where.
        conflict_type: ``ConcurrentCreate``, ``ConcurrentModify``, ``ModifyDelete``, or
            ``FileDirectory``: two nodes made a file and a folder of one name. Renaming or
            deleting one of them settles the last.
        auto_winner: Always ``winner``: what readers see until somebody decides.
        created_at: When it arose, in milliseconds since the Unix epoch.
        winner: What readers see.
        loser: The best of the others; of a ``FileDirectory`` the folder.
        versions: All that may be picked, the winner first.
        etag: For If-Match, to decide only about what was shown.
    """

    path: str
    conflict_type: str
    auto_winner: str
    created_at: int
    winner: Side
    loser: Side
    versions: list[VersionMeta]
    etag: str


class ConflictsReply(msgspec.Struct, frozen=True):
    """Conflicts in tree order; ``more`` says that there are others behind them."""

    items: list[Meta]
    more: bool = False


class PickRequest(msgspec.Struct, frozen=True):
    """Which version is to stay."""

    pick: str | None = None


class ResolveRequest(msgspec.Struct, frozen=True):
    """Which version is to stay; a body that does not say so is a mistake, no body is not."""

    pick: str


class ResolvedReply(msgspec.Struct, frozen=True):
    """The conflict is settled; ``version`` is the id of the version that settles it."""

    resolved: bool
    path: str
    pick: str
    version: str


class DismissedReply(msgspec.Struct, frozen=True):
    """The conflict is settled in favour of the winner."""

    dismissed: bool
    path: str
    version: str


async def list_conflicts(call: Call) -> Response:
    """List the conflicts."""
    reach.demand_somebody(call)
    return answer(await bridge.run(_list, call.node, call.caller.access))


async def show_conflict(call: Call) -> Response:
    """Show one conflict."""
    reach.demand(call, call.path, Op.READ, no_conflict(call.path).message)
    return answer(await bridge.run(_show, call.node, call.path, call.caller.access))


async def pick_version(call: Call) -> Response:
    """Resolve a conflict; without a body in favour of the winner."""
    body = await call.bytes(limits.MAX_JSON)
    request = parse_body(body, PickRequest) if body.strip() else PickRequest()
    return await _resolved(call, request.pick or "winner")


async def resolve(call: Call) -> Response:
    """Resolve a conflict; without a body in favour of the winner."""
    body = await call.bytes(limits.MAX_JSON)
    pick = parse_body(body, ResolveRequest).pick if body.strip() else "winner"
    return await _resolved(call, pick)


async def dismiss(call: Call) -> Response:
    """Resolve a conflict in favour of the winner."""
    path = call.path
    version = await _settle(call, path, "winner")
    return answer(DismissedReply(dismissed=True, path=path, version=version.id))


async def give_up_version(call: Call) -> Response:
    """Let go of one version that readers do not see."""
    version = Query(call.request.scope["query_string"]).text("version") or ""
    if not _VERSION_ID.match(version):
        raise BadRequestError("version must be the id of a version")
    written = await _decide(call, call.path, lambda draft: give_up(draft, call.path, version))
    return answer(ResolvedReply(resolved=True, path=call.path, pick=version, version=written.id))


async def _resolved(call: Call, pick: str) -> Response:
    path = call.path
    if pick not in _WORDS and not _VERSION_ID.match(pick):
        raise BadRequestError("pick must be winner, loser or the id of a version")
    version = await _settle(call, path, pick)
    return answer(ResolvedReply(resolved=True, path=path, pick=pick, version=version.id))


async def _settle(call: Call, path: TreePath, pick: str) -> Version:
    access = call.caller.access
    return await _decide(call, path, lambda draft: settle_conflict(draft, path, pick, access))


async def _decide(call: Call, path: TreePath, act: Callable[[Draft], Version]) -> Version:
    """Decide about a conflict, if it is still the one that was shown."""
    reach.demand(call, path, Op.UPDATE, no_conflict(path).message)
    headers = dict(call.request.scope["headers"])
    tags = seen.conditions(call.node, path, headers).if_match

    def operation(draft: Draft) -> Version:
        entry = draft.entry(to_key(path))
        if isinstance(tags, tuple) and (entry is None or entry.context not in tags):
            raise PreconditionError(f"{path} is not what If-Match names; nothing was changed")
        return act(draft)

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
    return _meta(node, shown)


def _shown(node: Node, conflict: Conflict, access: rules.Access) -> Conflict | None:
    """A conflict as a caller may know of it: a folder of whose content they may not is none."""
    if paths.is_system(conflict.path) or not access.may(conflict.path, Op.READ):
        return None
    if not conflict.is_file_and_folder or access.is_everything:
        return conflict
    with node.repository.view() as view:
        is_both = reach.has_shown(access, view, conflict.path)
    return (
        replace(conflict, is_file_and_folder=is_both) if conflict.sight.losers or is_both else None
    )


def _meta(node: Node, conflict: Conflict) -> Meta:
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
        versions=[_version(path, version, sight.winner) for version in versions],
        etag=seen.etag(node, path, conflict.entry),
    )


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


def _version(path: TreePath, version: Version, winner: Version) -> VersionMeta:
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
        href=f"/files{quote(path)}?version={version.id}" if has_bytes else None,
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
        "/sync/conflicts/{path:path}",
        pick_version,
        "Resolve a conflict; without a body in favour of the winner.",
        access=Access.USER,
        request=PickRequest,
        reply=ResolvedReply,
        errors=_RESOLVING,
        parameters=(_IF_MATCH,),
        sees=Sees.PRESENT,
    ),
    Endpoint(
        "DELETE",
        "/sync/conflicts/{path:path}",
        give_up_version,
        "Let go of one version that readers do not see.",
        access=Access.USER,
        reply=ResolvedReply,
        errors=_RESOLVING,
        parameters=(
            Parameter("version", {"type": "string"}, "Id of the version that goes."),
            _IF_MATCH,
        ),
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
