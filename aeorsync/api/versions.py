"""`/versions/snapshots` and `/versions/restore`: the past, kept and brought back.

Whom rules bind may see which snapshots there are, and read in them what the rules let them read.
Making one is for root: it holds all files, and keeps what others deleted.
"""

from msgspec import UNSET
from starlette.responses import Response

from aeorsync.api import lenses, reach
from aeorsync.api.endpoint import Access, Call, Endpoint, Sees, answer
from aeorsync.api.node import Node
from aeorsync.api.places import Places
from aeorsync.api.version_replies import (
    DeletedSnapshotReply,
    NameRequest,
    RenamedSnapshotReply,
    RestoredPathReply,
    RestoredTreeReply,
    SnapshotReply,
    SnapshotRequest,
    SnapshotsReply,
    SourceRequest,
    WhichRequest,
)
from aeorsync.core.paths import ROOT, TreePath
from aeorsync.core.versions import Version
from aeorsync.errors import (
    BadRequestError,
    ConflictError,
    InvalidFieldError,
    NotFoundError,
    UnavailableError,
)
from aeorsync.runtime import bridge
from aeorsync.storage import restoring, versions
from aeorsync.storage.restoring import Restored
from aeorsync.storage.versions import Snapshot


async def make_snapshot(call: Call) -> Response:
    """Keep the present tree under a name."""
    request = await call.body(SnapshotRequest)
    name = versions.check_name(request.name)
    versions.check_metadata(request.metadata)
    repository = call.node.repository
    making = versions.commit(
        repository,
        lambda draft: versions.make_snapshot(repository, draft, name, request.metadata),
    )
    snapshot, is_known = await bridge.settle(making)
    reply = _reply(snapshot, snapshot.root, is_here=True, is_duplicate=is_known)
    return answer(reply, 200 if is_known else 201)


async def list_snapshots(call: Call) -> Response:
    """List the snapshots."""
    reach.demand_somebody(call)
    return answer(await bridge.run(_list, call.node, reach.places(call)))


async def rename_snapshot(call: Call) -> Response:
    """Give a snapshot another name."""
    text = _which(call)
    name = versions.check_name((await call.body(NameRequest)).name)
    repository = call.node.repository
    renaming = versions.commit(
        repository, lambda draft: versions.rename_snapshot(repository, draft, text, name)
    )
    was = await bridge.settle(renaming)
    return answer(RenamedSnapshotReply(renamed=True, source=was.name, to=name, id=was.id))


async def delete_snapshot(call: Call) -> Response:
    """Forget a snapshot."""
    text = _which(call)
    repository = call.node.repository
    deleting = versions.commit(
        repository, lambda draft: versions.delete_snapshot(repository, draft, text)
    )
    was = await bridge.settle(deleting)
    return answer(DeletedSnapshotReply(deleted=True, id=was.id, name=was.name))


async def restore_tree(call: Call) -> Response:
    """Make all files what they were in a snapshot."""
    request = await call.body(WhichRequest)
    text = request.id or request.name
    if not text:
        raise BadRequestError("id or name must say which snapshot")
    repository = call.node.repository
    snapshot = await bridge.run(find_whole, call.node, text)
    restored = await bridge.settle(
        versions.commit(
            repository, lambda draft: restoring.restore_tree(repository, draft, snapshot)
        )
    )
    return answer(
        RestoredTreeReply(
            restored=True,
            id=snapshot.id,
            name=snapshot.name,
            auto_snapshot=_name(restored),
            changed=restored.changed,
        )
    )


async def restore_path(call: Call) -> Response:
    """Make a file, or a folder with all below it, what it was."""
    path = call.path
    request = await call.body(SourceRequest)
    if path == ROOT:
        raise BadRequestError("name a path, or restore everything by POST /versions/restore")
    text = request.id or request.snapshot
    if text:
        snapshot = await bridge.run(lenses.find_snapshot, call.node, text)
        return await _restore_from(call, path, snapshot.trees, from_snapshot=snapshot.name)
    if not request.version:
        raise BadRequestError("id, snapshot or version must say what to bring back")
    if lenses.VERSION_ID.match(request.version):
        return await _restore_version(call, path, request.version)
    if not lenses.is_root(request.version):
        raise BadRequestError("version must be the id of a version, or a hash")
    trees = await bridge.run(lenses.find_root, call.node, request.version)
    return await _restore_from(call, path, trees, from_version=request.version)


async def _restore_from(
    call: Call,
    path: TreePath,
    trees: tuple[bytes, bytes],
    **source: str,
) -> Response:
    repository = call.node.repository
    await bridge.run(_check_path, call.node, path, trees)
    restored = await bridge.settle(
        versions.commit(
            repository, lambda draft: restoring.restore_path(repository, draft, path, trees)
        )
    )
    size = await bridge.run(_size, call.node, path, trees)
    reply = RestoredPathReply(
        restored=True,
        path=path,
        auto_snapshot=_name(restored),
        size=size,
        changed=restored.changed,
        **source,
    )
    return answer(reply)


async def _restore_version(call: Call, path: TreePath, version_id: str) -> Response:
    repository = call.node.repository
    version, snapshot = await bridge.run(_find_version, call.node, path, version_id)
    restored = await bridge.settle(
        versions.commit(
            repository, lambda draft: restoring.restore_version(repository, draft, path, version)
        )
    )
    reply = RestoredPathReply(
        restored=True,
        path=path,
        auto_snapshot=_name(restored),
        size=version.content.size,
        changed=restored.changed,
        from_snapshot=UNSET if snapshot is None else snapshot.name,
        from_version=version_id,
    )
    return answer(reply)


def _which(call: Call) -> str:
    text: str = call.request.scope["path_params"]["id_or_name"]
    return text


def _name(restored: Restored) -> str | None:
    return None if restored.before is None else restored.before.name


def _list(node: Node, places: Places) -> SnapshotsReply:
    return SnapshotsReply(
        [
            _reply(one, places.root(one.root), is_here=node.repository.has_trees(one.trees))
            for one in versions.snapshots(node.repository)
        ]
    )


def find_whole(node: Node, text: str) -> Snapshot:
    """A snapshot, by its id, name or root, of which every byte is here. Blocking."""
    snapshot = lenses.find_snapshot(node, text)
    contents = restoring.contents_of_tree(node.repository, snapshot.trees[0])
    versions.check_here(node.repository, contents)
    return snapshot


def _check_path(node: Node, path: TreePath, trees: tuple[bytes, bytes]) -> None:
    with node.repository.view() as view:
        contents = restoring.contents_at(view.at(*trees), path)
        versions.check_here(node.repository, contents)


def _size(node: Node, path: TreePath, trees: tuple[bytes, bytes]) -> int:
    with node.repository.view() as view:
        sight = view.at(*trees).sight(path)
    return 0 if sight is None else sight.winner.content.size


def _find_version(node: Node, path: TreePath, version_id: str) -> tuple[Version, Snapshot | None]:
    found = versions.find_version(node.repository, path, version_id)
    if found is None or found[0].deleted:
        raise NotFoundError(f"{path} has no version {version_id} that could be brought back")
    versions.check_here(node.repository, [found[0].content])
    return found


def _reply(
    snapshot: Snapshot, root: str, *, is_here: bool, is_duplicate: bool = False
) -> SnapshotReply:
    return SnapshotReply(
        id=snapshot.id,
        name=snapshot.name,
        root_hash=root,
        created_at=snapshot.created_at,
        metadata={**snapshot.metadata, "type": snapshot.kind},
        node_id=snapshot.node,
        available=is_here,
        duplicate=is_duplicate,
    )


_BODY_ERRORS = (BadRequestError, InvalidFieldError)

ENDPOINTS = (
    Endpoint(
        "POST",
        "/versions/snapshots",
        make_snapshot,
        "Keep the present tree under a name.",
        request=SnapshotRequest,
        reply=SnapshotReply,
        status=201,
        errors=(*_BODY_ERRORS, ConflictError),
    ),
    Endpoint(
        "GET",
        "/versions/snapshots",
        list_snapshots,
        "List the snapshots, oldest first.",
        access=Access.USER,
        reply=SnapshotsReply,
    ),
    Endpoint(
        "PATCH",
        "/versions/snapshots/{id_or_name}",
        rename_snapshot,
        "Give a snapshot another name.",
        request=NameRequest,
        reply=RenamedSnapshotReply,
        errors=(*_BODY_ERRORS, NotFoundError, ConflictError),
    ),
    Endpoint(
        "DELETE",
        "/versions/snapshots/{id_or_name}",
        delete_snapshot,
        "Forget a snapshot, on all nodes.",
        reply=DeletedSnapshotReply,
        errors=(NotFoundError, ConflictError),
    ),
    Endpoint(
        "POST",
        "/versions/restore",
        restore_tree,
        "Make all files what they were in a snapshot.",
        request=WhichRequest,
        reply=RestoredTreeReply,
        errors=(*_BODY_ERRORS, NotFoundError, ConflictError, UnavailableError),
        sees=Sees.PRESENT,
    ),
    Endpoint(
        "POST",
        "/versions/restore/{path:path}",
        restore_path,
        "Make a file, or a folder with all below it, what it was.",
        request=SourceRequest,
        reply=RestoredPathReply,
        errors=(*_BODY_ERRORS, NotFoundError, ConflictError, UnavailableError),
        sees=Sees.PRESENT,
    ),
)
