"""`/blobs/*` as clients see it: chunks in, files out, in one step or not at all."""

import base64
import os
from collections.abc import AsyncIterator
from unittest.mock import patch

import msgspec
import pytest
from msgspec.structs import replace

from aeorsync.core.hashing import chunk_id, content_hash
from aeorsync.core.seals import seal
from aeorsync.storage import composing
from aeorsync.storage.base import StoredChunk
from aeorsync.storage.gc import GRACE_MS
from aeorsync.wire import limits
from aeorsync.wire.framing import Codec, Kind, encode, encode_chunk
from aeorsync.wire.headers import print_etag
from aeorsync.wire.protocol import IDS_TYPE
from tests.api.blobs import (
    FRAMES,
    check,
    commit,
    commit_framed,
    committed,
    file,
    framed,
    upload,
)
from tests.api.conftest import Browser
from tests.support.clock import FakeClock

IDS = {"Content-Type": IDS_TYPE}


def read(call: Browser, path: str) -> bytes | None:
    reply = call("GET", f"/files{path}")
    return reply.content if reply.status_code == 200 else None


def test_the_rules_of_naming_are_told(call: Browser) -> None:
    assert call("GET", "/blobs/config").json() == {
        "hash_algorithm": "blake3_256",
        "chunk_size": 262_144,
        "chunk_hash_prefix": "chunk:",
        # These are not of the documented body; readers ignore what they do not know.
        "deltas": True,
        "packed": True,
    }


def test_a_file_is_uploaded_as_aeordb_documents_it(call: Browser) -> None:
    one, two = b"a" * 262_144, b"the rest"
    names = [chunk_id(one).hex(), chunk_id(two).hex()]
    assert check(call, one, two) == ([], names)
    first = call("PUT", f"/blobs/chunks/{names[0]}", content=one)
    assert (first.status_code, first.json()) == (201, {"status": "created", "hash": names[0]})
    again = call("PUT", f"/blobs/chunks/{names[0]}", content=one)
    assert (again.status_code, again.json()) == (200, {"status": "exists", "hash": names[0]})
    assert check(call, one, two) == ([names[0]], [names[1]])
    call("PUT", f"/blobs/chunks/{names[1]}", content=two)
    request = {"files": [{"path": "/docs/a.txt", "chunks": names, "content_type": "text/plain"}]}
    reply = call("POST", "/blobs/commit", json=request)
    assert reply.status_code == 200
    assert reply.json()["committed"] == 1
    told = reply.json()["files"][0]
    assert (told["path"], told["size"]) == ("/docs/a.txt", len(one + two))
    assert read(call, "/docs/a.txt") == one + two


def test_the_other_name_of_the_list_of_chunks_is_taken_too(call: Browser) -> None:
    upload(call, b"one")
    committed(call, {"path": "/a", "chunk_hashes": [chunk_id(b"one").hex()]})
    assert read(call, "/a") == b"one"


def test_a_chunk_is_refused_that_is_not_what_its_name_says(call: Browser) -> None:
    name = chunk_id(b"right").hex()
    reply = call("PUT", f"/blobs/chunks/{name}", content=b"wrong")
    assert reply.status_code == 400
    assert reply.json()["expected"] == name
    assert reply.json()["got"] == chunk_id(b"wrong").hex()
    assert check(call, b"right") == ([], [name])


def test_a_chunk_is_refused_that_is_too_long(call: Browser) -> None:
    data = b"x" * (limits.MAX_CHUNK + 1)
    reply = call("PUT", f"/blobs/chunks/{chunk_id(data).hex()}", content=data)
    assert reply.status_code == 400
    assert (reply.json()["max"], reply.json()["got"]) == (limits.MAX_CHUNK, limits.MAX_CHUNK + 1)


def test_an_empty_chunk_is_a_chunk_and_adds_nothing_to_a_file(call: Browser) -> None:
    empty = chunk_id(b"").hex()
    assert call("PUT", f"/blobs/chunks/{empty}", content=b"").status_code == 201
    upload(call, b"one")
    committed(call, {"path": "/a", "chunks": [empty, chunk_id(b"one").hex(), empty], "size": 3})
    committed(call, {"path": "/b", "chunks": [empty]}, {"path": "/c", "chunks": []})
    assert (read(call, "/a"), read(call, "/b"), read(call, "/c")) == (b"one", b"", b"")


@pytest.mark.parametrize("name", ["zz", "a" * 63, "a" * 65, "g" * 64])
def test_what_is_no_hash_is_refused(call: Browser, name: str) -> None:
    assert call("PUT", f"/blobs/chunks/{name}", content=b"x").status_code == 400
    assert call("POST", "/blobs/check", json={"hashes": [name]}).status_code == 400
    assert commit(call, {"path": "/a", "chunks": [name]}).status_code == 400


def test_chunks_are_named_by_raw_ids_as_well(call: Browser) -> None:
    one, two = chunk_id(b"one"), chunk_id(b"two")
    upload(call, b"one")
    asked = call("POST", "/blobs/check", content=two + one + two, headers=IDS)
    assert (asked.status_code, asked.content) == (200, two)
    assert asked.headers["content-type"] == IDS_TYPE
    upload(call, b"two")
    assert call("POST", "/blobs/check", content=two + one, headers=IDS).content == b""
    ids = base64.b64encode(one + two + one).decode()
    stated = {"size": 9, "content_hash": content_hash(b"onetwoone").hex()}
    committed(call, {"path": "/a", "chunk_ids": ids, **stated})
    header = {"path": "/b", "chunk_ids": ids, **stated}
    assert commit_framed(call, [header], []).status_code == 200
    assert (read(call, "/a"), read(call, "/b")) == (b"onetwoone", b"onetwoone")


def test_raw_ids_that_are_cut_off_or_said_twice_are_refused(call: Browser) -> None:
    upload(call, b"one")
    name = chunk_id(b"one")
    cut = call("POST", "/blobs/check", content=name[:-1], headers=IDS)
    assert cut.status_code == 400
    ids = base64.b64encode(name).decode()
    for stated in ({"chunk_ids": ids[:-8]}, {"chunk_ids": ids, "chunks": [name.hex()]}):
        refused = commit(call, {"path": "/a", **stated})
        assert (refused.status_code, refused.json()["path"]) == (400, "/a")
    assert read(call, "/a") is None


def test_many_chunks_come_in_one_body(call: Browser) -> None:
    chunks = [os.urandom(100) + b"%d" % number for number in range(50)]
    assert upload(call, *chunks, chunks[0]) == {"created": 50, "exists": 1}
    assert upload(call, *chunks) == {"created": 0, "exists": 50}
    assert check(call, *chunks)[1] == []


def test_compressed_chunks_are_taken_as_they_are(call: Browser) -> None:
    body = framed(b"text " * 5000, squeezed=True)
    assert len(body) < 1000
    assert call("POST", "/blobs/chunks", content=body, headers=FRAMES).status_code == 200
    committed(call, file("/a", b"text " * 5000))
    assert read(call, "/a") == b"text " * 5000


def test_of_a_batch_with_a_wrong_chunk_the_right_ones_are_kept(call: Browser) -> None:
    wrong = encode_chunk(chunk_id(b"right"), Codec.RAW, 5, b"wrong")
    good = framed(b"one", b"two")
    body = good[: -len(encode(Kind.END, b"\x80"))] + wrong + encode(Kind.END, b"\x80")
    reply = call("POST", "/blobs/chunks", content=body, headers=FRAMES)
    assert reply.status_code == 400
    assert reply.json()["expected"] == chunk_id(b"right").hex()
    assert check(call, b"one", b"two", b"right")[1] == [chunk_id(b"right").hex()]


def test_of_a_batch_that_breaks_off_what_arrived_is_kept(call: Browser) -> None:
    body = framed(b"one", b"two" * 100)
    reply = call("POST", "/blobs/chunks", content=body[:-20], headers=FRAMES)
    assert reply.status_code == 400
    assert check(call, b"one", b"two" * 100)[1] == [chunk_id(b"two" * 100).hex()]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no frames",
        encode(Kind.END, b"\x80"),
        encode(Kind.HEADER, b"\x80"),
        encode(Kind.HEADER, b"\x80") + encode(Kind.ENTRIES, b"\x90") + encode(Kind.END, b"\x80"),
        encode(Kind.HEADER, b"\x80") + encode(Kind.CHUNK, b"short") + encode(Kind.END, b"\x80"),
        encode(Kind.HEADER, b"\x80") * 2 + encode(Kind.END, b"\x80"),
        encode(Kind.CHUNK, b"x" * (1 << 20)),
    ],
)
def test_a_body_that_is_no_batch_is_refused(call: Browser, body: bytes) -> None:
    for url in ("/blobs/chunks", "/blobs/commit"):
        reply = call("POST", url, content=body, headers=FRAMES)
        assert reply.status_code == 400, (url, reply.text)
        assert set(reply.json()) >= {"error", "code"}


# Committing


def test_chunks_may_come_with_their_commit(call: Browser) -> None:
    parts = [os.urandom(3000) for _ in range(3)]
    files = [file("/one", parts[0]), file("/all", *parts), file("/none")]
    reply = commit_framed(call, files, parts)
    assert reply.status_code == 200, reply.text
    assert [told["size"] for told in reply.json()["files"]] == [3000, 9000, 0]
    assert read(call, "/one") == parts[0]
    assert read(call, "/all") == b"".join(parts)
    assert read(call, "/none") == b""


def test_a_long_list_of_chunks_is_kept_out_of_the_entry(call: Browser) -> None:
    parts = [b"%06d" % number * 500 for number in range(300)]
    upload(call, *parts)
    committed(call, file("/long", *parts))
    assert read(call, "/long") == b"".join(parts)
    reply = call("GET", "/files/long", headers={"Range": "bytes=300000-300099"})
    assert reply.content == b"".join(parts)[300_000:300_100]


def test_missing_chunks_are_named(call: Browser) -> None:
    upload(call, b"one")
    reply = commit(call, file("/ok", b"one"), file("/bad", b"one", b"two", b"three"))
    assert reply.status_code == 400
    told = reply.json()
    assert told["path"] == "/bad"
    assert told["missing"] == [chunk_id(b"two").hex(), chunk_id(b"three").hex()]
    assert read(call, "/ok") is None


@pytest.mark.parametrize(
    "wrong", [{"size": 4}, {"content_hash": content_hash(b"other").hex()}, {"size": 0}]
)
@pytest.mark.parametrize("form", ["json", "frames"])
def test_what_is_said_of_a_file_is_checked(
    call: Browser, wrong: dict[str, object], form: str
) -> None:
    upload(call, b"one")
    files = [file("/ok", b"one"), file("/bad", b"one", **wrong)]
    reply = commit_framed(call, files, [b"one"]) if form == "frames" else commit(call, *files)
    assert (reply.status_code, reply.json()["path"]) == (400, "/bad")
    assert read(call, "/ok") is None


def test_a_hash_is_not_believed_because_the_size_is_given_too(call: Browser) -> None:
    upload(call, b"one", b"two")
    lie = {"size": 6, "content_hash": content_hash(b"twoone").hex()}
    reply = commit(call, file("/bad", b"one", b"two", **lie))
    assert (reply.status_code, reply.json()["path"]) == (400, "/bad")


def test_a_file_of_more_chunks_than_any_needs_is_refused(call: Browser) -> None:
    crumbs = [b"%d" % number for number in range(100)]
    upload(call, *crumbs, b"x" * 200_000)
    assert commit(call, file("/crumbs", *crumbs)).status_code == 400
    assert commit(call, file("/hidden", b"x" * 200_000, *crumbs)).status_code == 400
    committed(call, file("/few", *crumbs[:64]))
    assert read(call, "/few") == b"".join(crumbs[:64])


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 400),
        ("", 400),
        ("/a/", 400),
        ("/a//b", 400),
        ("/../b", 400),
        ("/a\0b", 400),
        ("/.aeordb-system/x", 404),
        ("/" + "n" * 256, 400),
    ],
)
def test_bad_paths_refuse_the_whole_and_are_named(call: Browser, path: str, status: int) -> None:
    reply = commit(call, file("/ok"), file(path))
    assert reply.status_code == status
    assert reply.json()["path"] == path
    assert read(call, "/ok") is None


def test_a_path_may_not_be_listed_twice(call: Browser) -> None:
    upload(call, b"one", b"two")
    two = [file("/a", b"one"), file("/a", b"two")]
    assert (commit(call, *two).status_code, commit(call, *two).json()["path"]) == (400, "/a")
    link = [{"path": "/a", "target": "/b"}]
    assert commit(call, file("/a", b"one"), links=link).status_code == 400
    assert commit(call, file("/a", b"one"), folders=[{"path": "/a"}]).status_code == 400
    gone = [{"path": "/a"}, {"path": "/a"}]
    assert commit(call, deletes=gone).status_code == 400
    assert read(call, "/a") is None


def test_nothing_to_commit_is_a_mistake(call: Browser) -> None:
    assert commit(call).status_code == 400


def test_more_changes_than_one_commit_takes_are_refused(call: Browser) -> None:
    with patch("aeorsync.wire.limits.MAX_COMMIT", 2):
        assert commit(call, *(file(f"/{number}") for number in range(3))).status_code == 413
        assert commit(call, *(file(f"/{number}") for number in range(2))).status_code == 200


def test_everything_happens_in_one_step(call: Browser) -> None:
    upload(call, b"one", b"two")
    committed(call, file("/old/a", b"one"), file("/kept", b"one"))
    before = call.here.node.repository.head.seq
    reply = commit(
        call,
        file("/new/a", b"one", mtime_ns=1_700_000_000_123_456_789, executable=True),
        deletes=[{"path": "/old/a"}, {"path": "/old"}, {"path": "/never"}],
        folders=[{"path": "/empty/deep", "mtime_ns": 5_000_000}],
        links=[{"path": "/link", "target": "kept", "mtime_ns": 7_000_000}],
    )
    assert reply.status_code == 200, reply.text
    assert reply.json()["committed"] == 6
    assert read(call, "/new/a") == b"one"
    assert read(call, "/old/a") is None
    assert call("GET", "/files/old/").status_code == 404
    assert call("GET", "/links/link").json()["target"] == "kept"
    head = call("HEAD", "/files/new/a").headers
    assert head["x-aeorsync-mtime"] == "1700000000123.456789"
    assert head["x-aeorsync-mode"] == "755"
    assert call("GET", "/files/empty/deep/").status_code == 200
    changes = call.here.node.repository.changes(before, 100)
    assert len(changes) == call.here.node.repository.head.seq - before


def test_what_has_not_come_here_yet_cannot_be_deleted_here(call: Browser) -> None:
    """Its writer has the ETag of another node, which told this one nothing so far."""
    assert call("PUT", "/files/stays", content=b"1").status_code == 201
    base = print_etag(seal(call.here.node.seal_secret, "/a", ((4711, 1),)))
    reply = commit(call, deletes=[{"path": "/stays"}, {"path": "/a", "base": base}])
    assert (reply.status_code, reply.json()["code"]) == (409, "STALE")
    assert reply.json()["path"] == "/a"
    assert call("GET", "/files/stays").status_code == 200


def test_a_refused_change_undoes_all_of_them_and_is_named(call: Browser) -> None:
    upload(call, b"one")
    committed(call, file("/folder/a", b"one"), file("/file", b"one"))
    for change in (
        {"deletes": [{"path": "/folder"}]},
        {"files": [file("/folder", b"one")]},
        {"files": [file("/file/below", b"one")]},
        {"folders": [{"path": "/file"}]},
        {"links": [{"path": "/folder", "target": "x"}]},
    ):
        files = [file("/other", b"one"), *change.pop("files", [])]
        named = str(
            (*files[1:], *(item for items in change.values() for item in items))[0]["path"]
        )
        reply = commit(call, *files, **change)
        assert reply.status_code in (400, 409), reply.text
        assert reply.json()["path"] == named
        assert read(call, "/other") is None


def test_a_type_is_guessed_where_none_is_stated(call: Browser) -> None:
    texts = {"/a.json": b"{}", "/b": b"words", "/c": b"\0\1", "/d.bin": b"words"}
    upload(call, *texts.values())
    files = [file(path, data) for path, data in texts.items()]
    committed(call, *files, file("/e", b"words", content_type="x/y"))
    told = [call("HEAD", f"/files{path}").headers["content-type"] for path in (*texts, "/e")]
    plain, unknown = "text/plain", "application/octet-stream"
    assert told == ["application/json", plain, unknown, unknown, "x/y"]
    attached = [file("/f", b"fresh words"), file("/g", b"\0\2", b"more")]
    assert commit_framed(call, attached, [b"fresh words", b"\0\2", b"more"]).status_code == 200
    told = [call("HEAD", f"/files{path}").headers["content-type"] for path in ("/f", "/g")]
    assert told == [plain, unknown]


def test_who_takes_in_too_much_at_once_is_told_to_come_again(call: Browser) -> None:
    budget = call.here.node.budget
    left, budget.left = budget.left, 1000
    body = framed(b"x" * 5000)
    for reply in (
        call("POST", "/blobs/chunks", content=body, headers=FRAMES),
        commit(call, *(file(f"/{number}") for number in range(100))),
        call("POST", "/blobs/check", json={"hashes": [chunk_id(b"").hex()] * 100}),
    ):
        assert (reply.status_code, reply.json()["retryable"]) == (429, True)
        assert reply.headers["retry-after"] == "1"
    assert budget.left == 1000
    budget.left = left
    assert call("POST", "/blobs/chunks", content=body, headers=FRAMES).status_code == 200
    assert budget.left == left


def test_a_body_without_end_of_one_small_chunk_is_stopped(
    call: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aeorsync.api.intake._GROUP", 1)
    budget = call.here.node.budget
    left, budget.left = budget.left, 100_000
    pieces = [encode(Kind.HEADER, msgspec.msgpack.encode({}))]
    pieces += [encode_chunk(chunk_id(b"x"), Codec.RAW, 1, b"x")] * 2000

    async def body() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    client = call.here.client()
    sending = client.post("/blobs/chunks", content=body(), headers=FRAMES)
    assert call.run(sending).status_code == 429
    assert budget.left == 100_000
    budget.left = left


# Reading


def test_a_chunk_is_read_by_its_name(call: Browser) -> None:
    upload(call, b"text " * 1000)
    name = chunk_id(b"text " * 1000).hex()
    reply = call("GET", f"/blobs/{name}")
    assert reply.content == b"text " * 1000
    assert reply.headers["content-type"] == "application/octet-stream"
    assert reply.headers["x-aeordb-hash"] == name


def test_a_file_is_read_by_its_identity(call: Browser) -> None:
    upload(call, b"one", b"two")
    committed(call, file("/d/a.txt", b"one", b"two"), file("/b", b"one"))
    [identity] = [one["hash"] for one in call("GET", "/files/d").json()["items"]]
    reply = call("GET", f"/blobs/{identity}")
    assert (reply.status_code, reply.content) == (200, b"onetwo")
    assert (reply.headers["x-aeordb-type"], reply.headers["x-aeordb-hash"]) == ("2", identity)
    part = call("GET", f"/blobs/{identity}", headers={"Range": "bytes=2-3"})
    assert (part.status_code, part.content) == (206, b"et")


def test_what_nobody_knows_cannot_be_read(call: Browser) -> None:
    assert call("GET", f"/blobs/{chunk_id(b'x').hex()}").status_code == 404
    assert call("GET", "/blobs/xyz").status_code == 400
    assert call("GET", "/blobs/config").status_code == 200


# Staying


def test_chunks_nobody_committed_go_after_a_day(call: Browser) -> None:
    clock = call.here.node.wall
    assert isinstance(clock, FakeClock)
    upload(call, b"asked", b"left", b"used")
    committed(call, file("/used", b"used"))
    clock.now += GRACE_MS - 3_600_000
    call.here.node.collector.run()
    assert check(call, b"asked")[1] == []
    clock.now += 2 * 3_600_000
    call.here.node.collector.run()
    left = check(call, b"asked", b"left", b"used")
    assert left[1] == [chunk_id(b"left").hex()]
    clock.now += GRACE_MS + 1
    call.here.node.collector.run()
    assert check(call, b"asked", b"used")[1] == [chunk_id(b"asked").hex()]
    assert read(call, "/used") == b"used"


def test_what_was_collected_meanwhile_is_asked_for_again(call: Browser) -> None:
    clock = call.here.node.wall
    assert isinstance(clock, FakeClock)
    upload(call, b"one")
    clock.now += GRACE_MS + 1
    call.here.node.collector.run()
    reply = commit(call, file("/a", b"one"))
    assert (reply.status_code, reply.json()["missing"]) == (400, [chunk_id(b"one").hex()])
    upload(call, b"one")
    committed(call, file("/a", b"one"))


def test_a_long_file_is_proven_by_its_own_hash_and_what_is_wrong_in_it_is_found(
    call: Browser,
) -> None:
    parts = [b"%04d" % number * 1000 for number in range(40)]
    upload(call, *parts)
    store = call.here.node.repository.store
    with patch.object(composing, "unpack", side_effect=AssertionError("chunk by chunk")):
        committed(call, file("/right", *parts))
    assert read(call, "/right") == b"".join(parts)
    lie = {"content_hash": content_hash(b"other").hex()}
    reply = commit(call, file("/lie", *parts, **lie))
    assert (reply.status_code, reply.json()["path"]) == (400, "/lie")
    sound, bad = store.chunks, chunk_id(parts[33])

    def damaged(ids: list[bytes]) -> list[StoredChunk]:
        found = sound(ids)
        return [replace(c, codec=0, data=b"x" * c.size) if c.id == bad else c for c in found]

    with patch.object(store, "chunks", damaged):
        reply = commit(call, file("/bad", *parts))
    assert (reply.status_code, reply.json()["missing"]) == (400, [bad.hex()])


def test_a_damaged_chunk_is_asked_for_again(call: Browser) -> None:
    repository = call.here.node.repository
    upload(call, b"one", b"two")
    sound = repository.store.chunks
    with patch.object(
        repository.store,
        "chunks",
        lambda ids: [msgspec.structs.replace(chunk, data=b"bad") for chunk in sound(ids)],
    ):
        reply = commit(call, file("/a", b"one", b"two"))
    assert (reply.status_code, reply.json()["missing"]) == (400, [chunk_id(b"one").hex()])
    assert check(call, b"one", b"two")[1] == [chunk_id(b"one").hex()]
    upload(call, b"one")
    committed(call, file("/a", b"one", b"two"))
    assert read(call, "/a") == b"onetwo"
