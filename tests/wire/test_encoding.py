"""How frames are compressed, and what a compressed answer may do to its reader."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeorsync.errors import BadRequestError
from aeorsync.wire.encoding import PIECE, Encoding, Inflater, Squeezer, accept, accepted


@pytest.mark.parametrize("encoding", Encoding)
def test_what_is_asked_for_is_understood(encoding: Encoding) -> None:
    assert accepted(accept(encoding)) is encoding


@pytest.mark.parametrize(
    ("header", "encoding"),
    [
        (None, Encoding.ZSTD),
        ("", Encoding.ZSTD),
        ("*", Encoding.ZSTD),
        ("gzip, deflate, zstd", Encoding.ZSTD),
        ("GZIP, deflate", Encoding.GZIP),
        ("gzip;q=0.5, identity", Encoding.GZIP),
        ("gzip;q=0, identity", Encoding.NONE),
        ("zstd; q=0.0, gzip", Encoding.GZIP),
        ("identity", Encoding.NONE),
        ("br", Encoding.NONE),
    ],
)
def test_others_ask_in_their_own_words(header: str | None, encoding: Encoding) -> None:
    assert accepted(header) is encoding


@given(st.lists(st.binary(max_size=2000)), st.integers(1, 100))
def test_what_was_squeezed_comes_out_whole_however_it_is_cut(parts: list[bytes], cut: int) -> None:
    squeezer, inflater = Squeezer(), Inflater()
    data = b"".join([*map(squeezer.feed, parts), squeezer.finish()])
    assert gzip.decompress(data) == b"".join(parts)
    pieces = (data[at : at + cut] for at in range(0, len(data), cut))
    assert b"".join(out for piece in pieces for out in inflater.feed(piece)) == b"".join(parts)
    inflater.finish()


def test_a_bomb_is_unpacked_only_as_far_as_somebody_wants_it() -> None:
    bomb = zlib.compress(bytes(100_000_000), wbits=31)
    assert len(bomb) < 200_000
    inflater = Inflater()
    pieces = inflater.feed(bomb)
    assert [len(next(pieces)) for _ in range(3)] == [PIECE] * 3


@pytest.mark.parametrize(
    "data",
    [b"plain text", gzip.compress(b"one") + gzip.compress(b"two"), gzip.compress(b"one") + b"x"],
    ids=["not gzip", "two", "one and more"],
)
def test_what_is_not_one_whole_gzip_is_refused(data: bytes) -> None:
    inflater = Inflater()
    with pytest.raises(BadRequestError):
        list(inflater.feed(data))


def test_one_that_was_cut_off_is_refused() -> None:
    inflater = Inflater()
    assert list(inflater.feed(gzip.compress(b"whole")[:-1])) == [b"whole"]
    with pytest.raises(BadRequestError, match="cut off"):
        inflater.finish()
