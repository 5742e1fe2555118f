"""Frames, as the asking node wants them compressed and filtered."""

import pytest

from aeorsync.core.hashing import chunk_id
from aeorsync.core.tokens import SYNC
from aeorsync.wire import framing
from aeorsync.wire.framing import Codec, Kind
from aeorsync.wire.protocol import FRAMES_TYPE, IDS_TYPE
from tests.api.conftest import Browser
from tests.api.readers import read_frames
from tests.support.repositories import put

BODY = b"shrinks " * 10_000
NAME = chunk_id(BODY)


def chunk_frames(call: Browser, encoding: str | None, *names: bytes) -> tuple[bytes, str | None]:
    """The body of an answer as it was sent, and how it was encoded."""
    headers = {"Accept": FRAMES_TYPE, "Content-Type": IDS_TYPE}
    headers["Accept-Encoding"] = encoding or ""
    reply = call("POST", "/sync/chunks", content=b"".join(names), headers=headers)
    assert reply.status_code == 200
    # httpx has undone it; what is left tells what it was.
    return reply.content, reply.headers.get("content-encoding")


@pytest.mark.parametrize(
    ("encoding", "codec", "told"),
    [
        (None, Codec.ZSTD, None),
        ("zstd", Codec.ZSTD, None),
        ("gzip", Codec.RAW, "gzip"),
        ("identity", Codec.RAW, None),
        ("br", Codec.RAW, None),
    ],
)
def test_chunks_go_out_as_they_are_stored_or_plain(
    call: Browser, encoding: str | None, codec: Codec, told: str | None
) -> None:
    repository = call.here.node.repository
    put(repository, "/a", BODY)
    body, how = chunk_frames(call, encoding, NAME, b"\1" * 32)
    assert how == told
    decoder = framing.Decoder()
    frames = decoder.feed(body)
    decoder.finish()
    [chunk] = [framing.parse_chunk(frame.payload) for frame in frames if frame.kind == Kind.CHUNK]
    assert (chunk.id, chunk.codec, chunk.size) == (NAME, codec, len(BODY))
    assert codec is Codec.ZSTD or chunk.stored == BODY
    [missing] = [frame.payload for frame in frames if frame.kind == Kind.MISSING]
    assert missing == b"\1" * 32


def test_many_plain_chunks_come_whole_through_gzip(call: Browser) -> None:
    repository = call.here.node.repository
    texts = [b"%d " % number * 2000 for number in range(300)]
    for text in texts:
        repository.store_small(text)
    body, _ = chunk_frames(call, "gzip", *map(chunk_id, texts))
    decoder = framing.Decoder()
    frames = [frame for frame in decoder.feed(body) if frame.kind == Kind.CHUNK]
    decoder.finish()
    assert [framing.parse_chunk(frame.payload).stored for frame in frames] == texts


def test_a_page_of_entries_is_compressed_when_gzip_is_asked_for(call: Browser) -> None:
    put(call.here.node.repository, "/a", b"1")
    headers = {"Accept": FRAMES_TYPE, "Accept-Encoding": "gzip"}
    reply = call("POST", "/sync/diff", json={}, headers=headers)
    assert reply.headers["content-encoding"] == "gzip"
    assert [key for key, _ in read_frames(reply.content)[1]] == [b"a"]


def test_json_stays_as_it_is_whatever_is_accepted(call: Browser) -> None:
    put(call.here.node.repository, "/a", BODY)
    for path, body in (("/sync/diff", {}), ("/sync/chunks", {"hashes": [NAME.hex()]})):
        reply = call("POST", path, json=body, headers={"Accept-Encoding": "gzip"})
        assert "content-encoding" not in reply.headers


def test_what_is_excluded_is_not_told_in_frames_and_peers_hear_of_the_system(
    call: Browser,
) -> None:
    repository = call.here.node.repository
    for path in ("/p/a", "/p/b.tmp", "/q/c"):
        put(repository, path, b"1")
    body = {"paths": ["/p/**"], "excludes": ["**/*.tmp"]}
    token = call.here.mint(scope=SYNC)
    headers = {"Accept": FRAMES_TYPE}
    reply = call("POST", "/sync/diff", json=body, headers=headers, token=token)
    header, items, end = read_frames(reply.content)
    assert [key for key, _ in items if not key.startswith(b".")] == [b"p\0a"]
    put(repository, "/p/d.tmp", b"1")
    put(repository, "/p/e", b"1")
    later = {**body, "cursor": end.cursor}
    reply = call("POST", "/sync/diff", json=later, headers=headers, token=token)
    assert [key for key, _ in read_frames(reply.content)[1]] == [b"p\0e"]
    assert header.root_hash == end.root_hash


@pytest.mark.parametrize("excludes", [["["], ["/a"] * 101, "/a", [5]])
def test_excludes_that_make_no_sense_are_refused(call: Browser, excludes: object) -> None:
    headers = {"Accept": FRAMES_TYPE}
    reply = call("POST", "/sync/diff", json={"excludes": excludes}, headers=headers)
    assert reply.status_code in {400, 422}
