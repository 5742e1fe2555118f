"""Conflict copies that a person edited or deleted.

Editing a copy edits that version: the new one replaces it and no other. The version that readers
see is stated again in the same commit, after it, so that what they see does not swap. Deleting a
copy gives that version up.
"""

from collections.abc import Iterable
from contextlib import suppress

from aeorsync.core.versions import Kind
from aeorsync.errors import (
    BadRequestError,
    ConflictError,
    NotFoundError,
    PreconditionError,
    StaleError,
)
from aeorsync.folder.commits import commit_file
from aeorsync.folder.events import Uploaded, Why
from aeorsync.folder.facts import Agreed, Copy, places
from aeorsync.folder.plan import Edit, Give
from aeorsync.folder.sending import send_file
from aeorsync.folder.work import Work
from aeorsync.runtime import bridge
from aeorsync.wire.blobs import CommitDelete, CommitFile, CommitLink, CommitRequest


async def push_edits(work: Work, edits: Iterable[Edit], *, pushes: bool) -> None:
    """Tell the server what became of some copies.

    Raises:
        AeorError: The server cannot be reached.
    """
    for edit in edits:
        if not pushes:
            text = "this conflict copy was changed here, and changes here do not travel"
            work.trouble(edit.found.path, Why.LOCAL_CHANGE, text)
            continue
        try:
            if edit.found.fingerprint is None:
                await _give_up(work, edit)
            else:
                await _edit(work, edit)
        except StaleError:
            work.tally.again.add(edit.found.path)
        except (BadRequestError, NotFoundError, ConflictError, PreconditionError) as error:
            text = f"the server refused this edit of a version: {error.told or error.message}"
            work.trouble(edit.found.path, Why.REFUSED, text)


async def _give_up(work: Work, edit: Edit) -> None:
    agreed = await bridge.run(work.ledger.agreed, edit.path)
    path = work.scope.absolute(edit.path)
    if agreed is None:
        # Nothing is shown here, so there is nothing that giving up another version could settle.
        # That states again what readers see, maybe the next one to go, which has a new name then.
        await _delete(work, path, edit.copy)
        work.tally.deleted_remote += 1
    elif agreed.version != edit.copy.version:
        # Else whoever moved the copy over the file chose it: the server may have known it by its
        # content, and then what is in place now is this very version.
        await _drop(work, path, edit.copy)
        work.tally.deleted_remote += 1
    await bridge.run(work.ledger.drop_copy, edit.found.path)
    work.tally.is_stale = True


async def _drop(work: Work, path: str, copy: Copy) -> None:
    try:
        # Where it is no more, somebody was quicker.
        with suppress(NotFoundError):
            await work.server.give_up(path, copy.version)
    except ConflictError:
        # What readers saw is gone, so they see this one by now.
        await _delete(work, path, copy)


async def _delete(work: Work, path: str, copy: Copy) -> None:
    gone = CommitDelete(path=path, base=copy.etag)
    await work.server.commit(CommitRequest(deletes=[gone]))


async def _edit(work: Work, edit: Edit) -> None:
    found = edit.found
    here = found.fingerprint
    if here is None or here.kind is not Kind.FILE or found.content is None:
        text = "a conflict copy has to be a file; make it one again, or delete it"
        work.trouble(found.path, Why.CLASH, text)
        return
    give = Give(found.path, here, found.content, "", edit.copy.etag, None)
    await send_file(work, give, at_once=True)
    path = work.scope.absolute(edit.path)
    winner = await bridge.run(work.ledger.agreed, edit.path)
    if winner is not None and winner.base == edit.copy.etag:
        winner = None  # what was shown went meanwhile, and this version is shown now
    files = [commit_file(path, give)]
    links = []
    if winner is not None and winner.kind is Kind.FILE:
        files.append(_file_again(path, winner))
    elif winner is not None and winner.kind is Kind.SYMLINK:
        links.append(CommitLink(path=path, target=winner.content.decode(), base=winner.base))
    await work.server.commit(CommitRequest(files=files, links=links))
    work.tally.uploaded += 1
    work.tally.is_stale = True
    work.report(Uploaded(edit.path, here.size, is_new=False))
    # The version has a new name, which the server tells next; the copy is known by its content.
    copy = type(edit.copy)(edit.path, "", edit.copy.etag, found.content.hash, here)
    await bridge.run(work.ledger.add_copy, found.path, copy)


def _file_again(path: str, winner: Agreed) -> CommitFile:
    return CommitFile(
        path=path,
        chunks=[place.id.hex() for place in places(winner.chunks)],
        content_hash=winner.content.hex(),
        size=winner.fingerprint.size,
        base=winner.base,
        mtime_ns=winner.mtime_ns,
        executable=winner.fingerprint.executable,
    )
