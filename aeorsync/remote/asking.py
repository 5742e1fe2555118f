"""What is asked of another node, what it answers, and what its refusals mean; however it is sent.

What goes wrong is told in our own errors: a refusal is the error of its status with the peer's own
text.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus
from typing import Any, Final, Protocol

import msgspec

from aeorsync.errors import (
    UNREADABLE,
    AeorError,
    BadRequestError,
    BusyError,
    ConflictError,
    DeniedError,
    InvalidFieldError,
    NotFoundError,
    PreconditionError,
    RateLimitedError,
    RemovedError,
    StaleError,
    TooLargeError,
    UnauthorizedError,
    UnavailableError,
)
from aeorsync.runtime.redact import redact

CONNECT_S: Final = 10.0
IDLE_S: Final = 30.0
"""Longest silence of a peer in the middle of an answer."""
CALL_S: Final = 30.0
"""Longest time for a call whose answer is small."""
FIELDS: Final = {"Accept-Encoding": "identity", "User-Agent": "aeorsync"}
"""Said with everything that is asked, unless it says otherwise."""
_ERROR_TEXT: Final = 500

_REFUSALS: Final[dict[int, type[AeorError]]] = {
    HTTPStatus.BAD_REQUEST: BadRequestError,
    HTTPStatus.UNAUTHORIZED: UnauthorizedError,
    HTTPStatus.FORBIDDEN: DeniedError,
    HTTPStatus.NOT_FOUND: NotFoundError,
    HTTPStatus.CONFLICT: ConflictError,
    HTTPStatus.PRECONDITION_FAILED: PreconditionError,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: TooLargeError,
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: BadRequestError,
    HTTPStatus.UNPROCESSABLE_ENTITY: InvalidFieldError,
}
_TOLD: Final[dict[tuple[int, str], type[AeorError]]] = {
    (HTTPStatus.FORBIDDEN, RemovedError.code): RemovedError,
    (HTTPStatus.CONFLICT, StaleError.code): StaleError,
    (HTTPStatus.CONFLICT, BusyError.code): BusyError,
}

Stream = Callable[[], AsyncIterator[bytes | memoryview]]
"""Makes the pieces of a body, anew for each time it is sent."""


class Request(msgspec.Struct, frozen=True):
    """What is asked.

    Attributes:
        method: HTTP method.
        path: Path and query, percent-encoded.
        body: All of it, or what makes it piece by piece.
        headers: Fields. An ``Accept-Encoding`` of gzip is undone here.
        may_repeat: Whether to ask once more where a connection broke and nobody knows whether it
            was heard.
        idle_s: Longest silence in the middle of the exchange.
    """

    method: str
    path: str
    body: bytes | Stream = b""
    headers: Mapping[str, str] = {}
    may_repeat: bool = True
    idle_s: float = IDLE_S


class Answer(msgspec.Struct, frozen=True):
    """A good answer, its body not read yet.

    Attributes:
        status: 200 to 299.
        headers: Fields; names in any case.
        pieces: The body as it comes in.
    """

    status: int
    headers: Mapping[str, str]
    pieces: AsyncIterator[bytes]


class Way(Protocol):
    """A way to another node."""

    address: str

    def exchange(self, asked: Request) -> AbstractAsyncContextManager[Answer]:
        """Send a request and yield a good answer as it comes in."""

    def deadline(self, seconds: float) -> AbstractAsyncContextManager[Any]:
        """Give what is inside so many seconds."""

    async def close(self) -> None:
        """Let go of all connections."""


def refusal(address: str, status: int, wait: str, body: bytes) -> AeorError:
    """What a status other than a good one means.

    Args:
        address: Of who said it.
        status: It.
        wait: Its ``Retry-After``; empty for none.
        body: What it says, or the beginning of that.
    """
    told = _told(body)
    text = f"{address} answered {status}: {told.error or 'no reason given'}"
    error: AeorError
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        known = wait.isdecimal() and len(wait) < 6  # noqa: PLR2004
        error = RateLimitedError(text, int(wait) if known else 60)
    else:
        kind = _TOLD.get((status, told.code))
        error = (kind or _REFUSALS.get(status, UnavailableError))(text)
    error.told = told.error
    if told.path is not None:
        error.details["path"] = told.path
    return error


class _Told(msgspec.Struct, frozen=True):
    """The body of a refusal."""

    error: str = ""
    code: str = ""
    path: str | None = None


def _told(body: bytes) -> _Told:
    """What a refusal says, fit to be shown."""
    try:
        told = msgspec.json.decode(body, type=_Told)
    except UNREADABLE:
        told = _Told(body[:_ERROR_TEXT].decode("utf-8", "replace"))
    return _Told(redact(told.error[:_ERROR_TEXT]), told.code, told.path)
