"""The formulas of the wire, by their published vectors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeorsync.core import hashing
from aeorsync.errors import BadRequestError

HELLO = bytes.fromhex("0bb6a518d5fa70356d280484cf66b2a7b38135de49aeb0f52ab41e5581e46bb7")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (
            hashing.chunk_id(b""),
            "b67702f860b1cd6e291faf1b4b4858fac5d6999081926430affc70bff89caeb8",
        ),
        (hashing.chunk_id(b"hello world"), HELLO.hex()),
        (
            hashing.content_hash(b"hello world"),
            "d74981efa70a0c880b8d8c1985d075dbcbf679b99a5f9914e5aaf96b831a9e24",
        ),
        (
            hashing.file_identity("/hello.txt", "text/plain", HELLO),
            "35c2b0ac2a3eadcc9dd1c6ecbeba86cb1d013da2e4c2b0e1163d01768a3e3490",
        ),
        (
            hashing.file_identity("/empty.bin", "application/octet-stream", b""),
            "edeec030ad2aa4ffcb83b537e147aca64738dea149cb4d955772d90db338b94c",
        ),
        (
            hashing.symlink_identity("/l", "/hello.txt"),
            "8a3bf2b29235d67d716b2730869723da5b0c240eea9a54385bc4e87cc5666711",
        ),
    ],
)
def test_the_formulas_match_the_vectors(found: bytes, expected: str) -> None:
    assert found.hex() == expected


@given(st.binary(max_size=64), st.binary(max_size=64))
def test_a_file_hashed_in_parts_has_the_hash_of_the_whole(head: bytes, tail: bytes) -> None:
    hasher = hashing.hasher()
    hasher.update(head)
    hasher.update(tail)
    assert hasher.digest() == hashing.content_hash(head + tail)


@given(st.binary(max_size=64))
def test_kinds_never_share_a_name(data: bytes) -> None:
    assert len({hashing.chunk_id(data), hashing.node_id(data), hashing.content_hash(data)}) == 3
    assert hashing.chunk_id(memoryview(data)) == hashing.chunk_id(data)


@given(st.binary(min_size=32, max_size=32))
def test_a_hash_survives_its_text_in_either_case(name: bytes) -> None:
    assert hashing.parse_hash(name.hex()) == name
    assert hashing.parse_hash(name.hex().upper()) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0" * 63,
        "0" * 65,
        "g" * 64,
        " " + "0" * 63,
        "0" * 64 + "\n",
        "\u0660" * 64,
        "0x" + "0" * 62,
    ],
)
def test_anything_but_64_hex_digits_is_refused(text: str) -> None:
    with pytest.raises(BadRequestError):
        hashing.parse_hash(text)
