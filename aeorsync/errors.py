"""Every error the package raises on purpose.

The class says what the reader should do; ``code`` is the word on the wire, ``status`` the HTTP
status that carries it.

    AeorError                         something we understand went wrong
    ├── BadRequestError        400    the caller sent nonsense
    │   ├── InvalidFieldError  422    well-formed, but a field has the wrong type
    │   ├── TooLargeError      413    more bytes than this request may carry
    │   └── BadRangeError      416    the byte range cannot be served
    ├── UnauthorizedError      401    no valid proof of who is asking
    ├── DeniedError            403    the caller may not do this
    │   ├── RemovedError       403    a node that was removed from the cluster
    │   └── TwinError          403    a second process under the id of a node
    ├── NotFoundError          404    no such path, version or object (or not for this caller)
    ├── ConflictError          409    the name is taken, or a file is where a folder is
    ├── PreconditionError      412    If-Match or If-None-Match did not hold
    ├── RateLimitedError       429    too many attempts; wait
    ├── OverloadedError        429    too much is being done at once; send it again
    ├── BusyError              409    it is being done already; wait until that has ended
    ├── StaleError             409    the head moved; re-read and retry
    ├── CorruptError           500    bytes do not match the name they are stored under
    ├── UnavailableError       503    a peer, a disk or this node cannot serve now
    │   └── UntrustedError     503    a peer could not prove by its certificate who it is
    └── StartupError           -      the node cannot start; carries the exit code
"""

from typing import Final

UNREADABLE: Final = (ValueError, OverflowError, RecursionError)
"""What a decoder raises for bytes from elsewhere that are not what they should be: the errors of
msgspec and of text that is no UTF-8 are ValueErrors, and what is nested too deeply is neither."""


class AeorError(Exception):
    """Base of all errors raised on purpose.

    Attributes:
        message: One sentence for a person: what happened, what was kept, what to do.
        code: Stable upper-case word for programs.
        status: HTTP status that carries this error.
        retry: Whether the same call may work later without a change by the caller.
        details: What else is told of it, by the names that programs read.
        told: What the other end of a connection gave as its reason; empty when it was not asked
            or gave none.
    """

    code = "INTERNAL_ERROR"
    status = 500
    retry = False
    told: str = ""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, object] = {}

    @property
    def path(self) -> str | None:
        """Which one of many paths it is about, where there is one to name."""
        path = self.details.get("path")
        return path if isinstance(path, str) else None

    @path.setter
    def path(self, path: str) -> None:
        self.details["path"] = path


class BadRequestError(AeorError):
    """The caller sent something that can never be accepted."""

    code = "INVALID_INPUT"
    status = 400


class InvalidFieldError(BadRequestError):
    """The body is well-formed JSON, but a field is missing or has the wrong type."""

    code = "INVALID_FIELD"
    status = 422


class TooLargeError(BadRequestError):
    """The body, or what it asks for, is over a limit."""

    code = "PAYLOAD_TOO_LARGE"
    status = 413


class BadRangeError(BadRequestError):
    """The requested byte range is malformed or lies outside the file.

    Attributes:
        size: Size of the whole file in bytes.
    """

    code = "BAD_RANGE"
    status = 416

    def __init__(self, message: str, size: int) -> None:
        super().__init__(message)
        self.size = size


class UnauthorizedError(AeorError):
    """No token, or one that is forged, expired or of another cluster."""

    code = "AUTH_REQUIRED"
    status = 401


class DeniedError(AeorError):
    """The caller is known and may not do this."""

    code = "FORBIDDEN"
    status = 403


class RemovedError(DeniedError):
    """A node that was removed from the cluster; it has to begin anew, with no data."""

    code = "REMOVED"


class TwinError(DeniedError):
    """A second process under the id of a node: its data folder is a copy."""

    code = "TWIN"


class NotFoundError(AeorError):
    """No such path, version or object, or none this caller may know of."""

    code = "NOT_FOUND"
    status = 404


class ConflictError(AeorError):
    """The change does not fit what is there: a taken name, a file where a folder is."""

    code = "ALREADY_EXISTS"
    status = 409


class PreconditionError(AeorError):
    """``If-Match`` or ``If-None-Match`` did not hold; nothing was changed."""

    code = "PRECONDITION_FAILED"
    status = 412


class RateLimitedError(AeorError):
    """Too many attempts.

    Attributes:
        retry_after: Seconds until another attempt may succeed.
    """

    code = "RATE_LIMITED"
    status = 429
    retry = True

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class OverloadedError(AeorError):
    """More is being taken in at once than memory is set aside for; the same call works later."""

    code = "OVERLOADED"
    status = 429
    retry = True

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.details["retryable"] = True


class StaleError(AeorError):
    """The head moved between reading and committing, or has yet to; read again and retry."""

    code = "STALE"
    status = 409
    retry = True


class BusyError(AeorError):
    """What may be done only once at a time is being done already."""

    code = "BUSY"
    status = 409
    retry = True


class CorruptError(AeorError):
    """Stored or received bytes do not match the hash they go by."""

    code = "CORRUPT"
    status = 500


class UnavailableError(AeorError):
    """A peer, a disk or this node cannot serve now; the same call may work later."""

    code = "SERVICE_UNAVAILABLE"
    status = 503
    retry = True


class UntrustedError(UnavailableError):
    """A peer by ``https://`` did not prove who it is; nothing was sent to it."""


class StartupError(AeorError):
    """The node cannot start.

    Attributes:
        exit_code: Process exit code, listed in ``docs/operations.md``.
    """

    code = "STARTUP_FAILED"

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code
