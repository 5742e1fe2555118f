"""One HTTP/1.1 connection that was made: a request goes out, its answer comes in.

What comes in is read in large pieces into one buffer that all connections of a thread share, and
copied once, out of it, as the pieces of a body. Parsing is httptools', as in the server.
Bounded whatever the peer sends: reading stops while more than `WAITING` bytes wait for whoever
asked, and what is no body may not be longer than `MAX_HEAD`.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Final, cast

import httptools

from aeorsync.remote.lean import httpx
from aeorsync.wire.limits import KIB, MAX_HEAD, MIB

WAITING: Final = MIB
_COST: Final = 64
"""What a piece takes beside its bytes."""
_FEW: Final = 16
"""Pieces handed over one by one; more of them are small."""
_JOINED: Final = 64 * KIB
"""Bytes of a body that is copied to go with its head; a longer one is written by itself."""
_WRITE_AHEAD: Final = 256 * KIB
_INFORMATIONAL: Final = 200
_REFUSED: Final = 400
_NO_BODY: Final = (204, 304)


class Line(asyncio.BufferedProtocol):
    """A connection. One exchange at a time; belongs to one event loop.

    Attributes:
        origin: Scheme, host and port it leads to.
        since: When it was last given back, in seconds of the loop's clock.
        status: Of the answer.
        fields: Of the answer.
    """

    def __init__(self, origin: tuple[str, str, int], buffer: memoryview) -> None:
        self.origin = origin
        self.since = 0.0
        self.status = 0
        self.fields: list[tuple[bytes, bytes]] = []
        self._buffer = buffer
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._parser: httptools.HttpResponseParser = cast("httptools.HttpResponseParser", None)
        self._pieces: deque[bytes] = deque()
        self._waiting = 0
        self._bare = 0
        self._failure: Exception | None = None
        self._has_head = self._is_whole = False
        self._is_sent = True
        self._keeps_alive = False
        self._has_end = True
        self._is_blocked = self._is_paused = False
        self._waiter: asyncio.Future[None] | None = None

    @property
    def is_free(self) -> bool:
        """Whether another request may be sent."""
        is_open = not self._transport.is_closing() and self._failure is None
        return is_open and self._is_whole and self._is_sent and self._keeps_alive

    def abort(self) -> None:
        """Let go of it at once."""
        self._transport.abort()

    async def ask(
        self, request: httpx.Request, read_s: float | None, send_s: float | None
    ) -> None:
        """Send a request and wait for the head of its answer.

        Args:
            request: What.
            read_s: Longest silence, in seconds; None for any.
            send_s: Longest time in which nothing of it is taken.

        Raises:
            httpx.TransportError: The connection broke, or the answer is no HTTP.
        """
        self._begin(request.method)
        await self._send(request, send_s)
        while not self._has_head:
            await self._wait(read_s, httpx.ReadTimeout)

    async def body(self, read_s: float | None) -> AsyncIterator[bytes]:
        """The pieces of the answer's body as they come in.

        Raises:
            httpx.TransportError: The connection broke before its end.
        """
        while True:
            while self._pieces:
                if len(self._pieces) > _FEW:
                    piece = b"".join(self._pieces)
                    self._pieces.clear()
                else:
                    piece = self._pieces.popleft()
                if not self._pieces:
                    self._waiting = 0
                    self._read_on()
                yield piece
            if self._is_whole:
                return
            await self._wait(read_s, httpx.ReadTimeout)

    # Sending

    def _begin(self, method: str) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.status, self.fields = 0, []
        self._has_head = self._is_whole = self._is_sent = False
        # Of what follows the head of such an answer nobody could say whether it is its body.
        self._keeps_alive = self._may_have_body = method != "HEAD"
        self._bare = self._waiting = 0
        self._pieces.clear()

    async def _send(self, request: httpx.Request, send_s: float | None) -> None:
        head = _head(request)
        if isinstance(request.stream, httpx.ByteStream):
            content = request.content
            if len(content) < _JOINED:
                self._write(head + content)
            else:
                self._write(head)
                self._write(content)
        else:
            await self._send_parts(request, head, send_s)
        await self._drained(send_s)
        self._is_sent = not self._is_blocked

    async def _send_parts(self, request: httpx.Request, head: bytes, send_s: float | None) -> None:
        is_chunked = "transfer-encoding" in request.headers
        self._write(head)
        stream = cast("httpx.AsyncByteStream", request.stream)
        async for part in stream:
            if not part:
                continue
            self._write(b"%x\r\n%b\r\n" % (len(part), part) if is_chunked else part)
            await self._drained(send_s)
            if self._is_blocked:
                return
        if is_chunked:
            self._write(b"0\r\n\r\n")

    def _write(self, data: bytes) -> None:
        if self._failure is not None:
            raise self._failure
        self._transport.write(data)

    async def _drained(self, send_s: float | None) -> None:
        """Wait until the peer takes more, or refuses what it was sent so far."""
        while self._is_blocked and not (self._has_head and self.status >= _REFUSED):
            await self._wait(send_s, httpx.WriteTimeout)

    # Receiving; called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection over."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_WRITE_AHEAD)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to read to; what is there is taken out by `buffer_updated`, at once."""
        del sizehint
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was read."""
        if self._parser is None or self._is_whole:
            self._fail(httpx.RemoteProtocolError("the peer sent what nobody asked for"))
            return
        self._bare += nbytes
        try:
            self._parser.feed_data(self._buffer[:nbytes])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(httpx.RemoteProtocolError(f"the answer is no HTTP: {error}"))
            return
        if self._bare > MAX_HEAD:
            self._fail(httpx.RemoteProtocolError("the head of the answer is too long"))
        elif self._waiting > WAITING and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that it ended; an answer that says no length ends so, too."""
        if exc is not None:
            error: Exception = httpx.ReadError(str(exc))
            error.__cause__ = exc
            self._fail(error)
        elif self._has_head and not self._has_end:
            self._is_whole = True
        else:
            self._fail(httpx.RemoteProtocolError("the peer hung up before its answer was whole"))
        self._keeps_alive = False
        self._is_blocked = False
        self._wake()

    def pause_writing(self) -> None:
        """Note that the peer is slow."""
        self._is_blocked = True

    def resume_writing(self) -> None:
        """Note that it has caught up."""
        self._is_blocked = False
        self._wake()

    # Parsing; called by httptools

    def on_message_begin(self) -> None:
        """Begin an answer; there is one to a request."""
        if self._is_whole:
            self._keeps_alive = False
            raise httpx.RemoteProtocolError("a second answer to one request")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field; trailers say nothing to us."""
        if not self._has_head:
            self.fields.append((name, value))

    def on_headers_complete(self) -> None:
        """Take the end of the head."""
        status = self._parser.get_status_code()
        if status < _INFORMATIONAL:
            return
        self.status = status
        self._has_head = True
        self._keeps_alive = self._keeps_alive and self._parser.should_keep_alive()
        names = {name.lower() for name, _ in self.fields}
        self._has_end = status in _NO_BODY or not names.isdisjoint(
            (b"content-length", b"transfer-encoding")
        )
        if not self._may_have_body:
            self._is_whole = True

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._bare = 0
        self._pieces.append(body)
        self._waiting += len(body) + _COST

    def on_message_complete(self) -> None:
        """Take the end of the answer; one that only promises another is passed over."""
        if self._has_head:
            self._is_whole = True
        else:
            self.fields.clear()

    # Waiting

    async def _wait(self, seconds: float | None, late: type[httpx.TimeoutException]) -> None:
        """Wait for anything to happen.

        Raises:
            httpx.TransportError: Nothing did, or the connection is lost.
        """
        if self._failure is not None:
            raise self._failure
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(seconds):
                await self._waiter
        except TimeoutError as error:
            text = f"nothing happened for {seconds:g} s"
            raise late(text) from error
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _read_on(self) -> None:
        if self._is_paused:
            self._is_paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def _fail(self, error: Exception) -> None:
        if self._failure is None and not self._is_whole:
            self._failure = error
        self._keeps_alive = False
        self.abort()
        self._wake()


_BREAKING: Final = (b"\r", b"\n", b"\0")


def _head(request: httpx.Request) -> bytes:
    """The request line and the fields.

    Raises:
        httpx.LocalProtocolError: One of them would be read as several.
    """
    parts = [request.method.encode("ascii"), b" ", request.url.raw_path, b" HTTP/1.1\r\n"]
    for name, value in request.headers.raw:
        if any(sign in name or sign in value for sign in _BREAKING):
            raise httpx.LocalProtocolError("a field of the request breaks its line")
        parts += (name, b": ", value, b"\r\n")
    if any(sign in request.url.raw_path or b" " in request.url.raw_path for sign in _BREAKING):
        raise httpx.LocalProtocolError("the path of the request breaks its line")
    parts.append(b"\r\n")
    return b"".join(parts)
