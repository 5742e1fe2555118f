"""What is said of changes in a commit, and what is agreed on once it is done."""

from aeorsync.core.versions import Kind
from aeorsync.errors import StaleError
from aeorsync.folder.batches import Batch
from aeorsync.folder.facts import Agreed, places
from aeorsync.folder.plan import Drop, Give
from aeorsync.folder.told import Scope
from aeorsync.wire.blobs import (
    CommitDelete,
    CommitFile,
    CommitFolder,
    CommitLink,
    CommitRequest,
    Committed,
)


def request(batch: Batch, scope: Scope, op: str, since: str | None) -> CommitRequest:
    """What is asked for a batch.

    Args:
        batch: Of which everything was read.
        scope: Where on the server.
        op: Name of the commit.
        since: Where we stand; None to be told of it as of everything.
    """
    absolute = scope.absolute
    files, links, folders = [], [], []
    for give in batch.gives:
        match give.here.kind:
            case Kind.DIRECTORY:
                folders.append(CommitFolder(path=absolute(give.path)))
            case Kind.SYMLINK:
                links.append(
                    CommitLink(
                        path=absolute(give.path),
                        target=give.target,
                        base=give.base,
                        mtime_ns=give.here.mtime_ns,
                    )
                )
            case Kind.FILE:
                files.append(commit_file(absolute(give.path), give))
    deletes = [_delete(absolute(drop.path), drop) for drop in batch.drops]
    return CommitRequest(
        deletes=deletes,
        folders=folders,
        files=files,
        links=links,
        op=op,
        since_root_hash=since,
    )


def commit_file(path: str, give: Give) -> CommitFile:
    """What is said about a file in a commit."""
    content = give.content
    # Only the times or the executable bit changed: the bytes are those agreed on.
    if content is not None:
        chunks, name, size = content.chunks, content.hash, content.size
    elif give.was is not None:
        chunks, name, size = give.was.chunks, give.was.content, give.was.fingerprint.size
    else:
        raise StaleError(f"{path} has not been read")
    return CommitFile(
        path=path,
        chunks=[place.id.hex() for place in places(chunks)],
        content_hash=name.hex(),
        size=size,
        base=give.base,
        mtime_ns=give.here.mtime_ns,
        executable=give.here.executable,
    )


def agreed_on(give: Give, done: Committed | None) -> Agreed:
    """What is agreed on when it is done; without an answer, but for the version."""
    content, chunks = b"", b""
    if give.content is not None:
        content, chunks = give.content.hash, give.content.chunks
    elif give.here.kind is Kind.SYMLINK:
        content = give.target.encode()
    elif give.was is not None and give.here.kind is Kind.FILE:
        content, chunks = give.was.content, give.was.chunks
    base = (done.etag or "") if done is not None else ""
    version = done.version if done is not None else ""
    mtime = 0 if give.here.kind is Kind.DIRECTORY else give.here.mtime_ns
    return Agreed(give.here, mtime, content, chunks, base, version)


def _delete(path: str, drop: Drop) -> CommitDelete:
    if drop.kind is Kind.DIRECTORY:
        # It has no version to name: it goes when it is empty, and is a folder still.
        return CommitDelete(path=path, folder=True)
    return CommitDelete(path=path, base=drop.base)
