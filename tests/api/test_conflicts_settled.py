"""Conflicts as clients keep them: told by a diff, edited side by side, settled in numbers."""

import base64
from typing import Any

import pytest

from aeorsync.core.apikeys import KeyRule
from aeorsync.core.hashing import chunk_id, content_hash
from aeorsync.storage.repository import Repository
from tests.api.blobs import committed, file, upload
from tests.api.conftest import Browser
from tests.support.repositories import put


def diff(call: Browser, since: str | None = None) -> dict[str, Any]:
    body = {} if since is None else {"since_root_hash": since}
    reply = call("POST", "/sync/diff", json=body)
    assert reply.status_code == 200, reply.text
    told: dict[str, Any] = reply.json()
    return told


def conflict(repository: Repository, path: str, *texts: bytes) -> None:
    """Versions of which none had seen another; the last one wins."""
    for text in texts:
        put(repository, path, text, base=())


def show(call: Browser, path: str) -> dict[str, Any]:
    reply = call("GET", f"/sync/conflicts{path}")
    assert reply.status_code == 200, reply.text
    told: dict[str, Any] = reply.json()
    return told


def read(call: Browser, path: str) -> bytes:
    return call("GET", f"/files{path}").content


# What a diff tells


def test_a_diff_tells_exact_times_and_no_base_where_there_is_no_conflict(call: Browser) -> None:
    upload(call, b"one")
    committed(call, file("/d/a", b"one", mtime_ns=1_700_000_000_123_456_789))
    changes = diff(call)["changes"]
    [told] = changes["files_added"]
    assert told["mtime_ns"] == 1_700_000_000_123_456_789
    assert "base" not in told
    assert "losers" not in told
    assert changes["directories_added"][0]["mtime_ns"] > 0


def test_a_diff_tells_the_losers_with_all_that_it_takes_to_keep_them(call: Browser) -> None:
    conflict(call.here.node.repository, "/a", b"first", b"second", b"third")
    told = diff(call)
    [winner] = told["changes"]["files_added"]
    assert winner["content_hash"] == content_hash(b"third").hex()
    assert winner["base"] != winner["etag"]
    assert [loser["content_hash"] for loser in winner["losers"]] == [
        content_hash(text).hex() for text in (b"second", b"first")
    ]
    second = winner["losers"][0]
    assert second["chunk_hashes"] == [chunk_id(b"second").hex()]
    assert (second["kind"], second["size"]) == ("file", 6)
    assert second["node_id"] == call.here.node.repository.head.node
    assert told["chunk_hashes_needed"] == [chunk_id(b"third").hex()]
    by_id = {version["id"]: version["etag"] for version in show(call, "/a")["versions"]}
    assert by_id[second["version"]] == second["etag"]
    assert by_id[winner["version"]] == winner["base"]


def test_a_diff_tells_the_chunks_of_losers_as_raw_ids_too(call: Browser) -> None:
    conflict(call.here.node.repository, "/a", b"loser", b"winner")
    packed = call("POST", "/sync/diff", json={"packed": True}).json()
    [told] = packed["changes"]["files_added"]
    [loser] = told["losers"]
    assert base64.b64decode(told["chunk_ids"]) == chunk_id(b"winner")
    assert base64.b64decode(loser["chunk_ids"]) == chunk_id(b"loser")
    assert "chunk_hashes" not in loser


def test_a_base_from_a_diff_edits_just_that_version(call: Browser) -> None:
    conflict(call.here.node.repository, "/a", b"loser", b"winner")
    [told] = diff(call)["changes"]["files_added"]
    upload(call, b"edited", b"winner")
    [edit, again] = committed(
        call,
        file("/a", b"edited", base=told["losers"][0]["etag"]),
        file("/a", b"winner", base=told["base"]),
    )
    assert edit["conflict"]
    [told] = diff(call)["changes"]["files_added"]
    assert told["base"] == again["etag"]
    assert [loser["etag"] for loser in told["losers"]] == [edit["etag"]]
    assert read(call, "/a") == b"winner"


def test_a_change_of_the_losers_alone_is_told(call: Browser) -> None:
    repository = call.here.node.repository
    conflict(repository, "/a", b"loser", b"winner")
    first = diff(call)
    [told] = first["changes"]["files_added"]
    upload(call, b"edited")
    committed(call, file("/a", b"edited", base=told["losers"][0]["etag"]))
    call("POST", "/sync/conflicts/a", json={"pick": told["version"]})
    second = diff(call, first["root_hash"])
    [modified] = second["changes"]["files_modified"]
    assert "losers" not in modified
    assert second["changes"]["files_added"] == []


def test_a_loser_that_goes_is_told_although_the_winner_stays(call: Browser) -> None:
    conflict(call.here.node.repository, "/a", b"first", b"second", b"third")
    first = diff(call)
    [told] = first["changes"]["files_added"]
    given = told["losers"][1]["version"]
    reply = call("POST", "/sync/conflicts/a", json={"give_up": given})
    assert reply.status_code == 200, reply.text
    assert not reply.json()["resolved"]
    second = diff(call, first["root_hash"])
    [modified] = second["changes"]["files_modified"]
    assert modified["content_hash"] == told["content_hash"]
    assert [one["version"] for one in modified["losers"]] == [told["losers"][0]["version"]]
    assert modified["base"] == reply.json()["etag"]


def test_an_edit_in_conflict_with_a_deletion_is_told_as_such(call: Browser) -> None:
    repository = call.here.node.repository
    put(repository, "/a", b"one")
    tag = call("HEAD", "/files/a").headers["etag"]
    call("DELETE", "/files/a")
    upload(call, b"two")
    committed(call, file("/a", b"two", base=tag))
    [told] = diff(call)["changes"]["files_added"]
    [loser] = told["losers"]
    assert loser["deleted"]
    assert "chunk_hashes" not in loser


def test_a_folder_that_won_over_a_file_is_told_with_it(call: Browser) -> None:
    repository = call.here.node.repository
    put(repository, "/a", b"file")
    tag = call("HEAD", "/files/a").headers["etag"]
    call("DELETE", "/files/a")
    call("POST", "/files/mkdir", json={"path": "/a"})
    upload(call, b"edited")
    reply = call("POST", "/blobs/commit", json={"files": [file("/a", b"edited", base=tag)]})
    assert (reply.status_code, reply.json()["path"]) == (409, "/a")
    changes = diff(call)["changes"]
    assert [one["path"] for one in changes["directories_added"]] == ["/a"]


# Giving one version up


def test_giving_up_the_last_loser_settles_the_conflict(call: Browser) -> None:
    conflict(call.here.node.repository, "/a", b"loser", b"winner")
    loser = show(call, "/a")["versions"][1]["id"]
    reply = call("POST", "/sync/conflicts/a", json={"give_up": loser})
    assert reply.status_code == 200
    assert reply.json()["resolved"]
    assert call("GET", "/sync/conflicts/a").status_code == 404
    assert read(call, "/a") == b"winner"
    upload(call, b"next")
    [told] = committed(call, file("/a", b"next", base=reply.json()["etag"]))
    assert not told["conflict"]


@pytest.mark.parametrize("given", [0, 1, 2])
def test_of_many_just_the_one_is_given_up(call: Browser, given: int) -> None:
    texts = [b"%d" % number for number in range(4)]
    conflict(call.here.node.repository, "/a", *texts)
    versions = show(call, "/a")["versions"]
    reply = call("POST", "/sync/conflicts/a", json={"give_up": versions[1 + given]["id"]})
    assert reply.status_code == 200
    left = [version["content_hash"] for version in show(call, "/a")["versions"]]
    kept = [version for number, version in enumerate(versions) if number != 1 + given]
    assert left == [version["content_hash"] for version in kept]
    assert read(call, "/a") == texts[-1]


def test_what_readers_see_cannot_be_given_up(call: Browser) -> None:
    conflict(call.here.node.repository, "/a", b"loser", b"winner")
    winner = show(call, "/a")["versions"][0]["id"]
    assert call("POST", "/sync/conflicts/a", json={"give_up": winner}).status_code == 409
    assert call("POST", "/sync/conflicts/a", json={"give_up": "1-1"}).status_code == 404
    both = {"give_up": winner, "pick": "winner"}
    assert call("POST", "/sync/conflicts/a", json=both).status_code == 400
    assert call("POST", "/sync/conflicts/b", json={"give_up": winner}).status_code == 404
    assert len(show(call, "/a")["versions"]) == 2


def test_a_loser_of_the_same_bytes_and_another_mode_is_not_dropped_by_an_edit(
    call: Browser,
) -> None:
    repository = call.here.node.repository
    put(repository, "/a", b"same", base=(), executable=True)
    put(repository, "/a", b"same", base=(), executable=False)
    [told] = diff(call)["changes"]["files_added"]
    assert len(told["losers"]) == 1
    upload(call, b"edited")
    [done] = committed(call, file("/a", b"edited", base=told["base"]))
    assert done["conflict"]


# What both were made from


def test_the_common_base_is_told_and_readable_where_a_snapshot_has_it(call: Browser) -> None:
    repository = call.here.node.repository
    put(repository, "/a", b"base")
    tag = call("HEAD", "/files/a").headers["etag"]
    call("POST", "/versions/snapshots", json={"name": "kept"})
    upload(call, b"mine", b"theirs")
    committed(call, file("/a", b"theirs", base=tag))
    committed(call, file("/a", b"mine", base=tag))
    told = show(call, "/a")["base"]
    assert told["content_hash"] == content_hash(b"base").hex()
    assert call("GET", told["href"]).content == b"base"
    [listed] = call("GET", "/sync/conflicts").json()["items"]
    assert listed["base"] == {"content_hash": told["content_hash"], "href": None}


def test_a_base_that_is_gone_is_told_without_a_place(call: Browser) -> None:
    put(call.here.node.repository, "/a", b"base")
    tag = call("HEAD", "/files/a").headers["etag"]
    upload(call, b"mine", b"theirs")
    committed(call, file("/a", b"theirs", base=tag))
    committed(call, file("/a", b"mine", base=tag))
    assert show(call, "/a")["base"] == {
        "content_hash": content_hash(b"base").hex(),
        "href": None,
    }


def test_files_made_by_two_have_no_common_base(call: Browser) -> None:
    conflict(call.here.node.repository, "/a", b"1", b"2")
    assert show(call, "/a")["base"] is None


# Many at once


def test_many_are_settled_at_once_each_for_itself(call: Browser) -> None:
    repository = call.here.node.repository
    for path in ("/a", "/d/b", "/d/c"):
        conflict(repository, path, b"loser", b"winner")
    put(repository, "/fine", b"1")
    asked = {"paths": ["/a", "/d/b", "/fine", "/none"], "pick": "loser"}
    reply = call("POST", "/sync/conflicts", json=asked)
    assert reply.status_code == 200, reply.text
    items = reply.json()["items"]
    assert [(one["path"], one["resolved"]) for one in items] == [
        ("/a", True),
        ("/d/b", True),
        ("/fine", False),
        ("/none", False),
    ]
    assert items[2]["code"] == "NOT_FOUND"
    assert items[2]["error"] == "no conflict at /fine"
    assert read(call, "/a") == read(call, "/d/b") == b"loser"
    left = [one["path"] for one in call("GET", "/sync/conflicts").json()["items"]]
    assert left == ["/d/c"]


def test_all_conflicts_in_a_folder_are_settled_at_once(call: Browser) -> None:
    repository = call.here.node.repository
    for path in ("/a", "/d/b", "/d/e/c", "/dd"):
        conflict(repository, path, b"loser", b"winner")
    reply = call("POST", "/sync/conflicts", json={"prefix": "/d", "pick": "winner"})
    assert [one["path"] for one in reply.json()["items"]] == ["/d/b", "/d/e/c"]
    reply = call("POST", "/sync/conflicts", json={"prefix": "/", "pick": "winner"})
    assert [one["path"] for one in reply.json()["items"]] == ["/a", "/dd"]
    assert call("GET", "/sync/conflicts").json()["items"] == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"pick": "winner"}, 400),
        ({"pick": "winner", "paths": [], "prefix": "/"}, 400),
        ({"pick": "other", "prefix": "/"}, 422),
        ({"prefix": "/"}, 422),
        ({"pick": "winner", "paths": ["/../x"]}, 400),
        ({"pick": "winner", "prefix": "/.aeordb-system"}, 404),
    ],
)
def test_what_is_no_request_to_settle_many_is_refused(
    call: Browser, body: dict[str, object], status: int
) -> None:
    conflict(call.here.node.repository, "/a", b"loser", b"winner")
    assert call("POST", "/sync/conflicts", json=body).status_code == status
    assert len(show(call, "/a")["versions"]) == 2


def test_who_may_not_update_a_path_settles_nothing_there_and_learns_nothing(
    call: Browser,
) -> None:
    repository = call.here.node.repository
    for path in ("/open/a", "/readonly/b", "/hidden/c"):
        conflict(repository, path, b"loser", b"winner")
    rules = (KeyRule("/open/**", "crudl---"), KeyRule("/readonly/**", "-r--l---"))
    token, _ = call.here.make_key(rules=rules)
    reply = call("POST", "/sync/conflicts", json={"prefix": "/", "pick": "winner"}, token=token)
    items = reply.json()["items"]
    assert [(one["path"], one["resolved"]) for one in items] == [
        ("/open/a", True),
        ("/readonly/b", False),
    ]
    asked = {"paths": ["/hidden/c", "/hidden/none"], "pick": "winner"}
    items = call("POST", "/sync/conflicts", json=asked, token=token).json()["items"]
    assert [one["error"].replace(one["path"], "") for one in items] == ["no conflict at "] * 2
    loser = show(call, "/hidden/c")["versions"][1]["id"]
    reply = call("POST", "/sync/conflicts/hidden/c", json={"give_up": loser}, token=token)
    assert (reply.status_code, reply.json()["error"]) == (404, "no conflict at /hidden/c")
