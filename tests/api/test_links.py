"""PUT, GET and DELETE /links."""

import pytest

from aeorsync.core.hashing import symlink_identity
from tests.api.conftest import Browser


@pytest.mark.parametrize(
    "target",
    [
        "a",
        "../a",
        "../../../out",
        "/usr/bin/python3",
        "./x//y/",
        " spaced ",
        "é",
        "%2e%2e",
        "C:\\x",
    ],
)
def test_a_target_is_kept_verbatim(call: Browser, target: str) -> None:
    reply = call("PUT", "/links/d/l", json={"target": target})
    assert reply.status_code == 201
    body = reply.json()
    assert (body["path"], body["target"], body["entry_type"]) == ("/d/l", target, 8)
    assert body["created_at"] == body["updated_at"]
    assert body["hash"] == symlink_identity("/d/l", target).hex()
    again = call("GET", "/links/d/l")
    assert (again.status_code, again.json()) == (200, body)
    assert again.headers["etag"] == reply.headers["etag"] == body["etag"]


def test_a_symlink_can_be_pointed_elsewhere(call: Browser) -> None:
    first = call("PUT", "/links/l", json={"target": "a"}).json()
    second = call("PUT", "/links/l", json={"target": "b"})
    assert second.status_code == 201
    assert second.json()["created_at"] == first["created_at"]
    late = call("PUT", "/links/l", json={"target": "c"}, headers={"If-Match": first["etag"]})
    assert late.status_code == 412
    assert call("GET", "/links/l").json()["target"] == "b"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"target": ""}, 400),
        ({"target": "a\nb"}, 400),
        ({"target": "a\x00b"}, 400),
        ({"target": "a\x85b"}, 400),
        ({"target": "x" * 4097}, 400),
        ({"target": "l"}, 400),
        ({"target": "/d/l"}, 400),
        ({"target": "../d/./l"}, 400),
        ({"target": "/.aeordb-system"}, 404),
        ({"target": "/.aeordb-system/api-keys"}, 404),
        ({"target": "/.AeorDB-System/x"}, 404),
        ({"target": "/x/../.aeordb-system/y"}, 404),
        ({"target": "../.aeordb-system/y"}, 404),
        ({"target": "../../../.aeordb-system/y"}, 404),
        ({"target": None}, 422),
        ({"target": 1}, 422),
        ([], 422),
    ],
)
def test_a_target_that_cannot_be_is_refused(call: Browser, body: object, status: int) -> None:
    assert call("PUT", "/links/d/l", json=body).status_code == status
    assert call("GET", "/links/d/l").status_code == 404


def test_a_target_that_is_not_text_is_refused(call: Browser) -> None:
    reply = call("PUT", "/links/l", content=b'{"target": "\\ud800"}')
    assert reply.status_code in {400, 422}


def test_only_symlinks_are_shown_and_deleted(call: Browser) -> None:
    call("PUT", "/files/d/a", content=b"1")
    for path in ("/links/d", "/links/d/a", "/links/no", "/links/"):
        for method in ("GET", "DELETE"):
            assert call(method, path).status_code == 404
    assert call("GET", "/files/d/a").status_code == 200


def test_a_symlink_is_deleted(call: Browser) -> None:
    call("PUT", "/links/d/l", json={"target": "x"})
    reply = call("DELETE", "/links/d/l")
    assert reply.json() == {"deleted": True, "path": "d/l", "entry_type": "symlink"}
    assert call("DELETE", "/links/d/l").status_code == 404


def test_a_symlink_is_not_made_where_a_folder_is(call: Browser) -> None:
    call("PUT", "/files/d/a", content=b"1")
    assert call("PUT", "/links/d", json={"target": "x"}).status_code == 409
    assert call("PUT", "/links/", json={"target": "x"}).status_code == 400
