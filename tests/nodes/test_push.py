"""A node that nobody can reach is a full peer: it pushes what it has, and pulls the rest."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest

from aeorsync.cluster import pusher
from tests.support.nodes import NodeProcess, root_of, wait_until


def closed_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def hidden_pair(folder: Path) -> Iterator[tuple[NodeProcess, NodeProcess]]:
    """A node, and one behind a wall that joined it: only the second can reach the first."""
    with NodeProcess(folder / "a") as a:
        nowhere = f"http://127.0.0.1:{closed_port()}"
        joining = ("--join", a.url, "--join-token", a.key or "", "--advertise-url", nowhere)
        with NodeProcess(folder / "b", *joining, port=closed_port()) as b:
            b.key = a.key
            wait_until(lambda: state_of(b)["state"] == "active")
            yield a, b


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[NodeProcess, NodeProcess]]:
    with hidden_pair(tmp_path_factory.mktemp("hidden")) as made:
        yield made


def state_of(node: NodeProcess) -> dict[str, object]:
    with node.client() as client:
        [peer] = client.get("/sync/peers").json()["items"]
    found: dict[str, object] = peer
    return found


def put(client: httpx.Client, path: str, body: bytes, **headers: str) -> None:
    client.put(f"/files{path}", content=body, headers=headers).raise_for_status()


def read(client: httpx.Client, path: str) -> bytes | None:
    answer = client.get(f"/files{path}")
    return answer.content if answer.status_code == 200 else None


def settle(nodes: tuple[NodeProcess, NodeProcess]) -> None:
    wait_until(lambda: root_of(nodes[0]) == root_of(nodes[1]))


def test_what_is_written_behind_the_wall_gets_out_and_the_reverse(
    nodes: tuple[NodeProcess, NodeProcess],
) -> None:
    a, b = nodes
    body = os.urandom(5_000_000)
    with a.client() as at_a, b.client() as at_b:
        put(at_b, "/from/b.bin", body)
        put(at_a, "/from/a.txt", b"a")
        wait_until(lambda: read(at_a, "/from/b.bin") == body)
        wait_until(lambda: read(at_b, "/from/a.txt") == b"a")
        settle(nodes)
        assert state_of(a)["state"] == "disconnected"
        wait_until(lambda: state_of(b)["last_push_at"] is not None)
        assert state_of(b)["push_error"] is None
        # What is kept in step by pushes is in step, though no link leads there.
        assert state_of(a)["last_offer_at"] is not None
        assert state_of(a)["behind_since"] is None
        began = time.monotonic()
        put(at_b, "/from/b.txt", b"soon")
        wait_until(lambda: read(at_a, "/from/b.txt") == b"soon")
        assert time.monotonic() - began < pusher.GRACE_S
        at_b.delete("/files/from/b.bin").raise_for_status()
        wait_until(lambda: read(at_a, "/from/b.bin") is None)
    settle(nodes)


def test_a_conflict_across_the_wall_is_kept_and_settled_on_both_sides(
    nodes: tuple[NodeProcess, NodeProcess],
) -> None:
    a, b = nodes
    with a.client() as at_a, b.client() as at_b:
        put(at_a, "/both.txt", b"base")
        settle(nodes)
        base = at_a.head("/files/both.txt").headers["etag"]
        put(at_a, "/both.txt", b"by a")
        put(at_b, "/both.txt", b"by b", **{"X-AeorSync-Base": base})
        settle(nodes)
        for client in (at_a, at_b):
            [item] = client.get("/sync/conflicts").json()["items"]
            assert item["path"] == "/both.txt"
        at_a.post("/sync/conflicts/both.txt", json={"pick": "winner"}).raise_for_status()
        settle(nodes)
        assert at_b.get("/sync/conflicts").json()["items"] == []


def test_nothing_echoes(nodes: tuple[NodeProcess, NodeProcess]) -> None:
    a, b = nodes
    with a.client() as at_a, b.client() as at_b:
        for i in range(5):
            put(at_a, f"/echo/a{i}", b"%d" % i)
            put(at_b, f"/echo/b{i}", b"%d" % i)
        settle(nodes)
        time.sleep(0.5)
        seqs = [client.get("/sync/status").json()["seq"] for client in (at_a, at_b)]
        time.sleep(1)
        assert [client.get("/sync/status").json()["seq"] for client in (at_a, at_b)] == seqs


def test_a_push_that_a_person_asks_for_is_waited_for(
    nodes: tuple[NodeProcess, NodeProcess],
) -> None:
    a, b = nodes
    with a.client() as at_a, b.client() as at_b:
        put(at_b, "/asked.txt", b"now")
        answer = at_b.post("/sync/trigger?direction=push").json()
        assert (answer["peers_synced"], answer["peers_failed"]) == (1, 0)
        assert read(at_a, "/asked.txt") == b"now"
        other = at_a.post(f"/sync/trigger?direction=push&peer={b.node_id}").json()
        assert [item["node_id"] for item in other["skipped"]] == [b.node_id]
        assert at_b.post("/sync/trigger?peer=5").status_code == 404


def test_kills_on_the_way_leave_nothing_half_and_the_next_push_resumes(tmp_path: Path) -> None:
    body = os.urandom(50_000_000)
    with hidden_pair(tmp_path) as (a, b):
        wait_until(lambda: state_of(b)["last_push_at"] is not None)
        with b.client() as at_b:
            put(at_b, "/big", body)
        # The one that pushes goes first, then the one it pushes to.
        for victim, size in ((b, 3_000_000), (a, 20_000_000)):
            wait_until(partial(has_packed, a, size))
            victim.kill()
            if victim is b:
                with a.client() as at_a:
                    assert read(at_a, "/big") is None
                assert packed(a) < len(body)
            victim.start()
        with a.client() as at_a:
            wait_until(lambda: read(at_a, "/big") == body, 60)
        settle((a, b))
        assert packed(a) < 1.7 * len(body)


def has_packed(node: NodeProcess, size: int) -> bool:
    return packed(node) > size


def packed(node: NodeProcess) -> int:
    """Bytes in a node's packs."""
    return sum(path.stat().st_size for path in (node.data / "packs").iterdir())
