"""Links between real nodes: settled, filtered, limited, paused, removed, and in a chain."""

import os
import socket
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.nodes import NodeProcess, is_active, root_of, wait_until
from tests.support.relay import Relay


def peers(node: NodeProcess) -> list[dict[str, Any]]:
    with node.client() as client:
        items: list[dict[str, Any]] = client.get("/sync/peers").json()["items"]
    return items


def change(node: NodeProcess, peer: NodeProcess, **terms: object) -> dict[str, Any]:
    with node.client() as client:
        answer = client.patch(f"/sync/peers/{peer.node_id}", json=terms)
    assert answer.status_code == 200, answer.text
    changed: dict[str, Any] = answer.json()
    return changed


def put(node: NodeProcess, path: str, body: bytes) -> None:
    with node.client() as client:
        assert client.put(f"/files{path}", content=body).status_code == 201


def read(node: NodeProcess, path: str) -> bytes | None:
    with node.client() as client:
        answer = client.get(f"/files{path}")
    return answer.content if answer.status_code == 200 else None


def has(node: NodeProcess, path: str, body: bytes) -> bool:
    return read(node, path) == body


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def join(folder: Path, name: str, member: NodeProcess, *flags: str, port: int = 0) -> NodeProcess:
    joining = ("--join", member.url, "--join-token", member.key or "", *flags)
    node = NodeProcess(folder / name, *joining, port=port)
    node.key = member.key
    return node


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[NodeProcess, NodeProcess]]:
    folder = tmp_path_factory.mktemp("links")
    with NodeProcess(folder / "a") as a, join(folder, "b", a) as b:
        wait_until(lambda: is_active(a) and is_active(b))
        yield a, b


@contextmanager
def terms(node: NodeProcess, peer: NodeProcess, **wanted: object) -> Iterator[None]:
    """Change a link, and change it back."""
    before = {name: found(node, peer)[name] for name in wanted}
    change(node, peer, **wanted)
    try:
        yield
    finally:
        change(node, peer, **before)


def found(node: NodeProcess, peer: NodeProcess) -> dict[str, Any]:
    return next(item for item in peers(node) if item["node_id"] == peer.node_id)


def test_a_good_link_settles_within_two_seconds_and_shows_the_clock(
    nodes: tuple[NodeProcess, NodeProcess],
) -> None:
    a, b = nodes
    change(b, a, enabled=False)
    assert (found(b, a)["state"], found(b, a)["reason"]) == ("disconnected", "paused")
    began = time.monotonic()
    change(b, a, enabled=True)
    wait_until(lambda: found(b, a)["state"] == "active")
    assert time.monotonic() - began < 2
    for where in (found(b, a), status(b)["peers"][0]):
        assert abs(where["clock_offset_ms"]) < 1000
        assert where["round_trip_ms"] > 0
        assert where["jitter_ms"] >= 0
        assert where["samples"] >= 5
        assert where["since"] > 0
        assert (where["reason"], where["forced"]) == (None, False)


def status(node: NodeProcess) -> dict[str, Any]:
    with node.client() as client:
        answer: dict[str, Any] = client.get("/sync/status").json()
    return answer


def test_a_write_is_on_the_other_node_in_a_few_milliseconds(
    nodes: tuple[NodeProcess, NodeProcess],
) -> None:
    a, b = nodes
    waits = []
    with a.client() as writer, b.client() as reader:
        for number in range(30):
            body = b"%d" % number
            writer.put("/files/latency", content=body).raise_for_status()
            began = time.monotonic()
            while reader.get("/files/latency").content != body:
                assert time.monotonic() - began < 10
            waits.append(time.monotonic() - began)
    # A few ms on a machine that has nothing else to do; on a busy one, for the quicker half.
    assert statistics.quantiles(waits)[0] < 0.1


def test_excluded_files_stay_away_until_the_filter_is_widened_and_narrowing_takes_nothing(
    nodes: tuple[NodeProcess, NodeProcess],
) -> None:
    a, b = nodes
    with terms(b, a, sync_paths=["/w/**"], excludes=["**/*.tmp"]):
        put(a, "/w/kept", b"1")
        put(a, "/w/cache.tmp", b"2")
        put(a, "/other", b"3")
        wait_until(lambda: read(b, "/w/kept"))
        assert read(b, "/w/cache.tmp") is read(b, "/other") is None
        change(b, a, excludes=None)
        wait_until(lambda: read(b, "/w/cache.tmp") == b"2")
        assert read(b, "/other") is None
        change(b, a, sync_paths=["/nothing/**"])
        put(a, "/w/later", b"4")
        time.sleep(0.3)
        assert (read(b, "/w/kept"), read(b, "/w/later")) == (b"1", None)
    wait_until(lambda: root_of(a) == root_of(b))
    assert read(b, "/other") == b"3"


@pytest.mark.parametrize("compression", ["gzip", "none", "zstd"])
def test_every_compression_brings_the_same_bytes_and_stores_them_as_small(
    nodes: tuple[NodeProcess, NodeProcess], compression: str
) -> None:
    a, b = nodes
    body = compression.encode() * 200_000 + os.urandom(300_000)
    with terms(b, a, compression=compression):
        put(a, f"/c/{compression}", body)
        wait_until(lambda: read(b, f"/c/{compression}") == body)
    packs = sum(path.stat().st_size for path in b.data.glob("packs/*"))
    assert packs < sum(path.stat().st_size for path in a.data.glob("packs/*")) + 500_000


def test_a_limit_is_kept_while_news_and_probes_go_through(
    nodes: tuple[NodeProcess, NodeProcess],
) -> None:
    a, b = nodes
    body = os.urandom(600_000)
    with terms(b, a, bandwidth_limit=200):
        began = time.monotonic()
        put(a, "/slow", body)
        put(b, "/fast", b"other way")
        wait_until(lambda: read(a, "/fast"))
        assert time.monotonic() - began < 2
        with b.client() as client:
            assert client.post("/sync/clock", json={"t0": 1}).elapsed.total_seconds() < 1
        wait_until(lambda: read(b, "/slow") == body)
        took = time.monotonic() - began
        assert 2.4 <= took < 6
        assert found(b, a)["state"] == "active"


def test_a_limit_that_is_lifted_is_lifted_for_what_is_under_way(
    nodes: tuple[NodeProcess, NodeProcess],
) -> None:
    a, b = nodes
    body = os.urandom(3_000_000)
    change(b, a, bandwidth_limit=50)
    put(a, "/crawling", body)
    time.sleep(0.3)
    began = time.monotonic()
    change(b, a, bandwidth_limit=0)
    wait_until(lambda: read(b, "/crawling") == body)
    assert time.monotonic() - began < 10


def test_direction_push_takes_nothing(nodes: tuple[NodeProcess, NodeProcess]) -> None:
    a, b = nodes
    with terms(b, a, direction="push"):
        put(a, "/not-taken", b"1")
        time.sleep(0.3)
        assert read(b, "/not-taken") is None
        with b.client() as client:
            report = client.post("/sync/trigger").json()
        [skipped] = report["skipped"]
        assert "direction is push" in skipped["reason"]
    wait_until(lambda: read(b, "/not-taken"))


def test_a_pause_lasts_over_a_restart(nodes: tuple[NodeProcess, NodeProcess]) -> None:
    a, b = nodes
    change(b, a, enabled=False, label="west", bandwidth_limit=1000)
    put(a, "/while-paused", b"1")
    assert b.stop() == 0
    b.start()
    peer = found(b, a)
    assert (peer["state"], peer["reason"], peer["enabled"]) == ("disconnected", "paused", False)
    assert (peer["label"], peer["bandwidth_limit"]) == ("west", 1000)
    assert read(b, "/while-paused") is None
    change(b, a, enabled=True, bandwidth_limit=0)
    wait_until(lambda: read(b, "/while-paused"))


def test_a_removal_is_clean_on_both_ends(tmp_path: Path) -> None:
    with NodeProcess(tmp_path / "a") as a, join(tmp_path, "b", a) as b:
        wait_until(lambda: is_active(a) and is_active(b))
        with a.client() as client:
            answer = client.delete(f"/sync/peers/{b.node_id}").json()
        told = {"removed": True, "node_id": b.node_id, "peer_told": True, "reason": None}
        assert answer == told
        assert peers(a) == peers(b) == []
        put(a, "/after", b"1")
        time.sleep(0.3)
        assert read(b, "/after") is None
        with a.client() as client, b.client() as other:
            client.post("/sync/peers", json={"address": b.url}).raise_for_status()
            other.post("/sync/peers", json={"address": a.url}).raise_for_status()
            wait_until(lambda: root_of(a) == root_of(b))
            b.kill()
            began = time.monotonic()
            answer = client.delete(f"/sync/peers/{b.node_id}").json()
            assert time.monotonic() - began < 5
            assert (answer["removed"], answer["peer_told"]) == (True, False)
            assert "cannot reach" in answer["reason"]
        assert peers(a) == []


def test_a_change_goes_through_a_chain_and_no_chunk_comes_back(tmp_path: Path) -> None:
    body = os.urandom(2_000_000)
    with ExitStack() as stack:
        # Whatever A fetches from B comes through here.
        port = free_port()
        wire = stack.enter_context(Relay(port))
        a = stack.enter_context(NodeProcess(tmp_path / "a"))
        flags = ("--advertise-url", wire.url)
        b = stack.enter_context(join(tmp_path, "b", a, *flags, port=port))
        b.port = port
        c = stack.enter_context(join(tmp_path, "c", b))
        everybody = (a, b, c)
        wait_until(lambda: all(is_active(node) for node in everybody))
        assert [len(peers(node)) for node in everybody] == [1, 2, 1]
        wait_until(lambda: len({root_of(node) for node in everybody}) == 1)
        before = wire.returned
        put(a, "/chain", body)
        wait_until(lambda: read(c, "/chain") == body)
        wait_until(lambda: len({root_of(node) for node in everybody}) == 1)
        time.sleep(0.5)
        assert wire.returned - before < 20_000
        seq = status(a)["seq"]
        put(c, "/back", body[::-1])
        wait_until(lambda: read(a, "/back") == body[::-1])
        assert wire.returned - before > len(body)
        assert status(a)["seq"] == seq + 1


def test_a_peer_that_never_answers_delays_nobody(
    nodes: tuple[NodeProcess, NodeProcess],
) -> None:
    a, b = nodes
    with socket.create_server(("127.0.0.1", 0)) as hung:
        address = f"http://127.0.0.1:{hung.getsockname()[1]}"
        with b.client() as client:
            began = time.monotonic()
            added = client.post("/sync/peers", json={"address": address})
            assert (added.status_code, time.monotonic() - began < 3) == (201, True)
        for number in range(5):
            began = time.monotonic()
            put(a, "/a", b"%d" % number)
            wait_until(partial(has, b, "/a", b"%d" % number))
            assert time.monotonic() - began < 2
        wait_until(lambda: "did not" in (peers(b)[1]["reason"] or ""))
        assert peers(b)[1]["state"] == "disconnected"
        with b.client() as client:
            began = time.monotonic()
            answer = client.delete(f"/sync/peers/{added.json()['node_id']}").json()
            assert (answer["peer_told"], time.monotonic() - began < 4) == (False, True)
        assert [peer["node_id"] for peer in peers(b)] == [a.node_id]


def test_a_node_that_cannot_be_what_was_said_is_refused_and_nothing_changes(
    nodes: tuple[NodeProcess, NodeProcess],
) -> None:
    a, b = nodes
    before = found(b, a)
    with b.client() as client:
        for body, status_code in (
            ({"direction": "up", "label": "new"}, 400),
            ({"address": b.url, "label": "new"}, 409),
            ({"bandwidth_limit": "fast", "label": "new"}, 422),
            ({"excludes": ["["], "label": "new"}, 400),
        ):
            answer: httpx.Response = client.patch(f"/sync/peers/{a.node_id}", json=body)
            assert answer.status_code == status_code, answer.text
    assert found(b, a)["label"] == before["label"]
