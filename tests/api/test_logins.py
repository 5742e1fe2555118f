"""POST /auth/token."""

from uuid import uuid4

import pytest

from aeorsync.core import tokens
from tests.api.conftest import JWT_EXPIRY, KEY, Browser

HOUR_MS = 3_600_000


def test_a_key_becomes_a_token(call: Browser) -> None:
    text, record = call.here.make_key()
    reply = call("POST", "/auth/token", json={"api_key": text, "include_refresh": False}, token="")
    assert reply.status_code == 200
    assert set(reply.json()) == {"token", "expires_in"}
    assert reply.json()["expires_in"] == JWT_EXPIRY
    assert reply.headers["cache-control"] == "no-store"
    token = reply.json()["token"]
    now = call.here.node.wall.now_ms() // 1000
    claims = tokens.verify(KEY, token, now)
    assert (claims.key_id, claims.is_root, claims.scope) == (record.key_id, True, None)
    assert now <= claims.expires <= now + JWT_EXPIRY
    assert call("GET", "/files", token=token).status_code == 200


def test_a_token_lives_no_longer_than_its_key(call: Browser) -> None:
    now = call.here.node.wall.now_ms()
    text, _ = call.here.make_key(expires_at=now + 100_000)
    life = call("POST", "/auth/token", json={"api_key": text}).json()["expires_in"]
    assert 90 <= life < 100


def test_a_token_speaks_for_the_user_of_its_key(call: Browser) -> None:
    text, _ = call.here.make_key(user_id=uuid4())
    token = call("POST", "/auth/token", json={"api_key": text}).json()["token"]
    assert call("GET", "/files", token=token).status_code == 404


def test_malformed_unknown_and_wrong_keys_are_refused_alike(call: Browser) -> None:
    text, _ = call.here.make_key()
    wrong = text[:-64] + "0" * 64
    unknown = "aeor_k_" + "0" * 16 + "_" + "0" * 64
    refused = [
        call("POST", "/auth/token", json={"api_key": key})
        for key in ("", "nonsense", "aeor_k_", text + " ", text.upper(), wrong, unknown)
    ]
    assert {reply.status_code for reply in refused} == {401}
    assert len({reply.text for reply in refused}) == 1


@pytest.mark.parametrize(
    ("change", "word"), [({"is_revoked": True}, "revoked"), ({"expires_at": 1}, "expired")]
)
def test_a_key_that_is_no_longer_good_says_why_to_its_holder(
    call: Browser, change: dict[str, object], word: str
) -> None:
    text, _ = call.here.make_key(**change)
    reply = call("POST", "/auth/token", json={"api_key": text})
    assert reply.status_code == 401
    assert word in reply.json()["error"]
    wrong = call("POST", "/auth/token", json={"api_key": text[:-64] + "0" * 64})
    assert word not in wrong.json()["error"]


@pytest.mark.parametrize(
    ("url", "field"), [("/auth/token", "api_key"), ("/auth/refresh", "refresh_token")]
)
def test_nobody_in_particular_may_send_no_more_than_it_takes(
    call: Browser, url: str, field: str
) -> None:
    told = [call("POST", url, json={field: "x" * size}, token="") for size in (3_000, 5_000)]
    assert [reply.status_code for reply in told] == [401, 413]


def test_guessing_is_slowed_down_for_each_key_alone(call: Browser) -> None:
    text, _ = call.here.make_key()
    other, _ = call.here.make_key()
    wrong = text[:-64] + "0" * 64
    codes = [call("POST", "/auth/token", json={"api_key": wrong}).status_code for _ in range(30)]
    assert codes == [401] * 30
    reply = call("POST", "/auth/token", json={"api_key": text})
    assert (reply.status_code, reply.json()["code"]) == (429, "RATE_LIMITED")
    wait = int(reply.headers["retry-after"])
    assert 0 < wait <= 60
    assert call("POST", "/auth/token", json={"api_key": other}).status_code == 200
    call.here.node.wall.now += wait * 1000  # type: ignore[attr-defined]
    assert call("POST", "/auth/token", json={"api_key": text}).status_code == 200


def test_guessing_is_slowed_down_for_each_address_whatever_the_key(call: Browser) -> None:
    def guess() -> int:
        key = "aeor_k_" + uuid4().hex[:16] + "_" + "0" * 64
        return call("POST", "/auth/token", json={"api_key": key}).status_code

    assert {guess() for _ in range(300)} == {401}
    assert guess() == 429
    call.here.node.wall.now += 61_000  # type: ignore[attr-defined]
    assert guess() == 401
