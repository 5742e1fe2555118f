"""Snapshots and forks of real nodes: through kills, and on both of a pair."""

from pathlib import Path
from typing import Any

import httpx

from tests.support.nodes import NodeProcess, pair, root_of, wait_until


def ok(answer: httpx.Response) -> Any:  # noqa: ANN401 - whatever JSON says
    """The body of an answer that is no error."""
    assert answer.status_code < 300, answer.text
    return answer.json()


def items(client: httpx.Client, url: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ok(client.get(url))["items"]
    return found


def are_equal(nodes: tuple[NodeProcess, NodeProcess]) -> bool:
    return root_of(nodes[0]) == root_of(nodes[1])


def test_a_snapshot_and_a_fork_survive_a_kill(tmp_path: Path) -> None:
    with NodeProcess(tmp_path / "a") as node:
        with node.client() as client:
            for number in range(200):
                client.put(f"/files/d/{number % 20}/{number}", content=b"old %d" % number)
            ok(client.post("/versions/snapshots", json={"name": "s"}))
            ok(client.post("/versions/forks", json={"name": "f"}))
            ok(client.put("/files/d/0/0?fork=f", content=b"forked"))
            ok(client.delete("/files/d/1/1?fork=f"))
        node.kill()
        node.start()
        with node.client() as client:
            for number in range(200):
                client.put(f"/files/d/{number % 20}/{number}", content=b"new %d" % number)
            ok(client.delete("/files/d/7?recursive=true"))
            for number in range(200):
                url = f"/files/d/{number % 20}/{number}?snapshot=s"
                assert client.get(url).content == b"old %d" % number
            assert len(items(client, "/files?depth=-1&snapshot=s")) == 200
            assert client.get("/files/d/0/0?fork=f").content == b"forked"
            assert client.get("/files/d/1/1?fork=f").status_code == 404
        node.kill()
        node.start()
        with node.client() as client:
            restored = ok(client.post("/versions/restore", json={"name": "s"}))
            assert restored["changed"] == 200 + 1
        node.kill()
        node.start()
        with node.client() as client:
            assert len(items(client, "/files?depth=-1")) == 200
            auto = restored["auto_snapshot"]
            assert client.get("/files/d/0/0", params={"snapshot": auto}).content == b"new 0"


def test_what_is_kept_on_one_node_is_kept_on_the_other(tmp_path: Path) -> None:
    with pair(tmp_path) as nodes:
        a, b = nodes
        with a.client() as at_a, b.client() as at_b:
            ok(at_a.put("/files/x", content=b"1"))
            ok(at_a.put("/files/y", content=b"gone later"))
            wait_until(lambda: are_equal(nodes))
            made = ok(at_a.post("/versions/snapshots", json={"name": "s"}))
            wait_until(lambda: items(at_b, "/versions/snapshots") == [made])
            ok(at_b.put("/files/x", content=b"2"))
            ok(at_b.delete("/files/y"))
            assert at_b.get("/files/x?snapshot=s").content == b"1"
            assert at_b.get(f"/files/y?version={made['root_hash']}").content == b"gone later"
            wait_until(lambda: are_equal(nodes))
            assert at_a.get("/files/x").content == b"2"
            ok(at_b.post("/versions/restore", json={"name": "s"}))
            wait_until(lambda: at_a.get("/files/y").content == b"gone later")
            assert at_a.get("/files/x").content == b"1"
            assert items(at_a, "/sync/conflicts") == []
            ok(at_b.delete("/versions/snapshots/s"))
            wait_until(
                lambda: [one["name"] for one in items(at_a, "/versions/snapshots")] != ["s"]
            )
            wait_until(lambda: at_a.get("/files/x?snapshot=s").status_code == 404)
            wait_until(lambda: are_equal(nodes))


def test_a_fork_is_written_on_two_nodes_and_promoted_with_a_conflict(tmp_path: Path) -> None:
    with pair(tmp_path) as nodes:
        a, b = nodes
        with a.client() as at_a, b.client() as at_b:
            for name in ("x", "y", "z"):
                ok(at_a.put(f"/files/{name}", content=b"before"))
            wait_until(lambda: are_equal(nodes))
            ok(at_a.post("/versions/forks", json={"name": "f"}))
            wait_until(lambda: items(at_b, "/versions/forks") and are_equal(nodes))
            assert items(at_b, "/versions/forks")[0]["available"] is True
            ok(at_a.put("/files/x?fork=f", content=b"by a"))
            ok(at_b.put("/files/y?fork=f", content=b"by b"))
            ok(at_b.delete("/files/z?fork=f"))
            wait_until(lambda: are_equal(nodes))
            for client in (at_a, at_b):
                assert client.get("/files/x?fork=f").content == b"by a"
                assert client.get("/files/y?fork=f").content == b"by b"
                assert client.get("/files/z?fork=f").status_code == 404
                assert client.get("/files/x").content == b"before"
                assert items(client, "/sync/conflicts") == []
            ok(at_a.put("/files/y", content=b"meanwhile"))
            promoted = ok(at_a.post("/versions/forks/f/promote"))
            assert (promoted["changed"], promoted["conflicts"]) == (3, 1)
            wait_until(lambda: are_equal(nodes))
            assert items(at_b, "/versions/forks") == []
            assert at_b.get("/files/x").content == b"by a"
            assert at_b.get("/files/z").status_code == 404
            (conflict,) = items(at_b, "/sync/conflicts")
            found = {at_b.get(version["href"]).content for version in conflict["versions"]}
            assert (conflict["path"], found) == ("/y", {b"by b", b"meanwhile"})


def test_what_was_written_into_a_fork_while_it_was_promoted_elsewhere_is_not_lost(
    tmp_path: Path,
) -> None:
    with pair(tmp_path) as nodes:
        a, b = nodes
        with a.client() as at_a, b.client() as at_b:
            ok(at_a.put("/files/x", content=b"before"))
            wait_until(lambda: are_equal(nodes))
            ok(at_a.post("/versions/forks", json={"name": "f"}))
            ok(at_a.put("/files/x?fork=f", content=b"forked"))
            wait_until(lambda: items(at_b, "/versions/forks") and are_equal(nodes))
        a.kill()
        with b.client() as at_b:
            ok(at_b.put("/files/late?fork=f", content=b"late"))
            b.kill()
        a.start()
        with a.client() as at_a:
            ok(at_a.post("/versions/forks/f/promote"))
        b.start()
        wait_until(lambda: are_equal(nodes), 60)
        for node in nodes:
            with node.client() as client:
                assert client.get("/files/x").content == b"forked"
                assert client.get("/files/late").status_code == 404
                assert client.get("/files/late?fork=f").content == b"late"
