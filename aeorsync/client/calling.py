"""One call and its answer: JSON both ways, and patience.

*Patience.* A call that may be repeated is, with growing pauses, while the server cannot be
reached or says that it cannot serve now; but only once it has answered before: a wrong address
fails at once, and a server that is started anew is waited for. What is not known to be harmless
twice is only repeated when the server said that it did nothing.

    error                      repeated
    -----                      --------
    UnavailableError           if the call may be repeated
    StaleError                 always: nothing was done
    RateLimitedError           always, after the time it names, where patience allows that
    UntrustedError, all else   never
"""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from aeorsync.errors import (
    UNREADABLE,
    AeorError,
    BadRequestError,
    RateLimitedError,
    StaleError,
    TooLargeError,
    UnavailableError,
    UntrustedError,
)
from aeorsync.remote.asking import CALL_S, Request, Way
from aeorsync.runtime import chance, straight
from aeorsync.wire.limits import MIB

if TYPE_CHECKING:
    from aeorsync.remote.connection import Connection

T = TypeVar("T")
C = TypeVar("C", bound="Caller")

LONG_S: Final = 600.0
"""Longest time for a call that works on a whole tree."""
MAX_ANSWER: Final = 128 * MIB
"""Longest JSON that is taken; one page of a diff may tell of one very long file."""
FIRST_PAUSE_S: Final = 0.1
LAST_PAUSE_S: Final = 5.0
IDEMPOTENT: Final = frozenset({"GET", "HEAD", "PUT", "DELETE"})

Query = Mapping[str, str | int | bool | None]


PATIENCE_S: Final = 20.0
"""How long a server that has answered before is waited for."""
_CONNECTIONS: Final = 16


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked.

    Attributes:
        method: HTTP method.
        path: Percent-encoded (`place`), without a query.
        query: Parameters; None for one that is not given.
        body: Sent as JSON; None for none.
        headers: Fields.
        may_repeat: None: as HTTP says of the method.
        deadline_s: Longest time until the answer is here, in seconds.
    """

    method: str
    path: str
    query: Query | None = None
    body: object = None
    headers: Mapping[str, str] | None = None
    may_repeat: bool | None = None
    deadline_s: float = CALL_S

    @property
    def is_repeatable(self) -> bool:
        """Whether it may be made twice."""
        return self.method in IDEMPOTENT if self.may_repeat is None else self.may_repeat

    def request(self) -> Request:
        """As it goes over the wire."""
        body = b"" if self.body is None else msgspec.json.encode(self.body)
        fields = {"Accept": "application/json", **(self.headers or {})}
        if body:
            fields.setdefault("Content-Type", "application/json")
        return Request(
            method=self.method,
            path=self.path + print_query(self.query or {}),
            body=body,
            headers=fields,
            may_repeat=self.is_repeatable,
            idle_s=max(CALL_S, self.deadline_s),
        )


def connect(url: str, key: str | None, authorities: Path | None) -> "Connection":
    """Prepare the way to a server; the arguments are those of `AsyncClient`.

    Raises:
        BadRequestError: ``url`` is not an address.
        StartupError: ``authorities`` cannot be used.
    """
    # Imported here: who is driven straight through goes another way.
    from aeorsync.remote.connection import Connection  # noqa: PLC0415
    from aeorsync.remote.trust import load_trust  # noqa: PLC0415

    trust = None if authorities is None else load_trust(authorities)
    mint = None if key is None else lambda: key
    return Connection(url.rstrip("/"), mint, trust=trust, size=_CONNECTIONS)


class Caller:
    """A server, as somebody to call; the ground on which the groups of calls stand.

    Args:
        connection: The way to it; closed by `close`.
        patience_s: How long a server that has answered before is waited for, in seconds.
    """

    def __init__(self, connection: Way, patience_s: float) -> None:
        self._connection = connection
        self._patience_s = patience_s
        self._was_there = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def address(self) -> str:
        """Base URL of the server."""
        return self._connection.address

    def beside(self, kind: type[C]) -> C:
        """The same server by other calls; `close` is for one of them."""
        other = kind(self._connection, self._patience_s)
        other._was_there = self._was_there  # noqa: SLF001  # one like this
        return other

    async def close(self) -> None:
        """Let go of all connections."""
        await self._connection.close()

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Query | None = None,
        deadline_s: float = CALL_S,
    ) -> Any:  # noqa: ANN401  # any JSON
        """Make any call of the protocol and return the JSON of its answer.

        Args:
            method: HTTP method.
            path: As in the protocol, percent-encoded.
            body: Sent as JSON; None for none.
            query: Parameters.
            deadline_s: Longest time until the answer is here, in seconds.
        """
        asked = Call(method=method, path=path, query=query, body=body, deadline_s=deadline_s)
        return await self._ask(asked, Any)

    async def _ask(self, asked: Call, shape: type[T]) -> T:
        """Make a call and return its answer, checked against a shape."""
        answer = await self._asked(asked)
        try:
            return msgspec.json.decode(answer, type=shape)
        except UNREADABLE as error:
            raise BadRequestError(f"{self.address} sent a broken answer: {error}") from error

    async def _asked(self, asked: Call) -> bytes:
        request = asked.request()
        return await self._patiently(
            lambda: self._body(request, asked.deadline_s), is_repeatable=asked.is_repeatable
        )

    async def _send(self, request: Request, deadline_s: float) -> bytes:
        """Send a body that is no JSON; the answer's body."""
        return await self._patiently(
            lambda: self._body(request, deadline_s), is_repeatable=request.may_repeat
        )

    async def _body(self, request: Request, deadline_s: float) -> bytes:
        body = bytearray()
        async with (
            self._connection.deadline(deadline_s),
            self._connection.exchange(request) as answer,
        ):
            async for piece in answer.pieces:
                body += piece
                if len(body) > MAX_ANSWER:
                    raise TooLargeError(f"{self.address} answered over {MAX_ANSWER} bytes")
        return bytes(body)

    async def _fields(self, asked: Call) -> Mapping[str, str]:
        """Make a call and return the fields of its answer."""
        request = asked.request()

        async def once() -> Mapping[str, str]:
            async with (
                self._connection.deadline(asked.deadline_s),
                self._connection.exchange(request) as answer,
            ):
                return dict(answer.headers)

        return await self._patiently(once, is_repeatable=True)

    async def _patiently(self, attempt: Callable[[], Awaitable[T]], *, is_repeatable: bool) -> T:
        """Try, and try again; see the top of this module."""
        if straight.is_on():
            # Nobody waits there: who made the pass makes it again the long way.
            return await attempt()
        import asyncio  # noqa: PLC0415  # there by now

        clock = asyncio.get_running_loop().time
        end = clock() + self._patience_s
        pauses = Pauses()
        while True:
            try:
                result = await attempt()
            except (UnavailableError, StaleError, RateLimitedError) as error:
                pause = pauses.next(error)
                if not self._is_worth_it(error, is_repeatable) or clock() + pause > end:
                    raise
                await asyncio.sleep(pause)
            else:
                self._was_there = True
                return result

    async def rest(self, pauses: "Pauses") -> None:
        """Wait a moment before something that broke is taken up again."""
        import asyncio  # noqa: PLC0415  # likewise

        await asyncio.sleep(pauses.next())

    def _is_worth_it(self, error: AeorError, is_repeatable: bool) -> bool:  # noqa: FBT001
        if isinstance(error, UntrustedError):
            return False
        if isinstance(error, UnavailableError):
            return is_repeatable and self._was_there
        return True


class Pauses:
    """How long to wait before the next attempt: longer each time, and never quite the same."""

    def __init__(self) -> None:
        self._pause_s = FIRST_PAUSE_S

    def next(self, error: AeorError | None = None) -> float:
        """Seconds."""
        if isinstance(error, RateLimitedError):
            return float(error.retry_after)
        pause = self._pause_s
        self._pause_s = min(LAST_PAUSE_S, 2 * pause)
        return pause * (0.5 + chance.fraction())


def place(prefix: str, path: str) -> str:
    """The URL path of a path of the tree: ``/files`` and ``/a b`` are ``/files/a%20b``."""
    inner = path.strip("/")
    return f"{prefix}/{quote(inner)}" if inner else prefix


def print_query(query: Query) -> str:
    """Parameters as they stand behind a path, with the question mark; nothing for none."""
    given = {name: _printed(value) for name, value in query.items() if value is not None}
    return f"?{urlencode(given)}" if given else ""


def _printed(value: str | int | bool) -> str:  # noqa: FBT001
    return str(value).lower() if isinstance(value, bool) else str(value)
