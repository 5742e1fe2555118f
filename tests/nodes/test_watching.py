"""What an operator sees of real nodes: past cycles, metrics, health, through loss and recovery."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.nodes import NodeProcess, is_active, pair, root_of, wait_until

Pair = tuple[NodeProcess, NodeProcess]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    # No pull but those that news asks for.
    with pair(tmp_path_factory.mktemp("watching"), "--sync-interval", "3600") as made:
        yield made


def get(node: NodeProcess, path: str) -> Any:  # noqa: ANN401 - JSON
    with node.client() as client:
        answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


def history(node: NodeProcess, query: str = "") -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = get(node, f"/sync/history?limit=1000{query}")["items"]
    return items


def metric(node: NodeProcess, name: str, **labels: str) -> float:
    with node.client() as client:
        text = client.get("/metrics").text
    samples = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == f"aeorsync_{name}" and labels.items() <= sample.labels.items()
    ]
    assert samples
    return sum(samples)


def settle(nodes: Pair) -> None:
    """Wait until both have the same, and no cycle runs any more."""
    wait_until(lambda: root_of(nodes[0]) == root_of(nodes[1]))
    wait_until(lambda: not any(history(node, "&status=running") for node in nodes))


def cycles_of(nodes: Pair, *paths: tuple[str, bytes]) -> list[dict[str, Any]]:
    """The cycles of the second node that writes on the first cause."""
    settle(nodes)
    a, b = nodes
    last = history(b)[0]["id"]
    with a.client() as client:
        for path, body in paths:
            assert client.put(f"/files{path}", content=body).status_code == 201
    settle(nodes)
    wait_until(lambda: history(b)[0]["id"] > last)
    settle(nodes)
    return [row for row in history(b) if row["id"] > last]


def test_history_counts_what_each_cycle_brought(nodes: Pair) -> None:
    a, b = nodes
    body = bytes(range(256)) * 4
    many = cycles_of(nodes, *((f"/many/{n}", b"%d" % n + body) for n in range(100)))
    assert sum(row["files"] for row in many) == 100
    assert {row["status"] for row in many} == {"success"}
    assert {row["direction"] for row in many} == {"pull"}
    assert {row["peer"] for row in many} == {a.node_id}
    total = sum(row["bytes"] for row in many)
    assert total > 0
    one = cycles_of(nodes, ("/many/7", b"edited"))
    assert sum(row["files"] for row in one) == 1
    assert sum(row["bytes"] for row in one) == len(b"edited")
    # The very same bytes again, under another name: nothing has to travel.
    same = cycles_of(nodes, ("/many/copy", b"edited"))
    assert (sum(row["files"] for row in same), sum(row["bytes"] for row in same)) == (1, 0)
    # No echo: the other way nothing of it came.
    assert [row for row in history(a) if row["started_at"] >= many[-1]["started_at"]] == []
    assert metric(b, "transferred_files_total", peer=str(a.node_id)) >= 102
    assert metric(b, "commit_seconds_count") >= 3
    rows = history(b)
    assert metric(b, "cycles_total", result="success") == len(rows)


def test_an_idle_pair_is_in_step_and_stays_healthy(nodes: Pair) -> None:
    settle(nodes)
    good = {"healthy": True, "unhealthyNodes": [], "laggyNodes": [], "avgLagMs": 0}
    wait_until(lambda: get(nodes[1], "/sync/health") == good)
    before = len(history(nodes[1]))
    time.sleep(1.5)
    assert get(nodes[1], "/sync/health") == good
    assert metric(nodes[1], "peer_lag_seconds") == 0
    assert len(history(nodes[1])) == before


def test_a_live_client_hears_of_cycles(nodes: Pair) -> None:
    a, b = nodes
    settle(nodes)
    path = "/system/events?events=syncs_completed"
    with a.client() as writer, b.client() as client, client.stream("GET", path) as events:
        lines = events.iter_lines()
        next(lines)
        began = time.monotonic()
        data = ""
        for number in range(5):
            writer.put("/files/heard", content=b"%d" % number)
            data = next(line for line in lines if line.startswith("data: "))
        # At once: a stream that nobody wakes looks up every five seconds.
        assert time.monotonic() - began < 15
    payload = json.loads(data[6:])["payload"]
    assert payload["peer_node_id"] == a.node_id
    assert payload["operations_applied"] == 1


def test_health_and_metrics_tell_of_a_peer_that_dies_and_comes_back(nodes: Pair) -> None:
    a, b = nodes
    settle(nodes)
    a.kill()
    wait_until(lambda: not is_active(b))
    wait_until(lambda: get(b, "/sync/health")["unhealthyNodes"] == [a.node_id])
    assert get(b, "/sync/health")["healthy"] is False
    assert metric(b, "healthy") == 0
    assert metric(b, "peer_lag_seconds") >= 10
    assert metric(b, "peer_state", state="active") == 0
    a.start()
    wait_until(lambda: get(b, "/sync/health")["healthy"])
    wait_until(lambda: metric(b, "peer_lag_seconds") == 0)
    assert metric(b, "peer_state", state="active") == 1


def test_a_cycle_that_kill_9_cuts_short_has_failed_at_the_next_start(nodes: Pair) -> None:
    a, b = nodes
    wait_until(lambda: is_active(b))
    settle(nodes)
    # The peer stands still, so that a cycle with it does not end.
    a.process.send_signal(signal.SIGSTOP)
    try:
        with b.client() as client, pytest.raises(httpx.ReadTimeout):
            client.post("/sync/trigger", timeout=httpx.Timeout(30, read=0.3))
        wait_until(lambda: history(b, "&status=running"))
        [running] = history(b, "&status=running")
        assert (running["peer"], running["duration_ms"]) == (a.node_id, None)
        b.kill()
    finally:
        a.process.send_signal(signal.SIGCONT)
    b.start()
    [row] = [row for row in history(b) if row["id"] == running["id"]]
    assert (row["status"], row["error"]) == ("failed", "the node stopped")
    assert history(b, f"&status=failed&peer={a.node_id}")[0]["id"] == row["id"]
    wait_until(lambda: history(b)[0]["id"] > row["id"])


@pytest.mark.parametrize("damage", [b"no database", None])
def test_a_damaged_or_missing_ledger_stops_no_node(tmp_path: Path, damage: bytes | None) -> None:
    with NodeProcess(tmp_path / "a") as node:
        node.stop()
        path = tmp_path / "a" / "ledger.sqlite3"
        path.write_bytes(damage * 500) if damage else path.unlink()
        node.start()
        assert history(node) == []
        assert ("ledger: begun anew" in node.log) is bool(damage)
        assert path.with_name("ledger.sqlite3.damaged").exists() is bool(damage)
