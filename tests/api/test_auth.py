"""Who is let in, and as whom."""

import asyncio
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from aeorsync.api import auth
from aeorsync.core import tokens
from aeorsync.core.apikeys import KeyRule
from aeorsync.core.tokens import SYNC, SigningKey
from tests.api.conftest import KEY, Browser, MakeNode

HOUR_MS = 3_600_000


def status(call: Browser, token: str, url: str = "/files") -> int:
    return call("GET", url, token=token).status_code


def now(call: Browser) -> int:
    return call.here.node.wall.now_ms() // 1000


def forge(
    call: Browser, algorithm: str, key: Ed25519PrivateKey | bytes | str, **changes: object
) -> str:
    claims = {
        "sub": str(tokens.ROOT),
        "iss": "aeordb",
        "iat": now(call),
        "exp": now(call) + 600,
        **changes,
    }
    return jwt.encode({k: v for k, v in claims.items() if v is not None}, key, algorithm)


def test_a_root_token_is_let_in(call: Browser) -> None:
    assert status(call, call.here.token) == 200


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic cm9vdDpyb290", "Bearer  ", "bearer"]
)
def test_who_says_nothing_is_not_known(call: Browser, header: str | None) -> None:
    call.client.headers.pop("authorization")
    reply = call("GET", "/files", headers={} if header is None else {"Authorization": header})
    assert reply.status_code == 401
    assert reply.json()["code"] == "AUTH_REQUIRED"
    assert reply.headers["www-authenticate"] == "Bearer"


def test_a_token_that_is_not_ours_is_refused(call: Browser) -> None:
    good = call.here.token
    head, body, signature = good.split(".")
    foreign = SigningKey(b"x" * 32)
    refused = {
        "expired": call.here.mint(life=-120),
        "foreign": tokens.mint(foreign, tokens.ROOT, issued=now(call), expires=now(call) + 600),
        "alg none": forge(call, "none", ""),
        "hmac with the seed": forge(call, "HS256", KEY.seed),
        "no signature": f"{head}.{body}.",
        "other body": f"{head}.{body[:-2]}AA.{signature}",
        "wrong issuer": forge(call, "EdDSA", KEY._private, iss="someone"),
        "no subject": forge(call, "EdDSA", KEY._private, sub=None),
        "strange subject": forge(call, "EdDSA", KEY._private, sub="share:x"),
        "no expiry": forge(call, "EdDSA", KEY._private, exp=None),
        "nonsense": "nonsense",
        "too long": good + "A" * 5000,
    }
    assert {name: status(call, bad) for name, bad in refused.items()} == dict.fromkeys(
        refused, 401
    )


def test_bytes_that_are_no_ascii_are_refused(call: Browser) -> None:
    reply = call("GET", "/files", headers={"Authorization": b"Bearer \xff\xfe.\xff.\xff"})
    assert reply.status_code == 401


def test_a_token_dies_when_it_expires_even_if_it_was_seen_before(call: Browser) -> None:
    token = call.here.mint(life=600)
    assert status(call, token) == 200
    call.here.node.wall.now += (600 + tokens.LEEWAY + 1) * 1000  # type: ignore[attr-defined]
    assert status(call, token) == 401


def test_a_token_may_come_in_the_url(call: Browser) -> None:
    assert call("GET", f"/files?token={call.here.token}", token="").status_code == 200
    assert call("GET", "/files?token=", token="").status_code == 401
    assert call("GET", f"/files?token={call.here.token}", token="nonsense").status_code == 401


def test_to_a_user_of_whom_no_key_speaks_nothing_is_there(call: Browser) -> None:
    call("PUT", "/files/a", content=b"1")
    token = call.here.mint(subject=uuid4())
    for method, url in (("GET", "/files"), ("PUT", "/files/a"), ("DELETE", "/links/a")):
        reply = call(method, url, token=token)
        assert (reply.status_code, reply.json()["code"]) == (404, "NOT_FOUND")


def test_a_sync_token_is_for_sync_only(call: Browser) -> None:
    token = call.here.mint(scope=SYNC)
    for method, url in (("GET", "/files"), ("GET", "/files/a"), ("PUT", "/files/a")):
        reply = call(method, url, token=token)
        assert reply.status_code == 403
        assert "sync" in reply.json()["error"]
    assert call("GET", "/sync/status", token=token).status_code in {200, 403, 404}


@pytest.mark.parametrize("scope", ["admin", "SYNC", ""])
def test_a_scope_that_means_nothing_here_opens_nothing(call: Browser, scope: str) -> None:
    token = call.here.mint(scope=scope)
    assert [status(call, token) for _ in range(2)] == [401, 401]


@pytest.mark.parametrize("url", ["/sync/diff", "/sync/chunks"])
def test_the_tree_is_not_synced_with_a_token_in_the_url(call: Browser, url: str) -> None:
    body: dict[str, list[str]] = {"hashes": []}
    token = call.here.mint(scope=SYNC)
    assert call("POST", f"{url}?token={token}", json=body, token="").status_code == 401
    assert call("POST", f"{url}?token=x", json=body, token=token).status_code == 200


# API keys


def test_an_api_key_is_as_good_as_a_token(call: Browser) -> None:
    text, _ = call.here.make_key()
    assert status(call, text) == 200
    assert status(call, text[:-1] + ("0" if text[-1] != "0" else "1")) == 401
    assert status(call, "aeor_k_zz") == 401
    assert status(call, "aeor_k_" + "0" * 16 + "_" + "0" * 64) == 401


def test_a_key_of_a_user_to_whom_nothing_was_granted_opens_nothing(call: Browser) -> None:
    text, _ = call.here.make_key(user_id=uuid4())
    assert status(call, text) == 404
    assert status(call, text, "/sync/peers") == 403


def test_a_token_speaks_for_the_user_of_its_key_only(call: Browser) -> None:
    _, record = call.here.make_key(user_id=uuid4(), rules=(KeyRule("**", "crudlify"),))
    assert status(call, call.here.mint(subject=record.user_id, key_id=record.key_id)) == 200
    assert status(call, call.here.mint(key_id=record.key_id)) == 401
    assert status(call, call.here.mint(subject=uuid4(), key_id=record.key_id)) == 401


def test_a_root_key_with_rules_is_not_root(call: Browser) -> None:
    text, record = call.here.make_key(rules=(KeyRule("**", "crudlify"),))
    sync = call.here.mint(key_id=record.key_id, scope=SYNC)
    assert status(call, text) == 200
    assert status(call, text, "/sync/peers") == 403
    assert status(call, sync, "/sync/peers") == 403
    assert call("POST", "/sync/nodes", json={"ids": []}, token=sync).status_code == 403


def test_a_revoked_key_stops_at_the_next_request(call: Browser) -> None:
    text, record = call.here.make_key()
    token = call.here.mint(key_id=record.key_id)
    assert (status(call, text), status(call, token)) == (200, 200)
    call.here.make_key(key_id=record.key_id, key_hash=record.key_hash, is_revoked=True)
    assert (status(call, text), status(call, token)) == (401, 401)


def test_an_expired_key_and_its_tokens_are_refused(call: Browser) -> None:
    clock = call.here.node.wall
    text, record = call.here.make_key(expires_at=clock.now_ms() + HOUR_MS)
    token = call.here.mint(key_id=record.key_id, life=9000)
    assert (status(call, text), status(call, token)) == (200, 200)
    clock.now += HOUR_MS  # type: ignore[attr-defined]
    assert (status(call, text), status(call, token)) == (401, 401)


def test_a_token_of_an_unknown_key_is_refused_until_the_key_is_known(call: Browser) -> None:
    key_id = uuid4()
    token = call.here.mint(key_id=key_id)
    assert status(call, token) == 401
    call.here.make_key(key_id=key_id)
    assert status(call, token) == 200


def test_the_rules_are_those_of_the_record_however_the_key_is_shown(call: Browser) -> None:
    call("PUT", "/files/public/a", content=b"1")
    rules = (KeyRule("/public/**", "-r--l---"),)
    text, record = call.here.make_key(rules=rules)
    token = call.here.mint(key_id=record.key_id)
    for bearer in (text, token):
        assert status(call, bearer, "/files/public/a") == 200
    kept = {"key_id": record.key_id, "key_hash": record.key_hash}
    call.here.make_key(**kept, rules=(KeyRule("/other/**", "-r--l---"),))
    for bearer in (text, token):
        assert status(call, bearer, "/files/public/a") == 404


@pytest.mark.parametrize("bad", [KeyRule("/a[", "-r--l---"), KeyRule("/a", "r")])
def test_a_key_with_rules_that_cannot_be_read_opens_nothing(call: Browser, bad: KeyRule) -> None:
    for fields in ({"rules": (bad,)}, {"bounds": ((bad,),)}):
        text, _ = call.here.make_key(**fields)
        assert status(call, text) == 403


def test_what_is_remembered_is_bounded(call: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "MAX_REMEMBERED", 3)
    for life in range(600, 610):
        assert status(call, call.here.mint(life=life)) == 200
    authenticator = call.here.app._authenticator
    assert authenticator is not None
    assert len(authenticator._memory.claims) == 3


# Auth disabled


def test_without_auth_everybody_is_root(
    call: Browser, make_node: MakeNode, tmp_path: Path
) -> None:
    async def visit() -> list[int]:
        async with make_node(tmp_path / "open", is_open=True) as here:
            client = here.client("", host="localhost:1")
            return [
                (await client.put("/files/a", content=b"1")).status_code,
                (await client.get("/files/a")).status_code,
                (await client.get("/files/.aeordb-system/x")).status_code,
            ]

    assert call.run(visit()) == [201, 200, 404]


LOCAL = ["localhost", "LocalHost:80", "127.0.0.1:6830", "127.9.9.9", "[::1]:1", "[::1]"]
REMOTE = ["", "evil.example", "localhost.evil.example:80", "127.0.0.1.evil.example", "192.0.2.1"]
REMOTE += ["10.0.0.1", "[::]", "[::1", "localhost:x@evil.example"]


@pytest.mark.parametrize(
    ("host", "origin", "expected"),
    [(host, None, 200) for host in LOCAL]
    + [(host, None, 403) for host in REMOTE]
    + [("localhost", f"http://{host}", 200) for host in LOCAL]
    + [("localhost", f"http://{host}", 403) for host in REMOTE]
    + [("localhost", "null", 403), ("localhost", "", 403)],
)
def test_without_auth_a_web_page_of_elsewhere_is_nobody(
    loop: asyncio.Runner,
    make_node: MakeNode,
    tmp_path: Path,
    host: str,
    origin: str | None,
    expected: int,
) -> None:
    fields = {"host": host} if origin is None else {"host": host, "origin": origin}

    async def visit() -> httpx.Response:
        async with make_node(tmp_path, is_open=True) as here:
            return await here.client("", **fields).get("/sync/status")

    reply = loop.run(visit())
    assert reply.status_code == expected
    if expected == 403:
        assert "auth is disabled" in reply.json()["error"]


def test_with_auth_any_host_and_origin_will_do(call: Browser) -> None:
    fields = {"Host": "evil.example", "Origin": "http://evil.example"}
    assert call("GET", "/files", headers=fields).status_code == 200


def test_nobody_is_not_root() -> None:
    assert not auth.NOBODY.is_root
    assert not auth.NOBODY.is_peer
    assert auth.NOBODY.user != UUID(int=0)
