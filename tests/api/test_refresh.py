"""POST /auth/refresh: staying logged in, and what happens to who uses a token twice."""

from typing import Any
from uuid import UUID

import httpx
import pytest

from aeorsync.core import refresh, tokens
from tests.api.conftest import JWT_EXPIRY, KEY, Browser

DAY_MS = 86_400_000


def login(call: Browser, key: str) -> str:
    body = {"api_key": key, "include_refresh": True}
    token: str = call("POST", "/auth/token", json=body, token="").json()["refresh_token"]
    return token


def use(call: Browser, token: str) -> httpx.Response:
    return call("POST", "/auth/refresh", json={"refresh_token": token}, token="")


def used(call: Browser, token: str) -> str:
    reply = use(call, token)
    assert reply.status_code == 200, reply.text
    following: str = reply.json()["refresh_token"]
    return following


def wait(call: Browser, ms: int) -> None:
    call.here.node.wall.now += ms  # type: ignore[attr-defined]


def test_a_refresh_token_gives_a_token_and_the_next_one(call: Browser) -> None:
    text, record = call.here.make_key()
    first = login(call, text)
    reply = use(call, first)
    assert reply.status_code == 200
    assert reply.headers["cache-control"] == "no-store"
    told: dict[str, Any] = reply.json()
    assert set(told) == {"token", "expires_in", "refresh_token"}
    assert told["expires_in"] == JWT_EXPIRY
    assert told["refresh_token"] != first
    claims = tokens.verify(KEY, told["token"], call.here.node.wall.now_ms() // 1000)
    assert claims.key_id == record.key_id
    assert call("GET", "/files", token=told["token"]).status_code == 200


def test_it_is_given_only_to_who_asks_for_it(call: Browser) -> None:
    text, _ = call.here.make_key()
    assert "refresh_token" not in call("POST", "/auth/token", json={"api_key": text}).json()


def test_the_rules_of_the_key_stay(call: Browser) -> None:
    rules = [{"/docs/**": "-r--l---"}]
    made = call("POST", "/auth/keys", json={"rules": rules}).json()
    call("PUT", "/files/b.txt", content=b"b")
    call("PUT", "/files/docs/a.txt", content=b"a")
    token = used(call, login(call, made["key"]))
    token = use(call, token).json()["token"]
    assert call("GET", "/files/docs/a.txt", token=token).status_code == 200
    assert call("GET", "/files/b.txt", token=token).status_code == 404


def test_a_token_that_was_used_before_ends_its_whole_chain(call: Browser) -> None:
    text, _ = call.here.make_key()
    first = login(call, text)
    second = used(call, first)
    third = used(call, second)
    assert use(call, first).status_code == 401
    for token in (third, second, first):
        assert use(call, token).status_code == 401
    # The key is as good as ever.
    assert use(call, login(call, text)).status_code == 200


def test_the_tokens_of_a_revoked_chain_are_refused_with_the_next_request(call: Browser) -> None:
    text, _ = call.here.make_key()
    body = {"api_key": text, "include_refresh": True}
    logged_in = call("POST", "/auth/token", json=body).json()
    other = call("POST", "/auth/token", json=body).json()["token"]
    plain = call("POST", "/auth/token", json={"api_key": text}).json()["token"]
    second = use(call, logged_in["refresh_token"]).json()
    third = use(call, second["refresh_token"]).json()
    mine = (logged_in["token"], second["token"], third["token"])
    assert {call("GET", "/files", token=token).status_code for token in mine} == {200}
    assert use(call, logged_in["refresh_token"]).status_code == 401
    assert {call("GET", "/files", token=token).status_code for token in mine} == {401}
    assert {call("GET", "/files", token=token).status_code for token in (other, plain)} == {200}


def test_a_token_does_not_tell_the_chain_it_came_with(call: Browser) -> None:
    text, _ = call.here.make_key()
    body = {"api_key": text, "include_refresh": True}
    told = call("POST", "/auth/token", json=body).json()
    now = call.here.node.wall.now_ms() // 1000
    chain = tokens.verify(KEY, told["token"], now).chain
    assert chain is not None
    assert chain not in told["refresh_token"]


def test_other_chains_of_the_key_go_on(call: Browser) -> None:
    text, _ = call.here.make_key()
    first, other = login(call, text), login(call, text)
    used(call, used(call, first))
    assert use(call, first).status_code == 401
    assert use(call, other).status_code == 200


def test_who_never_got_the_answer_may_ask_again_within_a_minute(call: Browser) -> None:
    text, _ = call.here.make_key()
    first = login(call, text)
    lost = used(call, first)
    second = used(call, first)
    assert second != lost
    third = used(call, second)
    assert use(call, lost).status_code == 401
    assert use(call, third).status_code == 401


def test_after_a_minute_a_lost_answer_ends_the_chain(call: Browser) -> None:
    text, _ = call.here.make_key()
    first = login(call, text)
    second = used(call, first)
    wait(call, refresh.GRACE_MS + 1)
    assert use(call, first).status_code == 401
    assert use(call, second).status_code == 401


def test_a_chain_ends_after_30_days_without_use(call: Browser) -> None:
    text, _ = call.here.make_key()
    token = login(call, text)
    for _ in range(3):
        wait(call, 29 * DAY_MS)
        token = used(call, token)
    wait(call, 30 * DAY_MS)
    assert use(call, token).status_code == 401


def test_a_chain_ends_with_its_key(call: Browser) -> None:
    text, record = call.here.make_key()
    token = login(call, text)
    call("DELETE", f"/auth/keys/{record.key_id}")
    assert use(call, token).status_code == 401
    text, _ = call.here.make_key(expires_at=call.here.node.wall.now_ms() + DAY_MS)
    token = login(call, text)
    wait(call, DAY_MS + 1)
    assert use(call, token).status_code == 401


def test_all_refusals_are_alike(call: Browser) -> None:
    text, record = call.here.make_key()
    first = login(call, text)
    used(call, used(call, first))
    other = login(call, text)
    wait(call, 31 * DAY_MS)
    unknown = "aeor_r_" + record.key_id.hex[:16] + "0" * 48
    bad = ("", "nonsense", text, unknown, first, other, other[:-1], other[:-32] + "0" * 32)
    refused = [use(call, token) for token in bad]
    assert {reply.status_code for reply in refused} == {401}
    assert len({reply.text for reply in refused}) == 1


def test_a_key_has_no_endless_number_of_chains(call: Browser) -> None:
    text, record = call.here.make_key()
    oldest, second = login(call, text), ""
    for _ in range(refresh.MAX_CHAINS - 1):
        wait(call, 3000)
        second = login(call, text)
    oldest = used(call, oldest)
    wait(call, 60_000)
    login(call, text)
    chains = call.here.node.accounts.chains._chains
    assert len(list(chains.all(record.key_id.hex[:16]))) == refresh.MAX_CHAINS
    # The one that was used last stays.
    assert use(call, oldest).status_code == 200
    assert use(call, second).status_code == 200


def test_a_revoked_chain_is_not_forgotten_by_logging_in_often(call: Browser) -> None:
    text, _ = call.here.make_key()
    body = {"api_key": text, "include_refresh": True}
    told = call("POST", "/auth/token", json=body).json()
    used(call, used(call, told["refresh_token"]))
    assert use(call, told["refresh_token"]).status_code == 401
    for _ in range(refresh.MAX_CHAINS + 2):
        wait(call, 3000)
        login(call, text)
    assert call("GET", "/files", token=told["token"]).status_code == 401


def test_guessing_is_slowed_down(call: Browser) -> None:
    text, _ = call.here.make_key()
    token = login(call, text)
    codes = [use(call, token[:-32] + f"{n:032x}").status_code for n in range(31)]
    assert codes == [401] * 30 + [429]
    codes = [use(call, "aeor_r_" + f"{n:064x}").status_code for n in range(300)]
    assert codes[-1] == 429


def test_the_sweep_forgets_what_is_over(call: Browser) -> None:
    text, _ = call.here.make_key()
    login(call, text)
    gone, gone_record = call.here.make_key(expires_at=call.here.node.wall.now_ms() + DAY_MS)
    accounts = call.here.node.accounts
    now = call.here.node.wall.now_ms
    assert accounts.sweep(now()).result(30) == (0, 0)
    wait(call, 32 * DAY_MS)
    kept = login(call, text)
    assert accounts.sweep(now()).result(30) == (1, 0)
    wait(call, 60 * DAY_MS)
    assert accounts.sweep(now()).result(30) == (1, 1)
    assert accounts.by_id(UUID(str(gone_record.key_id))) is None
    assert use(call, kept).status_code == 401
    assert call("POST", "/auth/token", json={"api_key": gone}).status_code == 401


def test_a_cleanup_tells_what_it_forgot(call: Browser) -> None:
    text, _ = call.here.make_key()
    login(call, text)
    assert call("POST", "/system/tasks/cleanup").json()["tokens_cleaned"] == 0
    wait(call, 32 * DAY_MS)
    told = call("POST", "/system/tasks/cleanup").json()
    assert (told["tokens_cleaned"], told["keys_cleaned"]) == (1, 0)


@pytest.mark.parametrize("body", [{}, {"refresh_token": 1}])
def test_a_body_that_does_not_fit_is_refused(call: Browser, body: dict[str, object]) -> None:
    assert call("POST", "/auth/refresh", json=body, token="").status_code == 422
