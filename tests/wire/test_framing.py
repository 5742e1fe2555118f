"""Frames survive any way of cutting the stream; nothing but END ends it well."""

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeorsync.errors import BadRequestError
from aeorsync.wire import framing
from aeorsync.wire.framing import Chunk, Codec, Decoder, Frame, Kind
from aeorsync.wire.limits import MAX_CHUNK

frames = st.lists(
    st.builds(
        Frame,
        st.sampled_from([Kind.HEADER, Kind.ENTRIES, Kind.CHUNK, Kind.MISSING]),
        st.binary(max_size=12),
    ),
    max_size=6,
).map(lambda some: [*some, Frame(Kind.END, b"\x80")])


def _stream(some: list[Frame]) -> bytes:
    return b"".join(framing.encode(*frame) for frame in some)


@given(frames, st.lists(st.integers(0, 100), max_size=8))
def test_frames_arrive_whole_however_the_stream_is_cut(some: list[Frame], cuts: list[int]) -> None:
    stream = _stream(some)
    bounds = [0, *sorted(cuts), len(stream)]
    decoder = Decoder()
    found = []
    for start, stop in itertools.pairwise(bounds):
        found += decoder.feed(stream[start:stop])
    decoder.finish()
    assert found == some


@given(frames, st.data())
def test_a_stream_cut_anywhere_is_not_complete(some: list[Frame], data: st.DataObject) -> None:
    stream = _stream(some)
    decoder = Decoder()
    decoder.feed(stream[: data.draw(st.integers(0, len(stream) - 1))])
    with pytest.raises(BadRequestError):
        decoder.finish()


@pytest.mark.parametrize("last", [Kind.END, Kind.ERROR])
@pytest.mark.parametrize("more", [b"\0", framing.encode(Kind.END, b"")])
def test_nothing_may_follow_the_last_frame(last: Kind, more: bytes) -> None:
    stream = framing.encode(last, b"\x80")
    with pytest.raises(BadRequestError):
        Decoder().feed(stream + more)
    decoder = Decoder()
    decoder.feed(stream)
    assert decoder.feed(b"") == []
    with pytest.raises(BadRequestError):
        decoder.feed(more)


def test_a_stream_that_ends_with_an_error_is_not_complete() -> None:
    decoder = Decoder()
    assert decoder.feed(framing.encode(Kind.ERROR, b"\x80")) == [Frame(Kind.ERROR, b"\x80")]
    with pytest.raises(BadRequestError):
        decoder.finish()


@pytest.mark.parametrize("number", [0, max(Kind) + 1, 255])
def test_an_unknown_kind_is_refused(number: int) -> None:
    with pytest.raises(BadRequestError):
        Decoder().feed(bytes([number, 0, 0, 0, 0]))


def test_a_frame_beyond_the_limit_is_refused_before_its_payload_arrives() -> None:
    assert Decoder(max_frame=8).feed(framing.encode(Kind.CHUNK, b"x" * 8))
    with pytest.raises(BadRequestError):
        Decoder(max_frame=8).feed(framing.encode(Kind.CHUNK, b"x" * 9)[:5])


@given(st.binary(max_size=40))
def test_any_bytes_are_frames_or_refused(data: bytes) -> None:
    decoder = Decoder()
    try:
        found = decoder.feed(data)
    except BadRequestError:
        return
    assert data.startswith(_stream(found))


def test_a_large_frame_in_small_pieces_is_not_copied_again_and_again() -> None:
    payload = bytes(8 << 20)
    stream = framing.encode(Kind.ENTRIES, payload)
    decoder = Decoder()
    found = []
    began = time.monotonic()
    for at in range(0, len(stream), 1024):
        found += decoder.feed(stream[at : at + 1024])
    assert time.monotonic() - began < 2
    assert found == [Frame(Kind.ENTRIES, payload)]


@given(
    st.binary(min_size=32, max_size=32),
    st.one_of(
        st.binary(max_size=20).map(lambda raw: (Codec.RAW, len(raw), raw)),
        st.tuples(st.just(Codec.ZSTD), st.integers(0, MAX_CHUNK), st.binary(max_size=20)),
    ),
)
def test_a_chunk_survives_its_frame(name: bytes, rest: tuple[Codec, int, bytes]) -> None:
    (frame,) = Decoder().feed(framing.encode_chunk(name, *rest))
    assert frame.kind is Kind.CHUNK
    assert framing.parse_chunk(frame.payload) == Chunk(name, *rest)


NAME = bytes(32)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        NAME,
        NAME + b"\0\0\0\0",
        NAME + b"\0\0\0\0\1",
        NAME + b"\0\0\0\0\0x",
        NAME + b"\2\0\0\0\1x",
        NAME + b"\1\0\4\0\1x",
        NAME + b"\1\xff\xff\xff\xffx",
        NAME + b"\1\0\0\0\1" + bytes(MAX_CHUNK + 1),
    ],
)
def test_a_chunk_that_cannot_be_is_refused(payload: bytes) -> None:
    with pytest.raises(BadRequestError):
        framing.parse_chunk(payload)


def test_the_largest_and_the_empty_chunk_are_allowed() -> None:
    large = bytes(MAX_CHUNK)
    assert framing.parse_chunk(NAME + b"\0\0\4\0\0" + large).stored == large
    assert framing.parse_chunk(NAME + b"\0\0\0\0\0").stored == b""


def test_missing_ids_are_32_bytes_each() -> None:
    ids = [bytes([number]) * 32 for number in range(3)]
    assert framing.parse_missing(b"".join(ids)) == ids
    with pytest.raises(BadRequestError):
        framing.parse_missing(b"".join(ids)[:-1])
