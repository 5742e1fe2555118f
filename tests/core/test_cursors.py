"""Cursors: what is printed is read back, and nothing else is read at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeorsync.core.cursors import (
    Cursor,
    Phase,
    parse_cursor,
    parse_hex,
    print_cursor,
    print_hex,
)

numbers = st.integers(0, (1 << 63) - 1)
cursors = st.builds(Cursor, numbers, numbers, st.sampled_from(Phase), st.binary(max_size=4096))


@given(cursors)
def test_a_cursor_is_read_back_as_it_was_printed(cursor: Cursor) -> None:
    assert parse_cursor(print_cursor(cursor)) == cursor
    assert parse_hex(print_hex(cursor)) == cursor


@given(cursors)
def test_a_hex_token_never_has_the_form_of_a_root(cursor: Cursor) -> None:
    text = print_hex(cursor)
    assert len(text) > 64
    assert set(text) <= set("0123456789abcdef")


@given(st.binary(min_size=32, max_size=32))
def test_a_root_is_never_read_as_a_token(root: bytes) -> None:
    assert parse_hex(root.hex()) is None


@given(st.text(max_size=200))
def test_garbage_is_no_cursor(text: str) -> None:
    for parse, show in ((parse_cursor, print_cursor), (parse_hex, print_hex)):
        cursor = parse(text)
        assert cursor is None or show(cursor) == text


@given(cursors, st.data())
def test_a_changed_cursor_is_another_one_or_none(cursor: Cursor, data: st.DataObject) -> None:
    text = print_cursor(cursor)
    at = data.draw(st.integers(0, len(text) - 1))
    other = text[:at] + data.draw(st.sampled_from("AZaz09-_")) + text[at + 1 :]
    found = parse_cursor(other)
    assert found is None or (found == cursor) == (other == text)


@pytest.mark.parametrize(
    "text",
    ["", "=", "AAAA", "k", "a" * 100_000, print_cursor(Cursor(1, 2)) + "=", "\ud800", "é"],
)
def test_what_no_node_prints_is_no_cursor(text: str) -> None:
    assert parse_cursor(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "ab" * 100_000,
        "00" * 40,
        print_hex(Cursor(1, 2)).upper(),
        print_hex(Cursor(1, 2))[:-2] + "03",
        "é" * 66,
    ],
)
def test_what_no_node_prints_is_no_token(text: str) -> None:
    assert parse_hex(text) is None
