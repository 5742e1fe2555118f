"""The parts of a chunk, and chunks that are made of parts."""

import struct
from contextlib import suppress
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeorsync.core.parts import check_parts, describe, follow_steps, write_steps
from aeorsync.errors import BadRequestError

OLD = Random(1).randbytes(120_000)
PARTS = describe(OLD)


@given(st.data())
def test_what_was_edited_in_any_way_is_made_again(data: st.DataObject) -> None:
    plain = OLD
    for _ in range(data.draw(st.integers(0, 6))):
        at = data.draw(st.integers(0, len(plain)))
        gone = data.draw(st.integers(0, 5000))
        plain = plain[:at] + data.draw(st.binary(max_size=50)) + plain[at + gone :]
    steps = write_steps(plain, [PARTS])
    assert follow_steps(steps, OLD, len(plain)) == plain
    assert len(steps) < 6 * 9000 + 100


@given(st.binary(max_size=10_000), st.lists(st.binary(max_size=3000), max_size=4))
def test_any_bytes_are_made_of_any_others(plain: bytes, old: list[bytes]) -> None:
    steps = write_steps(plain, [describe(one) for one in old])
    assert follow_steps(steps, b"".join(old), len(plain)) == plain


def test_a_small_edit_takes_about_one_part() -> None:
    plain = OLD[:60_000] + b"12345678" + OLD[60_008:]
    assert len(write_steps(plain, [PARTS])) < 5000
    assert len(write_steps(b"!" + OLD, [PARTS])) < 5000
    assert write_steps(OLD, [PARTS]) == struct.pack(">II", 0, len(OLD))


def test_parts_of_several_chunks_are_found_in_any_order() -> None:
    other = Random(2).randbytes(50_000)
    plain = other[-40_000:] + OLD[:40_000]
    steps = write_steps(plain, [describe(OLD), describe(other)])
    assert len(steps) < 6000
    assert follow_steps(steps, OLD + other, len(plain)) == plain


def test_parts_take_a_hundredth_of_a_chunk() -> None:
    assert 0 < len(PARTS) < len(OLD) // 50
    assert len(PARTS) % 10 == 0
    assert describe(b"") == b""


@pytest.mark.parametrize(
    "steps",
    [
        b"\0",
        struct.pack(">I", 0),
        struct.pack(">II", 0, 31),
        struct.pack(">II", 0, 33),
        struct.pack(">II", 1, 32),
        struct.pack(">II", 2**31 - 1, 2**32 - 1),
        struct.pack(">I", (1 << 31) | 32) + bytes(31),
        struct.pack(">I", (1 << 31) | 32) + bytes(33),
        struct.pack(">II", 0, 32) + struct.pack(">I", 1 << 31) + b"x",
        struct.pack(">II", 0, 32) * 1000,
    ],
)
def test_steps_that_lead_nowhere_are_refused(steps: bytes) -> None:
    with pytest.raises(BadRequestError):
        follow_steps(steps, bytes(32), 32)


def test_no_steps_make_more_than_they_claim() -> None:
    many = struct.pack(">II", 0, 120_000) * 10_000
    with pytest.raises(BadRequestError):
        follow_steps(many, OLD, 262_144)


@given(st.binary(max_size=200), st.integers(0, 300))
def test_any_bytes_are_an_error_or_the_size_they_claim(steps: bytes, size: int) -> None:
    with suppress(BadRequestError):
        assert len(follow_steps(steps, OLD, size)) == size


def test_parts_that_are_cut_off_are_refused() -> None:
    with pytest.raises(BadRequestError):
        check_parts(PARTS[:-1])
