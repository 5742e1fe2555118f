"""Errors as answers: every refusal is ``{"error", "code"}``, whatever it was.

What was raised on purpose says what went wrong; of anything else the caller learns nothing, and
the log everything.
"""

import errno
from collections.abc import Iterable

from starlette.responses import Response

from aeorsync.api.endpoint import answer
from aeorsync.api.replies import Problem
from aeorsync.errors import (
    AeorError,
    BadRangeError,
    BadRequestError,
    NotFoundError,
    OverloadedError,
    RateLimitedError,
    TooLargeError,
    UnauthorizedError,
    UnavailableError,
)
from aeorsync.wire.headers import print_no_range

_NO_FILES = {errno.EMFILE, errno.ENFILE}
_INTERNAL = Problem("Something went wrong on this node; its log says what.", AeorError.code)


class MethodError(BadRequestError):
    """The path is known, the method is not.

    Attributes:
        allowed: What would be, in the order of the Allow field.
    """

    code = "METHOD_NOT_ALLOWED"
    status = 405

    def __init__(self, method: str, allowed: Iterable[str]) -> None:
        self.allowed = ", ".join(sorted(allowed))
        super().__init__(f"{method:.20} is not allowed here; allowed are {self.allowed}")


class MediaTypeError(BadRequestError):
    """The body is of a type this endpoint does not read."""

    code = "UNSUPPORTED_MEDIA_TYPE"
    status = 415


class RouteError(NotFoundError):
    """There is no such endpoint."""


def understood(error: Exception) -> Exception:
    """What an error is taken for: a process that may open no more files says so, wherever it was.

    Whatever is opened for the first time, also modules of Python, may be what meets the limit.
    """
    if isinstance(error, OSError) and error.errno in _NO_FILES:
        return UnavailableError(f"this node cannot do that now: {error.strerror}; try later")
    return error


def is_expected(error: Exception) -> bool:
    """Whether an error was raised on purpose and is the caller's affair."""
    return isinstance(error, AeorError) and error.status != AeorError.status


def refusal(error: Exception) -> Response:
    """The answer that carries an error."""
    if not isinstance(error, AeorError):
        return answer(_INTERNAL, AeorError.status)
    problem: Problem | dict[str, object] = Problem(error.message, error.code)
    if error.details:
        problem = {**error.details, "error": error.message, "code": error.code}
    return answer(problem, error.status, dict(_headers(error)))


def _headers(error: AeorError) -> Iterable[tuple[str, str]]:
    if isinstance(error, MethodError):
        yield "Allow", error.allowed
    elif isinstance(error, BadRangeError):
        yield "Content-Range", print_no_range(error.size)
    elif isinstance(error, RateLimitedError):
        yield "Retry-After", str(error.retry_after)
    elif isinstance(error, OverloadedError):
        yield "Retry-After", "1"
    elif isinstance(error, UnauthorizedError):
        yield "WWW-Authenticate", "Bearer"
    elif isinstance(error, TooLargeError):
        # Or the server would have to read, and drop, all of what is too large.
        yield "Connection", "close"
