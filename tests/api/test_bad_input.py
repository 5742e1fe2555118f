"""Paths that must be refused, on every endpoint, in every spelling."""

import json
from urllib.parse import quote

import pytest

from tests.api.conftest import Browser

BAD_PATHS = {
    "dot dot": b"a/../b",
    "dot dot at the end": b"a/..",
    "only dot dot": b"..",
    "dot": b"./a",
    "encoded dot dot": b"%2e%2e/a",
    "encoded slash after dots": b"..%2fa",
    "double encoding": b"%252e%252e/a",
    "triple encoding": b"%25252e%25252e",
    "double encoded slash": b"..%252fa",
    "empty component": b"a//b",
    "encoded empty component": b"a%2F%2Fb",
    "nul": b"a%00b",
    "nul encoded twice": b"a%2500b",
    "newline": b"a%0Ab",
    "carriage return": b"a%0D",
    "escape": b"%1b[0m",
    "delete": b"a%7F",
    "c1 control": b"a%C2%85b",
    "name too long": b"x" * 256,
    "name too long in utf-8": quote("é" * 128).encode(),
    "path too long": b"/".join([b"x" * 200] * 21),
    "path far too long": b"/".join([b"x" * 200] * 300),
    "invalid utf-8": b"a%FFb",
    "overlong": b"%C0%AE%C0%AE",
    "surrogate": b"%ED%A0%80",
    "half an escape": b"a%2",
    "no escape": b"100%zz",
}
SYSTEM_PATHS = {
    "plain": b".aeordb-system",
    "below": b".aeordb-system/api-keys/x.json",
    "slash behind": b".aeordb-system/",
    "case": b".AeorDB-SYSTEM/x",
    "encoded": b"%2eaeordb%2dsystem/x",
    "encoded slash": b".aeordb-system%2Fx",
    "encoded twice": b"%252eaeordb-system/x",
    "slashes in front": b"//.aeordb-system/x",
    "fullwidth": b"%EF%BC%8Eaeordb-%EF%BD%93ystem/x",
    "ignorable": quote(".aeordb\u200b-system").encode(),
    "trailing dot": b".aeordb-system./x",
    "trailing space": b".aeordb-system%20/x",
    "stream": b".aeordb-system::$DATA",
    "kelvin": quote(".aeordb-\u017fystem/x").encode(),
}
URLS = [
    ("GET", b"/files/", b""),
    ("HEAD", b"/files/", b""),
    ("PUT", b"/files/", b"data"),
    ("DELETE", b"/files/", b""),
    ("PATCH", b"/files/", b'{"to": "/x"}'),
    ("PUT", b"/links/", b'{"target": "x"}'),
    ("GET", b"/links/", b""),
    ("DELETE", b"/links/", b""),
]
BODIES = [
    ("/files/mkdir", {"path": "{}"}),
    ("/files/restore", {"path": "{}"}),
    ("/files/copy", {"paths": ["/a"], "destination": "{}"}),
]


@pytest.mark.parametrize("name", BAD_PATHS)
def test_a_bad_path_in_the_url_is_refused_everywhere(call: Browser, name: str) -> None:
    for method, prefix, body in URLS:
        reply = call.raw(method, prefix + BAD_PATHS[name], body)
        assert reply.status_code == 400, (method, prefix)
        assert method == "HEAD" or reply.json()["code"] == "INVALID_INPUT"
    assert call("GET", "/files").json()["total"] == 0


@pytest.mark.parametrize("name", SYSTEM_PATHS)
def test_the_system_namespace_is_nowhere(call: Browser, name: str) -> None:
    call.here.make_key()
    for method, prefix, body in URLS:
        reply = call.raw(method, prefix + SYSTEM_PATHS[name], body)
        assert reply.status_code == 404, (method, prefix, reply.text)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/a/../b", 400),
        ("/a//b", 400),
        ("/a\x00", 400),
        ("/a\nb", 400),
        ("/" + "x" * 256, 400),
        ("/x" * 2049, 400),
        ("/%2e%2e/a", 400),
        ("/.aeordb-system/x", 404),
        ("/.AEORDB-system", 404),
        ("/\u2024aeordb-system/x", 404),
    ],
)
def test_a_bad_path_in_a_body_is_refused_everywhere(call: Browser, path: str, status: int) -> None:
    for url, shape in BODIES:
        body = json.loads(json.dumps(shape).replace('"{}"', json.dumps(path)))
        assert call("POST", url, json=body).status_code == status, url
    call("PUT", "/files/a", content=b"1")
    assert call("PATCH", "/files/a", json={"to": path}).status_code == status


@pytest.mark.parametrize(
    "name",
    [
        "...",
        " leading",
        "trailing ",
        "100%",
        "a%2Fb",
        "a+b",
        "a?b#c",
        "a:b",
        "nul.txt",
        "C:\\x",
        "é",
        "e\u0301",
        "\u202egnp.exe",
        "<img onerror=x>",
        "=cmd",
        "{0}%s$(x)`x`",
        "--rf",
        "~1",
        "x" * 255,
        "é" * 127,
        ".hidden",
        "日本語",
        "🎉",
    ],
)
def test_an_unusual_name_is_kept_exactly(call: Browser, name: str) -> None:
    url = f"/files/{quote(name, safe='')}"
    assert call.raw("PUT", url.encode(), b"data").json()["path"] == f"/{name}"
    assert call.raw("GET", url.encode()).content == b"data"
    assert [item["name"] for item in call("GET", "/files").json()["items"]] == [name]


def test_names_that_only_look_alike_are_two(call: Browser) -> None:
    for name in ("é", "e\u0301", "A", "a"):
        call.raw("PUT", f"/files/{quote(name)}".encode(), name.encode())
    assert call("GET", "/files").json()["total"] == 4


def test_a_deep_path_is_stored(call: Browser) -> None:
    path = "/d" * 2000
    assert call("PUT", f"/files{path}", content=b"deep").status_code == 201
    assert call("GET", f"/files{path}").content == b"deep"


def test_an_encoded_slash_is_a_slash(call: Browser) -> None:
    call("PUT", "/files/d/a", content=b"1")
    assert call.raw("GET", b"/files/d%2Fa").content == b"1"
