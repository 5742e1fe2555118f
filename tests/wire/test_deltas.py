"""How deltas are asked for, and sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeorsync.core.replaced import MAX_BASES
from aeorsync.errors import BadRequestError
from aeorsync.wire import framing
from aeorsync.wire.deltas import Delta, encode_delta, encode_wants, parse_delta, parse_wants
from aeorsync.wire.limits import MAX_CHUNK

NAME, BASE = b"n" * 32, b"b" * 32
names = st.binary(min_size=32, max_size=32)


@given(st.dictionaries(names, st.lists(names, max_size=MAX_BASES).map(tuple)))
def test_wants_are_read_as_they_were_written(wants: dict[bytes, tuple[bytes, ...]]) -> None:
    assert parse_wants(encode_wants(list(wants), wants)) == wants


def test_no_more_bases_are_named_than_may_be() -> None:
    many = {NAME: [bytes((at,)) * 32 for at in range(MAX_BASES + 3)]}
    assert parse_wants(encode_wants([NAME], many))[NAME] == tuple(many[NAME][:MAX_BASES])


@pytest.mark.parametrize(
    "body",
    [
        b"\0",
        b"\0" + NAME[:31],
        b"\1" + NAME,
        b"\0" + NAME + b"\1" + NAME,
        bytes((MAX_BASES + 1,)) + NAME * (MAX_BASES + 2),
        b"\xff" + NAME,
    ],
)
def test_wants_that_cannot_be_are_refused(body: bytes) -> None:
    with pytest.raises(BadRequestError):
        parse_wants(body)


def test_a_delta_is_read_as_it_was_written() -> None:
    delta = Delta(NAME, 7, (BASE, NAME), b"how")
    (frame,) = framing.Decoder().feed(encode_delta(delta))
    assert frame.kind is framing.Kind.DELTA
    assert parse_delta(frame.payload) == delta


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        NAME + b"\0\0\0\1",
        NAME + b"\0\0\0\1\0how",
        NAME + b"\0\0\0\1\1" + BASE[:31],
        NAME + b"\0\4\0\1\1" + BASE,
        NAME + b"\0\0\0\1" + bytes((MAX_BASES + 1,)) + BASE * (MAX_BASES + 1),
        NAME + b"\0\0\0\1\1" + BASE + bytes(MAX_CHUNK + 1),
    ],
)
def test_a_delta_that_cannot_be_is_refused(payload: bytes) -> None:
    with pytest.raises(BadRequestError):
        parse_delta(payload)
