"""A seal says what was sealed, to whoever has the secret, for the one path; nothing else does."""

import base64

import msgspec
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from aeorsync.core.seals import Vector, seal, unseal

SECRET = bytes(range(32))
PATH = "/a/é.txt"

u64 = st.integers(0, 2**64 - 1)
vectors = st.dictionaries(st.integers(0, 3) | u64, st.integers(1, 2**64 - 1), max_size=6).map(
    lambda pairs: tuple(sorted(pairs.items()))
)


def _forge(body: bytes) -> str:
    """Seal bytes that are no vector, with the right secret."""
    tag = blake3(PATH.encode() + b"\0" + body, key=SECRET).digest(8)
    return base64.urlsafe_b64encode(body + tag).rstrip(b"=").decode()


@given(vectors)
def test_what_was_sealed_is_read_again(vector: Vector) -> None:
    assert unseal(SECRET, PATH, seal(SECRET, PATH, vector)) == vector


def test_the_seal_is_that_of_the_format() -> None:
    # Every node of a cluster, also one of another version, reads the seals of the others.
    body = msgspec.msgpack.encode([[1, 2], [2**64 - 1, 7]])
    assert seal(SECRET, PATH, ((1, 2), (2**64 - 1, 7))) == _forge(body)


@given(vectors)
def test_a_seal_is_for_its_secret_and_path_only(vector: Vector) -> None:
    text = seal(SECRET, PATH, vector)
    assert unseal(bytes(32), PATH, text) is None
    assert unseal(SECRET, "/a", text) is None


@given(vectors, st.data())
def test_a_seal_with_any_character_changed_is_refused(vector: Vector, data: st.DataObject) -> None:
    text = seal(SECRET, PATH, vector)
    at = data.draw(st.integers(0, len(text) - 1))
    char = data.draw(st.sampled_from("Ab0-_=+é\n").filter(lambda char: char != text[at]))
    assert unseal(SECRET, PATH, text[:at] + char + text[at + 1 :]) is None


def test_a_seal_has_one_spelling() -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    cases: list[Vector] = [(), ((1, 1),), ((1, 1), (2, 300))]
    for vector in cases:
        text = seal(SECRET, PATH, vector)
        padding = "=" * (-len(text) % 4)
        raw = base64.urlsafe_b64decode(text + padding)
        same = [
            text[:-1] + char
            for char in alphabet
            if base64.urlsafe_b64decode(text[:-1] + char + padding) == raw
        ]
        assert [other for other in same if unseal(SECRET, PATH, other) is not None] == [text]


@given(vectors)
def test_a_seal_cut_or_lengthened_is_refused(vector: Vector) -> None:
    text = seal(SECRET, PATH, vector)
    for other in (text[:-1], text[1:], text + "A", text + "=", text + "==", text + "\n", ""):
        assert unseal(SECRET, PATH, other) is None


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        {},
        [[1]],
        [[1, 0]],
        [[-1, 1]],
        [[1, 1.5]],
        [[1, True]],
        [[1, 2, 3]],
        [[2, 1], [1, 1]],
        [[1, 1], [1, 2]],
        "text",
    ],
)
def test_a_sealed_value_that_is_no_vector_is_refused(value: object) -> None:
    assert unseal(SECRET, PATH, _forge(msgspec.msgpack.encode(value))) is None


def test_a_sealed_body_that_is_no_msgpack_is_refused() -> None:
    assert unseal(SECRET, PATH, _forge(b"")) is None
    assert unseal(SECRET, PATH, _forge(b"\xc1")) is None
    assert unseal(SECRET, PATH, _forge(b"\x91" * 2000)) is None


def test_a_seal_longer_than_the_limit_is_refused() -> None:
    vector = tuple((2**63 + at, 2**40) for at in range(300))
    assert unseal(SECRET, PATH, seal(SECRET, PATH, vector)) is None


@given(st.text(max_size=40), st.text(max_size=5))
def test_any_text_is_refused_quietly(text: str, path: str) -> None:
    assert unseal(SECRET, path, text) is None


def test_a_path_that_is_not_unicode_is_refused_quietly() -> None:
    assert unseal(SECRET, "/\ud800", seal(SECRET, PATH, ())) is None
