"""Header fields, both ways, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeorsync.core import paths
from aeorsync.core.paths import TreePath
from aeorsync.errors import BadRangeError, BadRequestError, NotFoundError
from aeorsync.wire import headers
from aeorsync.wire.headers import ETag, ETags

opaques = st.text("abcXYZ019-_,*/ W".replace(" ", ""), max_size=12)
tags = st.builds(ETag, opaques, st.booleans())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*", ETags(is_any=True)),
        (" * ", ETags(is_any=True)),
        ('"a"', ETags(is_any=False, tags=(ETag("a"),))),
        ('W/"a"', ETags(is_any=False, tags=(ETag("a", is_weak=True),))),
        ('"a","b"', ETags(is_any=False, tags=(ETag("a"), ETag("b")))),
        ('"a" ,\t W/"b,c"', ETags(is_any=False, tags=(ETag("a"), ETag("b,c", is_weak=True)))),
        ('"a", , "b"', ETags(is_any=False, tags=(ETag("a"), ETag("b")))),
        ('""', ETags(is_any=False, tags=(ETag(""),))),
        ('"*"', ETags(is_any=False, tags=(ETag("*"),))),
    ],
)
def test_a_list_of_tags_is_read(text: str, expected: ETags) -> None:
    assert headers.parse_etags(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        '"a',
        'a"',
        '"a" "b"',
        '"a""b"',
        '"a",',
        ',"a"',
        'w/"a"',
        'W/ "a"',
        '*, "a"',
        '"a", *',
        '"a b"',
        '"\x7f"',
        '"é"',
        '"a"\n',
        ",".join(['"a"'] * 65),
        '"' + "a" * 16_384 + '"',
        '"a"' + "," * 16_000,
    ],
)
def test_what_is_no_list_of_tags_is_refused(text: str) -> None:
    with pytest.raises(BadRequestError):
        headers.parse_etags(text)


@given(st.lists(tags, min_size=1, max_size=64))
def test_tags_survive_their_text(some: list[ETag]) -> None:
    text = ", ".join(
        ("W/" if tag.is_weak else "") + headers.print_etag(tag.opaque) for tag in some
    )
    parsed = headers.parse_etags(text)
    assert parsed == ETags(is_any=False, tags=tuple(some))
    assert parsed.weak() == [tag.opaque for tag in some]
    assert parsed.strong() == [tag.opaque for tag in some if not tag.is_weak]


@pytest.mark.parametrize(
    ("text", "size", "expected"),
    [
        ("bytes=0-0", 10, (0, 1)),
        ("bytes=2-5", 10, (2, 6)),
        ("bytes=2-", 10, (2, 10)),
        ("bytes=-3", 10, (7, 10)),
        ("bytes=-30", 10, (0, 10)),
        ("bytes=9-99", 10, (9, 10)),
        ("bytes=0-9999999999999999999", 10, (0, 10)),
        ("Bytes=0-1", 10, (0, 2)),
        ("bytes= 0-1 ", 10, (0, 2)),
        ("items=0-1", 10, None),
        ("bytes 0-1", 10, None),
        ("", 10, None),
        ("0-1", 0, None),
    ],
)
def test_a_range_is_read_or_ignored(
    text: str, size: int, expected: tuple[int, int] | None
) -> None:
    assert headers.parse_range(text, size) == expected


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("bytes=", 10),
        ("bytes=-", 10),
        ("bytes=-0", 10),
        ("bytes=5-4", 10),
        ("bytes=10-", 10),
        ("bytes=10-20", 10),
        ("bytes=0-", 0),
        ("bytes=-1", 0),
        ("bytes=0-1,3-4", 10),
        ("bytes=0-1,", 10),
        ("bytes=a-b", 10),
        ("bytes=0-1x", 10),
        ("bytes=+1-2", 10),
        ("bytes=--1", 10),
        ("bytes=0-1\n", 10),
        ("bytes=\u0661-\u0662", 10),
        ("bytes=0-" + "9" * 20, 10),
    ],
)
def test_a_range_that_cannot_be_served_tells_the_size(text: str, size: int) -> None:
    with pytest.raises(BadRangeError) as caught:
        headers.parse_range(text, size)
    assert caught.value.size == size


@given(st.text("bytes=-0123, ", max_size=14).map("bytes={}".format), st.integers(0, 40))
def test_a_served_range_lies_within_the_file(text: str, size: int) -> None:
    try:
        found = headers.parse_range(text, size)
    except BadRangeError:
        return
    assert found is not None
    assert 0 <= found[0] < found[1] <= size


def test_content_range_counts_the_last_byte() -> None:
    assert headers.print_range(2, 6, 10) == "bytes 2-5/10"
    assert headers.print_no_range(10) == "bytes */10"


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("0", 0),
        ("1700000000000", 1_700_000_000_000_000_000),
        ("1700000000000.000001", 1_700_000_000_000_000_001),
        ("1.5", 1_500_000),
        ("-0.000001", -1),
        ("-1.5", -1_500_000),
        ("4611686018427.387904", 2**62),
        ("-4611686018427.387904", -(2**62)),
    ],
)
def test_a_time_is_milliseconds_with_a_fraction(text: str, ns: int) -> None:
    assert headers.parse_mtime(text) == ns
    assert headers.print_mtime(ns) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "-", ".", "1.", ".5", "1.0000001", "+1", "1e3", " 1", "1\n", "--1", "NaN", "inf"),
        *("0x1", "1_0", "\u0661", "4611686018427.387905", "-4611686018427.387905", "9" * 17),
    ],
)
def test_a_time_of_another_form_or_range_is_refused(text: str) -> None:
    with pytest.raises(BadRequestError):
        headers.parse_mtime(text)


@given(st.integers(-(2**62), 2**62))
def test_a_time_survives_its_text(ns: int) -> None:
    assert headers.parse_mtime(headers.print_mtime(ns)) == ns


@pytest.mark.parametrize(
    ("text", "is_executable"),
    [
        ("755", True),
        ("0755", True),
        ("700", True),
        ("644", False),
        ("0644", False),
        ("611", False),
    ],
)
def test_a_mode_tells_whether_the_owner_may_execute(text: str, *, is_executable: bool) -> None:
    assert headers.parse_mode(text) is is_executable
    assert headers.parse_mode(headers.print_mode(is_executable=is_executable)) is is_executable


@pytest.mark.parametrize(
    "text", ["", "7", "75", "4755", "07755", "00755", "788", "0o755", "rwx", "755\n", "-755"]
)
def test_any_other_mode_is_refused(text: str) -> None:
    with pytest.raises(BadRequestError):
        headers.parse_mode(text)


@pytest.mark.parametrize(
    ("path", "text"),
    [("/a/b.txt", "/a/b.txt"), ("/a b%", "/a%20b%25"), ("/é", "/%C3%A9"), ("/a;'\"", "/a;'\"")],
)
def test_a_path_in_a_header_is_percent_encoded(path: str, text: str) -> None:
    assert headers.print_path(path) == text


@given(st.text(max_size=20))
def test_a_path_survives_its_header(text: str) -> None:
    try:
        path = paths.parse(text)
    except (BadRequestError, NotFoundError):
        return
    printed = headers.print_path(path)
    assert all("\x21" <= char <= "\x7e" for char in printed)
    assert headers.parse_path(printed) == TreePath(path)


@pytest.mark.parametrize("text", ["/é", "/%", "/%ff", "/a/../b", "/\ud800"])
def test_a_header_that_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(BadRequestError):
        headers.parse_path(text)
