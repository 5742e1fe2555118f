"""Links, joining and clocks as operators and peers see them."""

import asyncio
import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import httpx
import pytest

from aeorsync.cluster.offers import Stance
from aeorsync.cluster.peers import Direction, PeerState, SyncStatus, TriggerReport, parse_address
from aeorsync.cluster.terms import Removal, parse_terms
from aeorsync.core.tokens import SYNC
from aeorsync.errors import NotFoundError
from aeorsync.wire.encoding import Encoding
from aeorsync.wire.terms import PeerTerms
from tests.api.conftest import KEY, Browser, running
from tests.support.clock import FakeClock
from tests.support.repositories import put


def peer_state(node_id: int, address: str, label: str | None) -> PeerState:
    return PeerState(
        node_id=node_id,
        address=address,
        label=label,
        state="disconnected",
        last_sync_at=None,
        sync_status=SyncStatus(),
        sync_paths=None,
        reason=None,
        since=1,
    )


@dataclass
class FakeMember:
    """The cluster, as far as the API looks."""

    node_id: int = 7
    links: dict[int, PeerState] = field(default_factory=dict)
    asked: list[Any] = field(default_factory=list)

    def peers(self) -> list[PeerState]:
        return list(self.links.values())

    async def add_peer(
        self, address: str, terms: PeerTerms, node_id: int | None = None
    ) -> PeerState:
        changes = parse_terms(terms)
        self.asked.append(changes)
        node_id = node_id or 1000 + len(self.links)
        peer = peer_state(node_id, parse_address(address), terms.label or None)
        return self.links.setdefault(node_id, peer)

    async def admit(self, address: str, label: str | None, node_id: int | None) -> PeerState:
        return await self.add_peer(address, PeerTerms(label=label), node_id)

    async def change_peer(self, node_id: int, terms: PeerTerms) -> PeerState:
        self.asked.append(parse_terms(terms))
        if node_id not in self.links:
            raise NotFoundError("no such peer")
        return self.links[node_id]

    async def remove_peer(self, node_id: int) -> Removal:
        if self.links.pop(node_id, None) is None:
            raise NotFoundError("no such peer")
        return Removal(node_id, peer_told=False, reason="it is down")

    async def forget_peer(self, node_id: int) -> PeerState | None:
        return self.links.pop(node_id, None)

    async def trigger(
        self, *, force_activate: bool, node_id: int | None, is_push: bool
    ) -> TriggerReport:
        self.asked.append((force_activate, node_id, is_push))
        return TriggerReport(peers_synced=0, peers_failed=0, peers_skipped=0)

    def wake(self, node_id: int, *, repair: bool) -> None:
        self.asked.append(-node_id if repair else node_id)

    def stance(self, node_id: int) -> Stance:
        return Stance(is_linked=node_id in self.links)


@contextmanager
def cluster_call(folder: Path, runner: asyncio.Runner, **fields: object) -> Iterator[Browser]:
    given: dict[str, Any] = {"member": FakeMember(), **fields}
    context = running(folder, **given)
    browser = Browser(runner, runner.run(context.__aenter__()))
    try:
        yield browser
    finally:
        runner.run(context.__aexit__(None, None, None))


@pytest.fixture
def call(loop: asyncio.Runner, tmp_path: Path) -> Iterator[Browser]:
    with cluster_call(tmp_path, loop) as browser:
        yield browser


@pytest.fixture
def member(call: Browser) -> FakeMember:
    return cast("FakeMember", call.here.node.member)


def test_a_peer_is_added_shown_and_removed(call: Browser, member: FakeMember) -> None:
    body = {"address": "http://b:1", "label": "B", "sync_paths": ["/p/**"]}
    reply = call("POST", "/sync/peers", json=body)
    assert reply.status_code == 201
    peer = reply.json()
    assert (peer["address"], peer["label"], peer["state"]) == ("http://b:1", "B", "disconnected")
    assert member.asked == [{**body, "sync_paths": ("/p/**",)}]
    assert call("GET", "/sync/peers").json() == {"items": [peer]}
    status = call("GET", "/sync/status").json()
    assert (status["node_id"], status["peer_count"], status["peers"]) == (7, 1, [peer])
    assert set(peer["sync_status"]) == {
        "last_success_at",
        "last_attempt_at",
        "last_error",
        "consecutive_failures",
        "total_syncs",
        "total_failures",
    }
    reply = call("DELETE", f"/sync/peers/{peer['node_id']}")
    told = {"peer_told": False, "reason": "it is down"}
    assert reply.json() == {"removed": True, "node_id": peer["node_id"], **told}
    assert call("DELETE", f"/sync/peers/{peer['node_id']}").status_code == 404


def test_what_is_said_of_a_link_is_changed(call: Browser, member: FakeMember) -> None:
    node_id = call("POST", "/sync/peers", json={"address": "http://b:1"}).json()["node_id"]
    body = {
        "label": None,
        "sync_paths": ["/p/**"],
        "excludes": [],
        "direction": "pull",
        "enabled": False,
        "compression": "gzip",
        "bandwidth_limit": 200,
        "address": "http://C:1/",
        "unheard of": 1,
    }
    reply = call("PATCH", f"/sync/peers/{node_id}", json=body)
    assert reply.status_code == 200
    assert set(reply.json()) >= {"direction", "enabled", "compression", "excludes", "forced"}
    assert member.asked[-1] == {
        "label": None,
        "sync_paths": ("/p/**",),
        "excludes": None,
        "direction": Direction.PULL,
        "enabled": False,
        "compression": Encoding.GZIP,
        "bandwidth_limit": 200,
        "address": "http://c:1",
    }
    assert call("PATCH", f"/sync/peers/{node_id}", json={}).status_code == 200
    assert member.asked[-1] == {}


@pytest.mark.parametrize(
    ("field", "value", "status", "told"),
    [
        ("direction", "sideways", 400, "both, pull, push"),
        ("direction", None, 422, "direction"),
        ("compression", "lz4", 400, "zstd, gzip, none"),
        ("compression", 5, 422, "compression"),
        ("bandwidth_limit", -1, 400, "0 (no limit)"),
        ("bandwidth_limit", 10**9, 400, "0 (no limit)"),
        ("bandwidth_limit", 1.5, 422, "bandwidth_limit"),
        ("bandwidth_limit", None, 422, "bandwidth_limit"),
        ("enabled", "no", 422, "enabled"),
        ("enabled", None, 422, "enabled"),
        ("sync_paths", "/a", 422, "sync_paths"),
        ("sync_paths", ["["], 400, "glob"),
        ("excludes", ["/a"] * 101, 400, "100"),
        ("label", "a\nb", 400, "label"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_and_the_allowed_ones_are_named(
    call: Browser, member: FakeMember, field: str, value: object, status: int, told: str
) -> None:
    node_id = call("POST", "/sync/peers", json={"address": "http://b:1"}).json()["node_id"]
    before = len(member.asked)
    for method, path, more in (
        ("PATCH", f"/sync/peers/{node_id}", {}),
        ("POST", "/sync/peers", {"address": "http://c:1"}),
    ):
        reply = call(method, path, json={field: value, **more})
        assert reply.status_code == status, reply.text
        assert told in reply.json()["error"]
    assert (len(member.asked), len(member.links)) == (before, 1)


def test_a_peer_may_leave(call: Browser, member: FakeMember) -> None:
    call("POST", "/sync/peers", json={"address": "http://b:1", "node_id": 9})
    token = call.here.mint(scope=SYNC)
    for body, removed in (
        ({"node_id": 9, "told": 8}, False),  # another node was meant
        ({"node_id": 9, "told": 7}, True),
        ({"node_id": 9}, False),
    ):
        reply = call("POST", "/sync/leave", json=body, token=token)
        assert (reply.status_code, reply.json()) == (200, {"removed": removed})
    assert member.links == {}


def test_the_status_tells_the_root(call: Browser) -> None:
    put(call.here.node.repository, "/a", b"1")
    status = call("GET", "/sync/status").json()
    head = call.here.node.repository.head
    assert (status["root_hash"], status["seq"]) == (head.root.hex(), head.seq)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/sync/peers", {}, 400),
        ("POST", "/sync/peers", {"address": ""}, 400),
        ("POST", "/sync/peers", {"address": "b:1"}, 400),
        ("POST", "/sync/peers", {"address": 5}, 422),
        ("POST", "/sync/peers", {"address": "http://b", "node_id": 0}, 422),
        ("POST", "/sync/peers", {"address": "http://b", "node_id": 2**63}, 422),
        ("PATCH", "/sync/peers/x", {}, 400),
        ("PATCH", "/sync/peers/5", {}, 404),
        ("POST", "/sync/leave", {}, 422),
        ("DELETE", "/sync/peers/x", None, 400),
        ("DELETE", "/sync/peers/-1", None, 400),
        ("DELETE", "/sync/peers/" + "9" * 30, None, 400),
        ("DELETE", "/sync/peers/5", None, 404),
        ("POST", "/sync/trigger?force_activate=maybe", None, 400),
        ("POST", "/sync/wake", {}, 422),
        ("POST", "/sync/wake", {"node_id": -1}, 422),
        ("POST", "/sync/clock", {}, 422),
        ("POST", "/sync/clock", {"t0": "x"}, 422),
        ("POST", "/sync/join", {}, 400),
        ("POST", "/sync/join", {"node_url": "nowhere"}, 400),
        ("POST", "/sync/join", {"node_url": 5}, 422),
    ],
)
def test_a_request_without_sense_is_refused(
    call: Browser, method: str, path: str, body: object, status: int
) -> None:
    reply = call(method, path, json=body)
    assert reply.status_code == status
    assert set(reply.json()) == {"error", "code"}


@pytest.mark.parametrize(
    ("query", "force"),
    [
        ("", False),
        ("?force_activate=true", True),
        ("?force_activate=1", True),
        ("?force_activate=false", False),
    ],
)
def test_a_trigger_may_force(
    call: Browser, member: FakeMember, query: str, *, force: bool
) -> None:
    reply = call("POST", "/sync/trigger" + query)
    assert member.asked == [(force, None, False)]
    assert reply.json() == {
        "peers_synced": 0,
        "peers_failed": 0,
        "peers_skipped": 0,
        "results": [],
        "skipped": [],
        "forced_active": [],
    }


def test_a_peer_may_wake_us(call: Browser, member: FakeMember) -> None:
    token = call.here.mint(scope=SYNC)
    reply = call("POST", "/sync/wake", json={"node_id": 9}, token=token)
    assert (reply.status_code, reply.json()) == (202, {"accepted": True, "linked": False})
    asked = {"node_id": 9, "repair": True}
    assert call("POST", "/sync/wake", json=asked, token=token).status_code == 202
    assert member.asked == [9, -9]


def test_who_wakes_us_is_told_whether_we_pull(call: Browser, member: FakeMember) -> None:
    member.links[9] = peer_state(9, "http://b", None)
    assert call("POST", "/sync/wake", json={"node_id": 9}).json()["linked"] is True


def test_a_trigger_may_be_for_one_peer_and_either_way(call: Browser, member: FakeMember) -> None:
    assert call("POST", "/sync/trigger?peer=12&direction=push").status_code == 200
    assert member.asked == [(False, 12, True)]


@pytest.mark.parametrize("query", ["?peer=b", "?peer=-1", "?direction=up"])
def test_a_trigger_that_makes_no_sense_triggers_nothing(
    call: Browser, member: FakeMember, query: str
) -> None:
    assert call("POST", "/sync/trigger" + query).status_code == 400
    assert member.asked == []


def test_a_clock_probe_is_answered_with_two_readings(loop: asyncio.Runner, tmp_path: Path) -> None:
    with cluster_call(tmp_path, loop, wall=FakeClock()) as call:
        reply = call("POST", "/sync/clock", json={"t0": 5}).json()
        assert reply["t0"] == 5
        assert 1_700_000_000_000 < reply["t1"] < reply["t2"]
        assert reply["node_id"] == 7
        assert reply["database"] == call.here.node.repository.database_id


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/sync/peers"),
        ("POST", "/sync/peers"),
        ("DELETE", "/sync/peers/5"),
        ("GET", "/sync/status"),
        ("POST", "/sync/trigger"),
        ("POST", "/sync/join"),
        ("POST", "/sync/clock"),
        ("POST", "/sync/wake"),
        ("GET", "/sync/conflicts"),
        ("GET", "/sync/events"),
    ],
)
def test_the_cluster_is_roots_affair(call: Browser, method: str, path: str) -> None:
    assert call(method, path, token="").status_code == 401
    assert call(method, path, token=call.here.mint(subject=uuid4())).status_code == 403


# Joining


def audits(call: Browser) -> list[dict[str, Any]]:
    """What is on record about joins."""
    repository = call.here.node.repository
    with repository.view() as view:
        children = list(view.children("/.aeordb-system/join-audit", system=True))  # type: ignore[arg-type]
    contents = [child.version.content for child in children if child.version is not None]
    return [json.loads(b"".join(repository.read(content))) for content in contents]


def test_a_joining_node_is_given_the_key_and_becomes_a_peer(
    call: Browser, member: FakeMember
) -> None:
    body = {"node_url": "http://c:1", "label": "C", "node_id": 99}
    reply = call("POST", "/sync/join", json=body)
    assert reply.status_code == 200
    assert reply.headers["cache-control"] == "no-store"
    assert base64.b64decode(reply.json()["signing_key"]) == KEY.seed
    assert reply.json()["responding_node_id"] == 7
    assert reply.json()["new_peer_node_id"] == 99
    assert member.links[99].address == "http://c:1"
    [record] = audits(call)
    assert record["address"] == "127.0.0.1"
    assert (record["node_url"], record["label"], record["node_id"]) == ("http://c:1", "C", 99)
    assert call("GET", "/files/.aeordb-system/join-audit/").status_code == 404


def test_an_aeordb_node_joins_without_an_id(call: Browser) -> None:
    reply = call("POST", "/sync/join", json={"node_url": "http://c:1"})
    assert reply.json()["new_peer_node_id"] > 0


def test_a_sync_token_cannot_join_and_does_not_count(call: Browser) -> None:
    token = call.here.mint(scope=SYNC)
    for _ in range(6):
        reply = call("POST", "/sync/join", json={"node_url": "http://c:1"}, token=token)
        assert reply.status_code == 403
    assert call("POST", "/sync/join", json={"node_url": "http://c:1"}).status_code == 200
    assert len(audits(call)) == 1


def test_joins_are_limited_by_the_socket_and_not_by_a_header(call: Browser) -> None:
    for number in range(5):
        headers = {"X-Forwarded-For": f"10.0.0.{number}", "X-Real-IP": f"10.0.0.{number}"}
        assert call("POST", "/sync/join", json={}, headers=headers).status_code == 400
    reply = call("POST", "/sync/join", json={}, headers={"X-Forwarded-For": "10.0.0.9"})
    assert reply.status_code == 429
    assert 0 < int(reply.headers["retry-after"]) <= 60
    elsewhere = httpx.ASGITransport(call.here.app, client=("10.1.1.1", 5))
    headers = {"Authorization": f"Bearer {call.here.token}"}

    async def join_from_elsewhere() -> int:
        async with httpx.AsyncClient(transport=elsewhere, base_url="http://node") as client:
            return (await client.post("/sync/join", json={}, headers=headers)).status_code

    assert call._runner.run(join_from_elsewhere()) == 400


def test_thirty_joins_an_hour_are_enough(loop: asyncio.Runner, tmp_path: Path) -> None:
    wall = FakeClock()
    with cluster_call(tmp_path, loop, wall=wall) as call:
        token = call.here.mint(life=86_400)
        for _ in range(30):
            assert call("POST", "/sync/join", json={}, token=token).status_code == 400
            wall.now += 61_000
        reply = call("POST", "/sync/join", json={}, token=token)
        assert reply.status_code == 429
        assert 60 < int(reply.headers["retry-after"]) <= 3600


def test_without_auth_anybody_joins(loop: asyncio.Runner, tmp_path: Path) -> None:
    with cluster_call(tmp_path, loop, is_open=True) as call:
        body, host = {"node_url": "http://c:1"}, {"Host": "localhost"}
        reply = call("POST", "/sync/join", json=body, headers=host, token="")
        assert reply.status_code == 200
        reply = call("POST", "/sync/join", json=body, token="")
        assert reply.status_code == 403


def test_a_key_that_may_not_be_shared_is_not(loop: asyncio.Runner, tmp_path: Path) -> None:
    with cluster_call(tmp_path, loop, can_share_key=False) as call:
        reply = call("POST", "/sync/join", json={"node_url": "http://c:1"})
        assert reply.status_code == 500
        assert "signing_key" not in reply.text
        assert not call.here.node.member.peers()
