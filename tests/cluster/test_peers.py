import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeorsync.cluster.peers import (
    CursorRecord,
    LinkBook,
    LinkRecord,
    is_id,
    parse_address,
    parse_filters,
    parse_label,
)
from aeorsync.errors import BadRequestError
from aeorsync.storage.repository import Repository


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("http://nodeB:6830", "http://nodeb:6830"),
        ("http://nodeB:6830/", "http://nodeb:6830"),
        ("HTTPS://Node.example//", "https://node.example"),
        ("http://127.0.0.1:1", "http://127.0.0.1:1"),
        ("http://[::1]:6830/", "http://[::1]:6830"),
        ("http://host:0443", "http://host:443"),
    ],
)
def test_an_address_has_one_spelling(given: str, address: str) -> None:
    assert parse_address(given) == address
    assert parse_address(address) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nodeB:6830",
        "ftp://nodeB",
        "http://",
        "http://:6830",
        "file:///etc/passwd",
        "http://host/path",
        "http://host?q=1",
        "http://host/#f",
        "http://user:secret@host",
        "http://host:99999",
        "http://host:x",
        "http://[::1",
        "http://ho st",
        "http://host\n",
        "http://host\x00",
        "http://" + "h" * 2048,
    ],
)
def test_what_is_no_base_url_is_refused(text: str) -> None:
    with pytest.raises(BadRequestError):
        parse_address(text)


@given(st.text(max_size=100))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    for candidate in (text, f"http://{text}"):
        try:
            address = parse_address(candidate)
        except BadRequestError:
            continue
        assert parse_address(address) == address


def test_labels_and_filters_are_bounded() -> None:
    assert parse_label(None) is None
    assert parse_label("") is None
    assert parse_label("US West") == "US West"
    assert parse_filters(None) is None
    assert parse_filters([]) is None
    assert parse_filters(["/public/**"]) == ("/public/**",)
    for label in ("x" * 256, "a\nb", "\x1b[2J"):
        with pytest.raises(BadRequestError):
            parse_label(label)
    for globs in (["/a"] * 101, ["[" * 5]):
        with pytest.raises(BadRequestError):
            parse_filters(globs)


def test_links_and_cursors_are_remembered_until_they_are_removed(ours: Repository) -> None:
    book = LinkBook(ours)
    first = LinkRecord(id=9, address="http://a", added_at=1)
    second = LinkRecord(id=2, address="http://b", node_id=5, sync_paths=("/x/**",), added_at=2)
    book.save(second)
    book.save(first)
    assert book.links() == [first, second]
    cursor = CursorRecord(node_id=5, database=6, sync_paths=("/x/**",), cursor="c", synced_at=7)
    book.save_cursor(second, cursor)
    assert book.cursor(second) == cursor
    assert book.cursor(first) is None
    book.remove(second)
    assert book.links() == [first]
    assert book.cursor(second) is None


@pytest.mark.parametrize(
    ("number", "is_one"),
    [(1, True), ((1 << 63) - 1, True), (0, False), (-1, False), (1 << 63, False)],
)
def test_an_id_fits_63_bits_and_is_not_zero(number: int, *, is_one: bool) -> None:
    assert is_id(number) is is_one


def test_a_cursor_is_forgotten_and_the_link_is_not(ours: Repository) -> None:
    book = LinkBook(ours)
    link = LinkRecord(id=9, address="http://a", node_id=5)
    book.save(link)
    book.save_cursor(
        link, CursorRecord(node_id=5, database=6, sync_paths=None, cursor="c", synced_at=7)
    )
    book.drop_cursor(link)
    assert book.cursor(link) is None
    assert book.links() == [link]
