"""A peer that lies: nothing bad is stored, the report says why, and the rest goes on."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from aeorsync.cluster import plan
from aeorsync.cluster.fetch import BATCH_BYTES
from aeorsync.cluster.peers import LinkBook
from aeorsync.cluster.plan import make_plan
from aeorsync.core.clock import MAX_AHEAD_MS, make_stamp
from aeorsync.core.hashing import chunk_id, content_hash
from aeorsync.core.versions import Content, Entry, Kind, Version, encode_entry, pack_references
from aeorsync.errors import AeorError, BadRequestError, UnavailableError
from aeorsync.storage.base import StoredChunk
from aeorsync.storage.repository import Repository
from aeorsync.wire import framing
from aeorsync.wire.framing import Codec, encode, encode_chunk
from aeorsync.wire.limits import MAX_CHUNK, MAX_FILE
from aeorsync.wire.protocol import Item
from tests.support.cycles import cycle, noise, peering, put_large
from tests.support.peer import FakePeer
from tests.support.repositories import files, memory_repository, put

GOOD = {"/good": b"good", "/large": noise(700_000)}
NOW = 1_700_000_000_000


@pytest.fixture
def liar(theirs: Repository, peer: FakePeer) -> FakePeer:
    put(theirs, "/good", GOOD["/good"])
    put_large(theirs, "/large", GOOD["/large"])
    return peer


def version(text: bytes = b"bad", **changes: object) -> Version:
    """A sound version of a file that holds ``text``, but for the changes."""
    refs = pack_references([(chunk_id(text), len(text))])
    sound = Version(
        kind=int(Kind.FILE),
        deleted=False,
        content=Content(content_hash(text), len(text), 0, refs),
        target="",
        content_type="",
        executable=False,
        mtime=0,
        created=0,
        stamp=make_stamp(NOW),
        node=2,
        incarnation=77,
        n=1,
    )
    return msgspec.structs.replace(sound, **changes)


def item(key: bytes = b"bad", text: bytes = b"bad", **changes: object) -> Item:
    return key, encode_entry(Entry((version(text, **changes),)))


def content(**changes: object) -> Content:
    return msgspec.structs.replace(version().content, **changes)


def tell(liar: FakePeer, *lies: Item) -> None:
    """Let the peer tell lies before and after what is true, and have the bytes to them."""
    liar.repository.store_small(b"bad")
    liar.items = lambda items: [*lies, *items, *lies]


def is_stored(repository: Repository, text: bytes) -> bool:
    return not repository.missing([chunk_id(text)])


LIES: dict[str, Item] = {
    "a path that leads up": item(b"..\0etc\0passwd"),
    "a path that leads up further down": item(b"a\0..\0b"),
    "a path that leads up when decoded again": item(b"%2e%2e"),
    "a dot": item(b"."),
    "an empty name": item(b"a\0\0b"),
    "a slash in a name": item(b"a/b"),
    "a trailing separator": item(b"a\0"),
    "the root": item(b""),
    "no UTF-8": item(b"\xff\xfe"),
    "a control character": item(b"a\nb"),
    "a name too long": item(b"x" * 256),
    "the system namespace in another spelling": item(b".AEORDB-system\0api-keys\0x"),
    "no entry": (b"bad", b"\xc1"),
    "an empty entry": (b"bad", b"\x91\x90"),
    "not msgpack at all": (b"bad", b"<html>"),
    "nothing": (b"bad", b""),
    "an unknown kind": item(kind=9),
    "an n of zero": item(n=0),
    "a vector that covers itself": item(vector=((77, 5),)),
    "an unsorted vector": item(vector=((9, 1), (8, 1))),
    "a stamp in the future": item(stamp=make_stamp(NOW + MAX_AHEAD_MS + 60_000)),
    "a stamp at the end of time": item(stamp=(1 << 63) - 1),
    "references that do not add up": item(content=content(size=4)),
    "a torn reference list": item(content=content(refs=b"xyz")),
    "a file larger than any": item(
        content=Content(bytes(32), MAX_FILE + 1, 0, pack_references([(bytes(32), MAX_FILE + 1)]))
    ),
    "a wrong content hash": item(content=content(hash=bytes(32))),
    "a link with another target than its hash": item(
        kind=int(Kind.SYMLINK), target="/there", content=Content(bytes(32), 6)
    ),
    "a chunk nobody has": item(
        content=content(refs=pack_references([(bytes(31) + b"\1", 3)]), hash=bytes(32))
    ),
    "manifest levels without end": item(content=content(depth=5)),
    "a data chunk for a manifest piece": item(content=content(depth=2)),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_lie_is_a_problem_and_the_rest_goes_on(
    ours: Repository, theirs: Repository, liar: FakePeer, lie: Item
) -> None:
    tell(liar, lie)
    report = cycle(ours, liar)
    assert files(ours) == GOOD
    assert report.problem_count == 2
    assert report.complaint is not None
    assert report.complaint.isprintable()
    assert ours.head.root == theirs.head.root
    assert LinkBook(ours).cursor(peering(ours, liar).link) is None


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_lie_is_none_the_better_for_bytes_that_come_along(
    ours: Repository, theirs: Repository, liar: FakePeer, lie: Item
) -> None:
    cycle(ours, liar)
    tell(liar, lie)
    small = encode_chunk(chunk_id(b"bad"), Codec.RAW, 3, b"bad")
    liar.frames = lambda name, frames: (
        [*frames[:-1], small, frames[-1]] if name == "diff" else frames
    )
    report = cycle(ours, liar)
    assert report.problem_count == 2
    assert files(ours) == GOOD
    assert ours.head.root == theirs.head.root


def test_what_was_refused_is_asked_for_again_and_taken_once_it_is_sound(
    ours: Repository, theirs: Repository, liar: FakePeer
) -> None:
    put(theirs, "/late", b"late")
    late = chunk_id(b"late")
    honest = liar.chunk
    liar.chunk = lambda chunk: None if chunk.id == late else honest(chunk)
    report = cycle(ours, liar)
    assert [problem.path for problem in report.problems] == ["/late"]
    assert "does not hold" in report.problems[0].text
    assert files(ours) == GOOD
    liar.chunk = honest
    assert not cycle(ours, liar).is_partial
    assert files(ours) == {**GOOD, "/late": b"late"}
    assert LinkBook(ours).cursor(peering(ours, liar).link) is not None


def test_pages_after_a_partial_one_are_taken_but_the_cursor_stays_before_it(
    ours: Repository, liar: FakePeer
) -> None:
    liar.page_size = 1
    bad = item(kind=9)
    liar.items = lambda items: [*items, bad] if len(liar.asked("/sync/diff")) == 2 else items
    report = cycle(ours, liar)
    assert files(ours) == GOOD
    assert report.problem_count == 1
    mark = LinkBook(ours).cursor(peering(ours, liar).link)
    assert mark is not None
    assert mark.cursor.startswith("list:1:")
    assert report.reached == "feed:2:0"


def test_a_key_told_twice_is_joined(ours: Repository, liar: FakePeer) -> None:
    first = item(b"twice", text=b"one")
    second = item(b"twice", text=b"two", n=2, incarnation=78)
    for text in (b"one", b"two"):
        liar.repository.store_small(text)
    liar.items = lambda items: [first, *items, second, first]
    report = cycle(ours, liar)
    assert not report.is_partial
    [conflict] = ours.conflicts()
    assert len(conflict.entry.versions) == 2


def flip(chunk: StoredChunk) -> bytes:
    data = bytearray(chunk.data)
    data[0] ^= 1
    return encode_chunk(chunk.id, Codec(chunk.codec), chunk.size, bytes(data))


def bomb(chunk: StoredChunk) -> bytes:
    squeezed = zstandard.ZstdCompressor(level=19).compress(bytes(200 << 20))
    return encode_chunk(chunk.id, Codec.ZSTD, chunk.size, squeezed)


def quiet_bomb(chunk: StoredChunk) -> bytes:
    packer = zstandard.ZstdCompressor(level=19, write_content_size=False)
    return encode_chunk(chunk.id, Codec.ZSTD, chunk.size, packer.compress(bytes(200 << 20)))


def other_size(chunk: StoredChunk) -> bytes:
    packed = zstandard.ZstdCompressor().compress(bytes(chunk.data))
    return encode_chunk(chunk.id, Codec.ZSTD, chunk.size - 1, packed)


@pytest.mark.parametrize("lie", [flip, bomb, quiet_bomb, other_size])
@pytest.mark.parametrize("victim", ["/good", "/large"])
def test_wrong_bytes_under_a_hash_are_not_stored(
    ours: Repository,
    liar: FakePeer,
    lie: Callable[[StoredChunk], bytes],
    victim: str,
) -> None:
    wrong = set(ids_of(liar.repository, victim)[:1])
    honest = liar.chunk
    liar.chunk = lambda chunk: lie(chunk) if chunk.id in wrong else honest(chunk)
    report = cycle(ours, liar)
    assert [problem.path for problem in report.problems] == [victim]
    assert files(ours) == {path: data for path, data in GOOD.items() if path != victim}
    assert ours.missing(wrong) == wrong


def ids_of(repository: Repository, path: str) -> list[bytes]:
    with repository.view() as view:
        entry = view.entry(path[1:].encode())
    assert entry is not None
    return [name for _, name, _ in repository.references(entry.versions[0].content)]


def test_a_large_file_with_a_wrong_content_hash_is_not_applied(
    ours: Repository, liar: FakePeer
) -> None:
    with liar.repository.view() as view:
        entry = view.entry(b"large")
    assert entry is not None
    forged = msgspec.structs.replace(entry.versions[0].content, hash=bytes(32))
    tell(liar, item(content=forged))
    report = cycle(ours, liar)
    assert files(ours) == GOOD
    assert "content hash" in report.problems[0].text


@dataclass
class Pieces:
    """A manifest whose pieces say what they should not."""

    repository: Repository

    def store(self, body: bytes) -> bytes:
        name = chunk_id(body)
        self.repository.receive([StoredChunk(name, 0, len(body), body)])
        return name

    def content(self, piece: bytes, size: int) -> Content:
        return Content(bytes(32), size, 1, pack_references([(self.store(piece), size)]))


@pytest.mark.parametrize(
    "piece",
    [
        b"",
        b"xyz",
        pack_references([(bytes(32), 99)]),
        pack_references([(bytes(32), 1)] * 129),
        pack_references([(bytes(32), 1 << 63)] * 2),
    ],
    ids=["empty", "torn", "does not add up", "too long", "overflows"],
)
def test_a_manifest_that_does_not_add_up_spoils_its_own_file_only(
    ours: Repository, liar: FakePeer, piece: bytes
) -> None:
    tell(liar, item(content=Pieces(liar.repository).content(piece, 129)))
    report = cycle(ours, liar)
    assert report.problem_count == 2
    assert files(ours) == GOOD


def test_a_few_pieces_that_make_billions_of_chunks_spoil_their_own_file_only(
    ours: Repository, liar: FakePeer
) -> None:
    liar.repository.store_small(b"x")
    pieces = Pieces(liar.repository)
    name, size = chunk_id(b"x"), 1
    for _ in range(4):
        name, size = pieces.store(pack_references([(name, size)] * 128)), size * 128
    # 8 GiB of one-byte chunks, under every limit of sizes.
    forged = Content(bytes(32), size * 32, 4, pack_references([(name, size)] * 32))
    tell(liar, item(content=forged))
    report = cycle(ours, liar)
    assert "more chunks than any file needs" in report.problems[0].text
    assert files(ours) == GOOD
    assert ours.lacking([forged]) == ({}, False)


@pytest.mark.parametrize("depth", [0, 1])
def test_a_reference_to_nothing_is_refused(ours: Repository, liar: FakePeer, depth: int) -> None:
    refs = pack_references([(chunk_id(b"bad"), 3), (chunk_id(b""), 0)])
    forged = Content(content_hash(b"bad"), 3, 0, refs)
    if depth:
        forged = msgspec.structs.replace(
            Pieces(liar.repository).content(refs, 3), hash=content_hash(b"bad")
        )
    tell(liar, item(content=forged))
    report = cycle(ours, liar)
    assert "zero bytes" in report.problems[0].text
    assert files(ours) == GOOD


def test_a_file_cut_into_too_many_chunks_is_refused(
    ours: Repository, liar: FakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aeorsync.cluster.fetch.MAX_FILE_CHUNKS", 100)
    piece = pack_references([(i.to_bytes(32), 1) for i in range(1, 102)])
    tell(liar, item(content=Pieces(liar.repository).content(piece, 101)))
    report = cycle(ours, liar)
    assert "more chunks than any file needs" in report.problems[0].text
    assert files(ours) == GOOD
    assert all(len(request.body) < 100 * 32 for request in liar.asked("/sync/chunks"))


def test_a_file_larger_than_any_is_refused_before_its_chunks_are_asked_for(
    ours: Repository, liar: FakePeer
) -> None:
    tell(liar, LIES["a file larger than any"])
    assert "larger than" in cycle(ours, liar).problems[0].text


def test_chunks_that_claim_to_be_huge_do_not_make_large_batches(
    ours: Repository, liar: FakePeer
) -> None:
    huge = MAX_FILE // 40
    refs = pack_references([(i.to_bytes(32), huge) for i in range(1, 41)])
    tell(liar, item(content=Content(bytes(32), huge * 40, 0, refs)))
    report = cycle(ours, liar)
    assert report.problem_count == 2
    assert files(ours) == GOOD
    sizes = [len(request.body) // 32 for request in liar.asked("/sync/chunks")]
    assert max(sizes) * MAX_CHUNK <= BATCH_BYTES
    assert len(sizes) <= 4


def cut(frames: Iterable[bytes]) -> list[bytes]:
    whole = b"".join(frames)
    return [whole[: len(whole) // 2]]


def without_end(frames: list[bytes]) -> list[bytes]:
    return frames[:-1]


def with_huge_frame(frames: list[bytes]) -> list[bytes]:
    return [*frames[:1], b"\x02\x7f\xff\xff\xff", *frames[1:]]


def with_unknown_frame(frames: list[bytes]) -> list[bytes]:
    return [*frames[:1], b"\x63\x00\x00\x00\x00", *frames[1:]]


def with_noise(frames: list[bytes]) -> list[bytes]:
    return [noise(10_000), *frames]


def with_strangers(frames: list[bytes]) -> list[bytes]:
    return [*frames[:1], encode_chunk(bytes(32), Codec.RAW, 1, b"x"), *frames[1:]]


@pytest.mark.parametrize("part", ["diff", "chunks"])
@pytest.mark.parametrize(
    "lie", [cut, without_end, with_huge_frame, with_unknown_frame, with_noise]
)
def test_a_broken_stream_ends_the_cycle_and_the_next_one_heals(
    ours: Repository,
    liar: FakePeer,
    part: str,
    lie: Callable[[list[bytes]], list[bytes]],
) -> None:
    liar.frames = lambda name, frames: lie(frames) if name == part else frames
    with pytest.raises(BadRequestError):
        cycle(ours, liar)
    assert files(ours) == {}
    liar.frames = lambda _, frames: frames
    assert not cycle(ours, liar).is_partial
    assert files(ours) == GOOD


def test_a_chunk_nobody_asked_for_ends_the_cycle(ours: Repository, liar: FakePeer) -> None:
    liar.frames = lambda name, frames: with_strangers(frames) if name == "chunks" else frames
    with pytest.raises(BadRequestError, match="nobody asked for"):
        cycle(ours, liar)


def test_a_failure_half_way_ends_the_cycle_with_the_peers_words(
    ours: Repository, liar: FakePeer
) -> None:
    failure = encode(framing.Kind.ERROR, msgspec.msgpack.encode({"error": "disk gone"}))
    liar.frames = lambda name, frames: [failure] if name == "chunks" else frames
    with pytest.raises(UnavailableError, match="disk gone"):
        cycle(ours, liar)


def test_a_page_with_too_many_entries_is_refused(
    ours: Repository, liar: FakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "MAX_PAGE", 10)
    tell(liar, *[item()] * 6)
    with pytest.raises(BadRequestError, match="more than 10 entries"):
        cycle(ours, liar)


def test_a_report_tells_some_problems_and_counts_all(ours: Repository, liar: FakePeer) -> None:
    tell(liar, *[item(kind=9)] * 200)
    report = cycle(ours, liar)
    assert (len(report.problems), report.problem_count) == (100, 400)


def test_names_are_shown_without_what_acts_on_a_terminal(ours: Repository, liar: FakePeer) -> None:
    tell(liar, item(b"a\x1b[2J\nb\0c"))
    assert cycle(ours, liar).problems[0].path == "/a\\x1b[2J\\nb/c"


def test_one_workers_failure_ends_them_all(
    ours: Repository, liar: FakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aeorsync.cluster.fetch.BATCH_IDS", 1)
    count = 0

    def fail_third(chunk: StoredChunk) -> bytes:
        nonlocal count
        count += 1
        if count == 3:
            return b"\x63\x00\x00\x00\x00"
        return encode_chunk(chunk.id, Codec(chunk.codec), chunk.size, bytes(chunk.data))

    liar.chunk = fail_third
    with pytest.raises(BadRequestError):
        cycle(ours, liar)
    assert files(ours) == {}


entries = st.tuples(st.binary(max_size=20), st.binary(max_size=60))
mutated = st.tuples(
    st.sampled_from([encode_entry(Entry((version(),))), b"\x91\x91\x90"]),
    st.integers(0, 200),
    st.integers(0, 255),
).map(lambda x: (b"k", x[0][: x[1]] + bytes([x[2]]) + x[0][x[1] + 1 :]))


@given(st.lists(st.one_of(entries, mutated), max_size=5))
def test_any_list_of_bytes_becomes_news_and_problems_and_nothing_else(
    items: list[tuple[bytes, bytes]],
) -> None:
    repository = memory_repository()
    plan = make_plan(repository, [msgspec.msgpack.encode(items)])
    repository.close()
    assert plan.told == len(items)
    assert len(plan.news) + len(plan.problems) <= len(items)


@given(st.binary(max_size=50))
def test_a_page_of_anything_is_a_page_or_refused(part: bytes) -> None:
    repository = memory_repository()
    try:
        make_plan(repository, [part])
    except AeorError as error:
        assert isinstance(error, BadRequestError)  # noqa: PT017  # a page that is one is fine, too
    finally:
        repository.close()
