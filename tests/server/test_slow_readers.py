"""Who does not take its answer: it is waited for, for a while, and costs nothing for ever."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from unittest.mock import patch

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from aeorsync.server import protocol
from aeorsync.server.protocol import BoundedProtocol
from aeorsync.wire.limits import KIB, MIB

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(autouse=True)
def _short_deadlines() -> Iterator[None]:
    with (
        patch.object(protocol, "SEND_SECONDS", 0.2),
        patch.object(protocol, "LINGER_SECONDS", 0.05),
        patch.object(protocol, "HEAD_SECONDS", 0.3),
    ):
        yield


class Site:
    """Sends so many pieces of 1 MiB."""

    def __init__(self, pieces: int) -> None:
        self.pieces = pieces
        self.under_way = 0
        self.sent = 0
        self.state = ServerState()
        self.port = 0

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        self.under_way += 1
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(self.pieces):
                await send({"type": "http.response.body", "body": bytes(MIB), "more_body": True})
                self.sent += 1
            await send({"type": "http.response.body", "body": b""})
        finally:
            self.under_way -= 1


@contextlib.asynccontextmanager
async def serving(pieces: int) -> AsyncIterator[Site]:
    site = Site(pieces)
    config = uvicorn.Config(
        site, http=BoundedProtocol, ws="none", lifespan="off", log_config=None, access_log=False
    )
    config.load()
    server = await asyncio.get_running_loop().create_server(
        lambda: BoundedProtocol(config=config, server_state=site.state, app_state={}),
        "127.0.0.1",
        0,
    )
    async with server:
        site.port = server.sockets[0].getsockname()[1]
        yield site


def reader(site: Site, buffer: int = 4096) -> socket.socket:
    talk = socket.socket()
    talk.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    talk.connect(("127.0.0.1", site.port))
    return talk


async def until_free(site: Site, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while site.state.connections or site.under_way:  # noqa: ASYNC110 - uvicorn's own set tells nobody
            await asyncio.sleep(0.01)


def test_who_reads_nothing_is_let_go() -> None:
    async def run() -> None:
        async with serving(pieces=50) as site:
            with reader(site) as talk:
                talk.sendall(GET)
                await asyncio.sleep(0.1)
                await until_free(site)

    asyncio.run(run())


@pytest.mark.parametrize(
    "request_",
    [GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), GET, GET + b"NOISE\r\n"],
)
def test_an_answer_that_is_complete_but_not_taken_does_not_hold_the_connection(
    request_: bytes,
) -> None:
    async def run() -> None:
        async with serving(pieces=6) as site:
            with reader(site) as talk:
                talk.sendall(request_)
                await asyncio.sleep(0.1)
                assert site.state.connections
                await until_free(site)

    asyncio.run(run())


def test_who_reads_slowly_but_goes_on_gets_it_all() -> None:
    async def run() -> None:
        with patch.object(protocol, "SEND_SECONDS", 1.0):
            await read_all()

    async def read_all() -> None:
        async with serving(pieces=12) as site:
            with reader(site, 256 * KIB) as talk:
                talk.settimeout(0)
                loop = asyncio.get_running_loop()
                await loop.sock_sendall(talk, GET)
                size = 0
                async with asyncio.timeout(20):
                    while size < 12 * MIB:
                        size += len(await loop.sock_recv(talk, 256 * KIB))
                        await asyncio.sleep(0.04)
            await until_free(site)

    asyncio.run(run())
