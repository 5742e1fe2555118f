"""`/files` beside reading and storing: delete, move, folders, copies.

What is in a folder and hidden from who asks stays where it is, as if it were not there
(`storage.bounds`).
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Literal

from msgspec import UNSET
from starlette.responses import Response

from aeorsync.api import patches, reach, seen
from aeorsync.api.endpoint import FORK, Access, Call, Endpoint, Parameter, Sees, answer
from aeorsync.api.node import Node
from aeorsync.api.parameters import Query
from aeorsync.api.problems import MediaTypeError
from aeorsync.api.replies import (
    CopiedReply,
    CopyRequest,
    DeletedReply,
    FileReply,
    MadeReply,
    PathRequest,
    RenamedReply,
    RenameRequest,
)
from aeorsync.api.uploads import CONDITIONS, MODE_FIELD, MTIME_FIELD
from aeorsync.core import access as rules
from aeorsync.core import paths
from aeorsync.core.access import Op
from aeorsync.core.paths import TreePath, to_key
from aeorsync.core.versions import Kind
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
from aeorsync.storage import automatic, changes, versions
from aeorsync.storage.bounds import demand_new
from aeorsync.storage.draft import Draft
from aeorsync.storage.repository import Repository
from aeorsync.wire import limits

_WORDS: dict[Kind, Literal["file", "symlink", "directory"]] = {
    Kind.FILE: "file",
    Kind.SYMLINK: "symlink",
    Kind.DIRECTORY: "directory",
}


async def delete(call: Call) -> Response:
    """Delete a file, a symlink or a folder."""
    path, is_folder = call.path, call.raw_path.endswith("/")
    reach.demand(call, path, Op.DELETE)
    recursive = Query(call.request.scope["query_string"]).flag("recursive")
    conditions = seen.conditions(call.node, path, dict(call.request.scope["headers"]))

    def operation(draft: Draft) -> Kind:
        _check_kind(draft, path, is_folder=is_folder)
        return changes.delete(
            draft, path, recursive=recursive, conditions=conditions, access=call.caller.access
        )

    await _keep_before(call.node, path)
    kind = await bridge.settle(call.node.repository.commit(operation))
    word = _WORDS[kind]
    shown = path.removeprefix("/")
    entry_type = UNSET if word == "file" else word
    return answer(DeletedReply(deleted=True, path=shown, entry_type=entry_type))


async def rename(call: Call) -> Response:
    """Move a file, a symlink, or a folder with all that is in it; or apply a merge patch."""
    headers = dict(call.request.scope["headers"])
    if patches.content_type(headers) == patches.TYPE:
        return await patches.merge(call)
    path, is_folder = call.path, call.raw_path.endswith("/")
    reach.demand(call, path, Op.UPDATE)
    conditions = seen.conditions(call.node, path, headers)
    request = await call.body(RenameRequest, limits.MAX_RENAME_JSON)
    if not request.to:
        raise BadRequestError("to must name the new path")
    to = paths.parse(request.to)
    reach.demand(call, to, Op.CREATE)

    def operation(draft: Draft) -> Kind:
        _check_kind(draft, path, is_folder=is_folder)
        return changes.rename(draft, path, to, conditions, access=call.caller.access)

    moved = await bridge.settle(call.node.repository.commit(operation))
    return answer(RenamedReply(path, to, _WORDS[moved]))


async def make_folder(call: Call) -> Response:
    """Make a folder and those above it; harmless where it exists."""
    path = paths.parse((await call.body(PathRequest)).path)
    reach.demand(call, path, Op.CREATE)

    def operation(draft: Draft) -> bool:
        demand_new(draft, path, call.caller.access)
        return changes.make_folder(draft, path)

    is_new = await bridge.settle(call.node.repository.commit(operation))
    return answer(MadeReply(path, Kind.DIRECTORY, is_new), 201)


async def copy(call: Call) -> Response:
    """Copy files, symlinks and folders into a folder; each source succeeds or fails alone."""
    request = await call.body(CopyRequest)
    if len(request.paths) > limits.MAX_COPIES:
        text = f"copy at most {limits.MAX_COPIES} paths at a time; nothing was copied"
        raise TooLargeError(text)
    folder = paths.parse(request.destination)
    commits = [
        call.node.repository.commit(_copying(text, folder, call.caller.access))
        for text in request.paths
    ]
    copied: list[str] = []
    errors: list[str] = []
    for text, commit in zip(request.paths, commits, strict=True):
        try:
            made = await bridge.settle(commit)
        except AeorError as error:
            errors.append(f"{text}: {error.message}")
        else:
            copied += made
    return answer(CopiedReply(copied, errors))


def _copying(
    text: str, folder: TreePath, access: rules.Access
) -> Callable[[Draft], list[TreePath]]:
    """Copy one source; a bad path fails where a missing one does, and alone."""

    def operation(draft: Draft) -> list[TreePath]:
        return changes.copy(draft, paths.parse(text), folder, access)

    return operation


async def _keep_before(node: Node, path: TreePath) -> None:
    """Make a snapshot before something is deleted, where the rules want that."""
    repository = node.repository
    if not await bridge.run(_wants_snapshot, repository, path, node.wall.now_ms()):
        return
    with suppress(DeniedError):  # switched off at this very moment
        await bridge.settle(
            versions.commit(
                repository, lambda draft: versions.auto_snapshot(repository, draft, "delete")
            )
        )


def _wants_snapshot(repository: Repository, path: TreePath, now_ms: int) -> bool:
    if not repository.is_present:
        return False  # in a fork nothing is lost
    with repository.view() as view:
        is_there = view.live_data(to_key(path)) is not None
    return is_there and automatic.wants_snapshot_before_delete(repository, now_ms)


def _check_kind(draft: Draft, path: TreePath, *, is_folder: bool) -> None:
    """Refuse a file or symlink that was asked for as a folder."""
    sight = draft.live(path) if is_folder else None
    if sight is not None and sight.winner.kind != Kind.DIRECTORY:
        raise NotFoundError(f"{path} is not a folder")


_ERRORS = (BadRequestError, NotFoundError, ConflictError, PreconditionError)
_BODY_ERRORS = (BadRequestError, InvalidFieldError, TooLargeError, NotFoundError, ConflictError)

ENDPOINTS = (
    Endpoint(
        "DELETE",
        "/files/{path:path}",
        delete,
        "Delete a file, a symlink or a folder.",
        access=Access.USER,
        reply=DeletedReply,
        errors=_ERRORS,
        parameters=(
            Parameter("recursive", {"type": "boolean"}, "A folder with all that is in it."),
            *CONDITIONS,
            FORK,
        ),
        sees=Sees.FORKS,
    ),
    Endpoint(
        "PATCH",
        "/files/{path:path}",
        rename,
        "Move what is there, or merge a patch into a JSON document.",
        access=Access.USER,
        request=RenameRequest,
        reply=(RenamedReply, FileReply),
        also=(201,),
        errors=(*_ERRORS, InvalidFieldError, TooLargeError, MediaTypeError),
        parameters=(*CONDITIONS, MTIME_FIELD, MODE_FIELD, patches.DEPTH, FORK),
        sees=Sees.FORKS,
    ),
    Endpoint(
        "POST",
        "/files/mkdir",
        make_folder,
        "Make a folder and those above it; harmless where it exists.",
        access=Access.USER,
        request=PathRequest,
        reply=MadeReply,
        status=201,
        errors=_BODY_ERRORS,
        parameters=(FORK,),
        sees=Sees.FORKS,
    ),
    Endpoint(
        "POST",
        "/files/copy",
        copy,
        "Copy into a folder; each source succeeds or fails alone.",
        access=Access.USER,
        request=CopyRequest,
        reply=CopiedReply,
        errors=_BODY_ERRORS,
        parameters=(FORK,),
        sees=Sees.FORKS,
    ),
)
