"""One peer's HTTP: errors come out as ours, nothing waits for ever, tokens are reused."""

import asyncio
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from aeorsync.errors import (
    AeorError,
    BadRequestError,
    ConflictError,
    DeniedError,
    NotFoundError,
    RateLimitedError,
    TooLargeError,
    UnauthorizedError,
    UnavailableError,
)
from aeorsync.remote import asking, connection
from aeorsync.remote.connection import Connection
from aeorsync.remote.engine import Engine
from tests.support.loops import run
from tests.support.peer import Body, answer

Handler = Callable[[httpx.Request], httpx.Response]


def call(handler: Handler, *, deadline_s: float = asking.CALL_S) -> bytes:
    async def main() -> bytes:
        way = Connection("http://peer", None, httpx.MockTransport(handler))
        try:
            return await way.call("POST", "/x", b"{}", deadline_s=deadline_s)
        finally:
            await way.close()

    return run(main())


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, BadRequestError),
        (401, UnauthorizedError),
        (403, DeniedError),
        (404, NotFoundError),
        (409, ConflictError),
        (413, TooLargeError),
        (429, RateLimitedError),
        (500, UnavailableError),
        (503, UnavailableError),
        (301, UnavailableError),
    ],
)
def test_a_refusal_is_the_error_of_its_status_with_the_peers_words(
    status: int, error: type[AeorError]
) -> None:
    with pytest.raises(error, match=r"http://peer answered .*: not today") as caught:
        call(lambda _: answer(status, b'{"error":"not today","code":"X"}'))
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b"", "no reason given"),
        (b"\x1b[31mred\n\xff", "\\x1b[31mred\\n"),
        (b'{"error": 5}', '{"error": 5}'),
        (b'{"error":"Bearer abc.def"}', "Bearer ***"),
        (b"[" * 10_000, "[["),
    ],
    ids=["empty", "terminal escapes", "wrong type", "a secret", "deep"],
)
def test_a_peers_words_are_bounded_and_fit_to_be_shown(body: bytes, shown: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        call(lambda _: answer(400, body))
    assert shown in caught.value.message
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 1000


def test_no_more_of_an_error_is_read_than_fits() -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1 << 16
            yield b"x" * (1 << 16)

    with pytest.raises(BadRequestError):
        call(lambda _: httpx.Response(400, stream=Body(endless())))
    assert sent < 1 << 20


def test_an_answer_that_does_not_end_is_cut_off() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * (1 << 16)

    with pytest.raises(BadRequestError, match="too long"):
        call(lambda _: httpx.Response(200, stream=Body(endless())))


def test_a_wait_is_read_from_the_refusal_and_bounded() -> None:
    def refuse(wait: str) -> Handler:
        return lambda _: answer(429, b"", **{"Retry-After": wait})

    for wait, seconds in [("7", 7), ("later", 60), ("9" * 30, 60)]:
        with pytest.raises(RateLimitedError) as caught:
            call(refuse(wait))
        assert caught.value.retry_after == seconds


@pytest.mark.parametrize(
    "fault",
    [
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout("slow"),
        httpx.ReadTimeout("silent"),
        httpx.PoolTimeout("busy"),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_a_peer_that_cannot_be_reached_is_unavailable(fault: httpx.TransportError) -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise fault

    with pytest.raises(UnavailableError, match="http://peer") as caught:
        call(fail)
    assert caught.value.retry


def test_a_connection_the_peer_had_just_closed_is_tried_once_more() -> None:
    faults = [httpx.RemoteProtocolError("closed"), httpx.ReadError("reset")]

    def flaky(_: httpx.Request) -> httpx.Response:
        if faults:
            raise faults.pop()
        return answer(200, b"{}")

    with pytest.raises(UnavailableError):
        call(flaky)
    faults.append(httpx.ReadError("reset"))
    assert call(flaky) == b"{}"


def test_a_peer_that_drips_runs_into_the_deadline() -> None:
    async def drip() -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(0.005)
            yield b"x"

    with pytest.raises(UnavailableError, match=r"did not finish an answer in 0\.05 s"):
        call(lambda _: httpx.Response(200, stream=Body(drip())), deadline_s=0.05)


def test_a_redirect_is_not_followed() -> None:
    asked: list[str] = []

    def redirect(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return answer(302, Location="http://169.254.169.254/")

    with pytest.raises(UnavailableError):
        call(redirect)
    assert asked == ["http://peer/x"]


def test_an_address_that_is_none_is_a_bad_request() -> None:
    with pytest.raises(BadRequestError):
        Connection("http://[::1")


def test_a_token_is_reused_and_dropped_when_the_peer_refuses_it() -> None:
    minted = 0

    def mint() -> str:
        nonlocal minted
        minted += 1
        return f"token{minted}"

    seen: list[str] = []

    def reply(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["Authorization"])
        return answer(401 if len(seen) == 2 else 200, b"{}")

    async def main() -> None:
        way = Connection("http://peer", mint, httpx.MockTransport(reply))
        await way.call("GET", "/")
        with pytest.raises(UnauthorizedError):
            await way.call("GET", "/")
        await way.call("GET", "/")
        await way.close()

    run(main())
    assert seen == ["Bearer token1", "Bearer token1", "Bearer token2"]


def test_the_environment_does_not_choose_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    way = Connection("http://peer")
    assert way._client._mounts == {}
    run(way.close())


def test_idle_connections_are_kept_warm() -> None:
    way = Connection("http://peer")
    engine = way._client._transport
    assert isinstance(engine, Engine)
    assert engine.size == connection._CONNECTIONS
    assert engine.keep_s >= 60
    run(way.close())
