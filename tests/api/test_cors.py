"""Web pages of other origins."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from aeorsync.api.app import App
from aeorsync.api.cors import Cors
from aeorsync.api.gate import Gate
from tests.api.conftest import Browser, running

APP = "https://app.example"


@pytest.fixture
def open_call(loop: asyncio.Runner, tmp_path: Path) -> Iterator[Browser]:
    """A node that pages of one origin may call."""
    context = running(tmp_path)
    here = loop.run(context.__aenter__())
    gate = Gate(here.node.wall)
    gate.open(here.node)
    here.app = App(gate, cors=Cors(frozenset({APP})))
    yield Browser(loop, here)
    loop.run(context.__aexit__(None, None, None))


def ask(call: Browser, origin: str = APP, method: str = "PUT", names: str = "") -> httpx.Response:
    headers = {"origin": origin, "access-control-request-method": method}
    if names:
        headers["access-control-request-headers"] = names
    return call("OPTIONS", "/files/a", headers=headers, token="")


def test_a_page_that_may_call_is_told_what_it_may_do(open_call: Browser) -> None:
    reply = ask(open_call, names="authorization,x-aeorsync-base")
    assert (reply.status_code, reply.content) == (204, b"")
    assert reply.headers["access-control-allow-origin"] == APP
    assert "PATCH" in reply.headers["access-control-allow-methods"]
    assert "X-AeorSync-Base" in reply.headers["access-control-allow-headers"]
    assert reply.headers["access-control-max-age"] == "3600"
    assert "access-control-allow-credentials" not in reply.headers
    assert "x-request-id" in reply.headers


def test_other_pages_methods_and_headers_are_refused(open_call: Browser) -> None:
    for reply in (
        ask(open_call, origin="https://evil.example"),
        ask(open_call, method="TRACE"),
        ask(open_call, names="X-Other"),
    ):
        assert (reply.status_code, reply.json()["code"]) == (403, "FORBIDDEN")
    assert "access-control-allow-origin" not in ask(open_call, origin="null").headers


def test_the_page_may_read_the_answer_errors_included(open_call: Browser) -> None:
    open_call("PUT", "/files/a", content=b"1")
    for url in ("/files/a", "/files/none"):
        reply = open_call("GET", url, headers={"origin": APP})
        assert reply.headers["access-control-allow-origin"] == APP
        assert reply.headers["vary"] == "Origin"
        assert "ETag" in reply.headers["access-control-expose-headers"]
    other = open_call("GET", "/files/a", headers={"origin": "https://evil.example"})
    assert (other.status_code, other.headers["vary"]) == (200, "Origin")
    assert "access-control-allow-origin" not in other.headers
    assert open_call("GET", "/files/a", headers={"origin": APP}, token="").status_code == 401


def test_without_origins_nothing_is_said(call: Browser) -> None:
    assert ask(call).status_code == 405
    call("PUT", "/files/a", content=b"1")
    reply = call("GET", "/files/a", headers={"origin": APP})
    assert not {"vary", "access-control-allow-origin"} & set(reply.headers)


def test_every_origin_may_be_let_in() -> None:
    cors = Cors(frozenset({"*"}))
    scope = {"headers": [(b"origin", b"https://anything.example")]}
    assert (b"access-control-allow-origin", b"*") in cors.fields(scope)
