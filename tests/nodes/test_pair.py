"""Two real nodes stay equal, keep conflicts, and settle them, whoever is asked."""

import json
import os
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.support.nodes import NodeProcess, is_active, pair, root_of, wait_until

Body = bytes | dict[str, str] | None
Request = tuple[str, str, Body]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[NodeProcess, NodeProcess]]:
    with pair(tmp_path_factory.mktemp("pair")) as made:
        yield made


@pytest.fixture
def clients(nodes: tuple[NodeProcess, NodeProcess]) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    with nodes[0].client() as a, nodes[1].client() as b:
        yield a, b


def put(client: httpx.Client, path: str, body: bytes, **headers: str) -> httpx.Response:
    answer = client.put(f"/files{path}", content=body, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer


def read(client: httpx.Client, path: str) -> bytes | None:
    answer = client.get(f"/files{path}")
    return answer.content if answer.status_code == 200 else None


def settle(nodes: tuple[NodeProcess, NodeProcess]) -> None:
    wait_until(lambda: root_of(nodes[0]) == root_of(nodes[1]))


def apart(
    nodes: tuple[NodeProcess, NodeProcess], on_a: list[Request], on_b: list[Request]
) -> None:
    """Let each do something while the other is down, then bring them together."""
    a, b = nodes
    settle(nodes)
    b.stop()
    with a.client() as client:
        for method, url, body in on_a:
            assert send(client, method, url, body).is_success
    a.stop()
    b.start()
    with b.client() as client:
        for method, url, body in on_b:
            assert send(client, method, url, body).is_success
    a.start()
    wait_until(lambda: is_active(a) and is_active(b))
    settle(nodes)


def send(client: httpx.Client, method: str, url: str, body: Body) -> httpx.Response:
    if isinstance(body, bytes):
        return client.request(method, url, content=body)
    return client.request(method, url, json=body) if body else client.request(method, url)


def conflict_types(client: httpx.Client) -> dict[str, str]:
    items = client.get("/sync/conflicts").json()["items"]
    return {item["path"]: item["conflict_type"] for item in items}


def test_both_list_each_other(nodes: tuple[NodeProcess, NodeProcess]) -> None:
    a, b = nodes
    for node, other in ((a, b), (b, a)):
        with node.client() as client:
            (peer,) = client.get("/sync/peers").json()["items"]
        assert (peer["node_id"], peer["state"]) == (other.node_id, "active")


def test_a_write_on_either_is_on_the_other(
    clients: tuple[httpx.Client, httpx.Client], nodes: tuple[NodeProcess, NodeProcess]
) -> None:
    a, b = clients
    put(a, "/from/a.txt", b"a")
    put(b, "/from/b.txt", b"b")
    wait_until(lambda: read(b, "/from/a.txt") == b"a" and read(a, "/from/b.txt") == b"b")
    settle(nodes)


def test_everything_about_a_file_arrives(clients: tuple[httpx.Client, httpx.Client]) -> None:
    a, b = clients
    body = os.urandom(3_000_000)
    headers = {"X-AeorSync-Mtime": "1234567890123.5", "X-AeorSync-Mode": "755"}
    put(a, "/kept/tool.bin", body, **headers)
    wait_until(lambda: read(b, "/kept/tool.bin") == body)
    here, there = a.head("/files/kept/tool.bin").headers, b.head("/files/kept/tool.bin").headers
    for name in ("etag", "x-aeorsync-mtime", "x-aeorsync-mode", "x-aeordb-created"):
        assert here[name] == there[name]
    assert there["x-aeorsync-mtime"] == "1234567890123.5"
    assert there["x-aeorsync-mode"] == "755"


def test_folders_links_renames_and_deletes_arrive(
    clients: tuple[httpx.Client, httpx.Client], nodes: tuple[NodeProcess, NodeProcess]
) -> None:
    a, b = clients
    a.post("/files/mkdir", json={"path": "/empty/folder"}).raise_for_status()
    a.put("/links/shortcut", json={"target": "old/name.txt"}).raise_for_status()
    put(a, "/old/name.txt", b"content")
    settle(nodes)
    assert b.get("/links/shortcut").json()["target"] == "old/name.txt"
    assert read(b, "/shortcut") == b"content"
    names = [item["name"] for item in b.get("/files/empty/").json()["items"]]
    assert names == ["folder"]
    b.patch("/files/old", json={"to": "/new"}).raise_for_status()
    settle(nodes)
    assert read(a, "/new/name.txt") == b"content"
    assert read(a, "/old/name.txt") is None
    a.delete("/files/new/name.txt").raise_for_status()
    settle(nodes)
    assert read(b, "/new/name.txt") is None


def test_a_live_client_of_one_hears_of_writes_on_the_other(
    clients: tuple[httpx.Client, httpx.Client],
) -> None:
    a, b = clients
    with b.stream("GET", "/system/events?events=entries_created&path_prefix=/heard") as events:
        lines = events.iter_lines()
        put(a, "/heard/news.txt", b"news")
        data = next(line for line in lines if line.startswith("data: "))
    paths = [entry["path"] for entry in json.loads(data[6:])["payload"]["entries"]]
    assert paths == ["/heard", "/heard/news.txt"]


def test_edits_on_both_sides_are_kept_and_settled_by_one_call(
    nodes: tuple[NodeProcess, NodeProcess],
) -> None:
    with nodes[0].client() as client:
        put(client, "/c/both.txt", b"base")
    apart(
        nodes,
        [("PUT", "/files/c/both.txt", b"from a")],
        [("PUT", "/files/c/both.txt", b"from b")],
    )
    with nodes[0].client() as a, nodes[1].client() as b:
        assert conflict_types(a) == conflict_types(b) == {"/c/both.txt": "ConcurrentModify"}
        versions = a.get("/sync/conflicts/c/both.txt").json()["versions"]
        contents = {a.get(version["href"]).content for version in versions}
        assert contents == {b.get(version["href"]).content for version in versions}
        assert contents == {b"from a", b"from b"}
        shown = read(a, "/c/both.txt")
        assert shown == read(b, "/c/both.txt") == b"from b"  # the later one
        b.post("/sync/conflicts/c/both.txt", json={"pick": "loser"}).raise_for_status()
        settle(nodes)
        assert read(a, "/c/both.txt") == read(b, "/c/both.txt") == b"from a"
        assert conflict_types(a) == conflict_types(b) == {}


def test_what_else_can_be_done_on_both_sides_at_once(
    nodes: tuple[NodeProcess, NodeProcess],
) -> None:
    with nodes[0].client() as a:
        for name in ("delete-a", "delete-b", "same", "renamed", "kind"):
            put(a, f"/m/{name}", b"base")
    link = {"target": "elsewhere"}
    apart(
        nodes,
        [
            ("DELETE", "/files/m/delete-a", None),
            ("PUT", "/files/m/delete-b", b"edited"),
            ("PUT", "/files/m/same", b"equal"),
            ("PUT", "/files/m/created", b"by a"),
            ("PATCH", "/files/m/renamed", {"to": "/m/moved"}),
            ("PUT", "/files/m/kind", b"still a file"),
        ],
        [
            ("PUT", "/files/m/delete-a", b"edited"),
            ("DELETE", "/files/m/delete-b", None),
            ("PUT", "/files/m/same", b"equal"),
            ("PUT", "/files/m/created", b"by b"),
            ("PUT", "/files/m/renamed", b"edited"),
            ("PUT", "/links/m/kind", link),
        ],
    )
    with nodes[0].client() as a, nodes[1].client() as b:
        expected = {
            "/m/created": "ConcurrentCreate",
            "/m/delete-a": "ModifyDelete",
            "/m/delete-b": "ModifyDelete",
            "/m/kind": "ConcurrentModify",
            "/m/renamed": "ModifyDelete",
        }
        assert conflict_types(a) == conflict_types(b) == expected
        for client in (a, b):
            assert read(client, "/m/delete-a") == read(client, "/m/delete-b") == b"edited"
            assert read(client, "/m/same") == b"equal"
            assert read(client, "/m/renamed") == b"edited"
            assert read(client, "/m/moved") == b"base"
        for path in expected:
            b.post(f"/sync/resolve{path}", json={"pick": "winner"}).raise_for_status()
        settle(nodes)
        assert conflict_types(a) == conflict_types(b) == {}


def test_a_node_that_was_away_catches_up_by_itself(
    nodes: tuple[NodeProcess, NodeProcess],
) -> None:
    a, b = nodes
    settle(nodes)
    b.kill()
    with a.client() as client:
        for number in range(50):
            put(client, f"/away/{number}", b"%d" % number)
        client.delete("/files/away/7").raise_for_status()
    b.start()
    settle(nodes)
    with b.client() as client:
        assert read(client, "/away/49") == b"49"
        assert read(client, "/away/7") is None


def test_an_idle_pair_stays_quiet(nodes: tuple[NodeProcess, NodeProcess]) -> None:
    settle(nodes)
    time.sleep(1)
    before = [syncs(node) for node in nodes]
    time.sleep(2)
    assert [syncs(node) for node in nodes] == before


def syncs(node: NodeProcess) -> int:
    with node.client() as client:
        (peer,) = client.get("/sync/peers").json()["items"]
    total: int = peer["sync_status"]["total_syncs"]
    return total
