"""What only a real connection shows: streams, bodies cut off, answers broken off."""

import asyncio
import contextlib
import os
import resource
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import uvicorn
from blake3 import blake3

from aeorsync.server.protocol import BoundedProtocol
from aeorsync.wire.limits import MAX_BODY, MIB
from tests.api.conftest import Running, running

Talk = Callable[["Server"], Awaitable[None]]


class Server:
    """A node on a socket."""

    def __init__(self, here: Running, port: int) -> None:
        self.here = here
        self.port = port
        self.token = here.token

    def client(self) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", headers=headers)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    def head(self, method: str, path: str, *fields: str) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", "Host: node", f"Authorization: Bearer {self.token}"]
        return "\r\n".join([*lines, *fields, "", ""]).encode()


@contextlib.asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Server]:
    async with running(folder) as here:
        config = uvicorn.Config(
            here.app, port=0, http=BoundedProtocol, ws="none", lifespan="off", log_config=None
        )
        server = uvicorn.Server(config)
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        config.load()
        server.lifespan = config.lifespan_class(config)
        await server.startup()
        ticking = asyncio.create_task(server.main_loop())
        try:
            yield Server(here, server.servers[0].sockets[0].getsockname()[1])
        finally:
            server.should_exit = True
            await ticking
            await server.shutdown()


def talk(folder: Path, conversation: Talk) -> None:
    async def whole() -> None:
        async with serving(folder) as server:
            await conversation(server)

    asyncio.run(whole())


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
    return int(head.split(b" ")[1]), await reader.readexactly(length)


def test_a_large_file_streams_in_and_out_in_bounded_memory(tmp_path: Path) -> None:
    block = os.urandom(MIB)
    count = 160

    async def conversation(server: Server) -> None:
        whole = blake3()

        async def blocks() -> AsyncIterator[bytes]:
            for at in range(count):
                piece = at.to_bytes(8) + block[8:]
                whole.update(piece)
                yield piece

        async with server.client() as client:
            await client.put("/files/warm", content=block * 8)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            reply = await client.put(
                "/files/big", content=blocks(), headers={"Content-Length": str(count * MIB)}
            )
            assert reply.status_code == 201
            assert reply.json()["content_hash"] == whole.hexdigest()
            back, size = blake3(), 0
            async with client.stream("GET", "/files/big") as answer:
                assert answer.headers["content-length"] == str(count * MIB)
                async for piece in answer.aiter_bytes():
                    back.update(piece)
                    size += len(piece)
            assert (size, back.hexdigest()) == (count * MIB, whole.hexdigest())
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            assert grown < 80 * 1024  # KiB

    talk(tmp_path, conversation)


def test_a_body_cut_off_leaves_nothing(tmp_path: Path) -> None:
    async def conversation(server: Server) -> None:
        for sent in (b"", b"abc", os.urandom(6 * MIB)):
            _, writer = await server.connect()
            length = f"Content-Length: {len(sent) + 1}"
            writer.write(server.head("PUT", "/files/d/a", length) + sent)
            await writer.drain()
            await asyncio.sleep(0.05)
            writer.close()
            await writer.wait_closed()
        async with server.client() as client:
            for _ in range(20):
                assert (await client.get("/files/d/a")).status_code == 404
                await asyncio.sleep(0.005)
            assert (await client.get("/files")).json()["total"] == 0

    talk(tmp_path, conversation)


def test_who_asks_before_sending_is_told_to_go_on(tmp_path: Path) -> None:
    async def conversation(server: Server) -> None:
        reader, writer = await server.connect()
        fields = ("Content-Length: 5", "Expect: 100-continue")
        writer.write(server.head("PUT", "/files/a", *fields))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        writer.write(b"hello")
        status, _ = await read_answer(reader)
        assert status == 201
        writer.close()

    talk(tmp_path, conversation)


def test_who_asks_before_sending_too_much_is_told_not_to(tmp_path: Path) -> None:
    async def conversation(server: Server) -> None:
        reader, writer = await server.connect()
        fields = (f"Content-Length: {MAX_BODY + 1}", "Expect: 100-continue")
        writer.write(server.head("PUT", "/files/a", *fields))
        status, body = await read_answer(reader)
        assert (status, b"PAYLOAD_TOO_LARGE" in body) == (413, True)
        assert await reader.read() == b""  # closed
        writer.close()

    talk(tmp_path, conversation)


def test_a_connection_goes_on_after_a_refusal(tmp_path: Path) -> None:
    async def conversation(server: Server) -> None:
        reader, writer = await server.connect()
        for path, expected in (("/files/a", 201), ("/files/x/../a", 400), ("/files/b", 201)):
            writer.write(server.head("PUT", path, "Content-Length: 3") + b"abc")
            assert (await read_answer(reader))[0] == expected
        writer.write(server.head("GET", "//files//b"))
        assert await read_answer(reader) == (200, b"abc")
        writer.close()

    talk(tmp_path, conversation)


def test_a_damaged_file_breaks_the_connection_off(tmp_path: Path) -> None:
    data = os.urandom(6 * MIB)

    async def conversation(server: Server) -> None:
        async with server.client() as client:
            await client.put("/files/a", content=data)
        pack = next((tmp_path / "packs").glob("*.pack"))
        with pack.open("r+b") as file:
            file.seek(5 * MIB)
            file.write(b"damage")
        reader, writer = await server.connect()
        writer.write(server.head("GET", "/files/a"))
        head = await reader.readuntil(b"\r\n\r\n")
        assert f"content-length: {len(data)}".encode() in head
        received = await reader.read(-1)
        assert len(received) < len(data)
        assert data.startswith(received)
        writer.close()

    talk(tmp_path, conversation)


def test_head_sends_no_body(tmp_path: Path) -> None:
    async def conversation(server: Server) -> None:
        reader, writer = await server.connect()
        writer.write(server.head("PUT", "/files/a", "Content-Length: 3") + b"abc")
        await read_answer(reader)
        for path in ("/files/a", "/files/no", "/nothing", "/files"):
            writer.write(server.head("HEAD", path))
            await reader.readuntil(b"\r\n\r\n")
        writer.write(server.head("GET", "/files/a"))
        assert await read_answer(reader) == (200, b"abc")
        writer.close()

    talk(tmp_path, conversation)
