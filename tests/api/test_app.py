"""What every request passes: names, routes, the gate, errors as JSON."""

import asyncio
import errno
from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx
import pytest
from starlette.responses import Response
from starlette.types import Message

from aeorsync import __version__
from aeorsync.api.app import ENDPOINTS, App
from aeorsync.api.endpoint import Access, Call, Endpoint
from aeorsync.api.gate import Gate
from aeorsync.errors import AeorError, CorruptError, UnavailableError
from aeorsync.wire import limits
from tests.api.conftest import Browser
from tests.support.clock import FakeClock


def ask(app: App, method: str, url: str, **headers: str) -> httpx.Response:
    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://node") as client:
            return await client.request(method, url, headers=headers)

    return asyncio.run(request())


# Request ids


def test_every_answer_has_an_id(call: Browser) -> None:
    for url in ("/system/health", "/files/no", "/nothing"):
        assert UUID(call("GET", url).headers["x-request-id"]).version == 4


@pytest.mark.parametrize("name", ["abc", "a-b/c:d", "x" * 128])
def test_an_id_that_was_sent_comes_back(call: Browser, name: str) -> None:
    assert call("GET", "/nothing", headers={"X-Request-Id": name}).headers["x-request-id"] == name


@pytest.mark.parametrize("name", ["", "x" * 129, "a b", "a\tb", b"\xff", b"a\x01"])
def test_an_id_that_could_do_harm_is_replaced(call: Browser, name: str | bytes) -> None:
    reply = call("GET", "/system/health", headers={"X-Request-Id": name})
    assert UUID(reply.headers["x-request-id"]).version == 4


# Routes


@pytest.mark.parametrize(
    "url", ["/", "/nothing", "/file", "/filesx", "/files%2Fa", "/system/health/", "/%66iles/a"]
)
def test_an_unknown_route_is_not_found_in_json(call: Browser, url: str) -> None:
    reply = call.raw("GET", url.encode())
    assert reply.status_code == 404
    assert reply.json()["code"] == "NOT_FOUND"
    assert reply.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("method", "url", "allow"),
    [
        ("POST", "/files/a", "DELETE, GET, HEAD, PATCH, PUT"),
        ("PUT", "/files/copy", None),
        ("POST", "/files/deleted", "DELETE, GET, HEAD, PATCH, PUT"),
        ("POST", "/files", "GET, HEAD"),
        ("GET", "/auth/token", "POST"),
        ("DELETE", "/system/health", "GET, HEAD"),
        ("PATCH", "/links/a", "DELETE, GET, PUT"),
        ("BREW", "/files/a", "DELETE, GET, HEAD, PATCH, PUT"),
        ("OPTIONS", "/files/a", "DELETE, GET, HEAD, PATCH, PUT"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(
    call: Browser, method: str, url: str, allow: str | None
) -> None:
    reply = call(method, url)
    if allow is None:
        assert reply.status_code == 201
        return
    assert reply.status_code == 405
    assert reply.headers["allow"] == allow
    assert reply.json()["code"] == "METHOD_NOT_ALLOWED"


def test_slashes_in_front_are_one(call: Browser) -> None:
    call("PUT", "/files/a", content=b"1")
    for path in (b"//files/a", b"///files///a"):
        assert call.raw("GET", path).content == b"1"
    assert call.raw("GET", b"//system/health").status_code == 200


# A token in the URL


def test_an_answer_to_a_token_in_the_url_is_kept_nowhere(call: Browser) -> None:
    url = f"/files?token={call.here.token}"
    reply = call("GET", url, token="")
    assert reply.status_code == 200
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["referrer-policy"] == "no-referrer"
    refused = call("GET", "/files?token=nonsense", token="")
    assert (refused.status_code, refused.headers["cache-control"]) == (401, "no-store")
    assert "cache-control" not in call("GET", "/files").headers


# Errors


def failing(error: Exception) -> Callable[[Call], Any]:
    async def handler(_call: Call) -> Response:
        raise error

    return handler


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ValueError("secret detail"), 500, "INTERNAL_ERROR"),
        (RuntimeError("secret detail"), 500, "INTERNAL_ERROR"),
        (CorruptError("chunk 12 is damaged"), 500, "CORRUPT"),
        (UnavailableError("the disk is full"), 503, "SERVICE_UNAVAILABLE"),
        (OSError(errno.EMFILE, "Too many open files", "/secret"), 503, "SERVICE_UNAVAILABLE"),
        (OSError(errno.EIO, "secret detail"), 500, "INTERNAL_ERROR"),
    ],
)
def test_an_error_becomes_json_and_tells_nothing_it_must_not(
    call: Browser, error: Exception, status: int, code: str
) -> None:
    row = Endpoint("GET", "/fail", failing(error), "Fails.", access=Access.OPEN)
    gate = Gate(FakeClock())
    gate.open(call.here.node)
    reply = ask(App(gate, (row,)), "GET", "/fail")
    assert reply.status_code == status
    assert reply.json()["code"] == code
    assert "secret" not in reply.text
    assert set(reply.json()) == {"error", "code"}


def test_an_unexpected_error_is_logged(
    call: Browser, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    row = Endpoint("GET", "/fail", failing(ValueError("why")), "Fails.", access=Access.OPEN)
    gate = Gate(FakeClock())
    gate.open(call.here.node)
    ask(App(gate, (row,)), "GET", "/fail", **{"X-Request-Id": "findme"})
    logged = caplog.text + capsys.readouterr().out
    assert "findme" in logged
    assert "why" in logged


@pytest.mark.parametrize("body", [b"", b"{", b"nul", b"\xff\xfe", b"[" * 100_000, b'{"path":"a"'])
@pytest.mark.parametrize("url", ["/files/mkdir", "/files/copy", "/files/restore", "/auth/token"])
def test_what_is_not_json_is_refused(call: Browser, url: str, body: bytes) -> None:
    reply = call("POST", url, content=body)
    is_long = url == "/auth/token" and len(body) > limits.MAX_LOGIN_JSON
    assert reply.status_code == (413 if is_long else 400)
    assert reply.json()["code"] == ("PAYLOAD_TOO_LARGE" if is_long else "INVALID_INPUT")


@pytest.mark.parametrize("body", [b"[]", b"5", b'{"path": 5}', b'{"paths": 1}', b"{}"])
@pytest.mark.parametrize("url", ["/files/mkdir", "/files/copy", "/files/restore", "/auth/token"])
def test_json_of_the_wrong_shape_is_refused(call: Browser, url: str, body: bytes) -> None:
    reply = call("POST", url, content=body)
    assert reply.status_code == 422
    assert reply.json()["code"] == "INVALID_FIELD"


@pytest.mark.parametrize("url", ["/files/mkdir", "/files/copy", "/files/restore", "/auth/token"])
def test_a_body_over_the_limit_is_refused(call: Browser, url: str) -> None:
    reply = call("POST", url, content=b" " * (1 << 20) + b"{}")
    assert reply.status_code == 413
    assert reply.json()["code"] == "PAYLOAD_TOO_LARGE"


# The gate


def test_while_starting_only_health_answers() -> None:
    gate = Gate(FakeClock())
    app = App(gate)
    gate.report("joining", "Asking for admission.", 0.25)
    reply = ask(app, "GET", "/system/health")
    assert reply.status_code == 200
    body = reply.json()
    assert body["status"] == "starting"
    assert (body["phase"], body["message"]) == ("joining", "Asking for admission.")
    assert (body["progress"], body["eta"]) == (0.25, None)
    assert body["version"] == __version__
    assert body["started_at"].startswith("2023-11-14T22:13:20")
    assert body["updated_at"] > body["started_at"]
    assert body["elapsed_ms"] > 0
    for method, url in (("GET", "/files/a"), ("PUT", "/files/a"), ("GET", "/no"), ("GET", "/")):
        other = ask(app, method, url)
        assert other.status_code == 503
        assert set(other.json()) == set(body)


def test_a_failed_start_says_so() -> None:
    gate = Gate(FakeClock())
    gate.fail("The disk is read-only.")
    for url in ("/system/health", "/files"):
        reply = ask(App(gate), "GET", url)
        assert reply.status_code == 500
        assert (reply.json()["status"], reply.json()["phase"]) == ("failed", "startup_failed")


def test_a_node_that_stops_lets_nobody_in_any_more(call: Browser) -> None:
    gate = Gate(FakeClock())
    app = App(gate)
    gate.open(call.here.node)
    assert call.run(_status(app, "/system/health")) == 200
    gate.close()
    assert call.run(_status(app, "/files")) == 503


async def _status(app: App, url: str) -> int:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://node") as client:
        return (await client.get(url)).status_code


def test_the_application_speaks_lifespan_and_refuses_websockets() -> None:
    async def conversation(kind: str) -> list[str]:
        sent: list[str] = []

        async def receive() -> Message:
            return {"type": "lifespan.any"}

        async def send(message: Message) -> None:
            sent.append(message["type"])

        await App(Gate(FakeClock()))({"type": kind}, receive, send)
        return sent

    assert asyncio.run(conversation("lifespan")) == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    assert asyncio.run(conversation("websocket")) == ["websocket.close"]


# The table


def test_no_two_rows_answer_the_same_request() -> None:
    keys = [(row.method, row.path) for row in ENDPOINTS]
    assert len(keys) == len(set(keys))


def test_open_endpoints_are_few_and_known() -> None:
    assert {row.path for row in ENDPOINTS if row.access is Access.OPEN} <= {
        "/system/health",
        "/auth/token",
        "/auth/refresh",
        "/openapi.json",
    }


def test_what_a_row_may_raise_is_an_error_of_ours() -> None:
    assert all(issubclass(kind, AeorError) for row in ENDPOINTS for kind in row.errors)
