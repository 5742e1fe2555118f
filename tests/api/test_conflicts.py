"""Conflicts as people see and settle them."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aeorsync.core.hashing import chunk_id, content_hash, file_identity
from aeorsync.core.paths import parse
from aeorsync.storage import changes
from aeorsync.storage.repository import Repository
from tests.api.conftest import Browser
from tests.support.clock import FakeClock
from tests.support.repositories import exchange, files, get, open_repository, put


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Repository]:
    """Another node, whose clock is late, so that it loses."""
    slow = FakeClock(1_600_000_000_000)
    repository = open_repository(tmp_path / "other", node=9, wall=slow)
    yield repository
    repository.close()


def disagree(call: Browser, other: Repository, path: str = "/a.txt") -> None:
    """Let both nodes change a file at once."""
    ours = call.here.node.repository
    put(ours, path, b"base")
    exchange(ours, other)
    put(other, path, b"theirs")
    put(ours, path, b"ours")
    exchange(ours, other)


def delete(repository: Repository, path: str) -> None:
    repository.commit(lambda draft: changes.delete(draft, parse(path))).result()


def test_a_conflict_is_told_in_the_shape_of_aeordb_and_more(
    call: Browser, other: Repository
) -> None:
    disagree(call, other)
    [meta] = call("GET", "/sync/conflicts").json()["items"]
    assert call("GET", "/sync/conflicts/a.txt").json() == meta
    assert (meta["path"], meta["conflict_type"]) == ("/a.txt", "ConcurrentModify")
    assert meta["auto_winner"] == "winner"
    texts = {side: get(call.here.node.repository, "/a.txt") for side in ("winner",)}
    texts["loser"] = b"theirs" if texts["winner"] == b"ours" else b"ours"
    for side, version in zip(("winner", "loser"), meta["versions"], strict=True):
        text = texts[side] or b""
        identity = file_identity("/a.txt", "text/plain", chunk_id(text)).hex()
        assert set(meta[side]) == {"hash", "virtual_time", "node_id", "size", "content_type"}
        assert meta[side]["hash"] == identity
        assert meta[side]["size"] == version["size"] == len(text)
        assert meta[side]["content_type"] == "text/plain"
        assert meta[side]["node_id"] in {7, 9}
        assert version["content_hash"] == content_hash(text).hex()
        assert version["is_winner"] is (side == "winner")
        assert version["href"] == f"/files/a.txt?version={version['id']}"
        assert call("GET", version["href"]).content == text
    assert meta["created_at"] == max(version["updated_at"] for version in meta["versions"])


@pytest.mark.parametrize("pick", ["winner", "loser", 0, 1, None])
@pytest.mark.parametrize("route", ["conflicts", "resolve"])
def test_a_conflict_is_settled_for_all_nodes(
    call: Browser, other: Repository, pick: str | int | None, route: str
) -> None:
    disagree(call, other)
    ours = call.here.node.repository
    meta = call("GET", "/sync/conflicts/a.txt").json()
    chosen = meta["versions"][pick if isinstance(pick, int) else int(pick == "loser")]
    wanted = call("GET", chosen["href"]).content
    word = chosen["id"] if isinstance(pick, int) else pick
    if word is None and route == "resolve":
        assert call("POST", "/sync/resolve/a.txt", json={}).status_code == 422
        return
    body: dict[str, Any] = {} if word is None else {"json": {"pick": word}}
    reply = call("POST", f"/sync/{route}/a.txt", **body)
    assert reply.status_code == 200
    told = reply.json()
    assert (told["resolved"], told["path"], told["pick"]) == (True, "/a.txt", word or "winner")
    exchange(ours, other)
    assert call("GET", "/sync/conflicts").json()["items"] == []
    assert not list(other.conflicts())
    assert get(ours, "/a.txt") == get(other, "/a.txt") == wanted
    assert ours.head.root == other.head.root


@pytest.mark.parametrize("body", [{"json": {}}, {"json": {"pick": None}}, {"content": b" "}])
def test_without_a_word_the_winner_stays(
    call: Browser, other: Repository, body: dict[str, Any]
) -> None:
    disagree(call, other)
    before = get(call.here.node.repository, "/a.txt")
    assert call("POST", "/sync/conflicts/a.txt", **body).json()["pick"] == "winner"
    assert get(call.here.node.repository, "/a.txt") == before


def test_to_dismiss_is_to_keep_the_winner(call: Browser, other: Repository) -> None:
    disagree(call, other)
    before = get(call.here.node.repository, "/a.txt")
    reply = call("POST", "/sync/dismiss/a.txt").json()
    assert (reply["dismissed"], reply["path"]) == (True, "/a.txt")
    assert get(call.here.node.repository, "/a.txt") == before
    assert call("GET", "/sync/conflicts/a.txt").status_code == 404
    assert call("POST", "/sync/dismiss/a.txt").status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/sync/conflicts/a.txt", {"pick": "both"}, 400),
        ("/sync/conflicts/a.txt", {"pick": "1-1; rm"}, 400),
        ("/sync/conflicts/a.txt", {"pick": 5}, 422),
        ("/sync/conflicts/a.txt", {"pick": "1-1"}, 404),
        ("/sync/resolve/a.txt", {"pick": "ffffffffffffffff-ffffffffffffffff"}, 404),
        ("/sync/resolve/a.txt", {}, 422),
        ("/sync/resolve/nothing", {"pick": "winner"}, 404),
        ("/sync/conflicts/.aeordb-system/x", {"pick": "winner"}, 404),
        ("/sync/conflicts/a%00b", {}, 400),
    ],
)
def test_what_cannot_be_picked_changes_nothing(
    call: Browser, other: Repository, path: str, body: dict[str, Any], status: int
) -> None:
    disagree(call, other)
    root = call.here.node.repository.head.root
    reply = call.raw("POST", path.encode(), json.dumps(body).encode())
    assert reply.status_code == status
    assert call.here.node.repository.head.root == root


@pytest.mark.parametrize("path", ["nothing", "kept.txt", ".aeordb-system/x"])
def test_where_there_is_no_conflict_there_is_nothing_to_show(call: Browser, path: str) -> None:
    put(call.here.node.repository, "/kept.txt", b"1")
    assert call("GET", f"/sync/conflicts/{path}").status_code == 404


@pytest.mark.parametrize("pick", ["winner", "loser"])
def test_a_deletion_is_a_side_that_may_be_picked(
    call: Browser, other: Repository, pick: str
) -> None:
    ours = call.here.node.repository
    put(ours, "/a", b"base")
    exchange(ours, other)
    delete(other, "/a")
    put(ours, "/a", b"edited")
    exchange(ours, other)
    meta = call("GET", "/sync/conflicts/a").json()
    assert meta["conflict_type"] == "ModifyDelete"
    assert (meta["loser"]["hash"], meta["loser"]["size"]) == ("", 0)
    assert meta["versions"][1]["deleted"]
    assert meta["versions"][1]["href"] is None
    assert call("POST", "/sync/resolve/a", json={"pick": pick}).status_code == 200
    assert get(ours, "/a") == (b"edited" if pick == "winner" else None)
    assert call("GET", "/sync/conflicts").json()["items"] == []


def test_a_file_and_a_folder_of_one_name_are_both_kept(call: Browser, other: Repository) -> None:
    ours = call.here.node.repository
    put(other, "/x/y", b"inside")
    put(ours, "/x", b"file")
    exchange(ours, other)
    meta = call("GET", "/sync/conflicts/x").json()
    assert meta["conflict_type"] == "FileDirectory"
    assert (meta["winner"]["size"], meta["loser"]["hash"], meta["loser"]["size"]) == (4, "", 0)
    assert [version["kind"] for version in meta["versions"]] == ["file", "directory"]
    assert meta["versions"][1]["href"] is None
    assert call("POST", "/sync/conflicts/x", json={"pick": "winner"}).status_code == 200
    meta = call("GET", "/sync/conflicts/x").json()
    assert meta["conflict_type"] == "FileDirectory"
    assert [version["kind"] for version in meta["versions"]] == ["file"]
    assert call("POST", "/sync/conflicts/x", json={"pick": "winner"}).status_code == 409
    assert files(ours) == {"/x": b"file", "/x/y": b"inside"}


def test_a_file_that_lost_to_a_folder_can_be_read(call: Browser, other: Repository) -> None:
    ours = call.here.node.repository
    put(other, "/x", b"file")
    put(ours, "/x/y", b"inside")
    exchange(ours, other)
    meta = call("GET", "/sync/conflicts/x").json()
    assert meta["conflict_type"] == "ConcurrentCreate"
    assert [version["kind"] for version in meta["versions"]] == ["directory", "file"]
    assert call("GET", meta["versions"][1]["href"]).content == b"file"


def test_who_looked_before_a_third_version_came_is_told(call: Browser, other: Repository) -> None:
    disagree(call, other)
    repository = call.here.node.repository
    before = call("GET", "/sync/conflicts/a.txt").json()["etag"]
    put(repository, "/a.txt", b"third", base=())
    root = repository.head.root
    body: dict[str, Any] = {"json": {"pick": "winner"}, "headers": {"If-Match": before}}
    assert call("POST", "/sync/resolve/a.txt", **body).status_code == 412
    assert repository.head.root == root
    body["headers"] = {"If-Match": call("GET", "/sync/conflicts/a.txt").json()["etag"]}
    assert call("POST", "/sync/resolve/a.txt", **body).status_code == 200
    assert call("GET", "/sync/conflicts").json()["items"] == []


def test_conflicts_of_the_system_are_nobodys_to_see(call: Browser, other: Repository) -> None:
    ours = call.here.node.repository
    path = parse("/.aeordb-system/k", allow_system=True)
    for repository, text in ((ours, b"1"), (other, b"2")):
        state = changes.FileState(repository.store_small(text), "text/plain")
        repository.commit(partial(changes.put_file, path=path, file=state)).result()
    exchange(ours, other)
    assert [conflict.path for conflict in ours.conflicts()] == [path]
    assert call("GET", "/sync/conflicts").json() == {"items": [], "more": False}


def test_a_list_that_is_too_long_says_so(
    call: Browser, other: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in ("/a", "/b", "/c"):
        disagree(call, other, path)
    monkeypatch.setattr("aeorsync.wire.limits.MAX_PAGE", 2)
    reply = call("GET", "/sync/conflicts").json()
    assert [meta["path"] for meta in reply["items"]] == ["/a", "/b"]
    assert reply["more"]


def test_a_path_of_any_letters_has_a_link_that_works(call: Browser, other: Repository) -> None:
    path = "/ä b%25#?.txt"
    disagree(call, other, path)
    [meta] = call("GET", "/sync/conflicts").json()["items"]
    assert meta["path"] == path
    for version in meta["versions"]:
        reply = call("GET", version["href"])
        assert reply.status_code == 200
        assert content_hash(reply.content).hex() == version["content_hash"]
