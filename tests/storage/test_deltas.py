"""Deltas against chunks that are here, and chunks that are made of them."""

from collections.abc import Iterator
from contextlib import suppress
from random import Random

import pytest
import zstandard
from hypothesis import assume, given
from hypothesis import strategies as st

from aeorsync.core.hashing import chunk_id
from aeorsync.errors import CorruptError
from aeorsync.runtime.likeness import liken, unlike
from aeorsync.storage.base import StoredChunk
from aeorsync.storage.compression import pack, unpack
from aeorsync.storage.deltas import Maker, made
from aeorsync.storage.repository import Repository
from aeorsync.wire.deltas import Delta
from aeorsync.wire.limits import MAX_CHUNK
from tests.support.repositories import memory_repository

OLD = Random(1).randbytes(100_000)
NEW = OLD[:40_000] + b"edited" + OLD[40_006:]


@pytest.fixture
def repository() -> Iterator[Repository]:
    found = memory_repository()
    hold(found, OLD)
    yield found
    found.close()


def hold(repository: Repository, plain: bytes) -> bytes:
    name = chunk_id(plain)
    repository.receive([pack(name, plain)])
    return name


def delta_of(repository: Repository, plain: bytes, *bases: bytes) -> Delta | None:
    return Maker(repository).make(pack(chunk_id(plain), plain), [chunk_id(b) for b in bases])


@given(st.data())
def test_what_was_edited_in_any_way_is_made_again(data: st.DataObject) -> None:
    plain = OLD
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(plain)))
        gone = data.draw(st.integers(0, 500))
        plain = plain[:at] + data.draw(st.binary(max_size=50)) + plain[at + gone :]
    assume(plain != OLD)
    repository = memory_repository()
    hold(repository, OLD)
    delta = delta_of(repository, plain, OLD)
    assert delta is not None
    assert len(delta.stored) < 1000
    (chunk,) = made(repository, [delta])
    assert unpack(chunk) == plain
    repository.close()


def test_a_delta_may_be_made_of_several_chunks(repository: Repository) -> None:
    other = Random(2).randbytes(50_000)
    hold(repository, other)
    plain = other[-20_000:] + OLD[:30_000]
    delta = delta_of(repository, plain, other, OLD)
    assert delta is not None
    assert delta.bases == (chunk_id(other), chunk_id(OLD))
    assert len(delta.stored) < 200
    assert unpack(made(repository, [delta])[0]) == plain


def test_what_is_made_is_stored_as_small_as_ever(repository: Repository) -> None:
    text = b"".join(b"line %d\n" % at for at in range(9000))
    hold(repository, text)
    delta = delta_of(repository, b"!" + text, text)
    assert delta is not None
    (chunk,) = made(repository, [delta])
    assert len(chunk.data) < len(text) // 2


def test_no_delta_is_made_where_that_does_not_pay(repository: Repository) -> None:
    assert delta_of(repository, Random(3).randbytes(100_000), OLD) is None
    assert delta_of(repository, b"!" + OLD[:500], OLD) is None
    assert delta_of(repository, NEW) is None
    assert delta_of(repository, NEW, b"not here") is None
    assert delta_of(repository, OLD, OLD) is None


def test_a_damaged_base_or_chunk_makes_no_delta(repository: Repository) -> None:
    maker, name = Maker(repository), chunk_id(NEW)
    assert maker.make(StoredChunk(name, 0, len(OLD), OLD), [chunk_id(OLD)]) is None
    torn = StoredChunk(chunk_id(b"x" * 5000), 0, 5000, b"y" * 5000)
    repository.store.put_chunks([torn])
    assert maker.make(pack(name, NEW), [torn.id]) is None


def test_what_does_not_pay_is_soon_tried_seldom(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def counted(plain: bytes, base: bytes) -> bytes:
        tried.append(plain)
        return liken(plain, base)

    monkeypatch.setattr("aeorsync.storage.deltas.liken", counted)
    maker = Maker(repository)
    for seed in range(64):
        plain = Random(seed + 10).randbytes(2000)
        assert maker.make(pack(chunk_id(plain), plain), [chunk_id(OLD)]) is None
    assert len(tried) == 8 + 7
    found = [maker.make(pack(chunk_id(NEW), NEW), [chunk_id(OLD)]) for _ in range(9)]
    assert all(found[1:]) or all(found[8:])


def test_a_delta_that_leads_nowhere_makes_a_chunk_that_is_refused(repository: Repository) -> None:
    good = delta_of(repository, NEW, OLD)
    assert good is not None
    other = hold(repository, Random(4).randbytes(100_000))
    hostile = [
        good._replace(bases=(other,)),
        good._replace(bases=(b"?" * 32,)),
        good._replace(bases=(*good.bases, other)),
        good._replace(id=other[::-1]),
        good._replace(size=good.size - 1),
        good._replace(stored=b""),
        good._replace(stored=b"no zstd at all"),
        *(good._replace(stored=good.stored[:at]) for at in range(0, len(good.stored), 7)),
    ]
    for chunk in made(repository, hostile):
        with pytest.raises(CorruptError):
            repository.receive([chunk])
    assert not repository.stored_chunks([chunk_id(NEW)])
    assert repository.receive(made(repository, [good])) == [NEW]


@pytest.mark.parametrize("states", [True, False])
def test_a_bomb_takes_no_more_memory_than_a_chunk(*, states: bool) -> None:
    bomb = zstandard.ZstdCompressor(write_content_size=states).compress(bytes(MAX_CHUNK * 100))
    for size in (100, MAX_CHUNK, MAX_CHUNK * 100):
        with pytest.raises(CorruptError):
            unlike(bomb, OLD, size)


@given(st.binary(max_size=300), st.binary(min_size=1, max_size=300), st.integers(0, 300))
def test_any_bytes_are_an_error_or_the_size_they_state(raw: bytes, base: bytes, size: int) -> None:
    with suppress(CorruptError):
        assert len(unlike(raw, base, size)) == size
