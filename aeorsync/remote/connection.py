"""HTTP to one peer: pooled connections, a bearer token, a deadline on everything.

What goes wrong is told in our own errors: a peer that cannot be reached or does not answer in
time is `UnavailableError`, a refusal is the error of its status with the peer's own text. Every
call between nodes may be repeated, so one that met a connection the peer had just closed is; a
client says of a `Request` that it may not.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from http import HTTPStatus
from typing import Final, cast

from aeorsync.errors import AeorError, BadRequestError, UnavailableError
from aeorsync.remote.asking import CALL_S, CONNECT_S, FIELDS, IDLE_S, Answer, Request, refusal
from aeorsync.remote.engine import Engine
from aeorsync.remote.lean import httpx
from aeorsync.remote.trust import distrust, system_trust
from aeorsync.runtime.redact import redact
from aeorsync.wire.encoding import Inflater
from aeorsync.wire.headers import FROM_HEADER, RUN_HEADER
from aeorsync.wire.limits import MAX_ERROR_BODY, MAX_JSON

_KEEP_ALIVE_S: Final = 300.0
_TOKEN_S: Final = 120.0
# One event stream, four batches of chunks, and room for a page, a probe and a wake-up call.
_CONNECTIONS: Final = 8

Mint = Callable[[], str]
"""Makes a bearer token; cheap, but not free."""
Pace = Callable[[int], Awaitable[None]]
"""Waits as long as so many bytes are meant to take."""


class Connection:
    """The way to one peer; belongs to one event loop. `close` it."""

    def __init__(
        self,
        address: str,
        mint: Mint | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        trust: ssl.SSLContext | None = None,
        size: int = _CONNECTIONS,
    ) -> None:
        """Prepare; nothing is connected yet.

        Args:
            address: Base URL without a trailing slash.
            mint: Makes the bearer token, asked at most every two minutes; None to send none.
            transport: Something else than the network.
            trust: Whose certificates to believe; None for the system's authorities.
            size: Most requests at a time; others wait.
        """
        self.address = address
        self._mint = mint
        self._token = ""
        self._token_until = 0.0
        trust = _default_trust(address) if trust is None else trust
        try:
            self._client = httpx.AsyncClient(
                base_url=address,
                headers=FIELDS,
                timeout=httpx.Timeout(IDLE_S, connect=CONNECT_S),
                trust_env=False,
                follow_redirects=False,
                transport=transport or Engine(trust, size, _KEEP_ALIVE_S),
            )
        except (httpx.InvalidURL, ValueError) as error:
            raise BadRequestError(f"{redact(address)} is not an address: {error}") from error

    def introduce(self, node_id: int, run: int) -> None:
        """Say with every call from now on which node is calling, and which run of it."""
        self._client.headers.update({FROM_HEADER: str(node_id), RUN_HEADER: f"{run:x}"})

    async def close(self) -> None:
        """Let go of all connections."""
        await self._client.aclose()

    async def call(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        content_type: str = "application/json",
        deadline_s: float = CALL_S,
    ) -> bytes:
        """Send JSON, or something else, and return the body of a small JSON answer.

        Raises:
            AeorError: See the top of this module.
        """
        headers = {"Content-Type": content_type, "Accept": "application/json"}
        async with (
            self.deadline(deadline_s),
            # A node that works on the answer all this time may be silent all this time.
            self.open(method, path, body, headers, idle_s=max(IDLE_S, deadline_s)) as pieces,
        ):
            answer = bytearray()
            async for piece in pieces:
                answer += piece
                if len(answer) > MAX_JSON:
                    raise BadRequestError(f"{self.address} answered {path} with too long a body")
            return bytes(answer)

    async def look(self, path: str, *, deadline_s: float) -> tuple[bytes, str | None]:
        """Return the body of a small answer, and the date at which it was made, as told.

        Raises:
            AeorError: See the top of this module.
        """
        async with self.deadline(deadline_s):
            with self._translated():
                response = await self._send(lambda: self._client.build_request("GET", path))
                try:
                    if response.status_code // 100 != HTTPStatus.OK // 100:
                        raise await self._refusal(response)
                    body = bytearray()
                    async for piece in response.aiter_raw():
                        body += piece
                        if len(body) > MAX_JSON:
                            raise BadRequestError(f"{self.address} answered {path} at length")
                    return bytes(body), response.headers.get("Date")
                finally:
                    await response.aclose()

    @asynccontextmanager
    async def open(
        self,
        method: str,
        path: str,
        body: bytes,
        headers: dict[str, str],
        *,
        idle_s: float = IDLE_S,
        pace: Pace | None = None,
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Send a request and yield the pieces of a good answer; see `exchange`."""
        request = Request(method, path, body, headers, idle_s=idle_s)
        async with self.exchange(request, pace) as answer:
            yield answer.pieces

    @asynccontextmanager
    async def exchange(self, asked: Request, pace: Pace | None = None) -> AsyncIterator[Answer]:
        """Send a request and yield a good answer as it comes in.

        Args:
            asked: What.
            pace: Called with the size of each piece as it came over the network; the next one is
                read when it returns.

        Raises:
            AeorError: See the top of this module.
        """
        with self._translated():
            headers = dict(asked.headers)
            if self._mint is not None:
                headers["Authorization"] = f"Bearer {self._bearer(self._mint)}"
            response = await self._send(lambda: self._built(asked, headers), asked.may_repeat)
            try:
                if response.status_code // 100 != HTTPStatus.OK // 100:
                    raise await self._refusal(response)
                pieces = _unpacked(response, _paced(response.aiter_raw(), pace))
                yield Answer(response.status_code, response.headers, self._safely(pieces))
            finally:
                await response.aclose()

    def _built(self, asked: Request, headers: dict[str, str]) -> httpx.Request:
        body = asked.body() if callable(asked.body) else asked.body or None
        return self._client.build_request(
            asked.method,
            asked.path,
            content=cast("bytes | AsyncIterator[bytes] | None", body),
            headers=headers,
            timeout=httpx.Timeout(asked.idle_s, connect=CONNECT_S),
        )

    @asynccontextmanager
    async def deadline(self, seconds: float) -> AsyncIterator[asyncio.Timeout]:
        """Give what is inside so many seconds; it may put that off.

        Raises:
            UnavailableError: It took longer.
        """
        try:
            async with asyncio.timeout(seconds) as timer:
                yield timer
        except TimeoutError as error:
            text = f"{self.address} did not finish an answer in {seconds:g} s"
            raise UnavailableError(text) from error

    async def _send(
        self,
        build: Callable[[], httpx.Request],
        may_repeat: bool = True,  # noqa: FBT001, FBT002
    ) -> httpx.Response:
        try:
            return await self._client.send(build(), stream=True)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            if not may_repeat:
                raise
            # Most likely the peer closed an idle connection just as it was taken from the pool.
            return await self._client.send(build(), stream=True)

    def _bearer(self, mint: Mint) -> str:
        now = asyncio.get_running_loop().time()
        if now >= self._token_until:
            self._token = mint()
            self._token_until = now + _TOKEN_S
        return self._token

    async def _refusal(self, response: httpx.Response) -> AeorError:
        status = response.status_code
        if status == HTTPStatus.UNAUTHORIZED:
            self._token_until = 0.0
        body = bytearray()
        # Where no more of its reason comes, the status says enough.
        with suppress(httpx.TransportError):
            async for piece in response.aiter_raw():
                body += piece
                if len(body) > MAX_ERROR_BODY:
                    break
        wait = response.headers.get("Retry-After", "")
        return refusal(self.address, status, wait, bytes(body))

    async def _safely(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        # Who reads on after leaving the place where the exchange began is told in our words, too.
        with self._translated():
            async for piece in pieces:
                yield piece

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except httpx.TimeoutException as error:
            raise UnavailableError(f"{self.address} did not answer in time") from error
        except httpx.TransportError as error:
            untrusted = distrust(self.address, error)
            if untrusted is not None:
                raise untrusted from error
            text = redact(str(error)) or type(error).__name__
            if isinstance(error, httpx.RemoteProtocolError):
                text += self._hint_at_tls()
            raise UnavailableError(f"cannot reach {self.address}: {text}") from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise UnavailableError(f"{self.address}: {redact(str(error))}") from error

    def _hint_at_tls(self) -> str:
        # A TLS server hangs up on whoever does not begin with a handshake.
        is_plain = self.address.startswith("http://")
        return " If it serves HTTPS, its address begins with https://" if is_plain else ""


def _default_trust(address: str) -> ssl.SSLContext:
    if address.lower().startswith("http://"):
        # Never asked; reading the system's authorities would take longer than most calls.
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return system_trust()


async def _paced(pieces: AsyncIterator[bytes], pace: Pace | None) -> AsyncIterator[bytes]:
    async for piece in pieces:
        if pace is not None:
            await pace(len(piece))
        yield piece


async def _unpacked(
    response: httpx.Response, pieces: AsyncIterator[bytes]
) -> AsyncIterator[bytes]:
    encoding = response.headers.get("Content-Encoding", "identity").lower()
    if encoding == "identity":
        async for piece in pieces:
            yield piece
        return
    if encoding != response.request.headers["Accept-Encoding"]:
        raise BadRequestError(f"the answer comes as {redact(encoding)}, which nobody asked for")
    inflater = Inflater()
    async for piece in pieces:
        for plain in inflater.feed(piece):
            yield plain
    inflater.finish()
