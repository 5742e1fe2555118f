"""`PUT /files/{path}`: bytes in, a version out.

A body of at most `SMALL` bytes is stored and committed in one operation of the writer. A longer
one is cut and stored while it arrives, one piece being stored while the next is received, so
memory is bounded whatever the size. Nothing is visible before the whole body is there.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from starlette.responses import Response

from aeorsync.api import media, reach, seen
from aeorsync.api.budget import Share
from aeorsync.api.endpoint import FORK, Access, Call, Endpoint, Parameter, Sees, answer
from aeorsync.api.replies import FileReply
from aeorsync.core import paths
from aeorsync.core.access import Op
from aeorsync.core.merge import see
from aeorsync.core.paths import TreePath, to_key
from aeorsync.core.versions import Content, Entry, Version
from aeorsync.errors import (
    BadRequestError,
    ConflictError,
    NotFoundError,
    PreconditionError,
    TooLargeError,
)
from aeorsync.runtime import bridge
from aeorsync.storage.bounds import demand_put
from aeorsync.storage.changes import Conditions, FileState, put_file
from aeorsync.storage.content import Upload
from aeorsync.storage.draft import Draft
from aeorsync.wire import limits
from aeorsync.wire.headers import MODE, MTIME, parse_mode, parse_mtime

SMALL = 64 * limits.KIB
PIECE = limits.MIB
UPLOAD_COST = 512 * limits.KIB
"""Bytes that a longer body takes at least: a chunk in the making, and what has just arrived."""

CONDITIONS = (
    Parameter("If-Match", {"type": "string"}, "Only if the path still has this ETag.", "header"),
    Parameter("If-None-Match", {"type": "string"}, "`*`: only if nothing is there.", "header"),
    Parameter(
        seen.BASE,
        {"type": "string"},
        "ETag of what was edited; a version that came since stays as a conflict.",
        "header",
    ),
)
MTIME_FIELD = Parameter(MTIME, {"type": "string"}, "Modification time, decimal ms.", "header")
MODE_FIELD = Parameter(MODE, {"type": "string"}, "`755` or `644`.", "header")


@dataclass(frozen=True, slots=True)
class Statement:
    """What the header of a request says of its file."""

    path: TreePath
    conditions: Conditions
    content_type: bytes | None
    executable: bool | None
    mtime: int | None

    @classmethod
    def read(cls, call: Call, headers: seen.Headers) -> "Statement":
        """Read the header.

        Raises:
            BadRequestError: A field or the path is not allowed.
            NotFoundError: The path lies in the system namespace, or one may not write there.
        """
        raw = call.raw_path
        path = paths.parse(raw)
        if raw.endswith("/") or not raw:
            raise BadRequestError("a path that ends in a slash is a folder; PUT stores files")
        reach.demand_any(call, path, (Op.CREATE, Op.UPDATE))
        if b"content-range" in headers:
            raise BadRequestError("a part of a file cannot be stored; send the whole of it")
        mode = headers.get(b"x-aeorsync-mode")
        mtime = headers.get(b"x-aeorsync-mtime")
        return cls(
            path=path,
            conditions=seen.conditions(call.node, path, headers),
            content_type=headers.get(b"content-type"),
            executable=None if mode is None else parse_mode(mode.decode("latin-1")),
            mtime=None if mtime is None else parse_mtime(mtime.decode("latin-1")),
        )

    def kind(self, head: bytes) -> str:
        """The media type to keep for a body that begins with ``head``."""
        return media.content_type(self.content_type, paths.name(self.path), head)


class Body:
    """The bytes of a request as they arrive, counted against what was announced."""

    def __init__(self, call: Call, headers: seen.Headers) -> None:
        """Look at the length announced.

        Raises:
            TooLargeError: It is over the limit.
        """
        self._receive = call.request.receive
        length = headers.get(b"content-length")
        self._announced = int(length) if length is not None and length.isdigit() else None
        self._size = self._announced or 0
        self._check()
        self._size = 0
        self.is_ended = False

    async def next(self) -> bytes:
        """The next bytes, perhaps none; to be called until ``is_ended``.

        Raises:
            BadRequestError: The client went away, or sent less than announced.
            TooLargeError: It is over the limit.
        """
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise BadRequestError("the body was cut off")
        data: bytes = message.get("body", b"")
        self._size += len(data)
        self._check()
        if not message.get("more_body", False):
            self.is_ended = True
            if self._announced not in (None, self._size):
                raise BadRequestError("the body is not as long as Content-Length says")
        return data

    async def head(self, size: int) -> bytes:
        """All of a body up to ``size`` bytes; of a longer one more than that."""
        first = await self.next()
        if self.is_ended:
            return first
        pieces, total = [first], len(first)
        while not self.is_ended and total <= size:
            pieces.append(await self.next())
            total += len(pieces[-1])
        return b"".join(pieces)

    def _check(self) -> None:
        if self._size > limits.MAX_BODY:
            raise TooLargeError(f"a file is at most {limits.MAX_BODY} bytes")


async def put(call: Call) -> Response:
    """Store a file; answers 201 whether it was there before or not."""
    headers = dict(call.request.scope["headers"])
    statement = Statement.read(call, headers)
    repository = call.node.repository
    body = Body(call, headers)
    head = await body.head(SMALL)
    kind = statement.kind(head)
    if body.is_ended and len(head) <= SMALL:
        # Cheap enough for the writer's thread, and saves a hop and a future.
        operation = _operation(call, statement, lambda: repository.store_small(head), kind)
    else:
        content = await _take_in(repository.upload(), head, body, call.share)
        operation = _operation(call, statement, lambda: content, kind)
    version, entry = await bridge.settle(repository.commit(operation))
    return reply(call, statement, version, entry)


def _operation(
    call: Call, statement: Statement, store: Callable[[], Content], kind: str
) -> Callable[[Draft], tuple[Version, Entry]]:
    path = statement.path

    def operation(draft: Draft) -> tuple[Version, Entry]:
        demand_put(draft, path, call.caller.access)
        file = FileState(store(), kind, statement.executable, statement.mtime)
        version = put_file(draft, path, file, statement.conditions)
        return version, draft.entry(to_key(path)) or Entry((version,))

    return operation


async def _take_in(upload: Upload, head: bytes, body: Body, share: Share) -> Content:
    """Store a body while it arrives; where memory is short, in smaller pieces."""
    share.take(UPLOAD_COST)
    pieces, size, held, holding = [head], len(head), 0, 0
    feeding: asyncio.Task[None] | None = None
    try:
        while not body.is_ended:
            piece = await body.next()
            pieces.append(piece)
            size += len(piece)
            has_room = share.try_take(len(piece))
            held += len(piece) * has_room
            if size >= PIECE or not has_room:
                if feeding is not None:
                    await feeding
                    share.give(holding)
                feeding = asyncio.create_task(bridge.run(_feed, upload, pieces))
                pieces, size, held, holding = [], 0, 0, held
        if feeding is not None:
            await feeding
        return await bridge.run(_finish, upload, pieces)
    finally:
        if feeding is not None:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)


def _feed(upload: Upload, pieces: list[bytes]) -> None:
    upload.feed(b"".join(pieces))


def _finish(upload: Upload, pieces: list[bytes]) -> Content:
    _feed(upload, pieces)
    return upload.finish()


def reply(
    call: Call, statement: Statement, version: Version, entry: Entry, status: int = 201
) -> Response:
    """The answer to who wrote a file."""
    path = statement.path
    # Who wrote from an older base has not seen what came since: their tag must not cover it.
    has_seen = entry if statement.conditions.base is None else Entry((version,))
    tag = seen.etag(call.node, path, has_seen)
    facts = FileReply(
        path=path,
        content_type=version.content_type,
        size=version.content.size,
        created_at=version.created,
        updated_at=version.updated,
        hash=seen.identity(path, version),
        content_hash=version.content.hash.hex(),
        etag=tag,
        conflict=bool(see(entry).losers),
    )
    return answer(facts, status, {"ETag": tag})


ENDPOINTS = (
    Endpoint(
        "PUT",
        "/files/{path:path}",
        put,
        "Store a file.",
        access=Access.USER,
        reply=FileReply,
        status=201,
        errors=(
            BadRequestError,
            NotFoundError,
            ConflictError,
            PreconditionError,
            TooLargeError,
        ),
        parameters=(
            *CONDITIONS,
            MTIME_FIELD,
            MODE_FIELD,
            FORK,
        ),
        takes_bytes=True,
        sees=Sees.FORKS,
    ),
)
