"""What an AeorDB node tells, and what it means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeorsync.core.cursors import Cursor, print_hex
from aeorsync.core.foreign import (
    CUT,
    Had,
    absolute_target,
    cut,
    is_private,
    link_mark,
    parse_token,
    print_token,
    recognise,
    union,
)
from aeorsync.core.paths import TreePath

VECTORS = st.dictionaries(st.integers(1, 5), st.integers(1, 9)).map(
    lambda d: tuple(sorted(d.items()))
)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/.aeordb-system/config/jwt_signing_key", True),
        ("/.aeordb-config/cors.json", True),
        ("/.aeordb-conflicts/a/.meta", True),
        ("/docs/.aeordb-indexes/x", True),
        ("/docs/.aeordb-logs/x", True),
        ("/docs/.aeordb-permissions", True),
        ("/docs/.aeordb-config/x", False),
        ("/.aeordb-systems", False),
        ("/a.aeordb-logs", False),
    ],
)
def test_what_is_an_aeordb_nodes_own_is_known(path: str, *, expected: bool) -> None:
    assert is_private(path) is expected


@given(
    link=st.integers(0, (1 << 64) - 1), turn=st.integers(0, (1 << 63) - 1), seq=st.integers(0, 99)
)
def test_a_token_comes_back_as_it_was_printed(link: int, turn: int, seq: int) -> None:
    cursor = Cursor(7, seq)
    token = parse_token(print_token(link, turn, cursor))
    assert token == (link, turn, print_hex(cursor))


@pytest.mark.parametrize(
    "text", ["", "ab" * 32, print_hex(Cursor(1, 2)), print_token(1, 1, Cursor(1, 2))[:-2]]
)
def test_nothing_else_is_a_token(text: str) -> None:
    assert parse_token(text) is None


@given(st.lists(st.binary(max_size=3 * CUT // 2).map(bytes), max_size=4))
def test_pieces_are_cut_where_aeordb_cuts(parts: list[bytes]) -> None:
    whole = b"".join(parts)
    pieces = list(cut(parts))
    assert pieces == [whole[at : at + CUT] for at in range(0, len(whole), CUT)]


@given(VECTORS, VECTORS)
def test_a_union_has_seen_what_either_had(
    a: tuple[tuple[int, int], ...], b: tuple[tuple[int, int], ...]
) -> None:
    both = union(a, b)
    assert both == union(b, a)
    assert union(both, a) == both
    assert dict(both) == {
        i: max(dict(a).get(i, 0), dict(b).get(i, 0)) for i in {*dict(a), *dict(b)}
    }


def test_a_relative_link_and_what_it_becomes_there_have_one_mark() -> None:
    path = TreePath("/d/link")
    assert absolute_target(path, "../a/./b") == "/a/b"
    assert absolute_target(path, "../../../out") == "/out"
    assert link_mark(path, "x") == link_mark(path, "/d/x") != link_mark(path, "/x")


@given(
    marks=st.lists(st.sampled_from([b"a", b"b", b"c"])),
    told=st.sampled_from([b"a", b"b", b"c", b"d"]),
    had=st.sampled_from([None, b"a", b"b"]),
)
def test_only_what_it_neither_had_nor_was_given_is_a_change(
    marks: list[bytes], told: bytes, had: bytes | None
) -> None:
    known = [Had(2, mark, ((n, 1),)) for n, mark in enumerate(marks, 1)]
    before = None if had is None else Had(2, had, ((99, 1),))
    context = recognise(told, before, known)
    assert (context is None) == (told != had and told not in marks)
    if context is not None and before is not None:
        assert (99, 1) in context
