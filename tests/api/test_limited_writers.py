"""Writing with keys that have rules: create, update, delete and move, each by its own flag."""

from collections.abc import Callable
from uuid import uuid4

import pytest

from aeorsync.core.apikeys import KeyRule
from tests.api.conftest import Browser

KeyOf = Callable[..., str]


@pytest.fixture
def key(call: Browser) -> KeyOf:
    """Makes a key of a user with some (glob, flags)."""

    def make(*rules: tuple[str, str]) -> str:
        return call.here.make_key(user_id=uuid4(), rules=tuple(KeyRule(*rule) for rule in rules))[
            0
        ]

    for path in ("/d/old", "/d/sub/x", "/secret"):
        assert call("PUT", f"/files{path}", content=b"root's").status_code == 201
    return make


def status(call: Browser, token: str, method: str, url: str, **fields: object) -> int:
    return call(method, url, token=token, **fields).status_code


def content(call: Browser, path: str) -> bytes | None:
    reply = call("GET", f"/files{path}")
    return reply.content if reply.status_code == 200 else None


def test_who_may_only_create_replaces_nothing(call: Browser, key: KeyOf) -> None:
    mine = key(("/d/**", "c-------"))
    assert status(call, mine, "PUT", "/files/d/new", content=b"1") == 201
    assert status(call, mine, "PUT", "/files/d/new", content=b"2") == 404
    assert status(call, mine, "PUT", "/files/d/old", content=b"2") == 404
    assert status(call, mine, "PUT", "/links/d/old", json={"target": "x"}) == 404
    assert status(call, mine, "GET", "/files/d/new") == 404
    assert content(call, "/d/new") == b"1"
    assert content(call, "/d/old") == b"root's"


def test_who_may_only_update_creates_nothing(call: Browser, key: KeyOf) -> None:
    mine = key(("/d/**", "--u-----"))
    assert status(call, mine, "PUT", "/files/d/old", content=b"2") == 201
    assert status(call, mine, "PUT", "/files/d/new", content=b"2") == 404
    assert status(call, mine, "DELETE", "/files/d/old") == 404
    assert status(call, mine, "PATCH", "/files/d/old", json={"to": "/d/moved"}) == 404
    assert content(call, "/d/old") == b"2"
    assert content(call, "/d/new") is None


def test_a_large_body_is_refused_alike(call: Browser, key: KeyOf) -> None:
    mine = key(("/d/**", "c-------"))
    assert status(call, mine, "PUT", "/files/d/old", content=b"2" * 3_000_000) == 404
    assert status(call, mine, "PUT", "/files/d/new", content=b"2" * 3_000_000) == 201
    assert content(call, "/d/old") == b"root's"


def test_nobody_comes_to_read_by_moving(call: Browser, key: KeyOf) -> None:
    mine = key(("/d/**", "--ud----"), ("/mine/**", "crudl---"))
    for source in ("/d/old", "/d/sub/x"):
        assert (
            status(call, mine, "PATCH", f"/files{source}", json={"to": "/mine/got"})
            == status(call, mine, "GET", "/files/mine/got")
            == 404
        )
    dark = key(("/d/**", "--u-----"), ("/drop/**", "c-------"))
    assert status(call, dark, "PATCH", "/files/d/old", json={"to": "/drop/old"}) == 200


def test_a_move_asks_at_both_ends(call: Browser, key: KeyOf) -> None:
    for source, target, allowed in (
        ("cr-dl---", "crudl---", False),
        ("-ru-l---", "-rudl---", False),
        ("-ru-l---", "cr------", True),
    ):
        mine = key(("/d/**", source), ("/to/**", target))
        got = status(call, mine, "PATCH", "/files/d/old", json={"to": "/to/old"})
        assert got == (200 if allowed else 404)


def test_a_hidden_file_in_the_way_has_no_name(call: Browser, key: KeyOf) -> None:
    mine = key(("/secret/**", "crudl---"))
    reply = call("PUT", "/files/secret/x", content=b"1", token=mine)
    assert reply.status_code == 404
    assert reply.json()["error"] == "not found: /secret/x"
    assert status(call, mine, "POST", "/files/mkdir", json={"path": "/secret/x/y"}) == 404
    assert content(call, "/secret") == b"root's"


def test_a_key_may_make_the_folders_above_what_it_writes(call: Browser, key: KeyOf) -> None:
    mine = key(("/far/away/**", "crudl---"))
    assert status(call, mine, "PUT", "/files/far/away/x", content=b"1") == 201
    assert status(call, mine, "GET", "/files/far/away/x") == 200
    assert status(call, mine, "POST", "/files/mkdir", json={"path": "/far/other"}) == 404


def test_a_folder_goes_with_what_one_may_and_leaves_what_is_hidden(
    call: Browser, key: KeyOf
) -> None:
    mine = key(("/d/sub/x", "--------"), ("/{d,e}{,/**}", "crudl---"))
    assert status(call, mine, "PATCH", "/files/d", json={"to": "/e"}) == 200
    assert content(call, "/e/old") == b"root's"
    assert content(call, "/d/sub/x") == b"root's"
    assert content(call, "/e/sub/x") is None
    assert status(call, mine, "GET", "/files/d") == 404


def test_a_copy_takes_what_one_may_read_only(call: Browser, key: KeyOf) -> None:
    mine = key(("/d/sub/x", "--------"), ("/d{,/**}", "-r--l---"), ("/to/**", "crudl---"))
    body = {"paths": ["/d", "/secret"], "destination": "/to"}
    reply = call("POST", "/files/copy", json=body, token=mine).json()
    assert reply["copied"] == ["/to/d", "/to/d/old", "/to/d/sub"]
    assert reply["errors"] == ["/secret: not found: /secret"]
    assert content(call, "/to/d/sub/x") is None


@pytest.mark.usefixtures("key")
def test_all_layers_have_to_allow_a_write(call: Browser) -> None:
    wide, narrow = (KeyRule("**", "crudl---"),), (KeyRule("/d/**", "-r--l---"),)
    for fields in ({"rules": wide, "bounds": (narrow,)}, {"rules": narrow, "bounds": (wide,)}):
        mine, _ = call.here.make_key(**fields)
        assert status(call, mine, "GET", "/files/d/old") == 200
        assert status(call, mine, "PUT", "/files/d/old", content=b"2") == 404
        assert status(call, mine, "GET", "/files/secret") == 404
