"""HTTP/1.1 on one connection: uvicorn's, with a bound to everything a client can make it hold.

    head or trailers      at most `limits.MAX_HEAD` bytes and `limits.MAX_FIELDS` fields
    requests that wait    at most `limits.MAX_WAITING`
    connections           at most `most_connections`; the idlest makes room for a new one
    a head, or nothing    `HEAD_SECONDS` until it is whole
    a body                `BODY_SECONDS` from one byte to the next
    an answer             `MIN_SENT` bytes of it in `SEND_SECONDS`, or the rest

Whatever goes over is refused in JSON, and the connection is closed. A refusal is never sent in
place of an answer: whoever is being answered hears the end of it, and then the connection closes.
A request whose body breaks off is told to its handler as cut off, so its own answer is the truth.
"""

import resource
from asyncio import TimerHandle, Transport
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from aeorsync.api.replies import Problem
from aeorsync.errors import BadRequestError, UnavailableError
from aeorsync.wire import limits

HEAD_SECONDS = 30.0
BODY_SECONDS = 60.0
SEND_SECONDS = 60.0
MIN_SENT = 16 * limits.KIB
IDLE_SECONDS = 1.0
"""Who has waited for less makes room for nobody: the next request may be on its way."""
LINGER_SECONDS = 1.0
"""How long a client may read why it was refused, before what it still sends resets it."""
RESERVED_FILES = 160
"""Files that this process may always open, whoever connects: packs, the database, peers."""
_LONG_PIECE = 64 * limits.KIB
_TOLD = 16
"""Connections over the limit that are told so; those beyond are just closed."""

_DISCONNECT = {"type": "http.disconnect"}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a connection is closed."""

    status: int
    code: str
    text: str


_MALFORMED = Refusal(400, BadRequestError.code, "this is no HTTP request we understand")
_UPGRADE = Refusal(400, BadRequestError.code, "a request to upgrade may not have a body")
_CODED = Refusal(400, BadRequestError.code, "no transfer coding is understood but chunked")
_TOO_LARGE = Refusal(
    431,
    "HEAD_TOO_LARGE",
    f"the header is over {limits.MAX_HEAD} bytes or {limits.MAX_FIELDS} fields",
)
_TOO_MANY = Refusal(429, "RATE_LIMITED", "too many requests wait on this connection")
_SLOW = Refusal(408, "REQUEST_TIMEOUT", "the request did not arrive in time")
_FULL = Refusal(503, UnavailableError.code, "too many connections are open; try again later")


def most_connections() -> int:
    """Connections that may be open at a time, by our limit and by that of the system."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(limits.MAX_CONNECTIONS, max(files - RESERVED_FILES, files // 4))


class _RefusedError(Exception):
    """Stops the parser; the connection is refused for `Refusal`."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.text)
        self.refusal = refusal


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed on
        super().__init__(*args, **kwargs)
        self._is_refused = False
        # Of the message that is arriving.
        self._in_head = False
        self._in_body = False
        self._size = 0
        self._fields = 0
        # Bytes that came since the last of which anything became: what the parser may hold.
        self._pending = 0
        self._cut_off: RequestResponseCycle | None = None
        self._deadline: TimerHandle | None = None
        self._sending: TimerHandle | None = None
        self._unsent = 0
        # When it began to wait for the head that it waits for.
        self.since = self.loop.time()

    # Connection

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Begin; asyncio calls this."""
        super().connection_made(transport)
        excess = len(self.connections) - most_connections()
        if excess > 0 and self._make_room():
            self._watch()
        elif excess > _TOLD:
            self.transport.abort()
        elif excess > 0:
            self._refuse(_FULL)
        else:
            self._watch()

    def _make_room(self) -> bool:
        """Close the connection that has waited longest for a head, if one waits long enough."""
        latest = self.loop.time() - IDLE_SECONDS
        others = (other for other in self.connections if isinstance(other, BoundedProtocol))
        idle = [other for other in others if other.is_idle and other.since <= latest]
        if not idle:
            return False
        min(idle, key=lambda other: other.since).transport.abort()
        return True

    @property
    def is_idle(self) -> bool:
        """Whether it owes and is owed nothing but the next request."""
        cycle = cast("RequestResponseCycle | None", self.cycle)
        is_answered = cycle is None or cycle.response_complete
        is_open = not (self._in_body or self._is_refused or self.transport.is_closing())
        return is_answered and is_open and not self.pipeline

    def connection_lost(self, exc: Exception | None) -> None:
        """End; asyncio calls this."""
        self._forget_deadline()
        self._forget_sending()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes in; asyncio calls this."""
        self._unset_keepalive_if_required()
        if self._is_refused:
            return
        self._pending += len(data)
        try:
            self._feed(memoryview(data))
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause.refusal if isinstance(cause, _RefusedError) else _MALFORMED)
            return
        if self._pending > limits.MAX_HEAD:
            self._refuse(_TOO_LARGE)
        else:
            self._watch()

    def _feed(self, data: memoryview) -> None:
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                # We upgrade to nothing, so what follows is the next request.
                data = data[upgrade.args[0] :]
            else:
                return

    # What the parser finds

    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        self._in_head = True
        self._size = self._fields = 0

    def on_url(self, url: bytes) -> None:
        """Take a part of the request line."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field of the head; trailers are counted and dropped."""
        self._fields += 1
        self._count(len(name) + len(value) + len(b": \r\n"))
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the request, or let it wait for those before it."""
        if self.parser.should_upgrade() and _has_body(self.headers):
            raise _RefusedError(_UPGRADE)
        if not all(_is_framed_plainly(*field) for field in self.headers):
            raise _RefusedError(_CODED)
        if len(self.pipeline) >= limits.MAX_WAITING:
            raise _RefusedError(_TOO_MANY)
        super().on_headers_complete()
        self._in_head, self._in_body = False, True
        self._size = self._fields = self._pending = 0

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._pending = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the body."""
        self._pending = 0
        self._in_body = False
        self._forget_deadline()
        super().on_message_complete()

    def _count(self, size: int) -> None:
        self._size += size
        if self._size > limits.MAX_HEAD or self._fields > limits.MAX_FIELDS:
            raise _RefusedError(_TOO_LARGE)

    # Requests

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:  # noqa: ANN401 - uvicorn's type is private
        async def serve(
            scope: Any,  # noqa: ANN401 - passed on
            receive: Callable[[], Awaitable[Any]],
            send: Any,  # noqa: ANN401 - passed on
        ) -> None:
            async def receive_whole() -> Any:  # noqa: ANN401 - passed on
                message = None if self._cut_off is cycle else await receive()
                return _DISCONNECT if self._cut_off is cycle else message

            async def send_whole(message: Any) -> None:  # noqa: ANN401 - passed on
                if not _is_long_piece(cycle, message):
                    await send(message)
                    return
                # Before it is written, not after: what comes next is made meanwhile.
                if self.flow.write_paused and not cycle.disconnected:
                    await self.flow.drain()
                if not cycle.disconnected:
                    body = message["body"]
                    self.transport.writelines((b"%x\r\n" % len(body), body, b"\r\n"))

            await app(scope, receive_whole, send_whole)

        super()._start_asgi_task(cycle, cast("Any", serve))

    def on_response_complete(self) -> None:
        """Go on to the next request; of a refused connection nothing more is read."""
        super().on_response_complete()
        self.since = self.loop.time()
        self._watch_sending()
        if self._is_refused:
            self.flow.pause_reading()

    # What the client has not taken yet

    def pause_writing(self) -> None:
        """Let the application wait; asyncio calls this."""
        super().pause_writing()
        self._watch_sending()

    def resume_writing(self) -> None:
        """Let the application go on; asyncio calls this."""
        if not self.transport.is_closing():
            self._forget_sending()
        super().resume_writing()

    def _watch_sending(self) -> None:
        """Set the deadline for what is on its way out, if anything is."""
        if self._sending is None and self.transport.get_write_buffer_size():
            self._unsent = self.transport.get_write_buffer_size()
            self._sending = self.loop.call_later(SEND_SECONDS, self._end_sending)

    def _forget_sending(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None

    def _end_sending(self) -> None:
        self._sending = None
        left = self.transport.get_write_buffer_size()
        if not left or self._unsent - left >= MIN_SENT:
            self._watch_sending()
        else:
            self.transport.abort()

    def _close(self) -> None:
        """Close when the client has what is on its way, or does not want it."""
        self.transport.close()
        self._watch_sending()

    # Refusals and deadlines

    def _refuse(self, refusal: Refusal) -> None:
        """Read no more; answer, unless the last request is or was answered; close."""
        self._is_refused = True
        self._forget_deadline()
        self.flow.pause_reading()
        cycle = cast("RequestResponseCycle | None", self.cycle)
        if cycle is not None and not cycle.response_complete:
            cycle.keep_alive = False
            if self._in_body:
                self._cut_off = cycle
                cycle.message_event.set()
            return
        if not self._in_body:
            self._write(refusal)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self._close)

    def _write(self, refusal: Refusal) -> None:
        body = msgspec.json.encode(Problem(refusal.text, refusal.code))
        fields = [
            *self.server_state.default_headers,
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        head = b"".join(b"%b: %b\r\n" % field for field in fields)
        self.transport.write(STATUS_LINE[refusal.status] + head + b"\r\n" + body)

    def _watch(self) -> None:
        """Set the deadline for what has to come next, if anything has to."""
        is_idle = self.cycle is None or self.cycle.response_complete
        if self._in_body:
            self._forget_deadline()
            self._deadline = self.loop.call_later(BODY_SECONDS, self._end_body)
        elif not (self._in_head or is_idle):
            self._forget_deadline()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_SECONDS, self._end_head)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _end_body(self) -> None:
        self._deadline = None
        if self.flow.read_paused:
            self._watch()  # it waits for us
        else:
            self._refuse(_SLOW)

    def _end_head(self) -> None:
        self._deadline = None
        if self._in_head:
            self._refuse(_SLOW)
        else:
            self._close()


def _is_framed_plainly(name: bytes, value: bytes) -> bool:
    """Whether a field leaves the body as it is; a coding besides ``chunked`` does not."""
    return name != b"transfer-encoding" or value.strip(b" \t").lower() == b"chunked"


def _is_long_piece(cycle: RequestResponseCycle, message: Any) -> bool:  # noqa: ANN401
    """Whether a message is a piece of an answer that uvicorn would copy to put its length before.

    Only what is sent in chunks has lengths, and neither does the answer to a HEAD.
    """
    is_framed = cycle.chunked_encoding is True and not cycle.response_complete
    is_piece = message["type"] == "http.response.body" and message.get("more_body", False)
    return is_framed and is_piece and len(message["body"]) >= _LONG_PIECE


def _has_body(fields: list[tuple[bytes, bytes]]) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0 \t"))
        for name, value in fields
    )
