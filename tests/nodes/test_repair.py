"""Two real nodes become equal again, whatever happened to one of them, and share sound bytes."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aeorsync.core.paths import parse, to_key
from aeorsync.core.tree import edit
from aeorsync.storage.base import Commit
from aeorsync.storage.embedded import EmbeddedStore
from aeorsync.storage.identities import first_head
from aeorsync.storage.views import NodeCache
from tests.support.nodes import NodeProcess, is_active, pair, root_of, wait_until

Nodes = tuple[NodeProcess, NodeProcess]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with pair(tmp_path_factory.mktemp("repair"), "--sync-interval", "1") as made:
        yield made


@pytest.fixture(autouse=True)
def both(nodes: Nodes) -> None:
    """Each test begins with two nodes that run, are linked and equal."""
    for node in nodes:
        if node.process.poll() is not None:
            node.start()
    wait_until(lambda: is_active(nodes[0]) and is_active(nodes[1]))
    settle(nodes)


def settle(nodes: Nodes) -> None:
    wait_until(lambda: root_of(nodes[0]) == root_of(nodes[1]))


def put(node: NodeProcess, **files: bytes) -> None:
    with node.client() as client:
        for name, body in files.items():
            client.put(f"/files/{name}", content=body).raise_for_status()


def read(node: NodeProcess, name: str) -> bytes:
    with node.client() as client:
        answer = client.get(f"/files/{name}")
    assert answer.status_code == 200, answer.text
    return answer.content


def repair(node: NodeProcess, query: str = "") -> dict[str, Any]:
    with node.client() as client:
        answer = client.post(f"/sync/repair{query}")
    assert answer.status_code == 200, answer.text
    (result,) = answer.json()["results"]
    return dict(result)


def lose(node: NodeProcess, *paths: str) -> None:
    """Take entries out of the database of a node that is stopped: no deletion, no feed row."""
    store = EmbeddedStore(node.data, first_head(1))
    head = store.head()
    edits: dict[bytes, bytes | None] = {to_key(parse(path)): None for path in paths}
    edited = edit(head.root, NodeCache(store).read, edits)
    after = msgspec.structs.replace(head, root=edited.root)
    store.commit(Commit(head, after, nodes=edited.made, dropped=edited.dropped))
    store.close()


def damage(node: NodeProcess, content: bytes) -> None:
    """Change one byte of a file where the node keeps it."""
    for pack in (node.data / "packs").glob("*.pack"):
        at = pack.read_bytes().find(content)
        if at >= 0:
            with pack.open("r+b") as file:
                file.seek(at + 5)
                file.write(bytes([content[5] ^ 1]))
            return
    raise AssertionError


def test_entries_lost_on_both_sides_come_back_when_asked_for(nodes: Nodes) -> None:
    a, b = nodes
    put(a, **{f"r/file{at:03d}": b"text %d" % at for at in range(120)})
    settle(nodes)
    a.stop()
    b.stop()
    lose(b, "/r/file007", "/r/file070")
    lose(a, "/r/file090")
    a.start()
    b.start()
    wait_until(lambda: is_active(a) and is_active(b))
    result = repair(b, f"?peer={a.node_id}")
    assert result["ok"], result
    assert result["node_id"] == a.node_id
    assert result["round_trips"] <= 6
    settle(nodes)
    assert read(b, "r/file070") == b"text 70"
    assert read(a, "r/file090") == b"text 90"
    again = repair(b)
    assert (again["round_trips"], again["keys_repaired"], again["equal"]) == (1, 0, True)


def test_entries_lost_behind_a_nodes_back_come_back_by_themselves(nodes: Nodes) -> None:
    a, b = nodes
    put(a, **{f"s/file{at:03d}": b"text %d" % at for at in range(60)})
    settle(nodes)
    b.stop()
    lose(b, "/s/file007", "/s/file042")
    b.start()
    settle(nodes)
    assert read(b, "s/file042") == b"text 42"


def test_a_node_put_back_to_an_older_copy_catches_up(nodes: Nodes, tmp_path: Path) -> None:
    _, b = nodes
    put(b, before=b"1", both=b"1")
    settle(nodes)
    b.stop()
    shutil.copytree(b.data, tmp_path / "copy")
    b.start()
    wait_until(lambda: is_active(b))
    put(b, both=b"2", after=b"2")
    with b.client() as client:
        client.delete("/files/before").raise_for_status()
    settle(nodes)
    b.stop()
    shutil.rmtree(b.data)
    shutil.copytree(tmp_path / "copy", b.data)
    b.start()
    settle(nodes)
    assert read(b, "both") == b"2"
    assert read(b, "after") == b"2"
    with b.client() as client:
        assert client.get("/files/before").status_code == 404
    assert repair(b)["equal"]


def test_a_damaged_chunk_is_read_from_the_peer_and_healed(nodes: Nodes) -> None:
    a, b = nodes
    body = os.urandom(3_000_000)
    put(a, large=body)
    settle(nodes)
    a.stop()
    for spot in (1_000, 1_500_000, 2_900_000):
        damage(a, body[spot : spot + 500])
    a.start()
    wait_until(lambda: is_active(a))
    assert read(a, "large") == body
    with a.client() as client:
        part = client.get("/files/large", headers={"Range": "bytes=1400000-1600000"})
    assert part.content == body[1_400_000:1_600_001]
    b.stop()
    assert read(a, "large") == body


def test_without_a_peer_a_damaged_chunk_is_an_error_and_comes_back_later(nodes: Nodes) -> None:
    a, b = nodes
    body = os.urandom(60_000)
    put(a, small=body)
    settle(nodes)
    b.stop()
    a.stop()
    damage(a, body[1_000:1_500])
    a.start()
    with a.client() as client:
        answer = client.get("/files/small")
    assert answer.status_code == 500
    assert answer.json()["code"] == "CORRUPT"
    assert "no peer" in answer.json()["error"]
    b.start()
    wait_until(lambda: is_active(a))
    began = time.monotonic()
    assert read(a, "small") == body
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(("query", "status"), [("?peer=12345", 404), ("?peer=x", 400)])
def test_a_repair_with_nobody_is_refused(nodes: Nodes, query: str, status: int) -> None:
    with nodes[0].client() as client:
        assert client.post(f"/sync/repair{query}").status_code == status


def test_a_peer_that_is_down_is_named(nodes: Nodes) -> None:
    a, b = nodes
    b.stop()
    wait_until(lambda: not is_active(a))
    with a.client() as client:
        reply = client.post("/sync/repair").json()
    assert reply["results"] == []
    (aside,) = reply["skipped"]
    assert (aside["node_id"], aside["state"]) == (b.node_id, "disconnected")
    assert reply["root_hash"] == root_of(a)
