"""What an endpoint is: one row of the route table, and the call its handler gets.

Routing, access, body checks and `GET /openapi.json` are all driven by these rows, so a document
that disagrees with the server cannot be written.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from aeorsync.api.budget import Share, weigh
from aeorsync.api.node import Caller, Node
from aeorsync.core import paths
from aeorsync.core.paths import TreePath
from aeorsync.errors import (
    UNREADABLE,
    AeorError,
    BadRequestError,
    InvalidFieldError,
    TooLargeError,
)
from aeorsync.wire import limits

T = TypeVar("T")


class Access(Enum):
    """Who may call an endpoint."""

    OPEN = "anybody"
    USER = "any valid token but a sync token"
    ROOT = "root; on /sync also a peer"
    SYNC = "a peer, or any valid token"


class Sees(Enum):
    """Which states of the tree an endpoint serves; see `api.lenses`."""

    ANYTHING = "it is not about one, and looks at no parameter that names one"
    PRESENT = "only the present; asked for another it refuses"
    FORKS = "the present and forks"
    ALL = "the present, forks and the past"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One query parameter or request header, for the document.

    Attributes:
        name: As it is written.
        schema: JSON schema of its value.
        about: One sentence.
        place: ``query`` or ``header``.
    """

    name: str
    schema: dict[str, Any]
    about: str
    place: str = "query"


@dataclass(frozen=True, slots=True)
class Call:
    """One request on its way through a handler.

    Attributes:
        request: As Starlette has it.
        node: Who answers.
        caller: Who asks.
        share: What it holds in memory till its end, the sending of the answer included.
    """

    request: Request
    node: Node
    caller: Caller
    share: Share

    @property
    def path(self) -> TreePath:
        """The tree path that the URL names after the route's own prefix; decoded once.

        Raises:
            BadRequestError: It is no path.
            NotFoundError: It lies in the system namespace.
        """
        return paths.parse(self.raw_path)

    @property
    def raw_path(self) -> str:
        """The same, decoded but not checked."""
        raw: bytes = self.request.scope["raw_path"]
        prefix: bytes = self.request.scope["path_prefix"]
        return paths.decode(raw.split(b"?", 1)[0][len(prefix) :])

    async def body(self, shape: type[T], limit: int = limits.MAX_JSON) -> T:
        """The JSON body as ``shape``.

        Raises:
            BadRequestError: It is not JSON.
            InvalidFieldError: A field is missing or has a wrong type.
            OverloadedError: There is no memory for it.
            TooLargeError: It is longer than ``limit`` bytes.
        """
        data = await self.bytes(limit)
        self.share.take(weigh(data) - len(data))
        return parse_body(data, shape)

    async def bytes(self, limit: int, take: Callable[[int], object] | None = None) -> bytes:
        """The raw body.

        Args:
            limit: Bytes it may have.
            take: Told of each piece, how long it is, before it is kept; may refuse it. Without it
                the piece is the share's.

        Raises:
            BadRequestError: It was cut off.
            TooLargeError: It is longer than ``limit`` bytes.
        """
        data = bytearray()
        hold = take or self.share.take
        try:
            async for piece in self.request.stream():
                hold(len(piece))
                data += piece
                if len(data) > limit:
                    raise TooLargeError(f"the body is over {limit} bytes")
        except ClientDisconnect as error:
            raise BadRequestError("the body was cut off") from error
        return bytes(data)


def parse_body(data: bytes, shape: type[T]) -> T:
    """Read JSON as ``shape``.

    Raises:
        BadRequestError: It is not JSON.
        InvalidFieldError: A field is missing or has a wrong type.
    """
    try:
        return msgspec.json.decode(data, type=shape)
    except msgspec.ValidationError as error:
        _check_json(data)
        raise InvalidFieldError(f"the body does not fit: {error}") from error
    except UNREADABLE as error:
        raise BadRequestError(f"the body is not JSON: {error}") from error


def _check_json(data: bytes) -> None:
    """Refuse what is no JSON at all; a decoder that knows the shape stops at the first misfit."""
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except UNREADABLE as error:
        raise BadRequestError(f"the body is not JSON: {error}") from error


Handler = Callable[[Call], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One row of the route table.

    Attributes:
        method: HTTP method.
        path: Route; ``{path:path}`` at its end takes a whole tree path, ``{name}`` one segment.
        handler: Answers it.
        summary: One sentence for the document.
        access: Who may call it.
        request: Type that checks the JSON body; None when there is none, or it is raw.
        reply: Type of the JSON answer, or several; None when it is raw.
        parts: Types that the document refers to besides.
        status: Status of success.
        errors: What it may raise beside the general ones.
        parameters: Query parameters and headers it looks at.
        needs_ready: Whether it answers 503 while the node is still starting.
        takes_bytes: Whether the body of the request is a file.
        may_be_empty: Whether the JSON body may be left out.
        media: Media types of the answer that are not ``reply``; ``*/*`` for those of files.
        also: Other statuses of success.
        sees: Which states of the tree it serves.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    access: Access = Access.ROOT
    request: Any = None
    reply: Any = None
    status: int = 200
    errors: tuple[type[AeorError], ...] = ()
    parameters: tuple[Parameter, ...] = field(default=())
    needs_ready: bool = True
    takes_bytes: bool = False
    parts: tuple[Any, ...] = ()
    may_be_empty: bool = False
    media: tuple[str, ...] = ()
    also: tuple[int, ...] = ()
    sees: Sees = Sees.ANYTHING


FORK = Parameter("fork", {"type": "string"}, "Name or id of a fork to do it in.")
SNAPSHOT = Parameter("snapshot", {"type": "string"}, "Name or id of a snapshot to read.")

_encode = msgspec.json.Encoder().encode


async def walked(call: Call, walk: Callable[[], object]) -> Response:
    """The JSON answer of a long walk: few are taken at a time, and what they found is held.

    Raises:
        OverloadedError: Too many wait already, or there is no memory for it.
    """
    reply = answer(await call.node.walks.run(walk))
    call.share.take(len(reply.body))
    return reply


def answer(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(_encode(value), status, headers, media_type="application/json")
