"""/auth/keys and /auth/keys/admin: who makes, sees, renames and revokes which keys."""

import random
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import pytest

from aeorsync.core.access import Op
from aeorsync.core.apikeys import KeyRule
from aeorsync.core.tokens import ROOT
from tests.api.conftest import Browser

DAY_MS = 86_400_000
READ = [{"/docs/**": "-r--l---"}]
WRITE = [{"/docs/**": "crudl---"}, {"**": "--------"}]


def make(call: Browser, token: str | None = None, **body: object) -> dict[str, Any]:
    reply = call("POST", "/auth/keys", json=body, token=token)
    assert reply.status_code == 201, reply.text
    made: dict[str, Any] = reply.json()
    return made


def user(call: Browser, **body: object) -> str:
    reply = call("POST", "/system/users", json={"username": f"u{uuid4().hex[:8]}", **body})
    assert reply.status_code == 201, reply.text
    user_id: str = reply.json()["user_id"]
    return user_id


def ids(call: Browser, token: str | None = None) -> set[str]:
    return {key["key_id"] for key in call("GET", "/auth/keys", token=token).json()}


def test_a_key_is_made_and_works(call: Browser) -> None:
    now = call.here.node.wall.now_ms()
    made = make(call, label="laptop", rules=READ)
    assert set(made) >= {"key_id", "key", "label", "expires_at", "rules", "user_id"}
    assert made["rules"] == [{"glob": "/docs/**", "permitted": "-r--l---"}]
    assert made["label"] == "laptop"
    assert made["user_id"] == str(ROOT)
    assert made["key"].startswith("aeor_k_" + UUID(made["key_id"]).hex[:16] + "_")
    assert abs(made["expires_at"] - now - 730 * DAY_MS) < 60_000
    call("PUT", "/files/docs/a.txt", content=b"a")
    call("PUT", "/files/b.txt", content=b"b")
    assert call("GET", "/files/docs/a.txt", token=made["key"]).status_code == 200
    assert call("GET", "/files/b.txt", token=made["key"]).status_code == 404
    assert call("PUT", "/files/docs/a.txt", content=b"c", token=made["key"]).status_code == 404


def test_the_answer_that_has_a_key_is_kept_nowhere(call: Browser) -> None:
    for url in ("/auth/keys", "/auth/keys/admin"):
        reply = call("POST", url, json={})
        assert reply.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(("days", "lives"), [(-1, 1), (0, 1), (30, 30), (99999, 3650)])
def test_the_days_are_brought_into_range(call: Browser, days: int, lives: int) -> None:
    now = call.here.node.wall.now_ms()
    assert abs(make(call, expires_in_days=days)["expires_at"] - now - lives * DAY_MS) < 60_000


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"rules": [{"/a/**": "r"}]}, 400),
        ({"rules": [{"/a[": "--------"}]}, 400),
        ({"rules": [{"a/**": "-r--l---"}]}, 400),
        ({"rules": {"/a": "--------"}}, 422),
        ({"rules": [{"/a": 1}]}, 422),
        ({"expires_in_days": "x"}, 422),
        ({"user_id": "x"}, 422),
        ({"label": "a\nb"}, 400),
        ({"user_id": str(uuid4())}, 404),
    ],
)
def test_what_makes_no_sense_makes_no_key(
    call: Browser, body: dict[str, object], status: int
) -> None:
    before = call("GET", "/auth/keys/admin").json()
    for url in ("/auth/keys", "/auth/keys/admin"):
        assert call("POST", url, json=body).status_code == status
    assert call("GET", "/auth/keys/admin").json() == before


def test_the_list_is_a_bare_array_of_own_keys_those_revoked_too(call: Browser) -> None:
    ada = user(call, rules=READ)
    key, other = make(call, user_id=ada), make(call)
    revoked = make(call, user_id=ada)
    assert call("DELETE", f"/auth/keys/{revoked['key_id']}").status_code == 200
    listed = call("GET", "/auth/keys", token=key["key"]).json()
    assert isinstance(listed, list)
    assert [(one["key_id"], one["is_revoked"], one["is_current"]) for one in listed] == [
        (key["key_id"], False, True),
        (revoked["key_id"], True, False),
    ]
    fields = {"user_id", "username", "created_at", "expires_at", "label", "rules"}
    assert set(listed[0]) >= fields
    assert other["key_id"] in ids(call)
    assert key["key_id"] not in ids(call)


def test_nothing_that_is_listed_holds_a_secret(call: Browser) -> None:
    made = make(call)
    for url in ("/auth/keys", "/auth/keys/admin"):
        text = call("GET", url).text
        assert made["key"][-64:] not in text
        assert "hash" not in text


def test_a_revoked_key_is_refused_with_the_next_request(call: Browser) -> None:
    made = make(call, rules=READ)
    login = call("POST", "/auth/token", json={"api_key": made["key"]}).json()["token"]
    assert call("GET", "/files/", token=made["key"]).status_code == 200
    assert call("GET", "/files/", token=login).status_code == 200
    reply = call("DELETE", f"/auth/keys/{made['key_id']}")
    assert reply.json() == {"revoked": True, "key_id": made["key_id"], "others": 0}
    assert call("GET", "/files/", token=made["key"]).status_code == 401
    assert call("GET", "/files/", token=login).status_code == 401
    again = call("DELETE", f"/auth/keys/{made['key_id']}")
    assert again.json() == reply.json()


def test_a_key_that_is_not_there_is_told_so(call: Browser) -> None:
    for method in ("DELETE", "PATCH"):
        for url in ("/auth/keys", "/auth/keys/admin"):
            body = {"label": "x"}
            assert call(method, f"{url}/{uuid4()}", json=body).status_code == 404
            assert call(method, f"{url}/nonsense", json=body).status_code == 400


def test_somebody_elses_key_is_as_one_that_is_not_there(call: Browser) -> None:
    mine = make(call, user_id=user(call, rules=READ))
    other = make(call, user_id=user(call, rules=READ))
    missing = call("DELETE", f"/auth/keys/{uuid4()}", token=mine["key"])
    for method in ("DELETE", "PATCH"):
        url = f"/auth/keys/{other['key_id']}"
        reply = call(method, url, json={"label": "x"}, token=mine["key"])
        assert (reply.status_code, reply.json()) == (404, missing.json())
    assert call("GET", "/files/", token=other["key"]).status_code == 200


def test_who_owns_a_key_may_rename_it_and_no_more(call: Browser) -> None:
    mine = make(call, user_id=user(call, rules=READ))
    url = f"/auth/keys/{mine['key_id']}"
    reply = call("PATCH", url, json={"label": "new"}, token=mine["key"])
    assert reply.status_code == 200
    assert reply.json()["updated"] is True
    assert reply.json()["label"] == "new"
    bodies: list[dict[str, object]] = [{"rules": []}, {"expires_in_days": 3000}]
    for body in bodies:
        assert call("PATCH", url, json=body, token=mine["key"]).status_code == 403
    assert call("PATCH", url, json={}, token=mine["key"]).status_code == 400
    assert call("PATCH", url, json={"label": None}, token=mine["key"]).json()["label"] is None


def test_root_may_change_what_a_key_opens_and_when_it_ends(call: Browser) -> None:
    made = make(call, rules=READ)
    url = f"/auth/keys/admin/{made['key_id']}"
    assert call("PUT", "/files/docs/x", content=b"x", token=made["key"]).status_code == 404
    reply = call("PATCH", url, json={"rules": WRITE, "expires_in_days": 1})
    assert reply.status_code == 200
    assert reply.json()["expires_at"] < made["expires_at"]
    assert call("PUT", "/files/docs/x", content=b"x", token=made["key"]).status_code == 201


def test_only_root_makes_keys_for_others(call: Browser) -> None:
    ada, bob = user(call, rules=READ), user(call, rules=READ)
    mine = make(call, user_id=ada)
    for whom in (bob, str(ROOT)):
        body = {"user_id": whom}
        assert call("POST", "/auth/keys", json=body, token=mine["key"]).status_code == 403
    own = make(call, mine["key"], user_id=ada)
    assert own["user_id"] == ada


def test_a_key_made_with_a_limited_one_is_limited_as_well_and_ends_with_it(call: Browser) -> None:
    call("PUT", "/files/docs/a.txt", content=b"a")
    call("PUT", "/files/b.txt", content=b"b")
    maker = make(call, rules=READ, expires_in_days=10)
    child = make(call, maker["key"], rules=[{"**": "crudlify"}], expires_in_days=3650)
    assert child["expires_at"] <= maker["expires_at"]
    assert call("GET", "/files/docs/a.txt", token=child["key"]).status_code == 200
    assert call("GET", "/files/b.txt", token=child["key"]).status_code == 404
    assert call("PUT", "/files/docs/a.txt", content=b"c", token=child["key"]).status_code == 404
    grandchild = make(call, child["key"])
    assert call("GET", "/files/b.txt", token=grandchild["key"]).status_code == 404


def test_a_token_of_a_limited_key_passes_on_no_more_than_the_key(call: Browser) -> None:
    call("PUT", "/files/b.txt", content=b"b")
    maker = make(call, rules=READ)
    login = call("POST", "/auth/token", json={"api_key": maker["key"]}).json()["token"]
    child = make(call, login)
    assert call("GET", "/files/b.txt", token=child["key"]).status_code == 404


def test_who_was_granted_nothing_has_nothing_to_pass_on(call: Browser) -> None:
    made = make(call, user_id=user(call))
    everything = {"rules": [{"**": "crudlify"}]}
    assert call("POST", "/auth/keys", json=everything, token=made["key"]).status_code == 403
    assert call("GET", "/files/", token=made["key"]).status_code == 404


def test_a_key_that_leans_on_the_rules_of_its_user_falls_with_them(call: Browser) -> None:
    ada = user(call, rules=READ)
    call("PUT", "/files/docs/a.txt", content=b"a")
    child = make(call, make(call, user_id=ada)["key"], rules=[{"**": "crudlify"}])
    assert call("GET", "/files/docs/a.txt", token=child["key"]).status_code == 200
    assert call("PATCH", f"/system/users/{ada}", json={"rules": []}).status_code == 200
    assert call("GET", "/files/docs/a.txt", token=child["key"]).status_code == 404


def test_a_limited_key_sees_itself_and_what_was_made_with_it(call: Browser) -> None:
    ada = user(call, rules=READ)
    whole = make(call, user_id=ada)
    guest = make(call, whole["key"], rules=READ)
    child = make(call, guest["key"])
    assert ids(call, guest["key"]) == {guest["key_id"], child["key_id"]}
    assert ids(call, whole["key"]) == {guest["key_id"], child["key_id"], whole["key_id"]}
    url = f"/auth/keys/{whole['key_id']}"
    assert call("DELETE", url, token=guest["key"]).status_code == 404
    url = f"/auth/keys/{child['key_id']}"
    assert call("DELETE", url, token=guest["key"]).status_code == 200


def test_a_limited_key_is_not_shown_the_rules_of_the_one_it_was_made_with(call: Browser) -> None:
    maker = make(call, rules=[{"/docs/secret/**": "--------"}, {"/docs/**": "-r--l---"}])
    child = make(call, maker["key"])
    assert "secret" not in call("GET", "/auth/keys", token=child["key"]).text
    assert "secret" in call("GET", "/auth/keys/admin").text
    assert maker["key_id"] not in call("GET", "/auth/keys", token=child["key"]).text
    assert maker["key_id"] in call("GET", "/auth/keys", token=maker["key"]).text


def test_all_that_was_made_with_a_key_can_be_revoked_at_once(call: Browser) -> None:
    maker = make(call, rules=READ)
    child = make(call, maker["key"])
    grandchild = make(call, child["key"])
    reply = call("DELETE", f"/auth/keys/{maker['key_id']}?with_made=true")
    assert reply.json()["others"] == 2
    for one in (maker, child, grandchild):
        assert call("GET", "/files/", token=one["key"]).status_code == 401


def test_a_revoked_key_leaves_those_made_with_it_alone_unless_asked(call: Browser) -> None:
    maker = make(call, rules=READ)
    child = make(call, maker["key"])
    call("DELETE", f"/auth/keys/{maker['key_id']}")
    assert call("GET", "/files/", token=child["key"]).status_code == 200


def test_users_see_whom_they_may_make_keys_for(call: Browser) -> None:
    ada = user(call, username="ada", rules=READ)
    user(call, username="bob")
    everybody = call("GET", "/auth/keys/users").json()["items"]
    assert [one["username"] for one in everybody] == ["root", "ada", "bob"]
    own = call("GET", "/auth/keys/users", token=make(call, user_id=ada)["key"]).json()
    assert own == {"items": [{"user_id": ada, "username": "ada"}]}


def test_root_without_a_user_makes_a_root_key(call: Browser) -> None:
    reply = call("POST", "/auth/keys/admin", json={})
    made = reply.json()
    assert reply.status_code == 201
    assert set(made) >= {"key_id", "api_key", "user_id", "created_at"}
    assert made["user_id"] == str(ROOT)
    assert made["created_at"].endswith("Z")
    assert call("GET", "/sync/peers", token=made["api_key"]).status_code == 200
    assert call("POST", "/auth/keys/admin").status_code == 201


def test_root_administers_all_keys(call: Browser) -> None:
    ada = user(call, username="ada", rules=READ)
    made = call("POST", "/auth/keys/admin", json={"user_id": ada}).json()
    items = call("GET", "/auth/keys/admin").json()["items"]
    assert [(one["key_id"], one["username"]) for one in items] == [(made["key_id"], "ada")]
    url = f"/auth/keys/admin/{made['key_id']}"
    reply = call("PATCH", url, json={"label": "x"}).json()
    assert (reply["updated"], reply["key_id"], reply["label"]) == (True, made["key_id"], "x")
    reply = call("DELETE", url).json()
    assert (reply["revoked"], reply["key_id"]) == (True, made["key_id"])
    assert call("GET", "/files/", token=made["api_key"]).status_code == 401


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("POST", "/auth/keys/admin"),
        ("GET", "/auth/keys/admin"),
        ("DELETE", f"/auth/keys/admin/{ROOT}"),
        ("PATCH", f"/auth/keys/admin/{ROOT}"),
        ("GET", "/system/users"),
        ("POST", "/system/users"),
        ("GET", f"/system/users/{ROOT}"),
        ("PATCH", f"/system/users/{ROOT}"),
        ("DELETE", f"/system/users/{ROOT}"),
    ],
)
def test_only_root_without_rules_administers(call: Browser, method: str, url: str) -> None:
    for key in (make(call, rules=READ), make(call, user_id=user(call, rules=READ))):
        assert call(method, url, json={"label": "x"}, token=key["key"]).status_code == 403
    assert call(method, url, json={"label": "x"}, token="").status_code == 401


def test_a_key_of_an_identity_file_is_listed_and_left_alone(call: Browser) -> None:
    text, record = call.here.make_key()
    object.__setattr__(
        call.here.node,
        "accounts",
        type(call.here.node.accounts)(call.here.node.repository, (record,)),
    )
    assert str(record.key_id) in ids(call)
    for method in ("DELETE", "PATCH"):
        url = f"/auth/keys/admin/{record.key_id}"
        reply = call(method, url, json={"label": "x"})
        assert (reply.status_code, reply.json()["code"]) == (409, "ALREADY_EXISTS")
    assert call("GET", "/files/", token=text).status_code == 200


def test_a_user_has_no_endless_number_of_keys(
    call: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aeorsync.storage.accounts.MAX_KEYS", 3)
    first = make(call, user_id=user(call, rules=READ))
    for _ in range(2):
        make(call, first["key"])
    assert call("POST", "/auth/keys", json={}, token=first["key"]).status_code == 409
    assert make(call, rules=READ)


def test_a_limited_key_of_root_makes_no_endless_number_of_keys(
    call: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aeorsync.storage.accounts.MAX_KEYS", 3)
    first = make(call, rules=READ)
    second = make(call, first["key"])
    third = make(call, second["key"])
    make(call, third["key"])
    for one in (first, second, third):
        assert call("POST", "/auth/keys", json={}, token=one["key"]).status_code == 409
    assert make(call, rules=READ)


def test_rules_that_are_too_long_altogether_make_no_key(call: Browser) -> None:
    def long_rules(mark: int) -> list[dict[str, str]]:
        return [{f"/{mark}-{number}-{'x' * 1000}": "-r--l---"} for number in range(100)]

    key = make(call, rules=long_rules(1))
    key = make(call, key["key"], rules=long_rules(2))
    body = {"rules": long_rules(3)}
    assert call("POST", "/auth/keys", json=body, token=key["key"]).status_code == 400
    assert call("DELETE", f"/auth/keys/{key['key_id']}").status_code == 200


def test_what_is_null_is_as_if_it_were_not_given(call: Browser) -> None:
    body = dict.fromkeys(("label", "expires_in_days", "rules", "user_id"))
    assert call("POST", "/auth/keys", json=body).status_code == 201
    user = {"username": "ada", "email": None, "tags": None, "rules": None}
    assert call("POST", "/system/users", json=user).status_code == 201


def test_rules_that_came_from_elsewhere_and_cannot_be_read_open_nothing(call: Browser) -> None:
    text, _ = call.here.make_key(rules=(KeyRule("/a[", "crudlify"),))
    assert call("GET", "/files/", token=text).status_code == 403
    assert call("POST", "/auth/keys", json={}, token=text).status_code == 403


GLOBS = ["**", "/a", "/a/**", "/a/b/**", "/b/**", "**/*.txt", "!/a/**", "/{a,b}/*"]
FLAGS = ["--------", "-r--l---", "crudl---", "c-------", "crudlify"]
PATHS = ["/", "/a", "/a/b", "/a/b/c.txt", "/b", "/b/c", "/x.txt"]


def some_rules(chance: random.Random) -> list[dict[str, str]]:
    size = chance.randrange(3)
    return [{chance.choice(GLOBS): chance.choice(FLAGS)} for _ in range(size)]


def opened(call: Browser, key: dict[str, Any]) -> set[tuple[str, Op]]:
    accounts = call.here.node.accounts
    record = accounts.by_id(UUID(key["key_id"]))
    assert record is not None
    access = accounts.access(record)
    assert access is not None
    return {(path, op) for path in PATHS for op in Op if access.may(path, op)}


@pytest.mark.parametrize("seed", range(12))
def test_no_chain_of_keys_leads_to_more_than_it_began_with(call: Browser, seed: int) -> None:
    chance = random.Random(seed)
    ada = user(call, rules=some_rules(chance))
    whom = chance.choice([ada, str(ROOT)])
    chain = [make(call, user_id=whom, rules=some_rules(chance))]
    for _ in range(4):
        bearer = chain[-1]["key"]
        if chance.random() < 0.5:
            login = call("POST", "/auth/token", json={"api_key": bearer, "include_refresh": True})
            bearer = login.json()["token"]
            if chance.random() < 0.5:
                body = {"refresh_token": login.json()["refresh_token"]}
                bearer = call("POST", "/auth/refresh", json=body).json()["token"]
        body = {"rules": some_rules(chance), "user_id": chance.choice([ada, None, str(ROOT)])}
        reply = call("POST", "/auth/keys", json=body, token=bearer)
        assert reply.status_code in {201, 403}
        if reply.status_code == 201 and reply.json()["user_id"] == whom:
            chain.append(reply.json())
    for rules in (some_rules(chance), [], some_rules(chance)):
        for maker, child in pairwise(chain):
            assert opened(call, child) <= opened(call, maker)
        call("PATCH", f"/system/users/{ada}", json={"rules": rules})
