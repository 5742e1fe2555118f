"""`POST /files/fetch`: many files, or parts of them, in one answer.

    plan      one state of the tree: which version, which bytes, what is refused
    answer    the plan told item by item, contents read while they are sent

Everything that decides the status is found out first, so an answer that has begun only ends early
when bytes of a file are lost. What is planned and what is sent take no memory by their size.
"""

import base64
import codecs
from collections.abc import Generator, Iterator
from dataclasses import dataclass

import msgspec
from starlette.responses import Response, StreamingResponse

from aeorsync.api import resolve, seen
from aeorsync.api.bodies import FileReader, streamed
from aeorsync.api.budget import weigh
from aeorsync.api.endpoint import FORK, SNAPSHOT, Access, Call, Endpoint, Sees, parse_body
from aeorsync.api.fetch_shapes import (
    FULL,
    FailedItem,
    FetchedFile,
    FetchedFiles,
    FetchedItem,
    FetchItem,
    FetchReply,
    FetchRequest,
    Span,
)
from aeorsync.api.intake import read_bytes
from aeorsync.api.node import Caller, Node
from aeorsync.api.rescue import rescued
from aeorsync.core import paths
from aeorsync.core.mergepatch import check_json
from aeorsync.core.paths import TreePath
from aeorsync.core.pointers import resolve_pointer
from aeorsync.core.versions import Entry, Kind, Version
from aeorsync.errors import (
    AeorError,
    BadRangeError,
    BadRequestError,
    CorruptError,
    InvalidFieldError,
    NotFoundError,
    StaleError,
    TooLargeError,
)
from aeorsync.runtime import bridge
from aeorsync.storage.repository import Repository
from aeorsync.storage.views import View
from aeorsync.wire import limits

_encode = msgspec.json.Encoder().encode
_PARTIAL, _WHOLE = 206, 200


@dataclass(frozen=True, slots=True)
class _Planned:
    """One item, and what is to be sent for it."""

    item: FetchItem
    path: TreePath
    entry: Entry
    version: Version
    start: int
    stop: int
    is_cut: bool


@dataclass(frozen=True, slots=True)
class _Failed:
    """One item that cannot be sent."""

    item: FetchItem
    error: AeorError


_Plan = list[_Planned | _Failed]


@dataclass(slots=True)
class _Effort:
    """Bytes that may still be looked through for lines and values, sent or not."""

    left: int

    def take(self, path: TreePath, size: int) -> None:
        """Look through so many bytes of a file.

        Raises:
            TooLargeError: There are not so many left.
        """
        if size > self.left:
            text = f"over {limits.MAX_FETCH} bytes would be looked through; fetch fewer at a time"
            raise TooLargeError(f"{path}: {text}")
        self.left -= size


_ITEM_COST = 4096
"""Bytes that an item takes till its end: what was asked, and its entry."""
_SENDING = 16 * limits.MIB


async def fetch(call: Call) -> Response:
    """Send the files asked for."""
    with call.node.budget.share(call.caller.owner) as share:
        body = await read_bytes(call, share, limits.MAX_FETCH_BODY)
        share.take(weigh(body) - len(body))
        request = await bridge.run(parse_body, body, FetchRequest)
        items = _items(request)
        call.share.take(_SENDING + _ITEM_COST * len(items))
    node = call.node
    plan = await rescued(node, _plan, node, call.caller, request, items)
    reader = FileReader(node)
    made = _files(node, reader, plan) if request.items is None else _list(node, reader, plan)
    return StreamingResponse(streamed(made), media_type="application/json")


def _items(request: FetchRequest) -> list[FetchItem]:
    if (request.paths is None) == (request.items is None):
        raise BadRequestError("say either paths or items")
    if not 0 <= request.max_bytes <= limits.MAX_FETCH:
        raise BadRequestError(f"max_bytes must be 0 to {limits.MAX_FETCH}")
    items = request.items
    if items is None:
        items = [FetchItem(path) for path in dict.fromkeys(request.paths or [])]
    if len(items) > limits.MAX_FETCH_ITEMS:
        raise TooLargeError(f"fetch at most {limits.MAX_FETCH_ITEMS} items at a time")
    return items


# Planning


def _plan(node: Node, caller: Caller, request: FetchRequest, items: list[FetchItem]) -> _Plan:
    """What to send, all of one state of the tree. Blocking."""
    plan: _Plan = []
    room, effort = request.max_bytes, _Effort(limits.MAX_FETCH)
    with node.repository.view() as view:
        for item in items:
            try:
                planned = _plan_item(view, node.repository, caller, item, effort)
                if planned.stop - planned.start > room:
                    text = f"{planned.path} does not fit any more: the answer is limited to"
                    raise TooLargeError(f"{text} {request.max_bytes} bytes")
            except CorruptError:
                raise
            except AeorError as error:
                if not request.continue_on_error:
                    raise
                plan.append(_Failed(item, error))
            else:
                room -= planned.stop - planned.start
                plan.append(planned)
    return plan


def _plan_item(
    view: View, repository: Repository, caller: Caller, item: FetchItem, effort: _Effort
) -> _Planned:
    path = paths.parse(item.path)
    found = resolve.find(view, path, access=caller.access)
    if found.entry is None or found.sight is None or found.kind != Kind.FILE:
        raise NotFoundError(f"{path} is a folder, not a file")
    version = found.sight.winner
    if item.content_hash is not None and item.content_hash.lower() != version.content.hash.hex():
        raise StaleError(f"{path} is not what content_hash names any more; read it again")
    if item.max_bytes is not None and item.max_bytes < 0:
        raise BadRequestError("max_bytes must not be negative")
    start, stop = _span(repository, path, version, item.range, effort)
    # A value of a document that is cut is no value any more.
    most = stop if item.max_bytes is None else start + item.max_bytes
    if item.range.mode == "json_pointer" and most < stop:
        raise TooLargeError(f"the value in {path} is over {item.max_bytes} bytes")
    return _Planned(item, path, found.entry, version, start, min(stop, most), most < stop)


def _span(
    repository: Repository, path: TreePath, version: Version, span: Span, effort: _Effort
) -> tuple[int, int]:
    """Where what is asked for begins and ends; of a value that a pointer names, 0 and its size."""
    size = version.content.size
    if span.mode == "full":
        return 0, size
    if span.mode == "json_pointer":
        return 0, len(_value(repository, path, version, span, effort))
    end = size if span.end is None else span.end
    if not 0 <= span.start <= end:
        raise BadRangeError(
            f"the range of {path} must begin at 0 or later, and not end before", size
        )
    if span.mode == "lines":
        return _lines(repository, path, version, span, effort)
    if span.start > size:
        raise BadRangeError(f"the range begins after the end of {path}", size)
    return span.start, min(end, size)


def _lines(
    repository: Repository, path: TreePath, version: Version, span: Span, effort: _Effort
) -> tuple[int, int]:
    """Offsets of the lines ``span.start`` to ``span.end``."""
    size = version.content.size
    if size > limits.MAX_FETCH:
        raise TooLargeError(f"{path} is too long to count its lines; ask for bytes")
    start = 0 if span.start == 0 else size
    number, offset = 0, 0
    for piece in repository.read(version.content):
        data = bytes(piece)
        effort.take(path, len(data))
        at = -1
        while (at := data.find(b"\n", at + 1)) >= 0:
            number += 1
            if number == span.start:
                start = offset + at + 1
            if number == span.end:
                return start, max(start, offset + at + 1)
        offset += len(data)
    return start, start if span.end == 0 else size


def _value(
    repository: Repository, path: TreePath, version: Version, span: Span, effort: _Effort
) -> bytes:
    """The value of a document that a pointer names."""
    if version.content.size > limits.MAX_PATCH:
        raise TooLargeError(f"{path} is over {limits.MAX_PATCH} bytes; ask for bytes of it")
    effort.take(path, version.content.size)
    document = b"".join(repository.read(version.content))
    check_json(document, str(path))
    return resolve_pointer(document, span.pointer or "")


# Answering


def _files(node: Node, reader: FileReader, plan: _Plan) -> Generator[bytes, None, None]:
    """The answer to ``paths``: an object."""
    before = b"{"
    for planned in plan:
        yield before + _encode(planned.item.path) + b":"
        if isinstance(planned, _Failed):
            yield _encode(_failure(planned, msgspec.UNSET))
        else:
            version = planned.version
            facts = FetchedFile(
                path=planned.path,
                name=paths.name(planned.path),
                size=version.content.size,
                created_at=version.created,
                updated_at=version.updated,
                content_type=version.content_type,
                content_hash=version.content.hash.hex(),
                etag=seen.etag(node, planned.path, planned.entry),
            )
            yield from _with_content(reader, planned, _encode(facts))
        before = b","
    yield b"{}" if before == b"{" else b"}"


def _list(node: Node, reader: FileReader, plan: _Plan) -> Generator[bytes, None, None]:
    """The answer to ``items``."""
    yield b'{"items":['
    for at, planned in enumerate(plan):
        if at:
            yield b","
        if isinstance(planned, _Failed):
            item = planned.item
            yield _encode(_failure(planned, item.path if item.id is None else item.id))
        else:
            yield from _with_content(reader, planned, _encode(_fetched(node, planned)))
    has_errors = any(isinstance(planned, _Failed) for planned in plan)
    yield b'],"has_errors":' + _encode(has_errors) + b"}"


def _failure(failed: _Failed, name: str | int | msgspec.UnsetType) -> FailedItem:
    error = failed.error
    return FailedItem(failed.item.path, error.status, error.message, error.code, name)


def _fetched(node: Node, planned: _Planned) -> FetchedItem:
    item, version = planned.item, planned.version
    span = item.range
    if span.mode in {"full", "bytes"}:
        span = Span(span.mode, planned.start, planned.stop)
    is_whole = item.range == FULL and not planned.is_cut
    return FetchedItem(
        id=item.path if item.id is None else item.id,
        path=planned.path,
        name=paths.name(planned.path),
        size=planned.stop - planned.start,
        created_at=version.created,
        updated_at=version.updated,
        content_type=version.content_type,
        content_hash=version.content.hash.hex(),
        etag=seen.etag(node, planned.path, planned.entry),
        range=span,
        source_size=version.content.size,
        encoding=item.encoding,
        truncated=planned.is_cut,
        status=_WHOLE if is_whole else _PARTIAL,
    )


def _with_content(
    reader: FileReader, planned: _Planned, facts: bytes
) -> Generator[bytes, None, None]:
    """An encoded object with the content as its last fields."""
    yield facts[:-1] + b',"content":"'
    if planned.item.encoding == "base64":
        yield from _as_base64(_bytes(reader, planned))
        is_lossy = False
    else:
        is_lossy = yield from _as_text(_bytes(reader, planned))
    yield b'","lossy":' + _encode(is_lossy) + b"}"


def _bytes(reader: FileReader, planned: _Planned) -> Iterator[bytes]:
    content, span = planned.version.content, planned.item.range
    if span.mode == "json_pointer":
        document = b"".join(reader.read(content))
        yield resolve_pointer(document, span.pointer or "")
    elif planned.start < planned.stop:
        yield from reader.read(content, planned.start, planned.stop)


def _as_text(pieces: Iterator[bytes]) -> Generator[bytes, None, bool]:
    """Bytes as the inside of a JSON string; returns whether some were no UTF-8."""
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    check = codecs.getincrementaldecoder("utf-8")("strict").decode
    is_lossy = False
    for data, is_end in _ended(pieces):
        if not is_lossy:
            try:
                check(data, is_end)
            except UnicodeDecodeError:
                is_lossy = True
        yield _encode(decode(data, is_end))[1:-1]
    return is_lossy


def _ended(pieces: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    """The pieces, and an empty one that is the last."""
    for piece in pieces:
        yield piece, False
    yield b"", True


def _as_base64(pieces: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        data = rest + piece
        end = len(data) - len(data) % 3
        rest = data[end:]
        yield base64.b64encode(data[:end])
    yield base64.b64encode(rest)


ENDPOINTS = (
    Endpoint(
        "POST",
        "/files/fetch",
        fetch,
        "Send many files, or parts of them, in one answer.",
        access=Access.USER,
        request=FetchRequest,
        reply=(FetchReply, FetchedFiles),
        parts=(FetchedFile, FetchedItem, FailedItem),
        errors=(
            BadRequestError,
            InvalidFieldError,
            NotFoundError,
            StaleError,
            TooLargeError,
            BadRangeError,
        ),
        parameters=(SNAPSHOT, FORK),
        sees=Sees.ALL,
    ),
)
