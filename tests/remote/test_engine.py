"""The engine below httpx, against servers that are a few lines long."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import httpx
import pytest

from aeorsync.errors import AeorError, UnavailableError
from aeorsync.remote import line
from aeorsync.remote.asking import Request
from aeorsync.remote.connection import Connection
from aeorsync.remote.engine import Engine
from tests.support.loops import run, until

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
MIB = 1 << 20


class Server:
    """What a server saw: a list of request heads for each connection."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = answers
        self.seen: list[list[bytes]] = []
        self.bodies: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads: list[bytes] = []
        self.seen.append(heads)
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            heads.append(head)
            if b"content-length: " in head.lower():
                size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
                self.bodies.append(await reader.readexactly(size))
            at = min(sum(map(len, self.seen)), len(self.answers)) - 1
            writer.write(self.answers[at])
            if b"close" in self.answers[at].lower() or b"length" not in self.answers[at].lower():
                break


@asynccontextmanager
async def serving(serve: Serve, size: int = 8) -> AsyncIterator[Connection]:
    async with listening(serve) as port:
        way = Connection(f"http://127.0.0.1:{port}", size=size)
        try:
            yield way
        finally:
            await way.close()


@asynccontextmanager
async def listening(serve: Serve) -> AsyncIterator[int]:
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await serve(reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def ask(*answers: bytes, times: int = 1) -> tuple[Server, list[bytes | AeorError]]:
    """What a few calls in a row give when the server answers so."""
    server = Server(*answers)
    got: list[bytes | AeorError] = []

    async def main() -> None:
        async with serving(server) as way:
            for _ in range(times):
                try:
                    got.append(await way.call("POST", "/x", b"{}"))
                except AeorError as error:
                    got.append(error)

    run(main())
    return server, got


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def test_calls_in_a_row_share_one_connection() -> None:
    server, got = ask(OK, times=3)
    assert got == [b"{}"] * 3
    assert [len(heads) for heads in server.seen] == [3]
    assert server.bodies == [b"{}"] * 3


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
    ],
    ids=["no length", "an old server", "on request"],
)
def test_an_answer_may_end_with_its_connection(answer: bytes) -> None:
    server, got = ask(answer, times=2)
    assert got == [b"{}"] * 2
    assert [len(heads) for heads in server.seen] == [1, 1]


def test_an_answer_comes_in_chunks_with_trailers() -> None:
    chunks = b"1\r\n{\r\n1;note=x\r\n}\r\n0\r\nX-After: 1\r\n\r\n"
    _, got = ask(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
    assert got == [b"{}"]


def test_an_answer_that_only_promises_another_is_passed_over() -> None:
    _, got = ask(b"HTTP/1.1 100 Continue\r\nX: 1\r\n\r\n" + OK, times=2)
    assert got == [b"{}"] * 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 9\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"HTTP/1.1 200 OK\r\nX: close",
        b"close",
        b"\x15\x03\x01 close",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nlength",
    ],
    ids=["cut off", "a cut chunk", "half a head", "no HTTP", "TLS", "another protocol"],
)
def test_an_answer_that_is_not_whole_is_an_error(answer: bytes) -> None:
    _, (got,) = ask(answer)
    assert isinstance(got, UnavailableError)


@pytest.mark.parametrize("sign", [b"x", b"\r\n y: z"])
def test_a_head_without_end_is_cut_off(sign: bytes) -> None:
    sent = 0

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nX: ")
        while not writer.is_closing():
            writer.write(sign * 1000)
            sent += 1000 * len(sign)
            await writer.drain()

    async def main() -> None:
        async with serving(endless) as way:
            with pytest.raises(UnavailableError):
                await way.call("GET", "/")

    run(main())
    assert sent < 64 * MIB


def test_what_follows_an_answer_is_never_taken_for_the_next() -> None:
    server, got = ask(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad", OK, times=2)
    assert got == [b"{}"] * 2
    assert len(server.seen) == 2


def test_who_reads_slowly_is_not_sent_more_than_fits() -> None:
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while not writer.is_closing():
            writer.write(bytes(MIB))
            await writer.drain()
            sent += MIB

    async def main() -> int:
        async with serving(flood) as way, way.exchange(Request("GET", "/")) as answer:
            size = len(await anext(answer.pieces))
            await asyncio.sleep(0.3)
            before = sent
            await asyncio.sleep(0.3)
            assert sent == before
            while size < before + 8 * MIB:
                size += len(await anext(answer.pieces))
            return before

    # What the system keeps for both ends, and what waits here.
    assert run(main()) < 32 * MIB


def test_a_body_may_be_sent_piece_by_piece_and_is_not_when_it_is_refused() -> None:
    got = bytearray()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"chunked" in head.lower()
        got.extend(await reader.readexactly(12))
        writer.write(b"HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    made = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal made
        while True:
            made += 1
            yield b"abc" * (1 if made < 3 else MIB)

    async def main() -> None:
        async with serving(refuse) as way:
            with pytest.raises(AeorError):
                async with way.exchange(Request("PUT", "/", endless, may_repeat=False)):
                    pass

    run(main())
    assert bytes(got[:12]) == b"3\r\nabc\r\n3\r\na"
    assert made < 50


def test_no_more_exchanges_at_a_time_than_allowed() -> None:
    now = most = 0

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal now, most
        while await reader.readline():
            await reader.readuntil(b"\r\n\r\n")
            now += 1
            most = max(most, now)
            await asyncio.sleep(0.02)
            now -= 1
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    async def main() -> None:
        async with serving(slow, size=2) as way:
            await asyncio.gather(*(way.call("GET", "/") for _ in range(6)))

    run(main())
    assert most == 2


def test_an_exchange_that_is_given_up_leaves_its_place_to_the_next() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"/silent" in await reader.readuntil(b"\r\n\r\n"):
            await reader.read()
        writer.write(OK)

    async def main() -> None:
        async with serving(silent, size=1) as way:
            for _ in range(3):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await way.call("GET", "/silent")
            assert await way.call("GET", "/") == b"{}"

    run(main())


def test_silence_is_a_timeout() -> None:
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async def main() -> None:
        request = Request("GET", "/", idle_s=0.05)
        async with serving(silent) as way:
            with pytest.raises(UnavailableError, match="in time"):
                async with way.exchange(request):
                    pass

    run(main())


def test_a_name_is_tried_at_all_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> bytes:
        async with listening(Server(OK)) as port:

            async def both(*_: object, **__: object) -> list[object]:
                return [(2, 1, 6, "", (f"127.0.0.{last}", port)) for last in (2, 1)]

            monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", both)
            way = Connection(f"http://some.host:{port}")
            answer = await way.call("GET", "/")
            await way.close()
            return answer

    assert run(main()) == b"{}"


def test_a_field_never_becomes_two() -> None:
    async def main() -> None:
        async with serving(Server(OK)) as way:
            with pytest.raises(UnavailableError):
                await way.call("GET", "/", content_type="text/plain\r\nX: y")

    run(main())


def test_a_connection_that_the_peer_closed_meanwhile_is_not_used() -> None:
    server = Server(OK)
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await server(reader, writer)

    async def main() -> None:
        async with serving(serve) as way:
            await way.call("GET", "/")
            engine = way._client._transport
            assert isinstance(engine, Engine)
            idle = engine._idle[0]
            writers[0].close()
            await until(lambda: not idle.is_free)
            await way.call("GET", "/")

    run(main())
    assert len(server.seen) == 2


def test_of_a_question_for_the_head_no_body_is_awaited() -> None:
    async def main() -> str:
        server = Server(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n")
        async with serving(server) as way, way.exchange(Request("HEAD", "/")) as answer:
            assert [piece async for piece in answer.pieces] == []
            return answer.headers["Content-Length"]

    assert run(main()) == "999"


def test_other_schemes_are_not_spoken() -> None:
    async def main() -> None:
        with pytest.raises(UnavailableError):
            await Connection("ftp://peer").call("GET", "/")

    run(main())


def test_pieces_are_large() -> None:
    body = bytes(8 * MIB)

    async def main() -> int:
        server = Server(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        count = 0
        async with serving(server) as way, way.exchange(Request("GET", "/")) as answer:
            async for piece in answer.pieces:
                count += 1
                assert len(piece) <= line.WAITING + MIB
        return count

    assert run(main()) < 200


def test_the_engine_is_what_connections_use() -> None:
    way = Connection("http://peer")
    assert isinstance(way._client._transport, Engine)
    assert isinstance(way._client, httpx.AsyncClient)
    run(way.close())
