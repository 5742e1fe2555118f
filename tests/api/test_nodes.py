"""POST /sync/nodes: tree nodes for those who may see the whole tree, and for nobody else."""

import base64
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aeorsync.core.hashing import node_id
from aeorsync.core.nodes import EMPTY, child_id, decode_node
from aeorsync.storage import shelf as shelf_module
from aeorsync.storage.shelf import PLACES, Shelf
from aeorsync.wire.framing import Decoder, Kind
from aeorsync.wire.nodes import MAX_NODES, NodesHeader
from aeorsync.wire.protocol import FRAMES_TYPE, IDS_TYPE
from tests.api.conftest import Browser
from tests.support.clock import FakeClock
from tests.support.repositories import open_repository, put


def ask(call: Browser, *ids: str) -> dict[str, Any]:
    reply = call("POST", "/sync/nodes", json={"ids": ids, "include_system": True})
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


def test_without_ids_the_roots_are_told_and_nothing_else(call: Browser) -> None:
    call("PUT", "/files/a", content=b"x")
    call("DELETE", "/files/a")
    head = call.here.node.repository.head
    assert ask(call) == {
        "node_id": head.node,
        "root_hash": head.root.hex(),
        "graves_hash": head.graves.hex(),
        "seq": head.seq,
        "nodes": [],
        "missing": [],
        "more": False,
    }
    assert head.graves != EMPTY


def test_nodes_come_by_id_and_what_is_not_here_is_named(call: Browser) -> None:
    call("PUT", "/files/a", content=b"x")
    root = call.here.node.repository.head.root.hex()
    told = ask(call, root, "ab" * 32)
    (node,) = told["nodes"]
    body = base64.b64decode(node["data"])
    assert node["hash"] == root == node_id(body).hex()
    assert b"a" in decode_node(body).keys
    assert told["missing"] == ["ab" * 32]


def test_peers_are_answered_in_frames(call: Browser) -> None:
    call("PUT", "/files/a", content=b"x")
    repository = call.here.node.repository
    reply = call.run(
        call.here.peer().post(
            "/sync/nodes",
            content=repository.head.root + bytes(32),
            headers={"Accept": FRAMES_TYPE, "Content-Type": IDS_TYPE},
        )
    )
    decoder = Decoder()
    header, entries, missing, end = decoder.feed(reply.content)
    decoder.finish()
    told = msgspec.msgpack.decode(header.payload, type=NodesHeader)
    assert (told.node_id, told.database) == (repository.head.node, repository.database_id)
    (body,) = msgspec.msgpack.decode(entries.payload, type=list[bytes])
    assert node_id(body) == repository.head.root
    assert (missing.kind, missing.payload, end.kind) == (Kind.MISSING, bytes(32), Kind.END)


def test_nobody_sees_a_tree_who_may_not_see_all_of_it(call: Browser) -> None:
    user = call.here.mint(subject="0e2f2b2e-6d7c-4c37-9d4c-8f5c0ad7e001")
    asked = {"ids": [], "include_system": True}
    assert call("POST", "/sync/nodes", json=asked, token=user).status_code == 403
    assert call("POST", "/sync/nodes", json=asked, token="").status_code == 401
    refusal = call("POST", "/sync/nodes", json={"ids": []})
    assert refusal.status_code == 403
    assert "include_system" in refusal.json()["error"]
    raw = call("POST", "/sync/nodes", content=b"", headers={"Content-Type": IDS_TYPE})
    assert raw.status_code == 403


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"ids": ["zz"]}', 400),
        (b'{"ids": 7}', 422),
        (b"nonsense", 400),
        (msgspec.json.encode({"ids": ["ab" * 32] * (MAX_NODES + 1)}), 400),
    ],
)
def test_bad_requests_are_refused(call: Browser, body: bytes, status: int) -> None:
    assert call("POST", "/sync/nodes", content=body).status_code == status


def test_a_torn_list_of_raw_ids_is_refused(call: Browser) -> None:
    reply = call("POST", "/sync/nodes", content=b"x" * 33, headers={"Content-Type": IDS_TYPE})
    assert reply.status_code == 400


def test_a_tree_that_was_told_stays_readable_through_later_writes(call: Browser) -> None:
    for at in range(60):
        call("PUT", f"/files/f{at}", content=b"x")
    told = str(ask(call)["root_hash"])
    for at in range(3):
        call("PUT", f"/files/f{at}", content=b"y")
    nodes = ask(call, told)["nodes"]
    assert len(nodes) == 1
    root = decode_node(base64.b64decode(nodes[0]["data"]))
    below = [child_id(ref).hex() for ref in root.values] if root.level else []
    assert ask(call, *below)["missing"] == []


def test_only_so_many_trees_are_kept_and_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf_module, "HOLD_S", 10.0)
    clock = FakeClock()
    repository = open_repository(tmp_path / "data", wall=clock)
    shelf = Shelf(clock.monotonic)
    told = []
    for at in range(PLACES + 2):
        put(repository, "/a", b"%d" % at)
        view = repository.view()
        told.append(view.head.root)
        shelf.put(view)
        shelf.put(repository.view())
    put(repository, "/a", b"last")
    put(repository, "/a", b"very last")
    assert set(repository.trees.bodies(told, 1 << 20).missing) == set(told[:2])
    clock.now += 20_000
    shelf.tidy()
    put(repository, "/b", b"x")
    put(repository, "/b", b"y")
    assert set(repository.trees.bodies(told, 1 << 20).missing) == set(told)
    repository.close()


def test_an_answer_ends_where_it_is_full(tmp_path: Path) -> None:
    repository = open_repository(tmp_path / "data")
    put(repository, "/a", b"x")
    first = repository.head.root
    view = repository.view()
    put(repository, "/b", b"x")
    names = [first, repository.head.root]
    assert repository.trees.bodies(names, 1).rest == names[1:]
    assert repository.trees.bodies(names, 1 << 20).rest == []
    view.close()
    repository.close()
