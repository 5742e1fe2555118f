"""``POST /blobs/commit``: many changes that all happen or do not.

Everything that can be checked without the current tree is checked first, and the bytes of files
are read (`api.bundling`, `storage.composing`); then one operation of the writer makes all changes
(`storage.bundles`). A refusal names the ``path``, so that a client can leave it out and go on.

Who gives a commit a name (``op``) may ask ``GET /blobs/commits/{op}`` later what became of it.
"""

from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

import msgspec
from starlette.responses import Response

from aeorsync.api import reach, seen
from aeorsync.api.blobs import FRAMES
from aeorsync.api.budget import Share, weigh
from aeorsync.api.bundling import Heard, bundle_of
from aeorsync.api.commit_book import Remembered
from aeorsync.api.endpoint import Access, Call, Endpoint, Sees, answer, parse_body
from aeorsync.api.intake import Intake, read_bytes, read_frames
from aeorsync.api.node import Node
from aeorsync.api.places import Places
from aeorsync.core.paths import from_key, to_key
from aeorsync.core.versions import Kind
from aeorsync.errors import (
    UNREADABLE,
    BadRequestError,
    ConflictError,
    DeniedError,
    InvalidFieldError,
    NotFoundError,
    OverloadedError,
    PreconditionError,
    TooLargeError,
)
from aeorsync.runtime import bridge
from aeorsync.storage import bundles
from aeorsync.storage.bundles import Bundle, Done, Outcome
from aeorsync.storage.draft import Draft
from aeorsync.wire import limits
from aeorsync.wire.blobs import CommitReply, CommitRequest, Committed
from aeorsync.wire.framing import Frame
from aeorsync.wire.framing import Kind as FrameKind
from aeorsync.wire.protocol import FRAMES_TYPE

_UNPACKED = 4
"""Bytes that one of a packed header takes once it is read."""
_decode: Callable[[bytes], CommitRequest] = msgspec.msgpack.Decoder(CommitRequest).decode


async def commit(call: Call) -> Response:
    """Make many changes in one step."""
    reach.demand_somebody(call)
    node, caller = call.node, call.caller
    with node.budget.share(caller.owner) as share:
        heard = Heard()
        if call.request.headers.get("content-type", "").startswith(FRAMES_TYPE):
            request = await _framed(call, share, heard)
        else:
            body = await read_bytes(call, share, limits.MAX_BLOBS_JSON)
            share.take(weigh(body) - len(body))
            request = await bridge.run(_parse_json, body, heard)
        names = await bridge.run(heard.unbrought)
        usable = await node.grants.usable(caller.owner, caller.access, names)
        bundle = await bridge.run(bundle_of, node, caller, request, heard, names - usable)
        step = _Step(reach.places(call), node.repository.epoch, request.since_root_hash, bundle)
        making = node.repository.commit(step.run)
        if request.op:
            # Whether or not anybody is left to hear the answer.
            making.add_done_callback(partial(_remember, call, request))
        outcome = await bridge.settle(making)
        return await bridge.run(_reply, node, Remembered(outcome, len(request.files)), step)


class _End(NamedTuple):
    """Where somebody stands, and the folders that were made for what they wanted to lie in."""

    root_hash: str = ""
    above: tuple[str, ...] = ()


_NOWHERE: Final = _End()


@dataclass(slots=True)
class _Step:
    """A commit, and where somebody who watches the changes stands before and after it.

    Who has the very state that it was made on, and hears what became of each of their changes,
    need not be told of it again, if it left nothing in conflict and changed nothing else: but for
    folders that had to be made for it.

    Attributes:
        places: For the caller.
        epoch: Of the database.
        since: Where they say they stand.
        bundle: What they want.
        draft: The last one that it was made on, if they stand there, and their ETags will cover
            all that is at each path.
    """

    places: Places
    epoch: int
    since: str | None
    bundle: Bundle
    draft: Draft | None = None

    def run(self, draft: Draft) -> Outcome:
        """See `bundles.run`."""
        outcome = bundles.run(draft, self.bundle)
        self.draft = draft if self._begins_on(draft) and _covers_all(draft, outcome) else None
        return outcome

    def _begins_on(self, draft: Draft) -> bool:
        return self.since is not None and self.since == self.places.at(draft.view.head, self.epoch)

    def end(self, outcome: Outcome) -> _End:
        """Where they stand after it, once it is durable; nowhere if they have to ask."""
        dones = (*outcome.deletes, *outcome.folders, *outcome.puts)
        if self.since is None or self.draft is None or any(done.is_conflict for done in dones):
            return _NOWHERE
        if self.draft.operations != 1:
            return _NOWHERE  # what others did is in the same commit
        made = self.draft.made
        if made is None:
            return _End(self.since)
        wanted = {to_key(done.path): False for done in outcome.deletes}
        wanted |= {to_key(done.path): True for done in (*outcome.folders, *outcome.puts)}
        others = [row for row in made.changes if wanted.get(row.key) is not bool(row.now)]
        if any(row.was or row.now != Kind.DIRECTORY for row in others):
            return _NOWHERE
        above = tuple(from_key(row.key) for row in others)
        return _End(self.places.at(made.after, self.epoch), above)


def _covers_all(draft: Draft, outcome: Outcome) -> bool:
    """Whether each file and link that was put is all there is at its path, graves included."""
    entries = (draft.entry(to_key(done.path)) for done in outcome.puts)
    return all(entry is not None and len(entry.versions) == 1 for entry in entries)


async def committed(call: Call) -> Response:
    """Tell again what became of a commit."""
    reach.demand_somebody(call)
    name = call.request.path_params["op"]
    found = call.node.commits.find(call.caller.owner, name)
    if found is None:
        raise NotFoundError("no commit of that name is remembered here")
    return await bridge.run(_reply, call.node, found)


def _remember(call: Call, request: CommitRequest, making: "Future[Outcome]") -> None:
    if not making.cancelled() and making.exception() is None:
        commit = Remembered(making.result(), len(request.files))
        call.node.commits.keep(call.caller.owner, request.op, commit)


async def _framed(call: Call, share: Share, heard: Heard) -> CommitRequest:
    """Read a commit that brings its chunks."""
    batches = read_frames(call, share, limits.MAX_BLOBS_JSON)
    first, rest = await _first(batches)
    share.take(_UNPACKED * len(first.payload))
    request = await bridge.run(_parse_header, first, heard)
    async with Intake(call, share, heard.note, flushes=False) as intake:
        await intake.take(rest)
        async for frames in batches:
            await intake.take(frames)
    return request


async def _first(batches: AsyncIterator[list[Frame]]) -> tuple[Frame, list[Frame]]:
    async for frames in batches:
        if frames[0].kind is FrameKind.HEADER:
            return frames[0], frames[1:]
        break
    raise BadRequestError("the frames do not begin with a header")


def _parse_json(body: bytes, heard: Heard) -> CommitRequest:
    request = parse_body(body, CommitRequest)
    heard.expect(request)
    return request


def _parse_header(frame: Frame, heard: Heard) -> CommitRequest:
    try:
        request = _decode(frame.payload)
    except msgspec.ValidationError as error:
        raise InvalidFieldError(f"the header does not fit: {error}") from error
    except UNREADABLE as error:
        raise BadRequestError(f"the header is broken: {error}") from error
    heard.expect(request)
    return request


def _reply(node: Node, commit: Remembered, step: _Step | None = None) -> Response:
    outcome, count = commit.outcome, commit.files
    end = _NOWHERE if step is None else step.end(outcome)
    lists = (outcome.deletes, outcome.folders, outcome.puts[:count], outcome.puts[count:])
    deletes, folders, files, links = (_committed(node, done) for done in lists)
    reply = CommitReply(
        committed=sum(map(len, lists)),
        files=files,
        deletes=deletes,
        folders=folders,
        links=links,
        root_hash=end.root_hash,
        above=end.above,
    )
    return answer(reply)


def _committed(node: Node, changes: Iterable[Done]) -> list[Committed]:
    found = []
    for done in changes:
        version = done.version
        if version is None:
            found.append(Committed(path=done.path, conflict=done.is_conflict))
            continue
        found.append(
            Committed(
                path=done.path,
                size=0 if version.deleted else version.content.size,
                etag=seen.version_etag(node, done.path, version),
                version=version.id,
                conflict=done.is_conflict,
            )
        )
    return found


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "POST",
        "/blobs/commit",
        commit,
        "Make many changes in one step.",
        access=Access.USER,
        request=CommitRequest,
        reply=CommitReply,
        errors=(
            BadRequestError,
            InvalidFieldError,
            DeniedError,
            NotFoundError,
            ConflictError,
            PreconditionError,
            OverloadedError,
            TooLargeError,
        ),
        parameters=(FRAMES,),
        sees=Sees.PRESENT,
    ),
    Endpoint(
        "GET",
        "/blobs/commits/{op}",
        committed,
        "Tell again what became of a commit.",
        access=Access.USER,
        reply=CommitReply,
        errors=(DeniedError, NotFoundError),
    ),
)
