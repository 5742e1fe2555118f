"""JSON pointers name what RFC 6901 says."""

import pytest

from aeorsync.core.pointers import MAX_NAMES, resolve_pointer
from aeorsync.errors import BadRequestError, NotFoundError

DOCUMENT = b"""{ "foo": ["bar", "baz"], "": 0, "a/b": 1.50, "c%d": 2, "k\\"l": 6, " ": 7, "m~n": 8,
"deep": {"list": [ [1], {"x": null} ]} }"""


@pytest.mark.parametrize(
    ("pointer", "value"),
    {
        "": DOCUMENT,
        "/foo": b'["bar", "baz"]',
        "/foo/0": b'"bar"',
        "/": b"0",
        "/a~1b": b"1.50",
        "/c%d": b"2",
        '/k"l': b"6",
        "/ ": b"7",
        "/m~0n": b"8",
        "/deep/list/1/x": b"null",
    }.items(),
)
def test_a_pointer_names_a_value_as_it_was_written(pointer: str, value: bytes) -> None:
    assert resolve_pointer(DOCUMENT, pointer) == value


@pytest.mark.parametrize("pointer", ["/no", "/foo/2", "/foo/-", "/foo/01", "/foo/0/0", "/foo/+1"])
def test_what_is_not_there_is_missing(pointer: str) -> None:
    with pytest.raises(NotFoundError):
        resolve_pointer(DOCUMENT, pointer)


@pytest.mark.parametrize("pointer", ["foo", "/a~2b", "/~"])
def test_what_is_no_pointer_is_refused(pointer: str) -> None:
    with pytest.raises(BadRequestError):
        resolve_pointer(DOCUMENT, pointer)


def test_a_pointer_has_only_so_many_names() -> None:
    document = b'{"a":' * 500 + b"1" + b"}" * 500
    assert resolve_pointer(document, "/a" * MAX_NAMES).startswith(b'{"a":')
    with pytest.raises(BadRequestError):
        resolve_pointer(document, "/a" * (MAX_NAMES + 1))
