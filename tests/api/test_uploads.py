"""PUT /files: what is kept, what is answered, what is refused."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from blake3 import blake3

from aeorsync.core import seals
from aeorsync.core.hashing import chunk_id, file_identity
from aeorsync.core.paths import parse
from aeorsync.wire import limits
from tests.api.conftest import Browser


def test_a_stored_file_is_described(call: Browser) -> None:
    reply = call("PUT", "/files/d/a.txt", content=b"hello")
    assert reply.status_code == 201
    body = reply.json()
    assert body["path"] == "/d/a.txt"
    assert body["content_type"] == "text/plain"
    assert body["size"] == 5
    assert body["content_hash"] == blake3(b"hello").hexdigest()
    ids = chunk_id(b"hello")
    assert body["hash"] == file_identity("/d/a.txt", "text/plain", ids).hex()
    assert body["etag"] == reply.headers["etag"]
    assert body["created_at"] == body["updated_at"] > 0


def test_an_overwrite_is_created_too_and_keeps_the_birthday(call: Browser) -> None:
    first = call("PUT", "/files/a", content=b"1").json()
    second = call("PUT", "/files/a", content=b"2")
    assert second.status_code == 201
    assert second.json()["created_at"] == first["created_at"]
    assert second.json()["etag"] != first["etag"]


def test_stating_the_same_again_changes_nothing(call: Browser) -> None:
    first = call("PUT", "/files/a", content=b"1").json()
    assert call("PUT", "/files/a", content=b"1").json() == first


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 3_000_000, 9_000_001])
def test_a_file_of_any_size_comes_back(call: Browser, size: int) -> None:
    data = bytes(i * 31 % 251 for i in range(997)) * (size // 997 + 1)
    data = data[:size]
    reply = call("PUT", "/files/big.bin", content=data)
    assert reply.json()["size"] == size
    assert reply.json()["content_hash"] == blake3(data).hexdigest()
    assert call("GET", "/files/big.bin").content == data


@pytest.mark.parametrize("count", [1, 2, 900])
def test_a_body_of_unknown_length_is_stored(call: Browser, count: int) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for at in range(count):
            yield b"%04d" % at * 1000

    reply = call("PUT", "/files/a", content=pieces())
    assert reply.status_code == 201
    assert reply.json()["size"] == count * 4000
    assert call("GET", "/files/a").content == b"".join(b"%04d" % at * 1000 for at in range(count))


@pytest.mark.parametrize(
    ("name", "stated", "data", "kept"),
    [
        ("a.bin", "image/x-mine", b"", "image/x-mine"),
        ("a.html", "text/html; charset=latin-1", b"", "text/html; charset=latin-1"),
        ("a.html", None, b"\0", "text/html"),
        ("a.HTML", "application/octet-stream", b"\0", "text/html"),
        ("a.json", "application/x-www-form-urlencoded", b"{}", "application/json"),
        ("a.tar.gz", None, b"\x1f\x8b", "application/gzip"),
        ("a.png", "application/octet-stream; x=y", b"hi", "image/png"),
        ("noending", None, b"plain \xc3\xa9", "text/plain"),
        ("noending", None, b"nul \0 inside", "application/octet-stream"),
        ("noending", None, b"\xff\xfe", "application/octet-stream"),
        ("noending", None, b"cut \xc3", "application/octet-stream"),
        (".html", None, b"x", "text/plain"),
        ("noending", None, b"a" * 4095 + "é".encode() + b"b" * 9000, "text/plain"),
        ("noending", None, b"a" * 4096 + b"\0" * 9000, "text/plain"),
        ("noending", None, "é".encode() * 100_000, "text/plain"),
        ("empty", None, b"", "text/plain"),
    ],
)
def test_the_type_is_the_stated_one_or_guessed(
    call: Browser, name: str, stated: str | None, data: bytes, kept: str
) -> None:
    headers = {} if stated is None else {"Content-Type": stated}
    reply = call("PUT", f"/files/{name}", content=data, headers=headers)
    assert reply.json()["content_type"] == kept
    assert call("GET", f"/files/{name}").headers["content-type"] == kept


@pytest.mark.parametrize("stated", ["image/" + "x" * 300, b"text/\xe9"])
def test_a_type_that_could_not_be_sent_back_is_refused(call: Browser, stated: str | bytes) -> None:
    reply = call("PUT", "/files/a", content=b"", headers={"Content-Type": stated})
    assert reply.status_code == 400


def test_times_and_mode_come_back(call: Browser) -> None:
    headers = {"X-AeorSync-Mtime": "-1500.25", "X-AeorSync-Mode": "0755"}
    call("PUT", "/files/run.sh", content=b"#!", headers=headers)
    for method in ("GET", "HEAD"):
        reply = call(method, "/files/run.sh")
        assert reply.headers["x-aeorsync-mtime"] == "-1500.25"
        assert reply.headers["x-aeorsync-mode"] == "755"


def test_a_new_content_keeps_the_mode_that_was_not_stated(call: Browser) -> None:
    call("PUT", "/files/run.sh", content=b"1", headers={"X-AeorSync-Mode": "755"})
    call("PUT", "/files/run.sh", content=b"2")
    assert call("GET", "/files/run.sh").headers["x-aeorsync-mode"] == "755"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("X-AeorSync-Mtime", "yesterday"),
        ("X-AeorSync-Mtime", ""),
        ("X-AeorSync-Mtime", "1e9"),
        ("X-AeorSync-Mtime", "9" * 40),
        ("X-AeorSync-Mode", "rwx"),
        ("X-AeorSync-Mode", "4755"),
        ("If-Match", "unquoted"),
        ("If-None-Match", '"open'),
        ("X-AeorSync-Base", "*"),
        ("X-AeorSync-Base", '"a", "b"'),
        ("X-AeorSync-Base", '"forged"'),
        ("X-AeorSync-Base", "nonsense"),
    ],
)
def test_a_header_that_makes_no_sense_is_refused(call: Browser, field: str, value: str) -> None:
    reply = call("PUT", "/files/a", content=b"x", headers={field: value})
    assert reply.status_code == 400
    assert call("GET", "/files/a").status_code == 404


def test_if_match_lets_only_the_one_who_saw_the_latest_write(call: Browser) -> None:
    old = call("PUT", "/files/a", content=b"1").headers["etag"]
    new = call("PUT", "/files/a", content=b"2", headers={"If-Match": old})
    assert new.status_code == 201
    late = call("PUT", "/files/a", content=b"3", headers={"If-Match": old})
    assert late.status_code == 412
    assert late.json()["code"] == "PRECONDITION_FAILED"
    assert call("GET", "/files/a").content == b"2"
    listed = f'"foreign", {new.headers["etag"]}'
    assert call("PUT", "/files/a", content=b"3", headers={"If-Match": listed}).status_code == 201


def test_if_match_any_needs_something_to_be_there(call: Browser) -> None:
    assert call("PUT", "/files/a", content=b"1", headers={"If-Match": "*"}).status_code == 412
    call("PUT", "/files/a", content=b"1")
    assert call("PUT", "/files/a", content=b"2", headers={"If-Match": "*"}).status_code == 201


def test_if_none_match_any_creates_only(call: Browser) -> None:
    only_new = {"If-None-Match": "*"}
    assert call("PUT", "/files/a", content=b"1", headers=only_new).status_code == 201
    assert call("PUT", "/files/a", content=b"2", headers=only_new).status_code == 412
    assert call("GET", "/files/a").content == b"1"


def test_an_etag_of_another_path_matches_nothing(call: Browser) -> None:
    tag = call("PUT", "/files/a", content=b"1").headers["etag"]
    call("PUT", "/files/b", content=b"1")
    assert call("PUT", "/files/b", content=b"2", headers={"If-Match": tag}).status_code == 412
    reply = call("PUT", "/files/b", content=b"2", headers={"X-AeorSync-Base": tag})
    assert reply.status_code == 400
    assert "/b" in reply.json()["error"]


def test_an_edit_of_an_older_version_is_a_conflict_and_loses_nothing(call: Browser) -> None:
    old = call("PUT", "/files/a", content=b"old").headers["etag"]
    call("PUT", "/files/a", content=b"theirs")
    reply = call("PUT", "/files/a", content=b"mine", headers={"X-AeorSync-Base": old})
    assert reply.status_code == 201
    seen = call("GET", "/files/a")
    assert seen.content == b"mine"
    assert seen.headers["x-aeorsync-conflict"] == "true"
    assert call("GET", "/files").json()["items"][0]["conflict"] is True


def test_who_had_seen_nothing_conflicts_with_what_is_there(call: Browser) -> None:
    call("PUT", "/files/a", content=b"theirs")
    call("PUT", "/files/a", content=b"mine", headers={"X-AeorSync-Base": '""'})
    assert call("GET", "/files/a").headers["x-aeorsync-conflict"] == "true"
    call("PUT", "/files/new", content=b"mine", headers={"X-AeorSync-Base": '""'})
    assert "x-aeorsync-conflict" not in call("GET", "/files/new").headers


def test_a_base_that_is_current_is_an_ordinary_edit(call: Browser) -> None:
    tag = call("PUT", "/files/a", content=b"1").headers["etag"]
    call("PUT", "/files/a", content=b"2", headers={"X-AeorSync-Base": tag})
    assert "x-aeorsync-conflict" not in call("GET", "/files/a").headers


def test_the_etag_says_what_a_reader_has_seen(call: Browser) -> None:
    tag = call("PUT", "/files/a", content=b"1").headers["etag"]
    node = call.here.node
    with node.repository.view() as view:
        entry = view.live_entry(parse("/a"))
    assert entry is not None
    assert seals.unseal(node.seal_secret, "/a", tag.strip('"')) == entry.context


@pytest.mark.parametrize(
    ("there", "put"),
    [("/files/a/b", "/files/a"), ("/files/a", "/files/a/b"), ("/files/a", "/files/a/b/c")],
)
def test_a_file_where_a_folder_is_or_under_a_file_is_a_conflict(
    call: Browser, there: str, put: str
) -> None:
    call("PUT", there, content=b"1")
    reply = call("PUT", put, content=b"2")
    assert reply.status_code == 409
    assert reply.json()["code"] == "ALREADY_EXISTS"
    assert call("GET", there).content == b"1"


@pytest.mark.parametrize("path", ["/files/", "/files/a/", "/files/a%2F", "/files//"])
def test_a_path_that_names_a_folder_cannot_be_stored_at(call: Browser, path: str) -> None:
    assert call.raw("PUT", path.encode(), b"x").status_code == 400


def test_a_file_that_is_too_large_is_refused_before_it_is_read(call: Browser) -> None:
    async def endless() -> AsyncIterator[bytes]:
        raise AssertionError("the body must not be asked for")
        yield b""

    reply = call(
        "PUT",
        "/files/a",
        content=endless(),
        headers={"Content-Length": str(limits.MAX_BODY + 1)},
    )
    assert reply.status_code == 413
    assert reply.json()["code"] == "PAYLOAD_TOO_LARGE"
    assert reply.headers["connection"] == "close"


def test_a_body_of_unknown_length_is_stopped_at_the_limit(
    call: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_BODY", 200_000)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(21):
            yield b"x" * 10_000

    assert call("PUT", "/files/a", content=pieces()).status_code == 413
    assert call("GET", "/files/a").status_code == 404


@pytest.mark.parametrize("sent", [b"", b"abc", b"x" * 5_000_000])
def test_a_body_shorter_than_announced_leaves_nothing(call: Browser, sent: bytes) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield sent

    headers = {"Content-Length": str(len(sent) + 1)}
    reply = call("PUT", "/files/a", content=pieces(), headers=headers)
    assert reply.status_code == 400
    assert call("GET", "/files/a").status_code == 404
    assert call("GET", "/files").json()["total"] == 0


def test_many_writers_at_once_are_all_kept(call: Browser) -> None:
    async def put_all() -> None:
        puts = (call.client.put(f"/files/d/{at}", content=b"%d" % at) for at in range(50))
        assert {reply.status_code for reply in await asyncio.gather(*puts)} == {201}

    call.run(put_all())
    assert call("GET", "/files/d").json()["total"] == 50
    assert [call("GET", f"/files/d/{at}").content for at in range(50)] == [
        b"%d" % at for at in range(50)
    ]


def test_the_tag_of_a_write_from_an_older_base_covers_nobody_elses_version(call: Browser) -> None:
    first = call("PUT", "/files/l", content=b"one").headers["etag"]
    call("PUT", "/files/l", content=b"theirs")
    mine = call("PUT", "/files/l", content=b"mine", headers={"X-AeorSync-Base": first})
    assert mine.json()["conflict"]
    base = {"X-AeorSync-Base": mine.headers["etag"]}
    again = call("PUT", "/files/l", content=b"mine again", headers=base)
    assert again.json()["conflict"]
    versions = call("GET", "/sync/conflicts/l").json()["versions"]
    contents = {call("GET", version["href"]).content for version in versions}
    assert contents == {b"theirs", b"mine again"}


def test_a_part_of_a_file_is_not_taken_for_the_file(call: Browser) -> None:
    fields = {"Content-Range": "bytes 0-0/10"}
    reply = call("PUT", "/files/a", content=b"1", headers=fields)
    assert (reply.status_code, reply.json()["code"]) == (400, "INVALID_INPUT")
    assert call("GET", "/files/a").status_code == 404
