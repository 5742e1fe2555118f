"""Chunks that come as deltas against what they replaced."""

from collections.abc import Callable
from random import Random

import pytest

from aeorsync.core.paths import parse
from aeorsync.core.versions import Content
from aeorsync.errors import BadRequestError
from aeorsync.storage.repository import Repository
from aeorsync.wire.deltas import Delta, encode_delta, parse_wants
from aeorsync.wire.protocol import IDS_TYPE
from tests.support.cycles import cycle, noise, put_large
from tests.support.peer import FakePeer
from tests.support.repositories import files, get, put

OLD = noise(3_000_000)


@pytest.fixture
def willing(ours: Repository, theirs: Repository, peer: FakePeer) -> FakePeer:
    """A peer that knows deltas, and gave us a file already."""
    peer.deltas = encode_delta
    put_large(theirs, "/f", OLD)
    cycle(ours, peer)
    peer.requests.clear()
    return peer


def edited(count: int = 5) -> bytes:
    source, data = Random(7), bytearray(OLD)
    for _ in range(count):
        at = source.randrange(len(data) - 8)
        data[at : at + 8] = source.randbytes(8)
    return bytes(data)


def test_scattered_edits_move_as_many_bytes_as_they_have(
    ours: Repository, theirs: Repository, willing: FakePeer
) -> None:
    put_large(theirs, "/f", edited())
    report = cycle(ours, willing)
    assert get(ours, "/f") == edited()
    assert 3 <= report.chunks <= 12
    assert report.bytes < 2000
    assert ours.head.root == theirs.head.root


def test_a_byte_at_the_head_and_swapped_halves_move_next_to_nothing(
    ours: Repository, theirs: Repository, willing: FakePeer
) -> None:
    put_large(theirs, "/f", b"!" + OLD)
    assert cycle(ours, willing).bytes < 2000
    put_large(theirs, "/f", OLD[1_500_000:] + OLD[:1_500_000])
    assert cycle(ours, willing).bytes < 5000
    assert ours.head.root == theirs.head.root


def test_an_edit_in_a_small_file_moves_the_edit(
    ours: Repository, theirs: Repository, willing: FakePeer
) -> None:
    put(theirs, "/small", OLD[:20_000])
    cycle(ours, willing)
    put(theirs, "/small", OLD[:10_000] + b"edit" + OLD[10_000:20_000])
    report = cycle(ours, willing)
    assert (report.chunks, report.bytes < 200) == (1, True)


def test_a_long_list_of_chunks_moves_as_its_difference(
    ours: Repository, theirs: Repository, willing: FakePeer
) -> None:
    long = noise(12_000_000, 3)
    put_large(theirs, "/long", long)
    cycle(ours, willing)
    put_large(theirs, "/long", long[:6_000_000] + b"!" + long[6_000_000:])
    with theirs.view() as view:
        sight = view.sight(parse("/long"))
    assert sight is not None
    assert sight.winner.content.depth == 1
    assert cycle(ours, willing).bytes < 1000
    assert ours.head.root == theirs.head.root


def test_a_peer_that_does_not_say_so_is_told_of_no_base(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    put_large(theirs, "/f", OLD)
    cycle(ours, peer)
    put_large(theirs, "/f", edited())
    report = cycle(ours, peer)
    assert {one.headers["content-type"] for one in peer.asked("/sync/chunks")} == {IDS_TYPE}
    assert report.bytes > 100_000
    assert ours.head.root == theirs.head.root


def test_what_replaced_nothing_is_asked_for_as_ever(
    ours: Repository, theirs: Repository, willing: FakePeer
) -> None:
    put_large(theirs, "/new", noise(300_000, 4))
    cycle(ours, willing)
    assert {one.headers["content-type"] for one in willing.asked("/sync/chunks")} == {IDS_TYPE}


def test_only_what_is_here_is_named(
    ours: Repository, theirs: Repository, willing: FakePeer
) -> None:
    put_large(theirs, "/f", edited())
    cycle(ours, willing)
    named = [
        base
        for one in willing.asked("/sync/chunks")
        for bases in parse_wants(one.body).values()
        for base in bases
    ]
    assert named
    assert not ours.missing(named)


LIES: dict[str, Callable[[Delta], Delta]] = {
    "bytes": lambda delta: delta._replace(stored=delta.stored[:-1]),
    "nothing": lambda delta: delta._replace(stored=b""),
    "size": lambda delta: delta._replace(size=delta.size - 1),
    "flipped": lambda delta: delta._replace(stored=delta.stored[:-3] + b"\0\0\0"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_delta_that_makes_something_else_is_asked_for_whole(
    ours: Repository, theirs: Repository, willing: FakePeer, lie: str
) -> None:
    willing.deltas = lambda delta: encode_delta(LIES[lie](delta))
    put_large(theirs, "/f", edited())
    report = cycle(ours, willing)
    assert not report.is_partial
    assert files(ours) == {"/f": edited()}
    last = willing.asked("/sync/chunks")[-1].headers
    assert (last["content-type"], last["x-aeorsync-chunks"]) == (IDS_TYPE, "checked")
    assert report.bytes > 100_000


def test_a_delta_against_what_nobody_named_ends_the_cycle(
    ours: Repository, theirs: Repository, willing: FakePeer
) -> None:
    other = put(ours, "/mine", noise(5000, 9)).content.refs[:32]
    willing.deltas = lambda delta: encode_delta(delta._replace(bases=(other,)))
    put_large(theirs, "/f", edited())
    with pytest.raises(BadRequestError, match="nobody named"):
        cycle(ours, willing)
    assert get(ours, "/f") == OLD


def test_where_the_base_was_damaged_here_the_chunk_comes_whole(
    ours: Repository, theirs: Repository, willing: FakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_large(theirs, "/f", edited())
    old = {c.id for c in ours.stored_chunks([n for _, n, _ in ours.references(winner(ours))])}
    honest = ours.stored_chunks

    def forgetful(ids: list[bytes]) -> list[object]:
        return [chunk for chunk in honest(ids) if chunk.id not in old]

    monkeypatch.setattr(ours, "stored_chunks", forgetful)
    report = cycle(ours, willing)
    monkeypatch.undo()
    assert not report.is_partial
    assert get(ours, "/f") == edited()


def winner(repository: Repository) -> Content:
    with repository.view() as view:
        sight = view.sight(parse("/f"))
    assert sight is not None
    return sight.winner.content
