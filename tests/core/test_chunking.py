"""Cuts depend on the content alone, and an insertion moves few of them."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeorsync.core.chunking import MAX_CHUNK, MIN_CHUNK, Chunker
from aeorsync.core.hashing import chunk_id

DATA = random.Random(5).randbytes(3 << 20)


def cut(data: bytes, steps: list[int] | None = None) -> list[bytes]:
    chunker = Chunker()
    chunks: list[bytes] = []
    at = 0
    for step in steps or []:
        chunks += map(bytes, chunker.feed(data[at : at + step]))
        at += step
    chunks += map(bytes, chunker.feed(data[at:]))
    rest = chunker.finish()
    return [*chunks, rest] if rest else chunks


@given(
    st.sampled_from([DATA, bytes(len(DATA)), DATA[:5000] * (len(DATA) // 5000)]),
    st.integers(0, len(DATA)),
    st.lists(st.integers(0, 400_000), max_size=12),
)
def test_cuts_do_not_depend_on_how_the_bytes_arrive(
    source: bytes, size: int, steps: list[int]
) -> None:
    data = source[:size]
    assert cut(data, steps) == cut(data)


@pytest.mark.parametrize("shift", range(2))
def test_bytes_that_arrive_up_to_a_cut_or_almost_change_nothing(shift: int) -> None:
    # The cutter looks at two bytes at a time, so of what arrived an odd last one is not seen yet.
    data = DATA[shift:]
    whole = cut(data)
    at = 0
    for chunk in whole[:-1]:
        at += len(chunk)
        for first in range(at - 3, at + 4):
            assert cut(data, [first]) == whole
            assert cut(data, [first, 1]) == whole
            assert cut(data, [first, 2, 1]) == whole


@given(st.integers(0, len(DATA)))
def test_chunks_are_the_file_and_within_bounds(size: int) -> None:
    chunks = cut(DATA[:size])
    assert b"".join(chunks) == DATA[:size]
    assert all(MIN_CHUNK <= len(chunk) <= MAX_CHUNK for chunk in chunks[:-1])
    assert all(0 < len(chunk) <= MAX_CHUNK for chunk in chunks)


def test_a_small_file_is_one_chunk_and_an_empty_one_none() -> None:
    assert cut(b"") == []
    assert len(cut(DATA[:MIN_CHUNK])) == 1


def test_zeros_are_cut_at_the_maximum() -> None:
    assert {len(chunk) for chunk in cut(bytes(4 * MAX_CHUNK))} == {MAX_CHUNK}


def test_a_byte_at_the_head_changes_one_or_two_chunks() -> None:
    before = {chunk_id(chunk) for chunk in cut(DATA)}
    after = [chunk_id(chunk) for chunk in cut(b"!" + DATA)]
    assert sum(1 for name in after if name not in before) <= 2


def test_the_format_is_frozen() -> None:
    """Sizes of the first cuts of known bytes; when this fails, the format changed."""
    assert [len(chunk) for chunk in cut(DATA)][:4] == [225325, 137142, 262144, 78469]


def test_chunks_that_are_not_what_was_fed_are_never_handed_on_to_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chunker = Chunker()
    list(chunker.feed(DATA[:100_001]))
    monkeypatch.setattr(chunker, "_rest", DATA[:100_000])
    with pytest.raises(RuntimeError, match="add up"):
        list(chunker.feed(DATA[100_001:]))
