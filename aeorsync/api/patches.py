"""`PATCH /files/{path}` with a merge patch: change parts of a JSON document, and leave the rest.

    read what is there -> merge -> commit, if it is still there -> else from the start

*No writer is lost*: what others wrote between the reading and the commit is read, and patched,
anew. Patches of one path wait for each other here, so only other writes and other nodes make it
start over. With a base, the version that the base had seen is patched, and what came since stays
beside it.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from weakref import WeakValueDictionary

from starlette.responses import Response

from aeorsync.api import seen, uploads
from aeorsync.api.budget import Share
from aeorsync.api.endpoint import Call, Parameter
from aeorsync.api.intake import read_bytes
from aeorsync.api.node import Node
from aeorsync.api.parameters import Query
from aeorsync.api.problems import MediaTypeError
from aeorsync.api.rescue import rescued
from aeorsync.api.uploads import Statement
from aeorsync.core.access import Access, Op, missing
from aeorsync.core.merge import see
from aeorsync.core.mergepatch import ALL, check_json, merge_patch
from aeorsync.core.paths import TreePath, to_key
from aeorsync.core.versions import Content, Entry, Kind, Version, covers
from aeorsync.errors import (
    BadRequestError,
    ConflictError,
    PreconditionError,
    StaleError,
    TooLargeError,
)
from aeorsync.runtime import bridge
from aeorsync.storage.bounds import demand_put
from aeorsync.storage.changes import FileState, put_file
from aeorsync.storage.draft import Draft
from aeorsync.storage.repository import Repository
from aeorsync.wire import limits

TYPE = b"application/merge-patch+json"
DEPTH = Parameter(
    "depth",
    {"type": "integer"},
    "Of a merge patch: levels of objects that are merged; what lies deeper is replaced.",
)
_JSON = "application/json"
_TRIES = 32
_DEEPEST = -(10**9)
_COPIES = 2
_Patched = Callable[[Repository, bytes | None], Content]
_locks: WeakValueDictionary[TreePath, asyncio.Lock] = WeakValueDictionary()


@dataclass(frozen=True, slots=True)
class _Old:
    """What a patch is applied to.

    Attributes:
        entry: All that was at the path.
        version: The version that is patched; None when there is none, so it is made.
    """

    entry: Entry | None
    version: Version | None


async def merge(call: Call) -> Response:
    """Apply a merge patch."""
    statement = Statement.read(call, dict(call.request.scope["headers"]))
    depth = Query(call.request.scope["query_string"]).whole("depth", _DEEPEST, ALL)
    with call.node.budget.share(call.caller.owner) as share:
        patch = await read_bytes(call, share, limits.MAX_PATCH)
        await bridge.run(check_json, patch, "the patch")
        lock = _locks.setdefault(statement.path, asyncio.Lock())
        async with lock:
            for _ in range(_TRIES):
                try:
                    return await _once(call, statement, patch, ALL if depth is None else depth)
                except StaleError:
                    continue
    raise StaleError(f"{statement.path} keeps changing; nothing was changed, try again")


async def _once(call: Call, statement: Statement, patch: bytes, depth: int) -> Response:
    old = await bridge.run(_find, call.node.repository, statement, call.caller.access)
    with call.node.budget.share(call.caller.owner) as share:
        content = await _merged(call.node, statement, old, share, partial(_patched, patch, depth))
    operation = _operation(statement, old, content, call.caller.access)
    version, entry = await bridge.settle(call.node.repository.commit(operation))
    return uploads.reply(call, statement, version, entry, status=201 if _is_new(old) else 200)


async def _merged(
    node: Node, statement: Statement, old: _Old, share: Share, patched: _Patched
) -> Content:
    document = None
    if old.version is not None:
        _check_document(statement.path, old.version)
        # The document, and what becomes of it.
        share.take(_COPIES * old.version.content.size)
        document = await rescued(node, _read, node.repository, old.version.content)
    return await bridge.run(patched, node.repository, document)


def _find(repository: Repository, statement: Statement, access: Access) -> _Old:
    """What to patch. Blocking.

    Raises:
        NotFoundError: The caller may not write there, or not read what is to be patched.
        PreconditionError: The base had seen a version that is not kept any more.
    """
    with repository.view() as view:
        entry = view.entry(to_key(statement.path))
    sight = None if entry is None else see(entry)
    is_there = sight is not None and sight.is_live
    # What comes out, and how long it is, tells of what was there.
    ops = (Op.UPDATE, Op.READ) if is_there else (Op.CREATE,)
    if not all(access.may(statement.path, op) for op in ops):
        raise missing(statement.path)
    if entry is None or sight is None:
        return _Old(None, None)
    base = statement.conditions.base
    if base is None:
        return _Old(entry, sight.winner if sight.is_live else None)
    if not base:
        return _Old(entry, None)
    known = [version for version in entry.versions if covers(base, version.dot)]
    if not known:
        raise PreconditionError(
            f"the version of {statement.path} that was edited is not kept any more;"
            " nothing was changed, read it again"
        )
    edited = see(Entry(tuple(known))).winner
    return _Old(entry, None if edited.deleted else edited)


def _is_new(old: _Old) -> bool:
    return old.entry is None or not see(old.entry).is_live


def _check_document(path: TreePath, version: Version) -> None:
    """Refuse what cannot be JSON, or is too long."""
    if version.kind == Kind.DIRECTORY:
        raise ConflictError(f"{path} is a folder")
    if version.kind != Kind.FILE:
        raise MediaTypeError(f"{path} is a symlink; patch the file it points at")
    if version.content.size > limits.MAX_PATCH:
        raise TooLargeError(f"{path} is over {limits.MAX_PATCH} bytes; PUT it as a whole")


def _read(repository: Repository, content: Content) -> bytes:
    return b"".join(repository.read(content))


def _patched(patch: bytes, depth: int, repository: Repository, document: bytes | None) -> Content:
    """Store what the document becomes. Blocking."""
    if document is not None:
        try:
            check_json(document, "what is there")
        except BadRequestError as error:
            raise MediaTypeError(f"{error.message}; nothing was changed") from error
    merged = merge_patch(document, patch, depth)
    if len(merged) > limits.MAX_PATCH:
        raise TooLargeError(f"the document would be over {limits.MAX_PATCH} bytes")
    return repository.store_small(merged)


def _operation(
    statement: Statement, old: _Old, content: Content, access: Access
) -> Callable[[Draft], tuple[Version, Entry]]:
    kind = _JSON if old.version is None else old.version.content_type

    def operation(draft: Draft) -> tuple[Version, Entry]:
        demand_put(draft, statement.path, access)
        if draft.entry(to_key(statement.path)) != old.entry:
            raise StaleError(f"{statement.path} was written meanwhile")
        file = FileState(content, kind or _JSON, statement.executable, statement.mtime)
        version = put_file(draft, statement.path, file, statement.conditions)
        return version, draft.entry(to_key(statement.path)) or Entry((version,))

    return operation


def content_type(headers: seen.Headers) -> bytes:
    """The media type of a request, in lower case and without parameters."""
    return headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
