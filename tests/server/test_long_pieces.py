"""Long pieces of an answer: they go out as they are, and look like any others."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from unittest.mock import patch

import uvicorn
import uvloop
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from aeorsync.server.protocol import BoundedProtocol

PIECES = (b"a" * 10, b"b" * 300_000, b"c" * 70_000, b"", b"d" * 65_535, b"e" * 2_000_000)
ASKED = b"%s / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


async def site(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the pieces, in chunks."""

    async def pieces() -> AsyncIterator[bytes]:
        for piece in PIECES:
            yield piece

    await StreamingResponse(pieces())(scope, receive, send)


async def ask(method: bytes) -> bytes:
    """All of an answer."""
    config = uvicorn.Config(site, ws="none", lifespan="off", log_config=None, access_log=False)
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: BoundedProtocol(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(ASKED % method)
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
    return answer


def unchunked(body: bytes) -> list[bytes]:
    """The chunks of a body, the last, empty one included."""
    chunks = []
    while body:
        length, _, rest = body.partition(b"\r\n")
        size = int(length, 16)
        chunks.append(rest[:size])
        assert rest[size : size + 2] == b"\r\n"
        body = rest[size + 2 :]
    return chunks


def test_the_reader_gets_every_piece_in_its_place() -> None:
    head, _, body = uvloop.run(ask(b"GET")).partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head
    assert unchunked(body) == [*filter(None, PIECES), b""]


def test_the_answer_to_a_head_has_no_piece() -> None:
    head, _, body = uvloop.run(ask(b"HEAD")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert not body


def test_a_long_piece_is_not_copied_to_put_its_length_before() -> None:
    written: list[int] = []

    class Noting:
        """A transport that remembers which very bytes it was given."""

        def __init__(self, transport: asyncio.Transport) -> None:
            self._transport = transport

        def __getattr__(self, name: str) -> object:
            return getattr(self._transport, name)

        def writelines(self, parts: Sequence[bytes]) -> None:
            written.extend(map(id, parts))
            self._transport.writelines(parts)

    made = BoundedProtocol.connection_made

    def connection_made(self: BoundedProtocol, transport: asyncio.Transport) -> None:
        made(self, transport)
        self.transport = Noting(transport)  # type: ignore[assignment]

    with patch.object(BoundedProtocol, "connection_made", connection_made):
        uvloop.run(ask(b"GET"))
    long = {id(piece) for piece in PIECES if len(piece) >= 65_536}
    assert long <= set(written)
