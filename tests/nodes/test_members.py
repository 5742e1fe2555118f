"""Members on record, one removed for good, and deletions that are forgotten: real nodes."""

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from aeorsync.config import Exit
from aeorsync.core.tokens import ROOT, mint
from aeorsync.storage.folder import DataFolder
from tests.support.nodes import NodeFailedError, NodeProcess, is_active, root_of, wait_until

FLAGS = ("--sync-interval", "1", "--grave-retention", "3s")


@pytest.fixture(scope="module")
def trio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[NodeProcess]]:
    """Three nodes in a star; the first is in the middle."""
    tmp_path = tmp_path_factory.mktemp("trio")
    with ExitStack() as stack:
        a = stack.enter_context(NodeProcess(tmp_path / "a", *FLAGS))
        nodes = [a]
        for name in "bc":
            joining = ("--join", a.url, "--join-token", a.key or "")
            nodes.append(stack.enter_context(NodeProcess(tmp_path / name, *FLAGS, *joining)))
            nodes[-1].key = a.key
        wait_until(lambda: all(is_active(node) for node in nodes))
        yield nodes


def members(node: NodeProcess) -> dict[int, dict[str, Any]]:
    with node.client() as client:
        items = client.get("/sync/members").json()["items"]
    return {item["node_id"]: item for item in items}


def put(node: NodeProcess, path: str, body: bytes) -> None:
    with node.client() as client:
        client.put(f"/files{path}", content=body).raise_for_status()


def delete(node: NodeProcess, path: str) -> None:
    with node.client() as client:
        client.delete(f"/files{path}").raise_for_status()


def trash(node: NodeProcess) -> list[str]:
    with node.client() as client:
        return [item["path"] for item in client.get("/files/deleted").json()["items"]]


def reads(node: NodeProcess, path: str) -> bool:
    with node.client() as client:
        return client.get(f"/files{path}").status_code == 200


def reason(node: NodeProcess) -> str:
    with node.client() as client:
        peers = client.get("/sync/peers").json()["items"]
    return str(peers[0]["reason"]) if peers else ""


def test_a_deletion_is_forgotten_by_all_once_all_have_heard_of_it(trio: list[NodeProcess]) -> None:
    a, b, c = trio
    put(a, "/gone", b"x")
    put(c, "/kept", b"x")
    wait_until(lambda: all(reads(node, "/gone") and reads(node, "/kept") for node in trio))
    delete(b, "/gone")
    wait_until(lambda: trash(a) == trash(b) == trash(c) == ["/gone"])
    wait_until(lambda: all(trash(node) == [] for node in trio))
    assert [reads(node, "/gone") for node in trio] == [False] * 3
    assert all(item["acknowledged_at"] for item in members(a).values())
    wait_until(lambda: root_of(a) == root_of(b) == root_of(c))
    c.stop()
    c.start()
    wait_until(lambda: is_active(c) and root_of(a) == root_of(b) == root_of(c))
    assert [reads(node, "/gone") for node in trio] == [False] * 3
    assert [reads(node, "/kept") for node in trio] == [True] * 3


def test_a_removed_node_is_refused_everywhere_and_comes_back_empty(
    trio: list[NodeProcess],
) -> None:
    a, b, c = trio
    put(a, "/gone", b"x")
    wait_until(lambda: reads(c, "/gone") and reads(b, "/gone"))
    c.stop()
    delete(b, "/gone")
    wait_until(lambda: trash(a) == ["/gone"])
    with a.client() as client:
        removed = client.delete(f"/sync/members/{c.node_id}")
        assert (removed.status_code, removed.json()["removed_at"] > 0) == (200, True)
        again = client.delete(f"/sync/members/{c.node_id}")
        assert again.json()["removed_at"] == removed.json()["removed_at"]
    # Without it nothing holds the grave back; the link is gone on the other nodes, too.
    wait_until(lambda: trash(a) == trash(b) == [])
    wait_until(lambda: is_active(a) and members(b)[c.node_id]["removed_at"])
    c.start()
    wait_until(lambda: "removed from the cluster" in reason(c))
    assert "rejoin with an empty data folder" in reason(c)
    put(c, "/from-the-removed", b"x")
    with a.client() as client:
        answer = client.post("/sync/peers", json={"address": c.url})
        assert (answer.status_code, answer.json()["code"]) == (403, "REMOVED")
    assert reads(c, "/gone")
    assert not any(reads(node, path) for node in (a, b) for path in ("/gone", "/from-the-removed"))
    old = c.node_id
    c.stop()
    c.flags = (*FLAGS, "--join", a.url.replace("127.0.0.1", "localhost"))
    c.environment = {"AEORSYNC_JOIN_TOKEN": a.key or ""}
    with pytest.raises(NodeFailedError, match="removed from the cluster") as caught:
        c.start()
    assert caught.value.code == Exit.JOIN_REFUSED
    shutil.rmtree(c.data)
    c.start()
    wait_until(lambda: is_active(c) and root_of(a) == root_of(c))
    assert c.node_id != old
    assert not reads(c, "/gone")
    assert members(a)[c.node_id]["removed_at"] is None


def test_another_node_lists_the_members_and_removes_none(tmp_path: Path) -> None:
    with NodeProcess(tmp_path / "a") as node:
        now = int(time.time())
        key = DataFolder(node.data).kept_key()
        token = mint(key, ROOT, issued=now, expires=now + 60, scope="sync")
        with node.client(token) as client:
            assert client.get("/sync/members").json() == {"items": []}
            refused = client.delete("/sync/members/7")
            assert (refused.status_code, refused.json()["code"]) == (403, "FORBIDDEN")
        with node.client() as client:
            assert client.delete(f"/sync/members/{node.node_id}").status_code == 409
            assert client.delete("/sync/members/77").status_code == 404
            assert client.delete("/sync/members/x").status_code == 400
        with node.client(token) as client:
            odd = client.get("/sync/members", headers={"X-AeorSync-From": "me"})
            assert odd.status_code == 400
