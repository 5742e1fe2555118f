"""The connection: what a client can make it hold is bounded, and no answer is made up."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from unittest.mock import patch

import pytest
import uvicorn
import uvloop
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from aeorsync.server import protocol
from aeorsync.server.protocol import BoundedProtocol
from aeorsync.wire import limits

GET = b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = b"PUT /body HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
UPGRADE = b"Connection: Upgrade\r\nUpgrade: h2c\r\n"


class Site:
    """An application that remembers who called it, behind a socket."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, bytes | None]] = []
        self.names: list[bytes] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.port = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body: bytes | None = None
        if scope["path"] != "/early":
            with contextlib.suppress(ClientDisconnect):
                body = await Request(scope, receive).body()
        await self.may_answer.wait()
        self.seen.append((scope["path"], body))
        self.names = [name for name, _ in scope["headers"]]
        status = 200 if body is not None else 499
        await Response(b"done", status)(scope, receive, send)

    async def say(self, *pieces: bytes) -> bytes:
        """All that comes back until the connection is closed."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        with contextlib.suppress(OSError):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.02)
        answer = b""
        # Of somebody who sends on and on the server reads no more, at some time.
        with contextlib.suppress(ConnectionResetError):
            while piece := await asyncio.wait_for(reader.read(65536), 5):
                answer += piece
        writer.close()
        return answer


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[Site]:
    site = Site()
    config = uvicorn.Config(
        site, http=BoundedProtocol, ws="none", lifespan="off", log_config=None, access_log=False
    )
    config.load()
    state = ServerState()

    def connect() -> BoundedProtocol:
        return BoundedProtocol(config=config, server_state=state, app_state={})

    server = await asyncio.get_running_loop().create_server(connect, "127.0.0.1", 0)
    async with server:
        site.port = server.sockets[0].getsockname()[1]
        yield site
        async with asyncio.timeout(5):
            while state.connections:  # noqa: ASYNC110 - uvicorn's own set tells nobody
                await asyncio.sleep(0.01)


def talk(conversation: Callable[[Site], Awaitable[None]], linger: float = 0.05) -> None:
    async def whole() -> None:
        async with serving() as site:
            await conversation(site)

    with patch.object(protocol, "LINGER_SECONDS", linger):
        uvloop.run(whole())


def statuses(answer: bytes) -> list[int]:
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


def problem(answer: bytes) -> dict[str, str]:
    told: dict[str, str] = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert set(told) == {"error", "code"}
    return told


CLOSE = b"Connection: close\r\n"
LONG = b"X: " + b"a" * (limits.MAX_HEAD - 200) + b"\r\n"
HEADS = {
    "fields that just fit": (b"GET / HTTP/1.1\r\n" + CLOSE + b"X: a\r\n" * 199 + b"\r\n", 200),
    "a field too many": (b"GET / HTTP/1.1\r\n" + CLOSE + b"X: a\r\n" * 200 + b"\r\n", 431),
    "bytes that just fit": (b"GET / HTTP/1.1\r\n" + CLOSE + LONG + b"\r\n", 200),
    "bytes too many": (b"GET / HTTP/1.1\r\n" + CLOSE + LONG + LONG[:300] + b"\r\n\r\n", 431),
    "path too long": (b"GET /" + b"a" * limits.MAX_HEAD + b" HTTP/1.1\r\n\r\n", 431),
    "path without end": (b"GET /" + b"a" * limits.MAX_HEAD, 431),
    "field without end": (b"GET / HTTP/1.1\r\nX: " + b"a" * limits.MAX_HEAD, 431),
    "name without end": (b"GET / HTTP/1.1\r\n" + b"a" * limits.MAX_HEAD, 431),
}


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("size", [1 << 20, 10_000])
def test_a_head_is_bounded_however_it_comes(name: str, size: int) -> None:
    head, expected = HEADS[name]
    pieces = [head[at : at + size] for at in range(0, len(head), size)]

    async def conversation(site: Site) -> None:
        answer = await site.say(*pieces)
        assert statuses(answer) == [expected]
        assert len(site.seen) == (expected == 200)
        if expected == 431:
            assert problem(answer)["code"] == "HEAD_TOO_LARGE"

    talk(conversation)


@pytest.mark.parametrize("trailers", [b"X: a\r\n" * 201, b"X: " + b"a" * limits.MAX_HEAD])
def test_trailers_are_bounded_too(trailers: bytes) -> None:
    async def conversation(site: Site) -> None:
        answer = await site.say(CHUNKED + b"1\r\na\r\n0\r\n", trailers, b"\r\n\r\n")
        assert statuses(answer) == [499]
        assert site.seen == [("/body", None)]

    talk(conversation)


def test_trailers_are_not_taken_for_fields() -> None:
    async def conversation(site: Site) -> None:
        await site.say(CHUNKED + b"1\r\na\r\n0\r\nIf-Match: *\r\n\r\n" + b"junk\r\n")
        assert site.seen == [("/body", b"a")]
        assert site.names == [b"transfer-encoding"]

    talk(conversation)


@pytest.mark.parametrize("count", [limits.MAX_WAITING + 1, limits.MAX_WAITING + 2, 5000])
def test_only_so_many_requests_wait(count: int) -> None:
    async def conversation(site: Site) -> None:
        site.may_answer.clear()
        asyncio.get_running_loop().call_later(0.1, site.may_answer.set)
        sent = b"".join(GET % at for at in range(count))
        answer = await site.say(sent, b"junk\r\n")
        assert statuses(answer) == [200] * (limits.MAX_WAITING + 1)
        assert [path for path, _ in site.seen] == [f"/{at}" for at in range(17)]

    talk(conversation)


@pytest.mark.parametrize(
    "body", [b"Content-Length: 3\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"]
)
def test_an_upgrade_with_a_body_is_refused(body: bytes) -> None:
    async def conversation(site: Site) -> None:
        answer = await site.say(b"PUT / HTTP/1.1\r\n" + UPGRADE + body)
        assert statuses(answer) == [400]
        assert problem(answer)["code"] == "INVALID_INPUT"
        assert site.seen == []

    talk(conversation)


@pytest.mark.parametrize("kind", [b"h2c", b"websocket"])
def test_an_upgrade_without_a_body_is_ignored(
    kind: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    fields = UPGRADE.replace(b"h2c", kind) + b"Content-Length: 0\r\n\r\n"

    async def conversation(site: Site) -> None:
        answer = await site.say(b"GET /up HTTP/1.1\r\n" + fields + GET % 1, b"junk\r\n")
        assert statuses(answer) == [200, 200, 400]
        assert [path for path, _ in site.seen] == ["/up", "/1"]

    with caplog.at_level(logging.INFO):
        talk(conversation, linger=0.5)
    assert not [record for record in caplog.records if record.name.startswith("uvicorn")]


def test_what_is_no_http_is_refused_in_json() -> None:
    async def conversation(site: Site) -> None:
        answer = await site.say(b"junk\r\n\r\n")
        assert statuses(answer) == [400]
        assert problem(answer)["code"] == "INVALID_INPUT"

    talk(conversation)


def test_who_is_being_answered_hears_the_answer_and_no_other() -> None:
    async def conversation(site: Site) -> None:
        site.may_answer.clear()
        asyncio.get_running_loop().call_later(0.1, site.may_answer.set)
        assert statuses(await site.say(GET % 1 + GET % 2 + b"junk\r\n")) == [200, 200]
        assert site.seen == [("/1", b""), ("/2", b"")]

    talk(conversation)


def test_a_broken_body_is_told_to_its_handler() -> None:
    async def conversation(site: Site) -> None:
        assert statuses(await site.say(GET % 1 + CHUNKED + b"1\r\na\r\nzz\r\n")) == [200, 499]
        assert site.seen == [("/1", b""), ("/body", None)]

    talk(conversation)


def test_a_body_that_breaks_after_the_answer_gets_no_second_one() -> None:
    async def conversation(site: Site) -> None:
        early = CHUNKED.replace(b"/body", b"/early")
        assert statuses(await site.say(early, b"zz\r\n")) == [499]

    talk(conversation)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"", []),
        (b"\r\n", []),
        (b"GET / HT", [408]),
        (GET % 1 + b"GET / HT", [200, 408]),
        (CHUNKED + b"1\r\na", [499]),
        (CHUNKED.replace(b"/body", b"/early"), [499]),
    ],
)
def test_who_goes_silent_is_let_go(sent: bytes, expected: list[int]) -> None:
    async def conversation(site: Site) -> None:
        assert statuses(await site.say(sent)) == expected

    with patch.multiple(protocol, HEAD_SECONDS=0.1, BODY_SECONDS=0.1):
        talk(conversation)


def test_who_drips_has_time_for_a_body_but_not_for_a_head() -> None:
    async def conversation(site: Site) -> None:
        body = [b"1\r\na\r\n"] * 15
        answer = await site.say(CHUNKED, *body, b"0\r\n\r\n", b"junk\r\n")
        assert statuses(answer) == [200, 400]
        assert site.seen == [("/body", b"a" * 15)]
        assert statuses(await site.say(b"GET / HTTP/1.1\r\n", *[b"X: a\r\n"] * 15)) == [408]

    with patch.multiple(protocol, HEAD_SECONDS=0.15, BODY_SECONDS=0.15):
        talk(conversation, linger=0.5)


def test_who_waits_for_us_is_not_let_go() -> None:
    async def conversation(site: Site) -> None:
        site.may_answer.clear()
        asyncio.get_running_loop().call_later(0.3, site.may_answer.set)
        assert statuses(await site.say(GET % 1, b"", b"junk\r\n")) == [200]

    with patch.multiple(protocol, HEAD_SECONDS=0.05, BODY_SECONDS=0.05):
        talk(conversation)


def test_only_so_many_connections_are_open() -> None:
    async def conversation(site: Site) -> None:
        site.may_answer.clear()
        first = await asyncio.open_connection("127.0.0.1", site.port)
        first[1].write((GET % 1).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        await asyncio.sleep(0.05)
        answer = await site.say()
        assert statuses(answer) == [503]
        assert problem(answer)["code"] == "SERVICE_UNAVAILABLE"
        site.may_answer.set()
        assert statuses(await first[0].read()) == [200]
        first[1].close()

    with patch.object(limits, "MAX_CONNECTIONS", 1):
        talk(conversation)


def test_who_has_asked_for_nothing_for_longest_makes_room() -> None:
    async def conversation(site: Site) -> None:
        silent = [await asyncio.open_connection("127.0.0.1", site.port)]
        await asyncio.sleep(0.02)
        silent.append(await asyncio.open_connection("127.0.0.1", site.port))
        silent[0][1].write(b"GET / HT")
        silent[1][1].write(GET % 1)
        await silent[1][0].readuntil(b"done")
        request = (GET % 2).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        assert statuses(await site.say(request)) == [200]
        with contextlib.suppress(ConnectionError):
            assert await silent[0][0].read() == b""
        silent[1][1].write(request)
        assert statuses(await silent[1][0].read()) == [200]
        for _, writer in silent:
            writer.close()

    with patch.object(limits, "MAX_CONNECTIONS", 2), patch.object(protocol, "IDLE_SECONDS", 0.0):
        talk(conversation)


def test_who_has_only_just_connected_makes_room_for_nobody() -> None:
    async def conversation(site: Site) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        await asyncio.sleep(0.02)
        assert statuses(await site.say()) == [503]
        writer.write((GET % 1).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert statuses(await reader.read()) == [200]
        writer.close()

    with patch.object(limits, "MAX_CONNECTIONS", 1):
        talk(conversation)
