"""Long reference lists become a shallow tree, read back exactly, and change locally."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aeorsync.core.hashing import chunk_id
from aeorsync.core.manifest import (
    DENSITY,
    INLINE,
    SLACK,
    ReferenceList,
    check_piece,
    data_references,
    pieces,
)
from aeorsync.core.versions import MAX_DEPTH, Content, pack_references
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


def some(count: int, seed: int = 0, least: int = DENSITY) -> Pairs:
    source = random.Random(seed)
    return [(source.randbytes(32), source.randint(least, least + 999)) for _ in range(count)]


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


@given(st.integers(0, 3000), st.integers(0, 5_000_000), st.integers(0, 5_000_000))
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
    content, shelf = build([(bytes(31) + b"\xff", DENSITY)] * 5000)
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
    content, shelf = build(some(3000, least=1))
    assert (content.depth, len(shelf)) == FROZEN[:2]
    assert chunk_id(content.refs).hex() == FROZEN[2]


@pytest.mark.parametrize("sizes", [(0,), (0, 5), (5, 0)])
def test_a_reference_that_covers_nothing_is_refused(sizes: tuple[int, ...]) -> None:
    refs = pack_references((bytes(32), size) for size in sizes)
    with pytest.raises(CorruptError, match="zero bytes"):
        check_piece(refs, sum(sizes))
    content = Content(b"h" * 32, sum(sizes) + 1, 0, refs)
    with pytest.raises(CorruptError, match="zero bytes"):
        list(data_references(content, lambda _: b""))


def bomb(depth: int) -> tuple[Content, dict[bytes, bytes]]:
    """A few pieces, each of which names the next 128 times."""
    shelf: dict[bytes, bytes] = {}
    name, size = chunk_id(b"x"), 1
    for _ in range(depth):
        body = pack_references([(name, size)] * 128)
        name, size = chunk_id(body), size * 128
        shelf[name] = body
    return Content(b"h" * 32, size * 32, depth, pack_references([(name, size)] * 32)), shelf


def test_a_file_cut_finer_than_any_is_read_no_further_than_the_rule_allows() -> None:
    content, shelf = bomb(4)
    found: list[tuple[int, bytes, int]] = []
    with pytest.raises(CorruptError, match="more chunks"):
        found.extend(data_references(content, shelf.__getitem__))
    assert content.size == 32 * 128**4
    assert sum(1 for _ in data_references(content, shelf.__getitem__, 10, 10 + SLACK)) == SLACK
    with pytest.raises(CorruptError, match="more chunks"):
        list(data_references(content, shelf.__getitem__, 10, 11 + SLACK))


def test_a_file_as_finely_cut_as_the_rule_allows_is_read() -> None:
    pairs = some(SLACK, least=1) + [(bytes(32), DENSITY)] * 1000
    content, shelf = build(pairs)
    assert sum(1 for _ in data_references(content, shelf.__getitem__)) == len(pairs)


def test_pieces_that_name_each_other_over_and_over_are_listed_once() -> None:
    content, shelf = bomb(4)
    assert sorted(pieces(content, shelf.__getitem__)) == sorted(shelf)
