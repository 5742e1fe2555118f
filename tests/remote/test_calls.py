"""The typed calls: what a peer may answer, and what is no answer."""

import asyncio
import gzip
import tracemalloc
from collections.abc import Callable

import httpx
import msgspec
import pytest

from aeorsync.core.hashing import chunk_id
from aeorsync.errors import AeorError, BadRequestError, UnauthorizedError, UnavailableError
from aeorsync.remote import calls
from aeorsync.remote.calls import Event, Remote
from aeorsync.remote.connection import Connection
from aeorsync.runtime.throttle import Throttle
from aeorsync.wire import limits
from aeorsync.wire.deltas import Delta
from aeorsync.wire.encoding import Encoding
from aeorsync.wire.framing import Chunk, Codec, Kind, encode, encode_chunk
from aeorsync.wire.links import JoinReply, JoinRequest
from aeorsync.wire.peer_events import ClockTold, Heartbeat, Hello, RootMoved
from aeorsync.wire.protocol import FRAMES_TYPE, IDS_TYPE, DiffEnd, DiffHeader, pack
from tests.support.loops import run
from tests.support.peer import Body, each, event

HEADER = encode(Kind.HEADER, pack(DiffHeader(5, 6, "00", "1")))
ENTRIES = encode(Kind.ENTRIES, pack([(b"a", b"b")]))
END = encode(Kind.END, pack(DiffEnd("c", more=False, root_hash="00")))
EMPTY_HEADER, EMPTY_END = encode(Kind.HEADER, pack({})), encode(Kind.END, pack({}))


class Peer:
    """A peer that always gives the same answer."""

    def __init__(self, *pieces: bytes, status: int = 200) -> None:
        self.pieces = pieces
        self.status = status
        self.requests: list[httpx.Request] = []
        way = Connection("http://peer", lambda: "t", httpx.MockTransport(self._answer))
        self.remote = Remote(way)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(self.status, stream=Body(each(self.pieces)))


def chunk_frame(data: bytes) -> bytes:
    return encode_chunk(chunk_id(data), Codec.RAW, len(data), data)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_page_is_read_however_it_is_cut(size: int) -> None:
    whole = HEADER + ENTRIES + ENTRIES + END
    peer = Peer(*(whole[at : at + size] for at in range(0, len(whole), size)))
    page = run(peer.remote.diff("mark", ["/a/**"], 9))
    assert (page.header.node_id, page.header.database) == (5, 6)
    assert page.parts == [pack([(b"a", b"b")])] * 2
    assert page.end == DiffEnd("c", more=False, root_hash="00")


def test_a_question_says_where_we_stand_and_who_we_are() -> None:
    peer = Peer(HEADER, END)
    run(peer.remote.diff("mark", ["/a/**"], 9))
    [request] = peer.requests
    body: dict[str, object] = {"cursor": "mark", "paths": ["/a/**"], "node_id": 9}
    assert msgspec.json.decode(request.content) == body
    assert request.headers["Accept"] == FRAMES_TYPE
    assert request.headers["X-AeorSync-Node"] == "9"
    assert request.headers["Authorization"] == "Bearer t"
    run(peer.remote.diff(None, None, None))
    assert msgspec.json.decode(peer.requests[1].content) == {}
    assert "X-AeorSync-Node" not in peer.requests[1].headers


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        HEADER,
        HEADER + ENTRIES,
        END,
        ENTRIES + END,
        HEADER + ENTRIES[:-1],
        HEADER + END + ENTRIES,
        encode(Kind.HEADER, b"\xc1") + END,
        HEADER + encode(Kind.END, b"\x91\xa1c"),
        b"\x09\x00\x00\x00\x00",
        b"\x02\xff\xff\xff\xff",
        b"<html>",
    ],
    ids=[
        "nothing",
        "header only",
        "no end",
        "no header",
        "entries first",
        "cut",
        "after the end",
        "broken header",
        "broken end",
        "unknown frame",
        "huge frame",
        "something else",
    ],
)
def test_a_page_that_breaks_the_protocol_is_refused(answer: bytes) -> None:
    with pytest.raises(BadRequestError):
        run(Peer(answer).remote.diff(None, None, 9))


def test_a_page_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "MAX_PAGE_BYTES", 1000)
    with pytest.raises(BadRequestError, match="page over 1000 bytes"):
        run(Peer(HEADER, *[ENTRIES] * 1000, END).remote.diff(None, None, 9))


def test_a_page_of_empty_frames_is_cut_off() -> None:
    empty = encode(Kind.ENTRIES, b"") * (limits.MAX_PAGE_BYTES // limits.FRAME_COST)
    with pytest.raises(BadRequestError, match="page over"):
        run(Peer(HEADER, empty, END).remote.diff(None, None, 9))


def test_a_peer_may_give_up_half_way_and_say_why() -> None:
    failure = encode(Kind.ERROR, pack({"error": "the disk is gone", "code": "X"}))
    with pytest.raises(UnavailableError, match="gave up half-way: the disk is gone"):
        run(Peer(HEADER, ENTRIES, failure).remote.diff(None, None, 9))
    with pytest.raises(UnavailableError, match="no reason"):
        run(Peer(HEADER, encode(Kind.ERROR, b"\xc1")).remote.diff(None, None, 9))


def fetch(peer: Peer, *ids: bytes) -> tuple[list[list[Chunk | Delta]], set[bytes]]:
    taken: list[list[Chunk | Delta]] = []

    async def take(chunks: list[Chunk | Delta]) -> None:
        taken.append(chunks)

    return taken, run(peer.remote.chunks(ids, take))


def test_chunks_are_handed_over_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "TAKE_BYTES", 100)
    bodies = [bytes([i]) * 60 for i in range(5)]
    peer = Peer(EMPTY_HEADER, *map(chunk_frame, bodies), EMPTY_END)
    taken, missing = fetch(peer, *map(chunk_id, bodies))
    assert [len(chunks) for chunks in taken] == [2, 2, 1]
    assert [chunk.stored for chunks in taken for chunk in chunks] == bodies
    assert missing == set()
    [request] = peer.requests
    assert request.content == b"".join(map(chunk_id, bodies))
    assert request.headers["Content-Type"] == IDS_TYPE


def test_what_the_peer_does_not_send_is_missing_whether_it_says_so_or_not() -> None:
    here, gone, forgotten = (chunk_id(data) for data in (b"here", b"gone", b"forgotten"))
    frames = (EMPTY_HEADER, chunk_frame(b"here"), encode(Kind.MISSING, gone), EMPTY_END)
    _, missing = fetch(Peer(*frames), here, gone, forgotten)
    assert missing == {gone, forgotten}


@pytest.mark.parametrize(
    "frames",
    [
        (EMPTY_HEADER, chunk_frame(b"other"), EMPTY_END),
        (EMPTY_HEADER, chunk_frame(b"asked"), chunk_frame(b"asked"), EMPTY_END),
        (EMPTY_HEADER, encode(Kind.CHUNK, b"short"), EMPTY_END),
        (EMPTY_HEADER, chunk_frame(b"asked")),
        (EMPTY_HEADER, chunk_frame(b"asked")[:-1]),
    ],
    ids=["not asked for", "twice", "torn", "no end", "cut"],
)
def test_chunks_that_break_the_protocol_are_refused(frames: tuple[bytes, ...]) -> None:
    with pytest.raises(BadRequestError):
        fetch(Peer(*frames), chunk_id(b"asked"))


def test_events_are_told_one_by_one_and_unknown_ones_skipped() -> None:
    told = [
        Hello(5, 6, "00", 7, "1"),
        RootMoved("01", 8),
        Heartbeat(ClockTold(1, 2, 5)),
    ]
    stream = (
        event("hello", told[0]),
        event("weather", {"sun": True}),
        event("root", told[1]),
        event("heartbeat", told[2]),
    )
    peer = Peer(*stream)
    heard: list[Event] = []

    async def listen() -> None:
        async for one in peer.remote.events(9):
            heard.append(one)  # noqa: PERF401  # the stream ends in an error, what came counts

    with pytest.raises(UnavailableError, match="ended its event stream"):
        run(listen())
    assert heard == told
    assert peer.requests[0].url.query == b"node_id=9&brief=true"


@pytest.mark.parametrize(
    "ask",
    [
        lambda remote: remote.clock(5),
        lambda remote: remote.token("aeor_k_x"),
        lambda remote: remote.join(JoinRequest("http://me")),
    ],
    ids=["clock", "token", "join"],
)
@pytest.mark.parametrize("answer", [b"", b"[]", b'{"t0":"x"}', b"\xff", b"[" * 5000])
def test_an_answer_of_another_shape_is_refused(
    ask: Callable[[Remote], object], answer: bytes
) -> None:
    with pytest.raises(BadRequestError):
        run(ask(Peer(answer).remote))  # type: ignore[arg-type]


def test_a_key_is_traded_for_a_token() -> None:
    peer = Peer(b'{"token":"abc","expires_in":5}')
    assert run(peer.remote.token("aeor_k_x")) == "abc"
    assert msgspec.json.decode(peer.requests[0].content) == {"api_key": "aeor_k_x"}
    with pytest.raises(UnauthorizedError):
        run(Peer(b'{"error":"no"}', status=401).remote.token("aeor_k_x"))


def test_a_join_says_who_we_are() -> None:
    reply = JoinReply("c2VlZA==", 5, 9)
    peer = Peer(msgspec.json.encode(reply))
    assert run(peer.remote.join(JoinRequest("http://me", "me", 9))) == reply
    body = {"node_url": "http://me", "label": "me", "node_id": 9}
    assert msgspec.json.decode(peer.requests[0].content) == body


def test_a_wake_up_call_that_is_refused_says_so() -> None:
    peer = Peer(b'{"accepted":true}', status=202)
    run(peer.remote.wake(9))
    assert msgspec.json.decode(peer.requests[0].content) == {"node_id": 9}
    with pytest.raises(AeorError):
        run(Peer(b"", status=404).remote.wake(9))


class Squeezing(Peer):
    """A peer that answers compressed, as asked or not."""

    def __init__(self, *pieces: bytes, encoding: str = "gzip") -> None:
        super().__init__(*pieces)
        self.encoding = encoding

    def _answer(self, request: httpx.Request) -> httpx.Response:
        answer = super()._answer(request)
        answer.headers["Content-Encoding"] = self.encoding
        return answer


def test_a_compressed_page_is_read_as_if_it_were_not() -> None:
    peer = Squeezing(gzip.compress(HEADER + ENTRIES + END))
    peer.remote.encoding = Encoding.GZIP
    page = run(peer.remote.diff(None, None, 9))
    assert page.parts == [pack([(b"a", b"b")])]
    assert peer.requests[0].headers["Accept-Encoding"] == "gzip"


@pytest.mark.parametrize("encoding", ["gzip", "br", "x" * 9000])
def test_a_compression_nobody_asked_for_is_refused(encoding: str) -> None:
    peer = Squeezing(gzip.compress(HEADER + END), encoding=encoding)
    with pytest.raises(BadRequestError, match="nobody asked for"):
        run(peer.remote.diff(None, None, 9))


@pytest.mark.parametrize(
    "body", [b"plain", gzip.compress(HEADER + END)[:-3]], ids=["not gzip", "cut off"]
)
def test_a_broken_compression_is_refused(body: bytes) -> None:
    peer = Squeezing(body)
    peer.remote.encoding = Encoding.GZIP
    with pytest.raises(BadRequestError):
        run(peer.remote.diff(None, None, 9))


def test_a_bomb_costs_no_more_memory_than_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "MAX_PAGE_BYTES", 1_000_000)
    entries = encode(Kind.ENTRIES, bytes(500_000))
    bomb = gzip.compress(HEADER + entries * 400)
    assert len(bomb) < 1_000_000
    peer = Squeezing(bomb)
    peer.remote.encoding = Encoding.GZIP
    tracemalloc.start()
    with pytest.raises(BadRequestError, match="page over"):
        run(peer.remote.diff(None, None, 9))
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


def test_what_comes_in_is_paid_for_as_it_came_over_the_network() -> None:
    paid: list[int] = []

    class Till(Throttle):
        async def pay(self, size: int, timer: asyncio.Timeout | None = None) -> None:
            assert timer is not None
            paid.append(size)

    body = gzip.compress(EMPTY_HEADER + chunk_frame(bytes(100_000)) + EMPTY_END)
    peer = Squeezing(body[:40], body[40:])
    peer.remote.encoding, peer.remote.throttle = Encoding.GZIP, Till()
    fetch(peer, chunk_id(bytes(100_000)))
    assert paid == [40, len(body) - 40]


def test_a_goodbye_says_who_leaves_and_whom_they_mean() -> None:
    peer = Peer(b'{"removed":true}')
    assert run(peer.remote.leave(9, 5, 1.0)) is True
    assert msgspec.json.decode(peer.requests[0].content) == {"node_id": 9, "told": 5}
