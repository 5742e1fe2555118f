"""Files that were edited: what is like the old one does not travel."""

from collections.abc import AsyncGenerator, Callable, Sequence
from random import Random

import pytest

from aeorsync.client.syncing import SyncCalls
from aeorsync.core.hashing import chunk_id
from aeorsync.wire.deltas import Bases, Delta
from aeorsync.wire.framing import Chunk
from tests.support.cycles import noise
from tests.support.people import Synced, tree

Make = Callable[..., Synced]
Two = tuple[Synced, Synced]
SIZES = (300_000, 12_000_000)


@pytest.fixture
def two(person: Make) -> Two:
    return person("a"), person("b")


def agreed(two: Two, size: int) -> bytes:
    """Both have a file ``f``."""
    a, b = two
    data = noise(size)
    (a.path / "f").write_bytes(data)
    a.sync()
    b.sync()
    return data


def edited(data: bytes, count: int) -> bytes:
    source, changed = Random(3), bytearray(data)
    for _ in range(count):
        at = source.randrange(len(data) - 8)
        changed[at : at + 8] = source.randbytes(8)
    return bytes(changed)


@pytest.mark.parametrize("size", SIZES)
def test_scattered_edits_move_little_both_ways(two: Two, size: int) -> None:
    a, b = two
    data = agreed(two, size)
    (a.path / "f").write_bytes(edited(data, 10))
    assert a.sync().bytes_sent < 60_000
    assert b.sync().bytes_received < 3000
    assert tree(a.path) == tree(b.path)
    assert a.sync().changes == b.sync().changes == 0


@pytest.mark.parametrize("size", SIZES)
def test_what_grows_or_shrinks_moves_little_both_ways(two: Two, size: int) -> None:
    a, b = two
    data = agreed(two, size)
    half = size // 2
    for changed in (b"!" + data, data[:half] + data[half + 99 :]):
        (a.path / "f").write_bytes(changed)
        assert a.sync().bytes_sent < 60_000
        assert b.sync().bytes_received < 3000
        assert tree(a.path) == tree(b.path)


def test_swapped_halves_move_no_more_than_their_seams(two: Two) -> None:
    a, b = two
    data = agreed(two, 12_000_000)
    (a.path / "f").write_bytes(data[6_000_000:] + data[:6_000_000])
    assert a.sync().bytes_sent < 60_000
    assert b.sync().bytes_received < 10_000
    assert tree(a.path) == tree(b.path)


def test_what_is_all_new_travels_whole(two: Two) -> None:
    a, b = two
    agreed(two, 300_000)
    (a.path / "f").write_bytes(noise(300_000, 5))
    assert a.sync().bytes_sent == 300_000
    assert b.sync().bytes_received == 300_000
    assert tree(a.path) == tree(b.path)


def test_a_server_that_knows_no_deltas_is_not_troubled_with_them(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = two
    data = agreed(two, 300_000)

    async def knows(_: SyncCalls) -> bool:
        return False

    monkeypatch.setattr(SyncCalls, "knows_deltas", knows)
    for call in ("parts", "send_recipes"):
        monkeypatch.delattr(SyncCalls, call)
    (a.path / "f").write_bytes(edited(data, 1))
    assert a.sync().bytes_sent > 60_000
    assert b.sync().bytes_received > 60_000
    assert tree(a.path) == tree(b.path)


@pytest.mark.parametrize("size", SIZES)
def test_what_the_server_cannot_make_is_sent_whole(
    two: Two, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    a, b = two
    data = agreed(two, size)
    honest = SyncCalls.send_recipes

    async def spoiling(self: SyncCalls, recipes: Sequence[Delta]) -> set[bytes]:
        return await honest(self, [one._replace(stored=one.stored[:-1]) for one in recipes])

    monkeypatch.setattr(SyncCalls, "send_recipes", spoiling)
    (a.path / "f").write_bytes(edited(data, 3))
    assert a.sync().bytes_sent > 60_000
    b.sync()
    assert tree(a.path) == tree(b.path)


@pytest.mark.parametrize("size", SIZES)
def test_a_delta_that_makes_something_else_is_fetched_whole(
    two: Two, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    a, b = two
    data = agreed(two, size)
    honest = SyncCalls.chunks

    async def spoiling(
        self: SyncCalls, ids: Sequence[bytes], bases: Bases | None = None
    ) -> AsyncGenerator[Chunk | Delta, None]:
        async for one in honest(self, ids, bases):
            yield one._replace(stored=one.stored[:-1]) if isinstance(one, Delta) else one

    monkeypatch.setattr(SyncCalls, "chunks", spoiling)
    (a.path / "f").write_bytes(edited(data, 3))
    a.sync()
    assert b.sync().bytes_received > 60_000
    assert tree(a.path) == tree(b.path)


@pytest.mark.parametrize("size", [1000, 300_000])
def test_what_was_renamed_is_neither_sent_nor_asked_about(
    two: Two, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    a, b = two
    data = agreed(two, size)
    asked: list[bytes] = []
    honest = SyncCalls.check

    async def check(self: SyncCalls, hashes: Sequence[bytes]) -> set[bytes]:
        asked.extend(hashes)
        return await honest(self, hashes)

    monkeypatch.setattr(SyncCalls, "check", check)
    (a.path / "f").rename(a.path / "g")
    new = b"new %d" % size
    (a.path / "new").write_bytes(new)
    assert a.sync().bytes_sent == len(new)
    assert b.sync().bytes_received == len(new)
    assert set(asked) <= {chunk_id(new)}
    assert (b.path / "g").read_bytes() == data


def test_what_was_renamed_is_sent_when_the_server_has_it_no_more(two: Two) -> None:
    a, b = two
    data = agreed(two, 300_000)
    b.path.joinpath("f").unlink()
    b.sync()
    (a.path / "f").rename(a.path / "g")
    a.sync()
    a.sync()
    b.sync()
    assert (b.path / "g").read_bytes() == data
