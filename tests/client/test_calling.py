"""Patience: what is tried again, and what never is."""

import httpx
import pytest

from aeorsync.client import AsyncClient
from aeorsync.client.calling import Pauses, place, print_query
from aeorsync.errors import (
    BusyError,
    ConflictError,
    RateLimitedError,
    StaleError,
    UnavailableError,
)
from aeorsync.remote.connection import Connection
from tests.support.loops import run
from tests.support.peer import answer


class Server:
    """Answers what it is told to, in order."""

    def __init__(self, *answers: httpx.Response | httpx.TransportError) -> None:
        self.answers = list(answers)
        self.asked = 0

    def __call__(self, _: httpx.Request) -> httpx.Response:
        self.asked += 1
        told = self.answers.pop(0)
        if isinstance(told, httpx.TransportError):
            raise told
        return told


def client_to(server: Server, patience_s: float = 20) -> AsyncClient:
    way = Connection("http://peer", None, httpx.MockTransport(server))
    return AsyncClient("", connection=way, patience_s=patience_s)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aeorsync.client.calling.FIRST_PAUSE_S", 0.001)


GOOD = b"{}"


def stale() -> httpx.Response:
    return answer(409, b'{"error":"moved","code":"STALE"}')


def test_a_server_that_answered_before_is_waited_for() -> None:
    fault = httpx.ConnectError("refused")
    server = Server(answer(200, GOOD), fault, answer(503, b"{}"), answer(200, b'{"n":1}'))

    async def main() -> None:
        async with client_to(server) as client:
            assert await client.call("GET", "/x") == {}
            assert await client.call("GET", "/x") == {"n": 1}

    run(main())
    assert server.asked == 4


def test_one_that_never_answered_is_not() -> None:
    server = Server(httpx.ConnectError("refused"), answer(200, GOOD))
    with pytest.raises(UnavailableError):
        run(client_to(server).call("GET", "/x"))
    assert server.asked == 1


def test_what_may_have_been_done_is_not_done_again() -> None:
    server = Server(answer(200, GOOD), httpx.ReadError("reset"), answer(200, GOOD))

    async def main() -> None:
        async with client_to(server) as client:
            await client.call("GET", "/x")
            with pytest.raises(UnavailableError):
                await client.call("PATCH", "/x", {})

    run(main())
    assert server.asked == 2


def test_what_was_refused_because_the_tree_moved_is_asked_again() -> None:
    server = Server(stale(), stale(), answer(200, GOOD))
    assert run(client_to(server).call("POST", "/x", {})) == {}


def test_no_more_patience_than_was_given() -> None:
    for told, error in [
        (stale(), StaleError),
        (answer(429, b"{}", **{"Retry-After": "60"}), RateLimitedError),
    ]:
        server = Server(told)
        with pytest.raises(error):
            run(client_to(server, patience_s=0).call("GET", "/x"))


def test_refusals_of_one_status_are_told_apart_by_their_codes_and_name_a_path() -> None:
    body = b'{"error":"no","code":"%s","path":"/a"}'
    for code, error in [(b"BUSY", BusyError), (b"ALREADY_EXISTS", ConflictError)]:
        with pytest.raises(error) as caught:
            run(client_to(Server(answer(409, body % code))).call("GET", "/x"))
        assert (caught.value.path, caught.value.told) == ("/a", "no")


def test_pauses_grow_and_vary() -> None:
    pauses = Pauses()
    seconds = [pauses.next() for _ in range(20)]
    assert seconds[0] < 0.01
    assert 2 < seconds[-1] < 10
    assert len(set(seconds)) == len(seconds)


def test_paths_and_parameters_are_encoded() -> None:
    assert place("/files", "/a b/ü%?#") == "/files/a%20b/%C3%BC%25%3F%23"
    assert place("/files", "/") == "/files"
    assert print_query({"a": True, "b": None, "c": 1, "d": "x&y"}) == "?a=true&c=1&d=x%26y"
    assert print_query({}) == ""
