"""GET and HEAD /files: whole files, ranges, versions, symlinks."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.types import Message

from aeorsync.api import streams
from aeorsync.core.paths import ROOT
from aeorsync.errors import CorruptError
from aeorsync.storage.content import LostChunkError
from aeorsync.wire.headers import parse_etags
from tests.api.conftest import Browser

DATA = bytes(range(256)) * 4096  # 1 MiB


def link(call: Browser, path: str, target: str) -> None:
    assert call("PUT", f"/links{path}", json={"target": target}).status_code == 201


def test_a_file_is_served_with_all_its_headers(call: Browser) -> None:
    stored = call("PUT", "/files/d/a b.txt", content=b"hello").json()
    reply = call("GET", "/files/d/a b.txt")
    assert reply.status_code == 200
    assert reply.content == b"hello"
    expected = {
        "accept-ranges": "bytes",
        "content-length": "5",
        "content-type": "text/plain",
        "etag": stored["etag"],
        "x-aeordb-path": "/d/a%20b.txt",
        "x-aeordb-size": "5",
        "x-aeordb-type": "file",
        "x-aeordb-created": str(stored["created_at"]),
        "x-aeordb-created-at": str(stored["created_at"]),
        "x-aeordb-updated": str(stored["updated_at"]),
        "x-aeordb-updated-at": str(stored["updated_at"]),
        "x-aeorsync-content-hash": stored["content_hash"],
        "x-aeorsync-mode": "644",
        "x-content-type-options": "nosniff",
        "content-security-policy": "sandbox",
    }
    assert {name: reply.headers.get(name) for name in expected} == expected
    assert "x-aeordb-link-target" not in reply.headers


def test_head_is_get_without_the_body(call: Browser) -> None:
    call("PUT", "/files/a", content=DATA)
    get, head = call("GET", "/files/a"), call("HEAD", "/files/a")
    assert head.status_code == 200
    assert head.content == b""
    gone = {"x-request-id"}
    assert {k: v for k, v in head.headers.items() if k not in gone} == {
        k: v for k, v in get.headers.items() if k not in gone
    }


def test_head_tells_a_folder_from_a_file(call: Browser) -> None:
    call("PUT", "/files/d/a", content=b"1")
    call("PUT", "/files/e/f/a", content=b"1")
    for path in ("/files/d", "/files/d/", "/files", "/files/", "/files/e/f"):
        reply = call("HEAD", path)
        assert reply.status_code == 200
        assert reply.headers["x-aeordb-type"] == "directory"
        assert reply.content == b""


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/files/no", "/files/no/", "/files/a/", "/files/a/b"])
def test_what_is_not_there_is_not_found(call: Browser, method: str, path: str) -> None:
    call("PUT", "/files/a", content=b"1")
    reply = call(method, path)
    assert reply.status_code == 404
    assert reply.content == b"" if method == "HEAD" else reply.json()["code"] == "NOT_FOUND"


@pytest.mark.parametrize(
    ("given", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-", 0, len(DATA)),
        ("bytes=5-9", 5, 10),
        ("bytes=-1", len(DATA) - 1, len(DATA)),
        ("bytes=-99999999", 0, len(DATA)),
        ("bytes=1000-99999999", 1000, len(DATA)),
        ("bytes=262143-262144", 262_143, 262_145),
        ("Bytes=100000-900000", 100_000, 900_001),
    ],
)
def test_one_range_of_bytes_is_served(call: Browser, given: str, start: int, stop: int) -> None:
    call("PUT", "/files/a", content=DATA)
    reply = call("GET", "/files/a", headers={"Range": given})
    assert reply.status_code == 206
    assert reply.content == DATA[start:stop]
    assert reply.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(DATA)}"
    assert reply.headers["content-length"] == str(stop - start)


@pytest.mark.parametrize(
    "given",
    ["bytes=0-1,3-4", "bytes=9-5", "bytes=-", "bytes=", "bytes=x-y", "bytes=-0", "bytes=1048576-"],
)
def test_a_range_that_cannot_be_served_says_how_long_the_file_is(
    call: Browser, given: str
) -> None:
    call("PUT", "/files/a", content=DATA)
    reply = call("GET", "/files/a", headers={"Range": given})
    assert reply.status_code == 416
    assert reply.headers["content-range"] == f"bytes */{len(DATA)}"
    assert reply.json()["code"] == "BAD_RANGE"


def test_an_empty_file_has_no_range(call: Browser) -> None:
    call("PUT", "/files/empty", content=b"")
    assert call("GET", "/files/empty").content == b""
    reply = call("GET", "/files/empty", headers={"Range": "bytes=0-"})
    assert reply.status_code == 416
    assert reply.headers["content-range"] == "bytes */0"


def test_another_unit_than_bytes_is_ignored(call: Browser) -> None:
    call("PUT", "/files/a", content=b"hello")
    reply = call("GET", "/files/a", headers={"Range": "lines=1-2"})
    assert (reply.status_code, reply.content) == (200, b"hello")


def test_if_range_serves_the_part_only_of_what_was_seen(call: Browser) -> None:
    tag = call("PUT", "/files/a", content=b"hello").headers["etag"]
    part = {"Range": "bytes=0-1", "If-Range": tag}
    assert call("GET", "/files/a", headers=part).status_code == 206
    call("PUT", "/files/a", content=b"world")
    reply = call("GET", "/files/a", headers=part)
    assert (reply.status_code, reply.content) == (200, b"world")


def test_who_has_it_already_is_told_so(call: Browser) -> None:
    tag = call("PUT", "/files/a", content=b"1").headers["etag"]
    for field in (tag, f'"x", W/{tag}', "*"):
        for method in ("GET", "HEAD"):
            reply = call(method, "/files/a", headers={"If-None-Match": field})
            assert reply.status_code == 304
            assert reply.content == b""
            assert reply.headers["etag"] == tag
    call("PUT", "/files/a", content=b"2")
    assert call("GET", "/files/a", headers={"If-None-Match": tag}).status_code == 200
    assert call("GET", "/files/a", headers={"If-Match": tag}).status_code == 412


def test_a_large_file_is_sent_in_batches(call: Browser) -> None:
    data = DATA * 5
    call("PUT", "/files/a", content=data)
    assert call("GET", "/files/a").content == data
    assert (
        call("GET", "/files/a", headers={"Range": "bytes=7-4000000"}).content
        == (data[7:4_000_001])
    )


def test_the_loser_of_a_conflict_can_be_read(call: Browser) -> None:
    old = call("PUT", "/files/a", content=b"old").headers["etag"]
    call("PUT", "/files/a", content=b"theirs")
    call("PUT", "/files/a", content=b"mine", headers={"X-AeorSync-Base": old})
    with call.here.node.repository.view() as view:
        entry = next(entry for entry in (child.entry for child in view.children(ROOT)) if entry)
    contents = {}
    for version in entry.versions:
        reply = call("GET", f"/files/a?version={version.id}")
        assert reply.headers["x-aeorsync-version"] == version.id
        assert reply.headers["etag"] == f'"{version.id}"'
        contents[reply.content] = version.id
    assert set(contents) == {b"theirs", b"mine"}
    bogus = {"If-Match": f'"{contents[b"mine"]}"'}
    assert call("PUT", "/files/a", content=b"x", headers=bogus).status_code == 412


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("version=1-1", 404),
        ("version=abcd", 404),
        ("version=" + "ab" * 32, 404),
        ("version=xyz", 400),
        ("version=1-2-3", 400),
        ("version=", 200),
        ("snapshot=monday", 404),
        ("nofollow=maybe", 400),
        ("nofollow=true", 200),
        ("%ff=1", 400),
        ("&".join(f"a{at}=1" for at in range(70)), 400),
    ],
)
def test_a_query_is_read_strictly(call: Browser, query: str, status: int) -> None:
    call("PUT", "/files/a", content=b"x")
    assert call("GET", f"/files/a?{query}").status_code == status


def test_a_deleted_file_is_gone(call: Browser) -> None:
    reply = call("PUT", "/files/a", content=b"x")
    version = call("GET", "/files/a").headers["x-aeorsync-version"]
    call("DELETE", "/files/a")
    assert call("GET", "/files/a").status_code == 404
    assert call("GET", f"/files/a?version={version}").status_code == 404
    assert parse_etags(reply.headers["etag"]).tags


def test_a_symlink_is_followed(call: Browser) -> None:
    call("PUT", "/files/d/real.txt", content=b"hello")
    link(call, "/d/l", "real.txt")
    link(call, "/far", "/d/l")
    link(call, "/up/down", "../d/./real.txt")
    for path in ("/d/l", "/far", "/up/down"):
        reply = call("GET", f"/files{path}")
        assert (reply.status_code, reply.content) == (200, b"hello")
        assert reply.headers["x-aeordb-path"] == path
        assert reply.headers["x-aeordb-link-target"] == "/d/real.txt"
        assert call("HEAD", f"/files{path}").headers["x-aeordb-type"] == "file"


def test_a_symlink_can_be_seen_itself(call: Browser) -> None:
    link(call, "/l", "../x y/é")
    reply = call("GET", "/files/l?nofollow=true")
    body = reply.json()
    assert body["target"] == "../x y/é"
    assert (body["path"], body["entry_type"]) == ("/l", 8)
    assert body["created_at"] > 0
    head = call("HEAD", "/files/l?nofollow=true")
    assert head.headers["x-aeordb-type"] == "symlink"
    assert head.headers["x-aeordb-link-target"] == "../x%20y/%C3%A9"


def test_a_symlink_to_a_folder_lists_it(call: Browser) -> None:
    call("PUT", "/files/d/a", content=b"1")
    link(call, "/l", "d")
    for path in ("/files/l", "/files/l/"):
        assert [item["path"] for item in call("GET", path).json()["items"]] == ["/d/a"]


def test_symlinks_in_a_circle_are_refused(call: Browser) -> None:
    link(call, "/a", "b")
    link(call, "/b", "c")
    link(call, "/c", "a")
    reply = call("GET", "/files/a")
    assert reply.status_code == 400


@pytest.mark.parametrize(("hops", "status"), [(32, 200), (33, 400)])
def test_only_so_many_symlinks_are_followed(call: Browser, hops: int, status: int) -> None:
    call("PUT", "/files/l0", content=b"end")
    for at in range(1, hops + 1):
        link(call, f"/l{at}", f"l{at - 1}")
    assert call("GET", f"/files/l{hops}").status_code == status


@pytest.mark.parametrize("target", ["nowhere", "../../etc/passwd", "/gone/too", "a\u200b/../.."])
def test_a_symlink_that_leads_nowhere_is_not_found(call: Browser, target: str) -> None:
    link(call, "/l", target)
    assert call("GET", "/files/l").status_code == 404
    assert call("HEAD", "/files/l").status_code == 404
    assert call("GET", "/files/l?nofollow=1").json()["target"] == target


def damage(folder: Path, at: int) -> None:
    pack = next((folder / "packs").glob("*.pack"))
    with pack.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))


def test_a_damaged_file_is_an_error_and_not_a_wrong_byte(call: Browser, tmp_path: Path) -> None:
    call("PUT", "/files/a", content=b"precious")
    size = next((tmp_path / "packs").glob("*.pack")).stat().st_size
    damage(tmp_path, size - 3)
    reply = call("GET", "/files/a")
    assert reply.status_code == 500
    assert reply.json()["code"] == "CORRUPT"
    assert call("HEAD", "/files/a").status_code == 200


def test_damage_found_while_sending_breaks_the_answer_off(call: Browser) -> None:
    def pieces(start: int) -> Iterator[bytes]:
        for at in range(start, 2 * streams.BATCH, streams.BATCH):
            yield bytes([at & 255]) * streams.BATCH
        raise LostChunkError("a chunk is damaged", [b"x"])

    source = streams.Pieces(pieces, 0)
    response = streams.FileResponse(200, [], source.gather(), source, call.here.node)
    sent = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    with pytest.raises(CorruptError):
        call.run(response({"type": "http"}, receive, send))
    assert sum(len(message.get("body", b"")) for message in sent) == 2 * streams.BATCH
    assert all(message["more_body"] for message in sent[1:])


def test_nothing_more_is_read_for_a_client_that_has_gone(call: Browser) -> None:
    read = 0

    def pieces(_start: int) -> Iterator[bytes]:
        nonlocal read
        for _ in range(100):
            read += 1
            yield b"x" * streams.BATCH

    source = streams.Pieces(pieces, 0)
    response = streams.FileResponse(200, [], source.gather(), source, call.here.node)

    async def send(_message: Message) -> None:
        await asyncio.sleep(0)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    call.run(response({"type": "http"}, receive, send))
    assert read < 5


def test_what_follows_a_chunk_that_was_lost_comes_in_its_place_once_it_is_back() -> None:
    lost = {700_000}

    def read(start: int) -> Iterator[bytes]:
        for at in range(start, len(DATA), 100_000):
            if any(at <= spot < at + 100_000 for spot in lost):
                raise LostChunkError("a chunk is lost", [b"x"])
            yield DATA[at : at + 100_000]

    source = streams.Pieces(read, 40_000)
    got = source.gather()
    with pytest.raises(LostChunkError):
        source.gather()
    lost.clear()
    while more := source.gather():
        got += more
    assert got == DATA[40_000:]
