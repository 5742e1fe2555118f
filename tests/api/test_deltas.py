"""Chunks as deltas, as clients see it."""

from random import Random

import msgspec
import pytest

from aeorsync.core.apikeys import KeyRule
from aeorsync.core.hashing import chunk_id
from aeorsync.core.tokens import SYNC
from aeorsync.storage.base import StoredChunk
from aeorsync.storage.compression import unpack
from aeorsync.storage.deltas import made
from aeorsync.wire import framing
from aeorsync.wire.deltas import WANTS_TYPE, Delta, encode_wants, parse_delta
from aeorsync.wire.framing import Chunk, Kind
from aeorsync.wire.protocol import FRAMES_TYPE
from tests.api.conftest import Browser
from tests.support.repositories import put

OLD = Random(1).randbytes(20_000)
NEW = OLD[:9000] + b"edited" + OLD[9000:]


def ask(call: Browser, wanted: bytes, *bases: bytes, **fields: object) -> list[Chunk | Delta]:
    """What comes for a chunk when bases are named."""
    headers = {"Accept": FRAMES_TYPE, "Content-Type": WANTS_TYPE}
    headers.update(fields.pop("headers", {}))  # type: ignore[call-overload]
    name = chunk_id(wanted)
    body = encode_wants([name], {name: [chunk_id(base) for base in bases]})
    reply = call("POST", "/sync/chunks", content=body, headers=headers, **fields)
    assert reply.status_code == 200, reply.text
    decoder = framing.Decoder()
    frames = decoder.feed(reply.content)
    decoder.finish()
    found: list[Chunk | Delta] = []
    for frame in frames:
        if frame.kind is Kind.CHUNK:
            found.append(framing.parse_chunk(frame.payload))
        elif frame.kind is Kind.DELTA:
            found.append(parse_delta(frame.payload))
    return found


def hold(call: Browser) -> None:
    repository = call.here.node.repository
    put(repository, "/open/old", OLD)
    put(repository, "/open/new", NEW)
    put(repository, "/closed/old", OLD[::-1])


def limited(call: Browser) -> str:
    return call.here.make_key(rules=(KeyRule("/open/**", "-r--l---"),))[0]


def test_who_names_a_base_gets_the_difference(call: Browser) -> None:
    hold(call)
    for token in (None, call.here.mint(scope=SYNC)):
        fields = {} if token is None else {"token": token}
        (delta,) = ask(call, NEW, OLD, **fields)
        assert isinstance(delta, Delta)
        assert len(delta.stored) < 100
        (chunk,) = made(call.here.node.repository, [delta])
        assert unpack(chunk) == NEW


def test_a_base_that_is_not_here_or_of_no_use_is_as_good_as_none(call: Browser) -> None:
    hold(call)
    for bases in ((), (b"unknown",), (OLD[::-1],), (NEW,)):
        (chunk,) = ask(call, NEW, *bases)
        assert isinstance(chunk, Chunk)
        assert unpack(StoredChunk(*chunk)) == NEW


@pytest.mark.parametrize(
    "headers", [{"Accept-Encoding": "identity"}, {"X-AeorSync-Chunks": "checked"}]
)
def test_who_wants_chunks_plain_or_checked_gets_them_whole(
    call: Browser, headers: dict[str, str]
) -> None:
    hold(call)
    (chunk,) = ask(call, NEW, OLD, headers=headers)
    assert isinstance(chunk, Chunk)


def test_in_json_bases_change_nothing(call: Browser) -> None:
    hold(call)
    name = chunk_id(NEW)
    body = encode_wants([name], {name: [chunk_id(OLD)]})
    reply = call("POST", "/sync/chunks", content=body, headers={"Content-Type": WANTS_TYPE})
    assert [chunk["hash"] for chunk in reply.json()["chunks"]] == [name.hex()]


def test_what_is_no_list_of_wanted_chunks_is_refused(call: Browser) -> None:
    for body in (b"\1" + bytes(32), b"\xff" * 500, b"\0"):
        headers = {"Accept": FRAMES_TYPE, "Content-Type": WANTS_TYPE}
        assert call("POST", "/sync/chunks", content=body, headers=headers).status_code == 400


def test_a_base_that_may_not_be_read_is_as_good_as_none(call: Browser) -> None:
    hold(call)
    half = OLD[::-1][:9000] + b"edited" + OLD[::-1][9000:]
    put(call.here.node.repository, "/open/half", half)
    token = limited(call)
    (shown,) = ask(call, NEW, OLD, token=token)
    assert isinstance(shown, Delta)
    (whole,) = ask(call, half, OLD[::-1], token=token)
    assert isinstance(whole, Chunk)
    (mixed,) = ask(call, half, OLD[::-1], OLD, token=token)
    assert isinstance(mixed, Chunk)


def test_a_chunk_that_may_not_be_read_does_not_come_as_a_delta_either(call: Browser) -> None:
    hold(call)
    put(call.here.node.repository, "/closed/new", NEW[::-1])
    assert ask(call, NEW[::-1], OLD, token=limited(call)) == []


def test_the_header_of_a_page_says_that_bases_may_be_named(call: Browser) -> None:
    token = call.here.mint(scope=SYNC)
    headers = {"Accept": FRAMES_TYPE}
    reply = call("POST", "/sync/diff", json={"node_id": 3}, headers=headers, token=token)
    frames = framing.Decoder().feed(reply.content)
    assert msgspec.msgpack.decode(frames[0].payload)["deltas"] is True
