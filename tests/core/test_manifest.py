"""Long reference lists become a shallow tree, read back exactly, and change locally."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aeorsync.core.hashing import chunk_id
from aeorsync.core.manifest import INLINE, ReferenceList, check_piece, data_references, pieces
from aeorsync.core.versions import MAX_DEPTH, Content
from aeorsync.errors import CorruptError

Pairs = list[tuple[bytes, int]]
FROZEN = (
    2,
    98,
    "2de4ba3ef051b0d6879b313249f6a04bd57719068c7ef5b3cd4d9b2cb3e8cbba",
)


def build(pairs: Pairs) -> tuple[Content, dict[bytes, bytes]]:
    shelf: dict[bytes, bytes] = {}
    listing = ReferenceList(shelf.__setitem__)
    for name, size in pairs:
        listing.add(name, size)
    depth, refs = listing.finish()
    return Content(b"h" * 32, sum(size for _, size in pairs), depth, refs), shelf


def some(count: int, seed: int = 0) -> Pairs:
    source = random.Random(seed)
    return [(source.randbytes(32), source.randint(1, 1000)) for _ in range(count)]


@settings(max_examples=40)
@given(st.integers(0, 9000), st.integers(0, 5))
def test_the_list_reads_back_exactly(count: int, seed: int) -> None:
    pairs = some(count, seed)
    content, shelf = build(pairs)
    assert [(name, size) for _, name, size in data_references(content, shelf.__getitem__)] == pairs
    assert content.depth <= MAX_DEPTH
    assert len(content.refs) <= INLINE * 40
    assert set(pieces(content, shelf.__getitem__)) == set(shelf)


@pytest.mark.parametrize("count", [0, 1, INLINE])
def test_a_short_list_stores_no_piece(count: int) -> None:
    content, shelf = build(some(count))
    assert (content.depth, shelf) == (0, {})


@given(st.integers(0, 3000), st.integers(0, 600_000), st.integers(0, 600_000))
def test_a_range_names_the_chunks_that_hold_it(count: int, a: int, b: int) -> None:
    pairs = some(count)
    content, shelf = build(pairs)
    start, stop = min(a, b), min(max(a, b), content.size)
    expected = []
    offset = 0
    for name, size in pairs:
        if offset < stop and offset + size > start:
            expected.append((offset, name, size))
        offset += size
    assert list(data_references(content, shelf.__getitem__, start, stop)) == expected


def test_a_changed_chunk_changes_few_pieces() -> None:
    pairs = some(8000)
    _, before = build(pairs)
    pairs[0:1] = some(2, seed=99)
    _, after = build(pairs)
    assert len(after.keys() - before.keys()) <= 4


def test_crafted_ids_make_no_long_piece() -> None:
    content, shelf = build([(bytes(31) + b"\xff", 1)] * 5000)
    assert max(map(len, shelf.values())) <= 128 * 40
    assert sum(1 for _ in data_references(content, shelf.__getitem__)) == 5000


@pytest.mark.parametrize("body", [b"", b"x" * 39, b"x" * 40 * 129])
def test_a_torn_piece_is_refused(body: bytes) -> None:
    with pytest.raises(CorruptError):
        check_piece(body, 0)


def test_a_piece_of_another_size_is_refused() -> None:
    content, shelf = build(some(200))
    name = content.refs[:32]
    shelf[name] = shelf[name][:-40]
    with pytest.raises(CorruptError):
        list(data_references(content, shelf.__getitem__))


def test_the_format_is_frozen() -> None:
    content, shelf = build(some(3000))
    assert (content.depth, len(shelf)) == FROZEN[:2]
    assert chunk_id(content.refs).hex() == FROZEN[2]
