"""Entries off the wire are checked against every rule before anybody believes them."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeorsync.core.versions import (
    MAX_VERSIONS,
    Content,
    Entry,
    Kind,
    Version,
    decode_entry,
    encode_entry,
    pack_references,
    parse_entry,
    references,
)
from aeorsync.errors import BadRequestError
from tests.core.strategies import histories, version

GOOD = version(5, 7, vector=((3, 9), (5, 6)))


def altered(**changes: object) -> Version:
    return msgspec.structs.replace(GOOD, **changes)


BAD = {
    "unknown kind": altered(kind=4),
    "dot zero": altered(n=0),
    "incarnation over 64 bits": altered(incarnation=1 << 64),
    "node zero": altered(node=0),
    "stamp zero": altered(stamp=0),
    "stamp negative": altered(stamp=-1),
    "stamp over 63 bits": altered(stamp=1 << 63),
    "mtime absurd": altered(mtime=1 << 62),
    "created negative": altered(created=-1),
    "size negative": altered(content=Content(b"h" * 32, -1)),
    "size absurd": altered(content=Content(b"h" * 32, 1 << 62)),
    "size without chunks": altered(content=Content(b"h" * 32, 5)),
    "sizes that do not add up": altered(content=Content(b"h" * 32, 6, 0, b"c" * 39 + b"\5")),
    "torn references": altered(content=Content(b"h" * 32, 0, 0, b"c" * 39)),
    "too many references": altered(content=Content(b"h" * 32, 0, 0, bytes(40 * 65))),
    "too deep": altered(content=Content(b"h" * 32, 0, 5, b"")),
    "short content hash": altered(content=Content(b"h" * 31, 0)),
    "short base": altered(base=b"b"),
    "vector out of order": altered(vector=((5, 6), (3, 9))),
    "vector member twice": altered(vector=((3, 8), (3, 9))),
    "vector with zero": altered(vector=((3, 0),)),
    "vector covers itself": altered(vector=((5, 7),)),
    "vector too long": altered(vector=tuple((i + 10, 1) for i in range(5000))),
    "folder with content": altered(kind=int(Kind.DIRECTORY)),
    "symlink without target": msgspec.structs.replace(version(kind=Kind.SYMLINK), target=""),
    "long content type": altered(content_type="x" * 256),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_version_that_breaks_a_rule_is_refused(bad: Version) -> None:
    try:
        data = encode_entry(Entry((bad,)))
    except OverflowError:
        return  # cannot even be written down
    with pytest.raises(BadRequestError):
        parse_entry(data)


def test_the_good_one_passes() -> None:
    assert parse_entry(encode_entry(Entry((GOOD,)))) == Entry((GOOD,))


def test_an_entry_without_versions_is_refused() -> None:
    with pytest.raises(BadRequestError):
        parse_entry(encode_entry(Entry(())))


def test_an_entry_with_too_many_versions_is_refused() -> None:
    many = tuple(version(i + 1) for i in range(MAX_VERSIONS + 1))
    with pytest.raises(BadRequestError):
        parse_entry(encode_entry(Entry(many)))


def test_versions_out_of_order_are_refused() -> None:
    with pytest.raises(BadRequestError):
        parse_entry(encode_entry(Entry((version(2), version(1)))))


def test_a_version_beside_its_ancestor_is_refused() -> None:
    pair = (version(1, 1), version(2, 1, vector=((1, 1),)))
    with pytest.raises(BadRequestError):
        parse_entry(encode_entry(Entry(pair)))


@given(st.binary(max_size=400))
def test_garbage_is_refused_and_nothing_worse(data: bytes) -> None:
    try:
        parse_entry(data)
    except BadRequestError:
        return


@given(histories(), st.integers(0, 400), st.integers(0, 255))
def test_a_flipped_byte_is_refused_or_reads_as_a_whole_entry(
    states: list[Entry], at: int, byte: int
) -> None:
    data = bytearray(encode_entry(states[-1]))
    data[at % len(data)] = byte
    try:
        entry = parse_entry(bytes(data))
    except BadRequestError:
        return
    assert parse_entry(encode_entry(entry)) == entry


@given(histories())
def test_entries_survive_being_written_down(states: list[Entry]) -> None:
    for state in states:
        assert decode_entry(encode_entry(state)) == state


@given(st.lists(st.tuples(st.binary(min_size=32, max_size=32), st.integers(0, 1 << 60))))
def test_references_survive_being_packed(pairs: list[tuple[bytes, int]]) -> None:
    assert list(references(pack_references(pairs))) == pairs


def test_a_version_is_found_by_its_id() -> None:
    entry = Entry((GOOD,))
    assert GOOD.id == "5-7"
    assert entry.version("5-7") == GOOD
    assert entry.version("5-8") is None
