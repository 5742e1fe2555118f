"""What the feed says of a path, and what a reader is told of it."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeorsync.cluster.walk import Sieve, Span, gone, spans
from aeorsync.core.filters import Filter
from aeorsync.core.paths import parse, to_key
from aeorsync.core.versions import Kind
from aeorsync.storage.base import Change

FILE, FOLDER, LINK, NONE = Kind.FILE, Kind.DIRECTORY, Kind.SYMLINK, 0


def span_of(*kinds: int) -> Span:
    """The span of a path that was these kinds, one after the other."""
    rows = [Change(seq, b"a", was, now) for seq, (was, now) in enumerate(pairwise(kinds), 1)]
    return spans(rows)[0]


@pytest.mark.parametrize(
    ("kinds", "exact", "paged"),
    [
        ((NONE, FILE, NONE), set(), {FILE}),
        ((NONE, LINK, FILE), set(), {LINK}),
        ((FILE, FILE), set(), set()),
        ((FILE, NONE), {FILE}, {FILE}),
        ((FILE, LINK), {FILE}, {FILE}),
        ((FILE, LINK, NONE), {FILE}, {FILE, LINK}),
        ((FILE, NONE, FOLDER), {FILE}, {FILE}),
        ((NONE, NONE), set(), set()),
        ((FOLDER, LINK, FILE, LINK), {FOLDER}, {FOLDER, FILE}),
    ],
)
def test_a_reader_is_told_of_the_end_of_what_it_may_have(
    kinds: tuple[int, ...], exact: set[int], paged: set[int]
) -> None:
    span = span_of(*kinds)
    assert gone(span, kinds[-1], exact=True) == exact
    assert gone(span, kinds[-1], exact=False) == paged


histories = st.lists(
    st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.sampled_from([NONE, FILE, LINK])),
    max_size=20,
)


@given(histories)
def test_spans_cover_every_row_in_the_order_of_their_first(
    history: list[tuple[bytes, int]],
) -> None:
    here: dict[bytes, int] = {}
    rows = []
    for seq, (key, now) in enumerate(history, 1):
        rows.append(Change(seq, key, here.get(key, NONE), now, via=seq))
        here[key] = now
    found = spans(rows)
    assert {span.key for span in found} == set(here)
    assert [span.first for span in found] == sorted(span.first for span in found)
    for span in found:
        own = [row for row in rows if row.key == span.key]
        assert (span.first, span.was, span.via) == (own[0].seq, own[0].was, own[-1].via)
        assert span.kinds == {kind for row in own for kind in (row.was, row.now)} - {0}


@pytest.mark.parametrize(
    ("path", "sieve", "passes"),
    [
        ("/a", Sieve(), True),
        ("/a/b", Sieve(Filter.parse(["/a/**"])), True),
        ("/b", Sieve(Filter.parse(["/a/**"])), False),
        ("/.aeordb-system/x", Sieve(), False),
        ("/.aeordb-system/x", Sieve(Filter.parse(["/**"])), False),
        ("/.aeordb-system/x", Sieve(Filter.parse(["/a/**"]), shows_system=True), True),
        ("/.aeordb-systematic", Sieve(), True),
    ],
)
def test_a_sieve_lets_through_what_its_reader_asked_for(
    path: str, sieve: Sieve, *, passes: bool
) -> None:
    assert sieve.passes(to_key(parse(path, allow_system=True))) is passes
