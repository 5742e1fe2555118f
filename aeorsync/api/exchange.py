"""`/versions/export`, `diff`, `import`, `promote`: trees as files, and back.

What comes and goes is what `aeorsync export` writes (``docs/formats.md``), made while it is sent:
it is whole only with its last frame, and an import believes nothing else. What is imported lies in
the data folder until it has been verified, and is joined like a peer's word.
"""

import shutil
from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse

from aeorsync.api import lenses
from aeorsync.api.bodies import streamed
from aeorsync.api.endpoint import Call, Endpoint, Parameter, answer
from aeorsync.api.jobs import announce
from aeorsync.api.node import Node
from aeorsync.api.parameters import Query
from aeorsync.api.versions import find_whole
from aeorsync.errors import (
    BadRequestError,
    ConflictError,
    CorruptError,
    DeniedError,
    NotFoundError,
    TooLargeError,
    UnavailableError,
)
from aeorsync.runtime import bridge, chance
from aeorsync.storage import exporting, restoring, versions
from aeorsync.storage.importing import Imported, import_archive
from aeorsync.wire import limits

FOLDER: Final = "incoming"
"""Name of the folder that what is being imported lies in; emptied at each start."""
_PIECE: Final = limits.MIB


class ImportReply(msgspec.Struct, frozen=True):
    """What an import did.

    Attributes:
        status: ``success``.
        backup_type: ``export`` or ``patch``.
        entries_imported: Entries in the file, but those of the system namespace that were skipped.
        entries_skipped: These.
        changed: Entries that are different here now.
        conflicts: How many of them are in conflict with what was here.
        version_hash: Root that the file was made from.
        head_promoted: Whether the tree has it now; false when there was nothing new.
    """

    status: str
    backup_type: str
    entries_imported: int
    entries_skipped: int
    changed: int
    conflicts: int
    version_hash: str
    head_promoted: bool


class HeadReply(msgspec.Struct, frozen=True):
    """The tree is what it was.

    Attributes:
        status: ``promoted``.
        head: Root that was asked for.
        auto_snapshot: Name of the snapshot of what was replaced; None when nothing was.
        changed: Paths that are different now.
    """

    status: str
    head: str
    auto_snapshot: str | None
    changed: int


async def export(call: Call) -> Response:
    """Send the tree, or that of a snapshot, as a file."""
    query = Query(call.request.scope["query_string"])
    name = query.text("snapshot") or query.text("hash") or None
    return await _send(call, "export", snapshot=name, base=None)


async def diff(call: Call) -> Response:
    """Send what differs between two trees as a file."""
    query = Query(call.request.scope["query_string"])
    base = query.text("from")
    if not base:
        raise BadRequestError("from must name the snapshot whose reader has all of it")
    return await _send(call, "patch", snapshot=query.text("to") or None, base=base)


async def _send(call: Call, word: str, *, snapshot: str | None, base: str | None) -> Response:
    node = call.node
    made = exporting.stream(
        node.repository, now_ms=node.wall.now_ms(), snapshot=snapshot, base=base
    )
    # Whatever is refused is refused now.
    first = await bridge.run(next, made)
    fields = {"Content-Disposition": f'attachment; filename="{word}.aeorsync"'}
    return StreamingResponse(
        streamed(_from(first, made)), headers=fields, media_type="application/octet-stream"
    )


def _from(first: bytes, rest: Generator[bytes, None, None]) -> Generator[bytes, None, None]:
    try:
        yield first
        yield from rest
    finally:
        rest.close()


async def import_(call: Call) -> Response:
    """Join what a file holds into the tree."""
    query = Query(call.request.scope["query_string"])
    system = query.flag("system")
    query.flag("force")
    query.flag("promote")
    if query.word("mode", ("merge", "restore"), "merge") == "restore":
        raise BadRequestError(
            "an import is always merged, so that nothing is lost; import it, then restore the"
            " snapshot you want by POST /versions/restore; nothing was changed"
        )
    if call.node.folder is None:
        raise UnavailableError("this node has no folder to take files in")
    path = call.node.folder / FOLDER / chance.token_hex(8)
    try:
        await _take_in(call, path)
        found = await bridge.run(_import, call.node, path, system=system)
    finally:
        await bridge.run(path.unlink, missing_ok=True)
    reply = _imported(found)
    announce(call.node, "imports_completed", reply)
    return answer(reply)


async def _take_in(call: Call, path: Path) -> None:
    """Write the body into a file.

    Raises:
        BadRequestError: It was cut off.
        TooLargeError: It is over the limit.
    """
    await bridge.run(partial(path.parent.mkdir, exist_ok=True, mode=0o700))
    size, waiting = 0, bytearray()
    file = await bridge.run(path.open, "xb")
    try:
        async for piece in call.request.stream():
            size += len(piece)
            if size > limits.MAX_BODY:
                raise TooLargeError(f"a file is at most {limits.MAX_BODY} bytes")
            waiting += piece
            if len(waiting) >= _PIECE:
                await bridge.run(file.write, bytes(waiting))
                waiting.clear()
        await bridge.run(file.write, bytes(waiting))
    except ClientDisconnect as error:
        raise BadRequestError("the body was cut off; nothing was changed") from error
    except OSError as error:
        raise UnavailableError(f"the disk refused the file: {error.strerror}") from error
    finally:
        await bridge.run(file.close)


def _import(node: Node, path: Path, *, system: bool) -> Imported:
    try:
        return import_archive(node.repository, path, system=system)
    except BadRequestError as error:
        # Where it lies here is nobody's business.
        raise type(error)(error.message.replace(str(path), "the body")) from error
    except CorruptError as error:
        # Not of this node: the file is a patch to something that is not here.
        raise ConflictError(error.message) from error


def _imported(found: Imported) -> ImportReply:
    return ImportReply(
        status="success",
        backup_type="patch" if found.header.base else "export",
        entries_imported=found.entries - found.skipped,
        entries_skipped=found.skipped,
        changed=found.changed,
        conflicts=found.conflicts,
        version_hash=found.header.root.hex(),
        head_promoted=found.changed > 0,
    )


async def promote(call: Call) -> Response:
    """Make all files what they were in a kept tree, named by its root."""
    root = (Query(call.request.scope["query_string"]).text("hash") or "").lower()
    if not root or not lenses.is_root(root):
        raise BadRequestError("hash must be the root of a snapshot")
    repository = call.node.repository
    if root == repository.head.root.hex():
        return answer(HeadReply("promoted", root, None, 0))
    snapshot = await bridge.run(find_whole, call.node, root)
    restored = await bridge.settle(
        versions.commit(
            repository, lambda draft: restoring.restore_tree(repository, draft, snapshot)
        )
    )
    name = None if restored.before is None else restored.before.name
    return answer(HeadReply("promoted", root, name, restored.changed))


def sweep(folder: Path) -> None:
    """Throw away what was being imported when the node stopped. Blocking."""
    shutil.rmtree(folder / FOLDER, ignore_errors=True)


_SNAPSHOT = Parameter("snapshot", {"type": "string"}, "Name or id of a snapshot.")
_ERRORS = (BadRequestError, NotFoundError, CorruptError, UnavailableError)

ENDPOINTS = (
    Endpoint(
        "POST",
        "/versions/export",
        export,
        "Send the tree, or that of a snapshot, as a file.",
        errors=_ERRORS,
        parameters=(
            _SNAPSHOT,
            Parameter("hash", {"type": "string"}, "Root of a snapshot, or the present one."),
        ),
        media=("application/octet-stream",),
    ),
    Endpoint(
        "POST",
        "/versions/diff",
        diff,
        "Send what differs between two trees as a file.",
        errors=_ERRORS,
        parameters=(
            Parameter("from", {"type": "string"}, "Name, id or root of a snapshot."),
            Parameter("to", {"type": "string"}, "The same; the present when left out."),
        ),
        media=("application/octet-stream",),
    ),
    Endpoint(
        "POST",
        "/versions/import",
        import_,
        "Join what a file holds into the tree.",
        reply=ImportReply,
        errors=(BadRequestError, ConflictError, TooLargeError, UnavailableError),
        parameters=(
            Parameter("system", {"type": "boolean"}, "Keys, snapshots and rules as well."),
            Parameter("mode", {"enum": ["merge", "restore"]}, "Only `merge`."),
            Parameter("force", {"type": "boolean"}, "Not heeded: nothing needs forcing."),
            Parameter("promote", {"type": "boolean"}, "Not heeded: it is always in the tree."),
        ),
        takes_bytes=True,
    ),
    Endpoint(
        "POST",
        "/versions/promote",
        promote,
        "Make all files what they were in a snapshot, named by its root.",
        reply=HeadReply,
        errors=(BadRequestError, NotFoundError, DeniedError, UnavailableError),
        parameters=(Parameter("hash", {"type": "string"}, "Root of the tree of a snapshot."),),
    ),
)
