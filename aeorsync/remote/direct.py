"""One plain connection to a server with no event loop below it, for `runtime.straight`.

One exchange at a time: what is asked is sent whole, then, where the answer does not come at once,
whoever asked may do something else (`straight.pause`) until it is read. No TLS, no second attempt:
what does not go like this is `UnavailableError`, and goes the long way.
"""

import select
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

import httptools

from aeorsync.errors import BadRequestError, UnavailableError
from aeorsync.remote.asking import CONNECT_S, FIELDS, Answer, Request, refusal
from aeorsync.runtime import straight
from aeorsync.runtime.redact import redact
from aeorsync.wire.limits import KIB, MAX_ERROR_BODY, MAX_HEAD, MIB

_PIECE: Final = 256 * KIB
_MOST: Final = 4 * MIB
"""Bytes of an answer; who has more to tell is heard piece by piece, the long way."""
_AT_ONCE_S: Final = 0.005
_OK: Final = 2


def leads_to(address: str) -> bool:
    """Whether this way leads to an address."""
    return address.startswith("http://")


class Direct:
    """The way to one server; see `remote.asking.Way`. For one thread."""

    def __init__(self, address: str, key: str | None) -> None:
        """Prepare; nothing is connected yet.

        Args:
            address: Base URL without a trailing slash, to which this way leads.
            key: API key or token; None to send none.
        """
        self.address = address
        self._url = urlsplit(address)
        self._fields = {"Host": self._url.netloc, **FIELDS}
        if key is not None:
            self._fields["Authorization"] = f"Bearer {key}"
        self._socket: socket.socket | None = None

    async def close(self) -> None:
        """Let go of the connection."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    @asynccontextmanager
    async def deadline(self, seconds: float) -> AsyncIterator[None]:
        """Nothing: the silence of each exchange is bounded."""
        del seconds
        yield

    @asynccontextmanager
    async def exchange(self, asked: Request) -> AsyncIterator[Answer]:
        """Send a request and yield a good answer, all of which is here.

        Raises:
            AeorError: It is not a good one, or there is none.
        """
        try:
            line = self._line(asked.idle_s)
            line.sendall(self._printed(asked))
            if not select.select([line], (), (), _AT_ONCE_S)[0]:
                await straight.pause()
            answer = _Reply()
            while not answer.is_whole:
                answer.feed(line.recv(_PIECE))
        except (OSError, ValueError, httptools.HttpParserError) as error:
            await self.close()
            text = redact(str(error)) or type(error).__name__
            raise UnavailableError(f"cannot reach {self.address}: {text}") from error
        except BaseException:
            await self.close()
            raise
        if not answer.keeps_alive:
            await self.close()
        fields, body = answer.fields, bytes(answer.body)
        if answer.status // 100 != _OK:
            wait = fields.get("retry-after", "")
            raise refusal(self.address, answer.status, wait, body[:MAX_ERROR_BODY])
        encoding = fields.get("content-encoding", "identity").lower()
        if encoding != "identity":
            raise BadRequestError(
                f"the answer comes as {redact(encoding)}, which nobody asked for"
            )
        yield Answer(answer.status, fields, _one(body))

    def _line(self, idle_s: float) -> socket.socket:
        if self._socket is None:
            # As bytes: a name as text has the tables for names in other scripts loaded.
            host = (self._url.hostname or "").encode("ascii")
            place = host, self._url.port or 80
            self._socket = socket.create_connection(place, CONNECT_S)  # type: ignore[arg-type]
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.settimeout(idle_s)
        return self._socket

    def _printed(self, asked: Request) -> bytes:
        if callable(asked.body):
            raise UnavailableError("a body that is made piece by piece goes the long way")
        fields = {**self._fields, **asked.headers}
        if asked.body or asked.method != "GET":
            fields["Content-Length"] = str(len(asked.body))
        path = self._url.path + asked.path
        lines = [f"{asked.method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items())]
        return "\r\n".join((*lines, "", "")).encode("ascii") + asked.body


class _Reply:
    """An answer as it comes in.

    Attributes:
        status: Of it.
        fields: Of it, by their names in lower case.
        body: So far.
        is_whole: Whether all of it is here.
        keeps_alive: Whether another request may follow.
    """

    def __init__(self) -> None:
        self.status = 0
        self.fields: dict[str, str] = {}
        self.body = bytearray()
        self.is_whole = self.keeps_alive = False
        self._size = 0
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Take what came.

        Raises:
            ValueError: It is no end of an answer, or one that is too long.
            HttpParserError: It is no HTTP.
        """
        if not data:
            raise ValueError("it hung up in the middle of an answer")
        self._parser.feed_data(data)
        self._size += len(data)
        if self._size > _MOST or (not self.status and self._size > MAX_HEAD):
            raise ValueError("it answers at too great a length")

    # Called by the parser.

    def on_message_begin(self) -> None:
        if self.is_whole:
            raise ValueError("it answers more than was asked")

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.keeps_alive = self._parser.should_keep_alive()
        self.is_whole = True


async def _one(piece: bytes) -> AsyncIterator[bytes]:
    yield piece
