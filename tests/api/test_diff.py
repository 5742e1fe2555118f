"""`POST /sync/diff` as clients see it."""

import base64
import os
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest

from aeorsync.core.cursors import Cursor, Phase, print_cursor, print_hex
from aeorsync.core.hashing import chunk_id, content_hash, file_identity, symlink_identity
from aeorsync.core.paths import parse
from aeorsync.core.tokens import SYNC
from aeorsync.core.versions import decode_entry
from aeorsync.storage import changes
from aeorsync.wire import limits
from aeorsync.wire.protocol import FRAMES_TYPE, NODE_HEADER
from tests.api.conftest import Browser
from tests.api.readers import read_frames
from tests.support.repositories import open_repository, pull, put

NOTHING: dict[str, list[Any]] = {
    "files_added": [],
    "files_modified": [],
    "files_deleted": [],
    "symlinks_added": [],
    "symlinks_modified": [],
    "symlinks_deleted": [],
    "directories_added": [],
    "directories_deleted": [],
}


def diff(call: Browser, body: dict[str, Any], **fields: object) -> dict[str, Any]:
    """The JSON answer."""
    reply = call("POST", "/sync/diff", json=body, **fields)
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "application/json"
    answer: dict[str, Any] = reply.json()
    return answer


def test_an_empty_request_lists_everything_in_the_shape_of_aeordb(call: Browser) -> None:
    repository = call.here.node.repository
    put(repository, "/b/a.txt", b"hello")
    call("PUT", "/links/l", json={"target": "/b/a.txt"})
    reply = diff(call, {})
    assert reply["root_hash"] == repository.head.root.hex()
    assert set(reply["changes"]) == set(NOTHING)
    [file], [link] = reply["changes"]["files_added"], reply["changes"]["symlinks_added"]
    name = chunk_id(b"hello")
    assert file["path"] == "/b/a.txt"
    assert file["hash"] == file_identity("/b/a.txt", "text/plain", name).hex()
    assert file["size"] == 5
    assert file["content_type"] == "text/plain"
    assert file["chunk_hashes"] == reply["chunk_hashes_needed"] == [name.hex()]
    assert file["content_hash"] == content_hash(b"hello").hex()
    assert link["path"] == "/l"
    assert link["target"] == "/b/a.txt"
    assert link["hash"] == symlink_identity("/l", "/b/a.txt").hex()
    assert [one["path"] for one in reply["changes"]["directories_added"]] == ["/b"]


def test_the_etag_in_a_diff_is_the_one_a_write_may_show(call: Browser) -> None:
    put(call.here.node.repository, "/a", b"1")
    [file] = diff(call, {})["changes"]["files_added"]
    fields = {"content": b"2", "headers": {"If-Match": file["etag"]}}
    assert call("PUT", "/files/a", **fields).status_code == 201
    assert call("PUT", "/files/a", **fields).status_code == 412


def test_from_the_current_root_there_is_nothing_to_read(call: Browser) -> None:
    repository = call.here.node.repository
    put(repository, "/a", b"1")
    root = repository.head.root.hex()
    with patch.object(type(repository), "view", side_effect=AssertionError):
        reply = diff(call, {"since_root_hash": root})
    assert reply["root_hash"] == root
    assert reply["changes"] == NOTHING
    assert reply["chunk_hashes_needed"] == []


def test_from_a_known_root_only_what_changed_is_told(call: Browser) -> None:
    repository = call.here.node.repository
    for path in ("/kept", "/changed", "/gone", "/turned"):
        put(repository, path, b"1")
    root = diff(call, {})["root_hash"]
    put(repository, "/changed", b"22")
    put(repository, "/new", b"3")
    put(repository, "/passing", b"4")
    for path in ("/gone", "/passing", "/turned"):
        call("DELETE", "/files" + path)
    call("PUT", "/links/turned", json={"target": "kept"})
    reply = diff(call, {"since_root_hash": root})
    told = {
        name: [change["path"] for change in found]
        for name, found in reply["changes"].items()
        if found
    }
    assert told == {
        "files_added": ["/new"],
        "files_modified": ["/changed"],
        "files_deleted": ["/gone", "/turned"],
        "symlinks_added": ["/turned"],
    }
    assert reply["chunk_hashes_needed"] == sorted(chunk_id(x).hex() for x in (b"22", b"3"))
    assert not reply["full"]


def test_a_folder_that_comes_and_goes_is_told(call: Browser) -> None:
    root = diff(call, {})["root_hash"]
    call("POST", "/files/mkdir", json={"path": "/d"})
    reply = diff(call, {"since_root_hash": root})
    assert [one["path"] for one in reply["changes"]["directories_added"]] == ["/d"]
    call("DELETE", "/files/d")
    reply = diff(call, {"since_root_hash": reply["root_hash"]})
    assert reply["changes"] == {**NOTHING, "directories_deleted": [{"path": "/d"}]}


def test_a_large_file_is_told_with_all_its_chunks_in_order(call: Browser) -> None:
    data = b"".join(number.to_bytes(4) * 64 for number in range(40_000))
    call("PUT", "/files/big", content=data)
    [file] = diff(call, {})["changes"]["files_added"]
    assert len(file["chunk_hashes"]) > 33
    reply = call("POST", "/sync/chunks", json={"hashes": file["chunk_hashes"]})
    parts = {c["hash"]: base64.b64decode(c["data"]) for c in reply.json()["chunks"]}
    assert b"".join(parts[name] for name in file["chunk_hashes"]) == data
    [listed] = call("GET", "/files/").json()["items"]
    assert (file["hash"], file["etag"]) == (listed["hash"], listed["etag"])
    assert (file["mtime"], file["content_hash"]) == (listed["mtime"], listed["content_hash"])


def test_chunks_are_told_as_raw_ids_to_who_wants_them_so(call: Browser) -> None:
    call("PUT", "/files/big", content=os.urandom(600_000))
    call("PUT", "/files/small", content=b"small")
    plain = call("POST", "/sync/diff", json={}).json()
    packed = call("POST", "/sync/diff", json={"packed": True}).json()
    for told, said in zip(
        packed["changes"]["files_added"], plain["changes"]["files_added"], strict=True
    ):
        assert base64.b64decode(told.pop("chunk_ids")).hex() == "".join(said["chunk_hashes"])
        assert (told.pop("chunk_hashes"), bool(said.pop("chunk_hashes"))) == ([], True)
        assert told == said


@pytest.mark.parametrize("since", ["", "ab", "00" * 32, "f" * 64, "0123" * 100, "AB" * 32])
def test_an_unknown_root_is_answered_with_everything(call: Browser, since: str) -> None:
    put(call.here.node.repository, "/a", b"1")
    reply = diff(call, {"since_root_hash": since})
    assert [file["path"] for file in reply["changes"]["files_added"]] == ["/a"]
    assert reply["full"]


def test_a_root_is_known_in_either_case(call: Browser) -> None:
    root = call.here.node.repository.head.root.hex()
    put(call.here.node.repository, "/a", b"1")
    assert not diff(call, {"since_root_hash": root.upper()})["full"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"since_root_hash": "xyz"}, 400),
        ({"since_root_hash": "abc"}, 400),
        ({"since_root_hash": "ü" * 64}, 400),
        ({"since_root_hash": 5}, 422),
        ({"paths": ["/a"] * 101}, 400),
        ({"paths": ["/a/**"] * 100_000}, 400),
        ({"paths": ["/[a"]}, 400),
        ({"paths": "/a"}, 422),
        ({"node_id": "x"}, 422),
        ([], 422),
    ],
)
def test_a_request_without_sense_is_refused(call: Browser, body: object, status: int) -> None:
    reply = call("POST", "/sync/diff", json=body)
    assert reply.status_code == status
    assert set(reply.json()) == {"error", "code"}


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b"null"])
def test_a_body_that_is_no_object_is_refused(call: Browser, body: bytes) -> None:
    assert call("POST", "/sync/diff", content=body).status_code in {400, 422}


def test_what_an_aeordb_node_sends_is_accepted(call: Browser) -> None:
    put(call.here.node.repository, "/a", b"1")
    body = {"current_root_hash": "ab" * 32, "node_id": 2**64 - 1, "virtual_time": 5}
    peer = call.here.mint(scope=SYNC)
    assert diff(call, body, token=peer)["changes"]["files_added"]


@pytest.mark.parametrize(
    ("paths", "told"),
    [
        (["/a/**"], ["/a/x"]),
        (["/a/**", "/b"], ["/a/x", "/b"]),
        ([], ["/a/x", "/b", "/ab"]),
        (["nothing"], []),
    ],
)
def test_a_filter_lets_through_what_matches(
    call: Browser, paths: list[str], told: list[str]
) -> None:
    for path in ("/a/x", "/b", "/ab"):
        put(call.here.node.repository, path, path.encode())
    reply = diff(call, {"paths": paths})
    assert [file["path"] for file in reply["changes"]["files_added"]] == sorted(told)
    assert len(reply["chunk_hashes_needed"]) == len(told)


@pytest.mark.parametrize(
    ("scope", "body", "sees"),
    [
        (SYNC, {}, True),
        (SYNC, {"paths": ["/a"]}, True),
        (None, {}, False),
        (None, {"include_system": True}, True),
        (None, {"paths": ["/.aeordb-system/**"]}, False),
    ],
)
@pytest.mark.parametrize("frames", [True, False])
def test_the_system_namespace_is_for_peers_and_for_root_that_asks(
    call: Browser, scope: str | None, body: dict[str, Any], *, sees: bool, frames: bool
) -> None:
    repository = call.here.node.repository
    content = repository.store_small(b"secret")
    path = parse("/.aeordb-system/k", allow_system=True)
    state = changes.FileState(content, "text/plain")
    repository.commit(lambda draft: changes.put_file(draft, path, state)).result()
    token = call.here.mint(scope=scope)
    if frames:
        headers = {"Accept": FRAMES_TYPE}
        reply = call("POST", "/sync/diff", json=body, token=token, headers=headers)
        _, items, _ = read_frames(reply.content)
        found = {key for key, _ in items}
        assert (b".aeordb-system\0k" in found) is sees
    else:
        told = diff(call, body, token=token)
        names = [file["path"] for file in told["changes"]["files_added"]]
        assert (str(path) in names) is sees
        assert (chunk_id(b"secret").hex() in told["chunk_hashes_needed"]) is sees


def test_only_root_and_peers_may_ask(call: Browser) -> None:
    other = call.here.mint(subject=uuid4())
    assert call("POST", "/sync/diff", json={}, token=other).status_code == 403
    assert call("POST", "/sync/diff", json={}, token="").status_code == 401


def test_pages_are_led_on_by_the_token_alone(call: Browser) -> None:
    repository = call.here.node.repository
    for number in range(5):
        put(repository, f"/{number}", b"%d" % number)
    found, token = [], None
    with patch.object(limits, "MAX_PAGE", 2):
        for _ in range(3):
            reply = diff(call, {"since_root_hash": token})
            found += [file["path"] for file in reply["changes"]["files_added"]]
            token = reply["root_hash"]
            assert len(token) > 64 or not reply["more"]
    assert found == [f"/{number}" for number in range(5)]
    assert token == repository.head.root.hex()


def test_what_a_peer_cannot_fetch_at_once_is_told_in_two_pages(call: Browser) -> None:
    for number in range(3):
        put(call.here.node.repository, f"/{number}", b"%d" % number * 1000)
    peer = call.here.mint(scope=SYNC)
    with patch("aeorsync.api.diff_page.PROJECTED_MAX", 3000):
        reply = diff(call, {}, token=peer)
        assert reply["more"]
        assert len(reply["changes"]["files_added"]) == 2
        assert not diff(call, {})["more"]


def test_frames_say_who_answers_and_how_to_go_on(call: Browser) -> None:
    repository = call.here.node.repository
    put(repository, "/a", b"1")
    put(repository, "/gone", b"2")
    call("DELETE", "/files/gone")
    peer = call.here.mint(scope=SYNC)
    headers = {"Accept": FRAMES_TYPE}
    reply = call("POST", "/sync/diff", json={"cursor": None}, token=peer, headers=headers)
    assert reply.headers["content-type"] == FRAMES_TYPE
    header, items, end = read_frames(reply.content)
    head = repository.head
    assert (header.node_id, header.database) == (head.node, repository.database_id)
    assert header.root_hash == end.root_hash == head.root.hex()
    assert not end.more
    assert [key for key, _ in items] == [b"a", b"gone"]
    assert decode_entry(items[1][1]).versions[0].deleted
    reply = call("POST", "/sync/diff", json={"cursor": end.cursor}, token=peer, headers=headers)
    assert read_frames(reply.content)[1:] == ([], end)


def test_who_has_the_same_trees_is_led_past_the_listing(call: Browser) -> None:
    repository = call.here.node.repository
    put(repository, "/a", b"1")
    put(repository, "/gone", b"2")
    call("DELETE", "/files/gone")
    head = repository.head
    roots = {
        "current_root_hash": head.root.hex(),
        "current_graves_hash": head.graves.hex(),
    }
    headers = {"Accept": FRAMES_TYPE}

    def told(body: dict[str, str]) -> tuple[list[bytes], str]:
        reply = call("POST", "/sync/diff", json=body, headers=headers)
        _, items, end = read_frames(reply.content)
        return [key for key, _ in items], end.cursor

    keys, followed = told(roots)
    assert keys == []
    assert told({**roots, "current_graves_hash": head.root.hex()})[0] == [b"a", b"gone"]
    assert told({"current_root_hash": head.root.hex()})[0] == [b"a", b"gone"]
    put(repository, "/b", b"3")
    assert told({"cursor": followed})[0] == [b"b"]


@pytest.mark.parametrize("cursor", ["", "garbage", "k" * 10_000, "\u0000", "kwABAMQA"])
def test_a_forged_cursor_starts_from_the_beginning(call: Browser, cursor: str) -> None:
    put(call.here.node.repository, "/a", b"1")
    headers = {"Accept": FRAMES_TYPE}
    reply = call("POST", "/sync/diff", json={"cursor": cursor}, headers=headers)
    _, items, _ = read_frames(reply.content)
    assert [key for key, _ in items] == [b"a"]


@pytest.mark.parametrize(
    ("foreign", "ahead"), [(True, 0), (False, 1_000_000)], ids=["foreign", "from the future"]
)
@pytest.mark.parametrize("phase", Phase)
def test_a_cursor_of_another_time_or_place_starts_from_the_beginning(
    call: Browser, phase: Phase, *, foreign: bool, ahead: int
) -> None:
    repository = call.here.node.repository
    put(repository, "/a", b"1")
    head = repository.head
    cursor = Cursor(repository.epoch ^ int(foreign), head.seq + ahead, phase, b"b")
    body = {"cursor": print_cursor(cursor)}
    reply = call("POST", "/sync/diff", json=body, headers={"Accept": FRAMES_TYPE})
    assert [key for key, _ in read_frames(reply.content)[1]] == [b"a"]
    answer = diff(call, {"since_root_hash": print_hex(cursor)})
    assert [file["path"] for file in answer["changes"]["files_added"]] == ["/a"]
    assert answer["full"]


def test_a_feed_that_was_cut_short_starts_from_the_beginning(call: Browser) -> None:
    repository = call.here.node.repository
    put(repository, "/a", b"1")
    root = diff(call, {})["root_hash"]
    put(repository, "/b", b"1")
    with patch.object(repository._store, "first_seq", return_value=repository.head.seq + 1):
        answer = diff(call, {"since_root_hash": root})
    assert [file["path"] for file in answer["changes"]["files_added"]] == ["/a", "/b"]
    assert answer["full"]


def test_a_feed_that_is_cut_while_it_is_read_is_not_read_with_a_gap(call: Browser) -> None:
    repository = call.here.node.repository
    root = diff(call, {})["root_hash"]
    put(repository, "/a", b"1")
    put(repository, "/b", b"1")
    rows = repository.changes(0, 10)[1:]
    with patch.object(repository, "changes", return_value=rows):
        reply = call("POST", "/sync/diff", json={"since_root_hash": root})
    assert reply.status_code == 409
    assert reply.json()["code"] == "STALE"


@pytest.mark.parametrize(("node_id", "told"), [("5", []), ("6", [b"x"]), ("0", [b"x"])])
def test_what_came_from_the_asking_node_is_left_out(
    call: Browser, tmp_path: Path, node_id: str, told: list[bytes]
) -> None:
    headers = {"Accept": FRAMES_TYPE, NODE_HEADER: node_id}
    peer = call.here.mint(scope=SYNC)
    reply = call("POST", "/sync/diff", json={}, token=peer, headers=headers)
    cursor = read_frames(reply.content)[2].cursor
    source = open_repository(tmp_path / "source", node=5)
    put(source, "/x", b"1")
    pull(call.here.node.repository, source)
    source.close()
    reply = call("POST", "/sync/diff", json={"cursor": cursor}, token=peer, headers=headers)
    assert [key for key, _ in read_frames(reply.content)[1]] == told


@pytest.mark.parametrize("node_id", ["x", "-1", "1" * 40, "٣"])
def test_a_node_id_that_is_none_is_refused(call: Browser, node_id: str) -> None:
    peer = call.here.mint(scope=SYNC)
    headers = {NODE_HEADER: node_id.encode()}
    reply = call("POST", "/sync/diff", json={}, token=peer, headers=headers)
    assert reply.status_code == 400
