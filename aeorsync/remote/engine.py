"""The HTTP/1.1 engine below httpx: connections that are kept, made and counted here.

httpx's own hands a body through a dozen layers of Python, 64 KiB at a time, which costs more than
receiving, hashing and storing it together (`docs/decisions/0017`). Here a piece is whatever has
arrived, up to `BUFFER`, and passes one layer (`remote.line`).
"""

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from typing import Final

from aeorsync.remote.lean import httpx
from aeorsync.remote.line import Line
from aeorsync.wire.limits import MIB

BUFFER: Final = MIB
"""Bytes read from a connection at a time, at most."""
_HEAD_START_S: Final = 0.25
"""Time that each address of a host has before the next one is tried beside it."""
_PORTS: Final = {"http": 80, "https": 443}


class _Room(threading.local):
    """Where all connections of a thread read into, one after the other."""

    def __init__(self) -> None:
        self.buffer = memoryview(bytearray(BUFFER))


_room: Final = _Room()


class Engine(httpx.AsyncBaseTransport):
    """Keeps connections; belongs to one event loop.

    Attributes:
        size: Most exchanges at a time, and most idle connections kept.
        keep_s: Seconds after which an idle connection is not used again.
    """

    def __init__(self, trust: ssl.SSLContext, size: int, keep_s: float) -> None:
        self.size = size
        self.keep_s = keep_s
        self._trust = trust
        self._free = asyncio.Semaphore(size)
        self._idle: list[Line] = []
        self._busy: set[Line] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; see `httpx.AsyncBaseTransport`.

        Raises:
            httpx.TransportError: There was no way, or it broke.
        """
        limits: dict[str, float | None] = request.extensions.get("timeout", {})
        try:
            async with asyncio.timeout(limits.get("pool")):
                await self._free.acquire()
        except TimeoutError as error:
            raise httpx.PoolTimeout("all connections are in use") from error
        line: Line | None = None
        try:
            line = self._take(_origin(request.url)) or await self._connect(
                _origin(request.url), limits.get("connect")
            )
            self._busy.add(line)
            await line.ask(request, limits.get("read"), limits.get("write"))
        except BaseException:
            self._give_back(line)
            raise
        body = _Body(self, line, limits.get("read"))
        return httpx.Response(line.status, headers=line.fields, stream=body)

    async def aclose(self) -> None:
        """Let go of all connections."""
        for line in (*self._idle, *self._busy):
            line.abort()
        self._idle.clear()
        await asyncio.sleep(0)  # so that they are closed, not only about to be

    def end(self, line: Line) -> None:
        """Take a connection back whose answer was read, or is not wanted any more."""
        if line in self._busy:
            self._give_back(line)

    def _give_back(self, line: Line | None) -> None:
        self._free.release()
        if line is None:
            return
        self._busy.discard(line)
        if line.is_free:
            line.since = asyncio.get_running_loop().time()
            self._idle.append(line)
        else:
            line.abort()

    def _take(self, origin: tuple[str, str, int]) -> Line | None:
        """The connection that was used last, if any is still good."""
        oldest = asyncio.get_running_loop().time() - self.keep_s
        while self._idle:
            line = self._idle.pop()
            if line.origin == origin and line.since >= oldest and line.is_free:
                return line
            line.abort()
        return None

    async def _connect(self, origin: tuple[str, str, int], seconds: float | None) -> Line:
        try:
            async with asyncio.timeout(seconds):
                return await self._first(origin)
        except TimeoutError as error:
            raise httpx.ConnectTimeout("no connection could be made in time") from error
        except OSError as error:  # TLS included
            raise httpx.ConnectError(str(error)) from error

    async def _first(self, origin: tuple[str, str, int]) -> Line:
        """Connect to whichever address of a host answers first."""
        _, host, port = origin
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        waiting = [str(info[4][0]) for info in found]
        if len(waiting) == 1:
            return await self._open(origin, waiting[0])
        trying: set[asyncio.Task[Line]] = set()
        failure: BaseException = OSError(f"{host} has no address")
        try:
            while waiting or trying:
                if waiting:
                    address = waiting.pop(0)
                    trying.add(asyncio.create_task(self._open(origin, address)))
                done, trying = await asyncio.wait(
                    trying,
                    timeout=_HEAD_START_S if waiting else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                for task in done:
                    error = task.exception()
                    if error is None:
                        return task.result()
                    failure = error
        finally:
            for task in trying:
                task.add_done_callback(_drop)
                task.cancel()
        raise failure

    async def _open(self, origin: tuple[str, str, int], address: str) -> Line:
        scheme, host, port = origin
        is_tls = scheme == "https"
        if is_tls:
            self._trust.set_alpn_protocols(["http/1.1"])
        buffer = _room.buffer
        _, line = await asyncio.get_running_loop().create_connection(
            lambda: Line(origin, buffer),
            address,
            port,
            ssl=self._trust if is_tls else None,
            server_hostname=host if is_tls else None,
        )
        return line


class _Body(httpx.AsyncByteStream):
    """The body of an answer; closing it gives the connection back."""

    def __init__(self, engine: Engine, line: Line, read_s: float | None) -> None:
        self._engine = engine
        self._line = line
        self._read_s = read_s

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._line.body(self._read_s)

    async def aclose(self) -> None:
        self._engine.end(self._line)


def _origin(url: httpx.URL) -> tuple[str, str, int]:
    port = url.port or _PORTS.get(url.scheme)
    if port is None:
        raise httpx.UnsupportedProtocol(f"{url.scheme} is not spoken here")
    return url.scheme, url.raw_host.decode("ascii"), port


def _drop(task: "asyncio.Task[Line]") -> None:
    """Let go of a connection that came too late."""
    if not task.cancelled() and task.exception() is None:
        task.result().abort()
