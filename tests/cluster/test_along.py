"""Small files that come with the news of them."""

from collections.abc import Callable

import httpx
import msgspec
import pytest

from aeorsync.api import diff
from aeorsync.cluster.along import LARGEST_ALONG, MOST_ALONG, along_frames, take_along
from aeorsync.cluster.walk import Sieve
from aeorsync.core.cursors import Cursor
from aeorsync.core.hashing import chunk_id
from aeorsync.core.paths import parse
from aeorsync.core.versions import Content
from aeorsync.storage.repository import Repository
from aeorsync.wire.framing import Chunk, Codec, Decoder, Kind, encode_chunk, parse_chunk
from tests.support.cycles import cycle, noise
from tests.support.peer import FakePeer, Frames
from tests.support.repositories import get, put

SIEVE = Sieve(shows_system=True, shows_graves=True)


def content_of(repository: Repository, path: str) -> Content:
    with repository.view() as view:
        sight = view.sight(parse(path))
    assert sight is not None
    return sight.winner.content


def sending(*chunks: bytes) -> Callable[[str, Frames], Frames]:
    """Sends some frames along with each page."""
    return lambda name, frames: [*frames[:-1], *chunks, frames[-1]] if name == "diff" else frames


def along(repository: Repository, root: str | None, since: int = 0) -> list[Chunk]:
    """What comes along with the news after a place in the feed, to who has a tree of this root."""
    place = Cursor(repository.epoch, since)
    frames = diff._frames(repository, place, SIEVE, diff.Wishes(along=root))
    return [
        parse_chunk(frame.payload) for frame in Decoder().feed(frames) if frame.kind is Kind.CHUNK
    ]


@pytest.fixture
def known(ours: Repository, theirs: Repository, peer: FakePeer) -> FakePeer:
    """A peer that we have followed up to now."""
    put(theirs, "/before", b"before")
    cycle(ours, peer)
    peer.requests.clear()
    return peer


def test_a_small_file_is_here_after_one_exchange(
    ours: Repository, theirs: Repository, known: FakePeer
) -> None:
    put(theirs, "/f", b"small")
    known.frames = sending(*along_frames(theirs, [content_of(theirs, "/f")]))
    report = cycle(ours, known)
    assert get(ours, "/f") == b"small"
    assert [request.path for request in known.requests] == ["/sync/diff"]
    assert (report.chunks, report.bytes, report.changed) == (1, 5, 1)
    assert ours.head.root == theirs.head.root


def test_what_did_not_come_along_is_asked_for(
    ours: Repository, theirs: Repository, known: FakePeer
) -> None:
    put(theirs, "/f", b"small")
    put(theirs, "/g", noise(100_000))
    known.frames = sending(*along_frames(theirs, [content_of(theirs, "/f")]))
    report = cycle(ours, known)
    assert (get(ours, "/f"), get(ours, "/g")) == (b"small", noise(100_000))
    assert len(known.asked("/sync/chunks")) == 1
    assert report.chunks == 1 + len(list(theirs.references(content_of(theirs, "/g"))))


def test_a_wrong_byte_that_comes_along_is_never_stored(
    ours: Repository, theirs: Repository, known: FakePeer
) -> None:
    put(theirs, "/f", b"small")
    name = chunk_id(b"small")
    known.frames = sending(encode_chunk(name, Codec.RAW, 5, b"smalk"))
    cycle(ours, known)
    assert get(ours, "/f") == b"small"
    assert len(known.asked("/sync/chunks")) == 1


def test_a_chunk_that_is_right_and_no_file_of_that_hash_is_not_believed(
    ours: Repository, theirs: Repository, known: FakePeer
) -> None:
    put(theirs, "/f", b"small")
    ours_before = ours.head.root
    known.frames = sending(encode_chunk(chunk_id(b"other"), Codec.RAW, 5, b"other"))
    known.chunk = lambda _: None
    report = cycle(ours, known)
    assert report.problem_count == 1
    assert ours.head.root == ours_before
    assert ours.missing([chunk_id(b"other")]), "nobody needs it, so it is not kept"


def test_what_is_here_already_is_not_stored_again(
    ours: Repository, theirs: Repository, known: FakePeer
) -> None:
    put(theirs, "/copy", b"before")
    known.frames = sending(*along_frames(theirs, [content_of(theirs, "/copy")]))
    assert cycle(ours, known).chunks == 0
    assert get(ours, "/copy") == b"before"
    assert known.asked("/sync/chunks") == []


def test_of_small_files_that_are_here_nothing_is_left_to_do(
    ours: Repository, theirs: Repository
) -> None:
    put(ours, "/here", b"the same")
    put(ours, "/large", noise(LARGEST_ALONG + 1))
    put(theirs, "/there", b"not here")
    here, large = content_of(ours, "/here"), content_of(ours, "/large")
    assert take_along(ours, [here], []).is_all
    for other in (
        large,
        content_of(theirs, "/there"),
        msgspec.structs.replace(here, hash=chunk_id(b"another hash")),
    ):
        assert not take_along(ours, [here, other], []).is_all
    # Of many it is looked for all of what they lack at once.
    assert not take_along(ours, [here] * 1000, []).is_all


def test_all_that_came_along_is_proven_however_many_there_are(
    ours: Repository, theirs: Repository
) -> None:
    for number in range(8 * MOST_ALONG):
        put(theirs, f"/f{number}", b"text %d" % number)
    contents = [content_of(theirs, f"/f{number}") for number in range(8 * MOST_ALONG)]
    chunks = [
        parse_chunk(frame.payload)
        for frame in Decoder().feed(b"".join(along_frames(theirs, contents)))
    ]
    assert take_along(ours, contents, chunks).is_all


def test_only_what_was_written_here_a_moment_ago_goes_along(
    ours: Repository, theirs: Repository, known: FakePeer
) -> None:
    seq = theirs.head.seq
    put(theirs, "/f", b"small")
    assert [chunk.id for chunk in along(theirs, "", seq)] == [chunk_id(b"small")]
    assert along(theirs, None, seq) == [], "who did not ask is sent nothing"
    assert along(theirs, theirs.head.root.hex()[:16], seq) == [], "who has the tree has the file"
    assert along(theirs, "0" * 16, theirs.head.seq) == []
    cycle(ours, known)
    assert along(ours, "0" * 16) == [], "what came from a peer is asked for"
    frames = diff._frames(theirs, None, SIEVE, diff.Wishes(along="0" * 16))
    assert all(frame.kind is not Kind.CHUNK for frame in Decoder().feed(frames)), "nor a listing"


def test_what_is_large_and_what_is_many_stays_behind(theirs: Repository) -> None:
    seq = theirs.head.seq
    put(theirs, "/large", noise(LARGEST_ALONG + 1))
    assert along(theirs, "", seq) == []
    put(theirs, "/largest", noise(LARGEST_ALONG, 2))
    assert len(along(theirs, "", seq)) == 1
    for number in range(2 * MOST_ALONG):
        put(theirs, f"/many{number}", b"%d" % number)
    assert len(along(theirs, "", seq)) < 2 * MOST_ALONG


def test_it_is_asked_for_from_a_place_and_not_in_a_listing(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    asked: list[str] = []
    handle = peer.handle_async_request

    async def noting(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.query.decode())
        return await handle(request)

    peer.handle_async_request = noting  # type: ignore[method-assign]
    put(theirs, "/f", b"small")
    cycle(ours, peer)
    root = ours.head.root.hex()
    cycle(ours, peer)
    assert [one for one in asked if "along" in one] == [f"along={root[:16]}"]
