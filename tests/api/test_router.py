"""From a request line to a row."""

import pytest
from starlette.responses import Response

from aeorsync.api.endpoint import Call, Endpoint
from aeorsync.api.problems import MethodError, RouteError
from aeorsync.api.router import Router
from aeorsync.errors import BadRequestError


async def handler(_call: Call) -> Response:
    return Response()


def row(method: str, path: str) -> Endpoint:
    return Endpoint(method, path, handler, f"{method} {path}")


ROUTER = Router(
    [
        row("GET", "/things"),
        row("POST", "/things/make"),
        row("GET", "/things/{path:path}"),
        row("DELETE", "/peers/{node_id}"),
        row("GET", "/peers/all"),
        row("PUT", "/rooms/{room}/seats/{seat}"),
    ]
)


@pytest.mark.parametrize(
    ("method", "raw", "path", "prefix", "segments"),
    [
        ("GET", b"/things", "/things", b"/things", {}),
        ("GET", b"/things/", "/things/{path:path}", b"/things/", {}),
        ("GET", b"/things/a/b%2F", "/things/{path:path}", b"/things/", {}),
        ("POST", b"/things/make", "/things/make", b"/things/make", {}),
        ("GET", b"/things/make", "/things/{path:path}", b"/things/", {}),
        ("GET", b"/peers/all", "/peers/all", b"/peers/all", {}),
        ("DELETE", b"/peers/all", "/peers/{node_id}", b"/peers/all", {"node_id": "all"}),
        ("DELETE", b"/peers/a%20b", "/peers/{node_id}", b"/peers/a%20b", {"node_id": "a b"}),
        (
            "PUT",
            b"/rooms/1/seats/2",
            "/rooms/{room}/seats/{seat}",
            b"/rooms/1/seats/2",
            {"room": "1", "seat": "2"},
        ),
    ],
)
def test_the_most_exact_row_answers(
    method: str, raw: bytes, path: str, prefix: bytes, segments: dict[str, str]
) -> None:
    match = ROUTER.find(method, raw)
    assert (match.endpoint.path, match.endpoint.method) == (path, method)
    assert (match.prefix, match.segments) == (prefix, segments)


@pytest.mark.parametrize(
    "raw", [b"/", b"/thing", b"/thingsx", b"/peers", b"/peers/", b"/peers/a/b", b"/rooms/1/seats/"]
)
def test_no_row_answers_what_none_was_made_for(raw: bytes) -> None:
    with pytest.raises(RouteError):
        ROUTER.find("GET", raw)


def test_the_methods_of_all_fitting_rows_are_allowed() -> None:
    with pytest.raises(MethodError) as refused:
        ROUTER.find("PUT", b"/things/make")
    assert refused.value.allowed == "GET, POST"
    with pytest.raises(MethodError) as refused:
        ROUTER.find("PUT", b"/peers/all")
    assert refused.value.allowed == "DELETE, GET"


def test_a_segment_that_is_not_text_is_refused() -> None:
    with pytest.raises(BadRequestError):
        ROUTER.find("DELETE", b"/peers/%ff")
