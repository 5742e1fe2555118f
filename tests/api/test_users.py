"""/system/users: whom keys speak for."""

from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from aeorsync.core.tokens import ROOT
from tests.api.conftest import Browser

READ = [{"/docs/**": "-r--l---"}]


def add(call: Browser, username: str = "ada", **body: object) -> dict[str, Any]:
    reply = call("POST", "/system/users", json={"username": username, **body})
    assert reply.status_code == 201, reply.text
    made: dict[str, Any] = reply.json()
    return made


def key_of(call: Browser, user: dict[str, Any], **body: object) -> str:
    key: str = call("POST", "/auth/keys", json={"user_id": user["user_id"], **body}).json()["key"]
    return key


def status(call: Browser, key: str) -> int:
    return call("GET", "/files/", token=key).status_code


def test_a_user_is_made_shown_and_listed(call: Browser) -> None:
    made = add(call, email="ada@example.org", tags=["math"], rules=READ)
    assert made["username"] == "ada"
    assert made["email"] == "ada@example.org"
    assert made["tags"] == ["math"]
    assert made["rules"] == [{"glob": "/docs/**", "permitted": "-r--l---"}]
    assert made["is_active"] is True
    assert made["is_duplicate"] is False
    url = f"/system/users/{made['user_id']}"
    assert call("GET", url).json() == made
    assert call("GET", "/system/users").json() == {"items": [made]}


def test_a_name_is_given_once(call: Browser) -> None:
    add(call)
    for name in ("ada", "ADA"):
        reply = call("POST", "/system/users", json={"username": name})
        assert (reply.status_code, reply.json()["code"]) == (409, "ALREADY_EXISTS")
    bob = add(call, "bob")
    url = f"/system/users/{bob['user_id']}"
    assert call("PATCH", url, json={"username": "Ada"}).status_code == 409
    assert call("PATCH", url, json={"username": "BOB"}).json()["username"] == "BOB"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, 422),
        ({"username": 1}, 422),
        ({"username": ""}, 400),
        ({"username": "root"}, 400),
        ({"username": "a/b"}, 400),
        ({"username": "x", "email": "nobody"}, 400),
        ({"username": "x", "tags": [""]}, 400),
        ({"username": "x", "rules": [{"/a": "x"}]}, 400),
    ],
)
def test_what_makes_no_sense_makes_no_user(
    call: Browser, body: dict[str, object], code: int
) -> None:
    assert call("POST", "/system/users", json=body).status_code == code
    assert call("GET", "/system/users").json() == {"items": []}


def test_a_user_who_is_not_there(call: Browser) -> None:
    for method in ("GET", "PATCH", "DELETE"):
        for user_id in (uuid4(), ROOT):
            body = {"is_active": True}
            reply = call(method, f"/system/users/{user_id}", json=body)
            assert reply.status_code == 404
        assert call(method, "/system/users/ada", json={}).status_code == 400


def test_a_patch_of_nothing_is_refused(call: Browser) -> None:
    assert call("PATCH", f"/system/users/{add(call)['user_id']}", json={}).status_code == 400


def test_the_rules_of_a_user_bind_all_their_keys(call: Browser) -> None:
    call("PUT", "/files/docs/a.txt", content=b"a")
    call("PUT", "/files/b.txt", content=b"b")
    ada = add(call, rules=READ)
    for key in (key_of(call, ada), key_of(call, ada, rules=[{"**": "crudlify"}])):
        assert call("GET", "/files/docs/a.txt", token=key).status_code == 200
        assert call("GET", "/files/b.txt", token=key).status_code == 404
    url = f"/system/users/{ada['user_id']}"
    call("PATCH", url, json={"rules": [{"/b.txt": "-r--l---"}]})
    assert call("GET", "/files/docs/a.txt", token=key).status_code == 404
    assert call("GET", "/files/b.txt", token=key).status_code == 200


def test_a_user_who_is_deactivated_is_out_with_the_next_request(call: Browser) -> None:
    ada = add(call, rules=READ)
    key = key_of(call, ada)
    login = call("POST", "/auth/token", json={"api_key": key, "include_refresh": True}).json()
    assert status(call, key) == 200
    assert status(call, login["token"]) == 200
    url = f"/system/users/{ada['user_id']}"
    assert call("PATCH", url, json={"is_active": False}).json()["is_active"] is False
    assert status(call, key) == 401
    assert status(call, login["token"]) == 401
    reply = call("POST", "/auth/token", json={"api_key": key}, token="")
    assert reply.status_code == 401
    assert "deactivated" in reply.json()["error"]
    body = {"refresh_token": login["refresh_token"]}
    assert call("POST", "/auth/refresh", json=body, token="").status_code == 401
    call("PATCH", url, json={"is_active": True})
    assert status(call, key) == 200
    assert call("POST", "/auth/refresh", json=body, token="").status_code == 200


def test_a_user_who_is_deleted_is_out_and_their_keys_are_revoked(call: Browser) -> None:
    ada, bob = add(call, rules=READ), add(call, "bob", rules=READ)
    key, other = key_of(call, ada), key_of(call, bob)
    url = f"/system/users/{ada['user_id']}"
    assert call("DELETE", url).json() == {"deleted": True, "user_id": ada["user_id"]}
    assert status(call, key) == 401
    assert status(call, other) == 200
    listed = call("GET", "/auth/keys/admin").json()["items"]
    assert [(one["username"], one["is_revoked"]) for one in listed] == [
        (None, True),
        ("bob", False),
    ]
    assert call("GET", url).status_code == 404
    assert add(call)["user_id"] != ada["user_id"]
    assert status(call, key) == 401


def test_a_name_that_two_nodes_gave_at_once_is_shown_as_such(call: Browser) -> None:
    first = add(call)
    users = call.here.node.accounts.users
    record = users.get(UUID(first["user_id"]))
    assert record is not None
    twin = msgspec.structs.replace(record, user_id=uuid4(), created_at=record.created_at + 1)
    # As replication brings it: without asking whether the name is free.
    users._users.commit(lambda found: found.put(str(twin.user_id), twin)).result(30)
    shown = {one["user_id"]: one for one in call("GET", "/system/users").json()["items"]}
    assert shown[first["user_id"]]["is_duplicate"] is False
    assert shown[str(twin.user_id)]["is_duplicate"] is True
    call("PATCH", f"/system/users/{twin.user_id}", json={"username": "ada2"})
    shown = {one["user_id"]: one for one in call("GET", "/system/users").json()["items"]}
    assert [one["is_duplicate"] for one in shown.values()] == [False, False]


def test_users_are_no_files(call: Browser) -> None:
    ada = add(call)
    for url in (
        "/files/.aeordb-system/users",
        f"/files/.aeordb-system/users/{ada['user_id']}.json",
    ):
        assert call("GET", url).status_code == 404
