"""Uploads and chunks for callers bound by rules: exactly what they may read, or brought."""

import asyncio
import base64
import os
from pathlib import Path
from unittest.mock import patch
from uuid import uuid4

import msgspec
import pytest

from aeorsync.core.apikeys import KeyRule
from aeorsync.core.hashing import chunk_id
from aeorsync.storage.brought import DAY_MS
from aeorsync.storage.readable import TOLD_MS
from aeorsync.wire.protocol import IDS_TYPE
from tests.api.blobs import FRAMES, check, commit, commit_framed, committed, file, framed, upload
from tests.api.conftest import Browser, MakeNode
from tests.api.test_chunks import in_frames, in_json
from tests.support.clock import FakeClock
from tests.support.repositories import put

READER = (KeyRule("/open/**", "-r--l---"),)
WRITER = (KeyRule("/open/**", "crudl---"),)


def key(call: Browser, rules: tuple[KeyRule, ...]) -> str:
    return call.here.make_key(rules=rules)[0]


def names(*chunks: bytes) -> list[str]:
    return [chunk_id(data).hex() for data in chunks]


def readable(call: Browser, token: str, *chunks: bytes) -> list[bytes]:
    """Those of some chunks that are sent, in both forms alike."""
    sent = in_json(call, names(*chunks), token=token)
    framed_chunks, missing = in_frames(call, [chunk_id(data) for data in chunks], token=token)
    assert sorted(data for _, data in sent) == sorted(data for _, data in framed_chunks)
    assert {name for name, _ in framed_chunks} | set(missing) == {chunk_id(c) for c in chunks}
    return [data for _, data in sent]


def test_a_scoped_key_gets_the_chunks_of_what_it_may_read_and_no_others(call: Browser) -> None:
    repository = call.here.node.repository
    put(repository, "/open/a", b"open")
    put(repository, "/hidden/b", b"hidden")
    put(repository, "/open/both", b"both")
    put(repository, "/hidden/both", b"both")
    token = key(call, READER)
    asked = (b"open", b"hidden", b"both", b"unknown")
    assert readable(call, token, *asked) == [b"open", b"both"]
    assert readable(call, key(call, (KeyRule("**", "--------"),)), *asked) == []


def test_the_example_of_the_seed_works_as_it_is_printed(call: Browser) -> None:
    big = [os.urandom(100_000), os.urandom(90_000)]
    upload(call, *big)
    committed(call, file("/open/big", *big))
    token = key(call, READER)
    diff = call("POST", "/sync/diff", json={}, token=token).json()
    assert diff["chunk_hashes_needed"] == sorted(names(*big))
    hashes = {"hashes": diff["chunk_hashes_needed"]}
    reply = call("POST", "/sync/chunks", json=hashes, token=token)
    found = {one["hash"]: base64.b64decode(one["data"]) for one in reply.json()["chunks"]}
    assert [found[name] for name in diff["changes"]["files_added"][0]["chunk_hashes"]] == big


def test_the_versions_that_lost_can_be_fetched_too(call: Browser) -> None:
    repository = call.here.node.repository
    put(repository, "/open/a", b"one", base=())
    put(repository, "/open/a", b"two", base=())
    assert readable(call, key(call, READER), b"one", b"two") == [b"one", b"two"]


def test_what_is_written_later_is_found_and_what_goes_is_not(call: Browser) -> None:
    repository = call.here.node.repository
    put(repository, "/open/a", b"one")
    token = key(call, READER)
    assert readable(call, token, b"one", b"two") == [b"one"]
    put(repository, "/open/b", b"two")
    assert readable(call, token, b"one", b"two") == [b"one", b"two"]
    call("PATCH", "/files/open/a", json={"to": "/hidden/a"})
    call("DELETE", "/files/open/b")
    assert readable(call, token, b"one", b"two") == []


def test_what_a_diff_told_can_be_fetched_although_it_was_replaced(call: Browser) -> None:
    repository = call.here.node.repository
    put(repository, "/open/a", b"one")
    put(repository, "/hidden/a", b"hidden")
    token = key(call, READER)
    call("POST", "/sync/diff", json={}, token=token)
    put(repository, "/open/a", b"two")
    assert readable(call, token, b"one", b"two", b"hidden") == [b"one", b"two"]
    other = key(call, (KeyRule("/open/**", "-r------"),))
    assert readable(call, other, b"one", b"two") == [b"two"]
    clock = call.here.node.wall
    assert isinstance(clock, FakeClock)
    clock.now += TOLD_MS
    assert readable(call, token, b"one", b"two") == [b"two"]


def test_narrowed_rules_hold_at_once(call: Browser) -> None:
    put(call.here.node.repository, "/open/a", b"one")
    text, record = call.here.make_key(rules=READER)
    assert readable(call, text, b"one") == [b"one"]
    narrowed = msgspec.structs.replace(record, rules=(KeyRule("/elsewhere/**", "-r--l---"),))
    call.here.node.accounts.save(narrowed).result(30)
    assert readable(call, text, b"one") == []


def test_a_long_list_of_chunks_is_looked_through(call: Browser) -> None:
    parts = [b"%06d" % number * 500 for number in range(300)]
    upload(call, *parts)
    committed(call, file("/open/long", *parts))
    assert readable(call, key(call, READER), *parts[:5]) == parts[:5]


# Uploading


def test_a_scoped_key_uploads_and_resumes(call: Browser) -> None:
    token = key(call, WRITER)
    upload(call, b"one", token=token)
    assert check(call, b"one", b"two", token=token) == (names(b"one"), names(b"two"))
    upload(call, b"two", token=token)
    [told] = committed(call, file("/open/a", b"one", b"two"), token=token)
    assert call("GET", "/files/open/a", token=token).content == b"onetwo"
    again = committed(call, file("/open/a", b"one", b"two", base=told["etag"]), token=token)
    assert again == [told]


def test_what_it_brought_is_remembered_across_a_restart_and_for_a_day(
    make_node: MakeNode, tmp_path: Path
) -> None:
    wall = FakeClock()

    async def scenario() -> None:
        headers = FRAMES
        asked = {"hashes": names(b"one")}
        async with make_node(tmp_path, wall=wall) as here:
            token, _ = here.make_key(rules=WRITER)
            reply = await here.client(token).post(
                "/blobs/chunks", content=framed(b"one"), headers=headers
            )
            assert reply.status_code == 200
        async with make_node(tmp_path, wall=wall) as here:
            reply = await here.client(token).post("/blobs/check", json=asked)
            assert reply.json() == {"have": names(b"one"), "needed": []}
            wall.now += DAY_MS
            reply = await here.client(token).post("/blobs/check", json=asked)
            assert reply.json() == {"have": [], "needed": names(b"one")}

    asyncio.run(scenario())


def test_to_know_a_hash_gives_no_right_to_its_bytes(call: Browser) -> None:
    put(call.here.node.repository, "/hidden/b", b"hidden")
    token = key(call, WRITER)
    for data in (b"hidden", b"unknown"):
        assert check(call, data, token=token) == ([], names(data))
        ids = {"Content-Type": IDS_TYPE}
        raw = call("POST", "/blobs/check", content=chunk_id(data), headers=ids, token=token)
        assert raw.content == chunk_id(data)
        reply = commit(call, file("/open/a", data), token=token)
        assert (reply.status_code, reply.json()["path"]) == (400, "/open/a")
        assert reply.json()["missing"] == names(data)
        text = reply.json()["error"]
        assert (
            text == "/open/a: 1 of its chunks are not here; send them first; nothing was changed"
        )
    assert call("GET", "/files/open/a", token=token).status_code == 404


def test_to_send_wrong_bytes_under_a_hash_gives_no_right_either(call: Browser) -> None:
    put(call.here.node.repository, "/hidden/b", b"hidden")
    token = key(call, WRITER)
    reply = call("PUT", f"/blobs/chunks/{names(b'hidden')[0]}", content=b"wrong!", token=token)
    assert reply.status_code == 400
    assert commit(call, file("/open/a", b"hidden"), token=token).status_code == 400


def test_who_brings_the_bytes_may_commit_them(call: Browser) -> None:
    put(call.here.node.repository, "/hidden/b", b"hidden")
    token, other = key(call, WRITER), key(call, WRITER)
    reply = call("PUT", f"/blobs/chunks/{names(b'hidden')[0]}", content=b"hidden", token=token)
    assert reply.status_code == 201
    assert check(call, b"hidden", token=other)[0] == []
    assert commit(call, file("/open/a", b"hidden"), token=other).status_code == 400
    assert commit(call, file("/open/a", b"hidden"), token=token).status_code == 200


def test_to_bring_what_is_here_tells_nothing_of_those_who_brought_it(call: Browser) -> None:
    put(call.here.node.repository, "/hidden/b", b"hidden")
    token, other = key(call, WRITER), key(call, WRITER)
    assert upload(call, b"hidden", b"new", b"new", token=token) == {"created": 2, "exists": 1}
    assert upload(call, b"hidden", b"new", token=token) == {"created": 0, "exists": 2}
    assert upload(call, b"hidden", b"new", token=other) == {"created": 2, "exists": 0}
    for status in (201, 200):
        reply = call("PUT", f"/blobs/chunks/{names(b'x')[0]}", content=b"x", token=token)
        assert reply.status_code == status


def test_chunks_that_may_be_read_may_be_used_again(call: Browser) -> None:
    put(call.here.node.repository, "/open/a", b"one")
    token = key(call, WRITER)
    assert check(call, b"one", token=token)[1] == []
    reply = commit(call, file("/open/b", b"one"), deletes=[{"path": "/open/a"}], token=token)
    assert reply.status_code == 200
    assert call("GET", "/files/open/b", token=token).content == b"one"


def test_chunks_that_come_with_a_commit_need_no_asking(call: Browser) -> None:
    token = key(call, WRITER)
    with patch.dict(call.client.headers, {"authorization": f"Bearer {token}"}):
        reply = commit_framed(call, [file("/open/a", b"one")], [b"one"])
    assert reply.status_code == 200


@pytest.mark.parametrize(
    ("flags", "change", "status"),
    [
        ("c------", {"files": [file("/open/new")]}, 200),
        ("c------", {"files": [file("/open/old")]}, 404),
        ("--u----", {"files": [file("/open/new")]}, 404),
        ("--u----", {"files": [file("/open/old")]}, 200),
        ("-r--l--", {"files": [file("/open/old")]}, 404),
        ("crudl--", {"files": [file("/hidden/new")]}, 404),
        ("cru-l--", {"deletes": [{"path": "/open/old"}]}, 404),
        ("---d---", {"deletes": [{"path": "/open/old"}]}, 200),
        ("crudl--", {"deletes": [{"path": "/hidden/b"}]}, 404),
        ("crudl--", {"deletes": [{"path": "/hidden/not"}]}, 404),
        ("c------", {"links": [{"path": "/open/l", "target": "x"}]}, 200),
        ("-r--l--", {"links": [{"path": "/open/l", "target": "x"}]}, 404),
        ("c------", {"folders": [{"path": "/open/f"}]}, 200),
        ("-ru-l--", {"folders": [{"path": "/open/f"}]}, 404),
        ("crudl--", {"folders": [{"path": "/hidden"}]}, 404),
        ("crudl--", {"folders": [{"path": "/unknown"}]}, 404),
    ],
)
def test_a_commit_keeps_to_the_rules_and_tells_nothing(
    call: Browser, flags: str, change: dict[str, list[dict[str, object]]], status: int
) -> None:
    repository = call.here.node.repository
    put(repository, "/open/old", b"old")
    put(repository, "/hidden/b", b"hidden")
    token = key(call, (KeyRule("/open/**", flags + "-"),))
    before = repository.head
    others = {name: items for name, items in change.items() if name != "files"}
    reply = commit(call, *change.get("files", []), **others, token=token)
    assert reply.status_code == status, reply.text
    if status == 404:
        path = next(iter(change.values()))[0]["path"]
        told = {"error": f"not found: {path}", "code": "NOT_FOUND", "path": path}
        assert reply.json() == told
        assert repository.head == before


def test_what_is_hidden_in_a_folder_stays_when_the_folder_is_deleted(call: Browser) -> None:
    repository = call.here.node.repository
    put(repository, "/open/f/secret/x", b"hidden")
    put(repository, "/open/f/a", b"open")
    rules = (
        KeyRule("/open/f/secret", "--------"),
        KeyRule("/open/f/secret/**", "--------"),
        *WRITER,
    )
    token = key(call, rules)
    reply = commit(call, deletes=[{"path": "/open/f"}], token=token)
    assert (reply.status_code, reply.json()["path"]) == (400, "/open/f")
    gone = [{"path": "/open/f/a"}, {"path": "/open/f"}]
    assert commit(call, deletes=gone, token=token).status_code == 200
    assert call("GET", "/files/open/f/secret/x").content == b"hidden"


def test_who_may_do_nothing_is_refused(call: Browser) -> None:
    token = call.here.mint(subject=uuid4())
    for method, url in (
        ("POST", "/blobs/check"),
        ("POST", "/blobs/chunks"),
        ("POST", "/blobs/commit"),
        ("PUT", f"/blobs/chunks/{names(b'')[0]}"),
        ("POST", "/sync/chunks"),
    ):
        assert call(method, url, content=b"{}", token=token).status_code in (401, 403), url


def test_root_gets_no_chunk_of_the_system_namespace_by_way_of_a_file(call: Browser) -> None:
    call.here.make_key(label="a secret label")
    repository = call.here.node.repository
    hidden = sorted(call.run(call.here.node.grants.hidden()))
    assert hidden
    asked = {"hashes": [name.hex() for name in hidden]}
    assert call("POST", "/blobs/check", json=asked).json()["have"] == []
    request = {"files": [{"path": "/a", "chunks": asked["hashes"][:1]}]}
    assert call("POST", "/blobs/commit", json=request).status_code == 400
    data = bytes(repository.plain_chunk(hidden[0]))
    upload(call, data)
    assert call("POST", "/blobs/commit", json=request).status_code == 200


def test_blobs_are_read_by_the_same_rules(call: Browser) -> None:
    repository = call.here.node.repository
    put(repository, "/open/a", b"open")
    put(repository, "/hidden/b", b"hidden")
    token = key(call, READER)
    assert call("GET", f"/blobs/{names(b'open')[0]}", token=token).content == b"open"
    for name in (*names(b"hidden", b"unknown"), hidden_identity(call)):
        reply = call("GET", f"/blobs/{name}", token=token)
        told = {"error": f"there is no chunk and no file {name}", "code": "NOT_FOUND"}
        assert (reply.status_code, reply.json()) == (404, told)


def hidden_identity(call: Browser) -> str:
    [item] = call("GET", "/files/hidden").json()["items"]
    identity: str = item["hash"]
    return identity
