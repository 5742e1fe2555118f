"""Folders with many names: listed like those with few, in bounded memory."""

import random
import sys

import msgspec
import pytest

from aeorsync.api import listing, long_listing
from aeorsync.api.budget import Budget, weigh
from aeorsync.errors import OverloadedError
from aeorsync.wire.limits import KIB, MIB
from tests.api.conftest import Browser

NAMES = [f"{'aBcDé'[at % 5]}{at * 7919 % 61:02d}" for at in range(60)]


@pytest.fixture
def many(call: Browser) -> Browser:
    for at, name in enumerate(NAMES):
        folder = "inner/" if at % 7 == 0 else ""
        content = b"x" * (at * 31 % 17)
        assert call("PUT", f"/files/d/{folder}{name}", content=content).status_code == 201
    call("POST", "/files/mkdir", json={"path": "/d/Empty"})
    return call


@pytest.fixture(params=["", "depth=-1", "depth=-1&glob=*1*"])
def which(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_long_listing_says_what_a_short_one_says(
    many: Browser, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = [
        f"/files/d?{which}&sort={sort}&order={order}{page}"
        for sort in ("name", "size", "created_at", "updated_at")
        for order in ("asc", "desc")
        for page in ("", "&limit=7", "&limit=5&offset=9", "&offset=55", "&limit=0")
    ]
    short = [many("GET", url).content for url in urls]
    monkeypatch.setattr(listing, "SHORT", 3)
    monkeypatch.setattr(long_listing, "_SPARE", 2)
    monkeypatch.setattr(long_listing, "_ROWS", 4)
    assert [many("GET", url).content for url in urls] == short


def test_who_reads_for_long_is_told_what_is_there_by_then(
    many: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "SHORT", 3)
    monkeypatch.setattr(long_listing, "HOLD_S", -1.0)
    many("DELETE", f"/files/d/{NAMES[1]}")
    listed = many("GET", "/files/d").json()
    assert len(listed["items"]) == listed["total"]


def test_nothing_is_held_once_a_listing_was_sent_or_refused(
    many: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "SHORT", 3)
    node = many.here.node
    left = node.budget.left
    assert many("GET", "/files/d").status_code == 200
    assert node.budget.left == left
    monkeypatch.setattr(long_listing, "MAX_KEYS", 10)
    assert many("GET", "/files/d").status_code == 413
    node.budget.left = 1000
    assert many("GET", "/files/d").status_code == 429
    assert node.budget.left == 1000
    node.budget.left = left
    monkeypatch.setattr(long_listing, "MAX_KEYS", MIB)
    assert many("GET", "/files/d").status_code == 200
    assert node.repository._pins._readers == {}


def test_one_caller_leaves_half_of_the_budget_to_the_others() -> None:
    budget = Budget(1000)
    with budget.share(b"a") as first, budget.share(b"a") as second, budget.share(b"b") as other:
        first.take(300)
        second.take(200)
        assert not second.try_take(1)
        with pytest.raises(OverloadedError):
            first.take(1)
        other.take(500)
        assert budget.left == 0
    assert budget.left == 1000


def test_json_weighs_at_least_what_it_takes() -> None:
    def size(value: object) -> int:
        own = sys.getsizeof(value)
        if isinstance(value, dict):
            return own + sum(size(key) + size(one) for key, one in value.items())
        if isinstance(value, list):
            return own + sum(map(size, value))
        return own

    chance = random.Random(1)
    words = ['"a"', '"é"', f'"{"x" * 99}"', '{"a":"b"}', '{"a":{}}']
    for piece in (*words, "[]", "{}", "1.5", "[[]]"):
        text = ("[" + ",".join([piece] * chance.randint(2000, 3000)) + "]").encode()
        assert weigh(text) * 1.1 > size(msgspec.json.decode(text)), piece


def test_a_body_is_refused_when_there_is_no_memory_for_it(call: Browser) -> None:
    budget = call.here.node.budget
    left, budget.left = budget.left, 64 * KIB
    body = {"paths": ["/a"] * 5000, "destination": "/b"}
    assert call("POST", "/files/copy", json=body).status_code == 429
    assert call("PUT", "/files/large", content=bytes(MIB)).status_code == 429
    assert call("PUT", "/files/small", content=b"small").status_code == 201
    assert budget.left == 64 * KIB
    budget.left = left
    assert call("PUT", "/files/large", content=bytes(MIB)).status_code == 201


def test_an_upload_goes_on_in_small_pieces_when_memory_is_short(call: Browser) -> None:
    budget = call.here.node.budget
    data = random.Random(2).randbytes(3 * MIB)
    left, budget.left = budget.left, 600 * KIB
    assert call("PUT", "/files/large", content=data).status_code == 201
    assert budget.left == 600 * KIB
    assert call("GET", "/files/large").status_code == 429
    budget.left = 3 * MIB - 1
    assert call("GET", "/files/large").content == data
    assert budget.left == 3 * MIB - 1
    budget.left = left
    assert call("GET", "/files/large").content == data
