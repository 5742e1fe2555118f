"""`POST /sync/chunks` as clients see it."""

import base64
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import msgspec
import pytest

from aeorsync.core.hashing import chunk_id
from aeorsync.core.paths import parse
from aeorsync.core.tokens import SYNC
from aeorsync.errors import UnavailableError
from aeorsync.storage import changes
from aeorsync.storage.base import StoredChunk
from aeorsync.storage.compression import unpack
from aeorsync.storage.repository import Repository
from aeorsync.wire import framing
from aeorsync.wire.framing import Kind
from aeorsync.wire.protocol import FRAMES_TYPE, IDS_TYPE
from tests.api.conftest import Browser
from tests.support.repositories import put

UNKNOWN = b"\x01" * 32


def store(repository: Repository, *texts: bytes) -> list[bytes]:
    """Chunks that the node holds."""
    for number, text in enumerate(texts):
        put(repository, f"/{number}", text)
    return [chunk_id(text) for text in texts]


def in_json(call: Browser, hashes: list[str], **fields: object) -> list[tuple[str, bytes]]:
    reply = call("POST", "/sync/chunks", json={"hashes": hashes}, **fields)
    assert reply.status_code == 200, reply.text
    chunks = reply.json()["chunks"]
    assert all(set(chunk) == {"hash", "data", "size"} for chunk in chunks)
    found = [(chunk["hash"], base64.b64decode(chunk["data"])) for chunk in chunks]
    assert [chunk["size"] for chunk in chunks] == [len(data) for _, data in found]
    return found


def in_frames(
    call: Browser, ids: list[bytes], **fields: object
) -> tuple[list[tuple[bytes, bytes]], list[bytes]]:
    headers = {"Accept": FRAMES_TYPE, "Content-Type": IDS_TYPE}
    fields = {"content": b"".join(ids), "headers": headers, **fields}
    reply = call("POST", "/sync/chunks", **fields)
    assert reply.headers["content-type"] == FRAMES_TYPE
    decoder = framing.Decoder()
    frames = decoder.feed(reply.content)
    decoder.finish()
    assert frames[0].kind == Kind.HEADER
    assert msgspec.msgpack.decode(frames[0].payload) == {}
    chunks = [framing.parse_chunk(frame.payload) for frame in frames if frame.kind == Kind.CHUNK]
    plain = [(c.id, bytes(unpack(StoredChunk(c.id, c.codec, c.size, c.stored)))) for c in chunks]
    missing = [
        name
        for frame in frames
        if frame.kind == Kind.MISSING
        for name in framing.parse_missing(frame.payload)
    ]
    return plain, missing


def test_chunks_come_in_the_order_asked_and_spelled_as_asked(call: Browser) -> None:
    one, two = store(call.here.node.repository, b"one", b"two" * 1000)
    asked = [two.hex().upper(), UNKNOWN.hex(), "", "ab", one.hex()]
    assert in_json(call, asked) == [(asked[0], b"two" * 1000), (asked[4], b"one")]


@pytest.mark.parametrize("text", ["no hash", "abc", "\u0000", "\u0661" * 2, "zz" * 32, "a\n"])
def test_a_hash_that_is_not_hex_is_refused(call: Browser, text: str) -> None:
    [one] = store(call.here.node.repository, b"one")
    reply = call("POST", "/sync/chunks", json={"hashes": [one.hex(), text]})
    assert (reply.status_code, reply.json()["code"]) == (400, "INVALID_INPUT")


def test_frames_carry_chunks_as_stored_and_name_the_missing(call: Browser) -> None:
    one, two = store(call.here.node.repository, b"one", b"two" * 1000)
    chunks, missing = in_frames(call, [two, UNKNOWN, one, two])
    assert chunks == [(two, b"two" * 1000), (one, b"one")]
    assert missing == [UNKNOWN]


def test_either_body_may_be_answered_in_either_form(call: Browser) -> None:
    [one] = store(call.here.node.repository, b"one")
    frames = {"Accept": FRAMES_TYPE}
    hashes = {"hashes": [one.hex()]}
    assert in_frames(call, [], content=None, json=hashes, headers=frames)[0] == [(one, b"one")]
    reply = call("POST", "/sync/chunks", content=one, headers={"Content-Type": IDS_TYPE})
    assert [chunk["hash"] for chunk in reply.json()["chunks"]] == [one.hex()]


def test_no_chunks_are_an_answer_too(call: Browser) -> None:
    assert in_json(call, []) == []
    assert in_json(call, [UNKNOWN.hex()]) == []
    assert in_frames(call, []) == ([], [])


def test_more_hashes_than_aeordb_takes_are_accepted(call: Browser) -> None:
    texts = [b"%d" % number for number in range(300)]
    repository = call.here.node.repository
    for text in texts:
        repository.store_small(text)
    names = [chunk_id(text) for text in texts]
    strangers = [chunk_id(b"no %d" % number) for number in range(20_000)]
    found = in_json(call, [name.hex() for name in (*strangers, *names)])
    assert found == [(name.hex(), text) for name, text in zip(names, texts, strict=True)]
    chunks, missing = in_frames(call, [*strangers, *names])
    assert chunks == list(zip(names, texts, strict=True))
    assert missing == strangers


def test_many_missing_ids_take_several_frames(call: Browser) -> None:
    strangers = [chunk_id(b"no %d" % number) for number in range(10)]
    with patch("aeorsync.api.chunks._MISSING_MAX", 3):
        assert in_frames(call, strangers)[1] == strangers


@pytest.mark.parametrize("fitting", [0, 1, 2])
def test_what_does_not_fit_into_one_answer_is_refused_before_it_begins(
    call: Browser, fitting: int
) -> None:
    names = store(call.here.node.repository, b"a" * 300, b"b" * 300, b"c" * 300)
    with patch("aeorsync.api.chunks.PROJECTED_MAX", fitting * 528 + 1):
        asked = {"hashes": [UNKNOWN.hex(), *(name.hex() for name in names)]}
        reply = call("POST", "/sync/chunks", json=asked)
        assert reply.status_code == 413
        assert reply.json()["code"] == "PAYLOAD_TOO_LARGE"
        assert reply.json()["chunks_so_far"] == fitting + 1
        assert len(in_frames(call, names)[0]) == 3


def test_what_just_fits_is_served(call: Browser) -> None:
    names = store(call.here.node.repository, b"a" * 300, b"b" * 300)
    with patch("aeorsync.api.chunks.PROJECTED_MAX", 2 * 528):
        assert len(in_json(call, [name.hex() for name in names])) == 2


def test_a_damaged_chunk_is_never_sent_as_a_sound_one(call: Browser) -> None:
    repository = call.here.node.repository
    one, two = store(repository, b"one", b"two")
    wrong = StoredChunk(one, 0, 3, b"bad")
    sound = repository.stored_chunks([two])
    with patch.object(repository, "stored_chunks", return_value=[wrong, *sound]):
        assert in_json(call, [one.hex(), two.hex()]) == [(two.hex(), b"two")]


def test_memory_holds_a_batch_at_a_time(call: Browser) -> None:
    repository = call.here.node.repository
    texts = [b"%d" % number for number in range(100)]
    texts += [bytes([number]) * 100 for number in range(50)]
    for text in texts:
        repository.store_small(text)
    names = [chunk_id(text) for text in texts]
    asked: list[int] = []
    read = repository.stored_chunks

    def spy(ids: list[bytes]) -> list[StoredChunk]:
        asked.append(len(ids))
        return read(ids)

    with patch.object(repository, "stored_chunks", spy):
        assert len(in_frames(call, names)[0]) == 150
    assert asked == [8, 64, 64, 14]


def test_a_failure_on_the_way_ends_the_frames_with_an_error(call: Browser) -> None:
    repository = call.here.node.repository
    names = store(repository, b"one")
    headers = {"Accept": FRAMES_TYPE, "Content-Type": IDS_TYPE}
    broken = UnavailableError("the disk is gone")
    with patch.object(repository, "stored_chunks", side_effect=broken):
        reply = call("POST", "/sync/chunks", content=names[0], headers=headers)
    frames = framing.Decoder().feed(reply.content)
    assert [frame.kind for frame in frames] == [Kind.HEADER, Kind.ERROR]
    assert msgspec.msgpack.decode(frames[1].payload)["code"] == "SERVICE_UNAVAILABLE"


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"content": b"{"}, 400),
        ({"content": b""}, 400),
        ({"json": {}}, 422),
        ({"json": {"hashes": "x"}}, 422),
        ({"json": {"hashes": [5]}}, 422),
        ({"json": []}, 422),
        ({"content": b"x" * 33, "headers": {"Content-Type": IDS_TYPE}}, 400),
    ],
)
def test_a_request_without_sense_is_refused(
    call: Browser, fields: dict[str, Any], status: int
) -> None:
    reply = call("POST", "/sync/chunks", **fields)
    assert reply.status_code == status
    assert set(reply.json()) == {"error", "code"}


def test_a_body_over_the_limit_is_refused(call: Browser) -> None:
    with patch("aeorsync.wire.limits.MAX_CHUNKS_BODY", 100):
        reply = call("POST", "/sync/chunks", json={"hashes": ["a" * 100]})
    assert reply.status_code == 413


def test_who_is_no_peer_asks_within_the_memory_there_is_for_bodies(call: Browser) -> None:
    budget = call.here.node.budget
    left, budget.left = budget.left, 100
    asked = {"json": {"hashes": ["a" * 64] * 10}}
    assert call("POST", "/sync/chunks", **asked).status_code == 429
    peer = call.here.mint(scope=SYNC)
    assert call("POST", "/sync/chunks", token=peer, **asked).status_code == 200
    assert budget.left == 100
    budget.left = left
    assert call("POST", "/sync/chunks", **asked).status_code == 200
    assert budget.left == left


@pytest.mark.parametrize("is_deleted", [False, True])
def test_chunks_of_the_system_are_for_peers_only(call: Browser, *, is_deleted: bool) -> None:
    repository = call.here.node.repository
    secret = b"".join(number.to_bytes(4) * 64 for number in range(40_000))
    upload = repository.upload()
    upload.feed(secret)
    content = upload.finish()
    assert content.depth
    path = parse("/.aeordb-system/k", allow_system=True)
    state = changes.FileState(content, "text/plain")
    repository.commit(lambda draft: changes.put_file(draft, path, state)).result()
    if is_deleted:
        repository.commit(lambda draft: changes.delete(draft, path)).result()
    names = [name for _, name, _ in repository.references(content)]
    names += [content.refs[:32]]
    [open_one] = store(repository, b"open")
    peer = call.here.mint(scope=SYNC)
    hashes = [name.hex() for name in (*names, open_one)]
    assert in_json(call, hashes) == [(open_one.hex(), b"open")]
    assert [name for name, _ in in_frames(call, [*names, open_one])[0]] == [open_one]
    assert in_frames(call, [*names, open_one])[1] == names
    assert len(in_json(call, hashes, token=peer)) == len(set(hashes))


def test_only_root_and_peers_may_ask(call: Browser) -> None:
    other = call.here.mint(subject=uuid4())
    body = {"hashes": [UNKNOWN.hex()]}
    assert call("POST", "/sync/chunks", json=body, token=other).status_code == 403
    assert call("POST", "/sync/chunks", json=body, token="").status_code == 401
