"""What one node asks of another, as typed calls. Every one may be repeated."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from contextlib import aclosing
from typing import Final, Literal, TypeVar

import msgspec

from aeorsync.core.knowledge import is_vector
from aeorsync.errors import UNREADABLE, AeorError, BadRequestError, UnavailableError
from aeorsync.remote.arriving import read_chunk, read_same, weigh
from aeorsync.remote.connection import Connection
from aeorsync.remote.nodes import NodesAnswer, read_nodes
from aeorsync.remote.sse import EventDecoder
from aeorsync.runtime.redact import redact
from aeorsync.runtime.throttle import Throttle
from aeorsync.wire import framing
from aeorsync.wire.brief import BriefClock, Mark
from aeorsync.wire.deltas import WANTS_TYPE, Bases, Delta, encode_wants
from aeorsync.wire.encoding import Encoding, accept
from aeorsync.wire.framing import Chunk, Decoder, Frame, Kind
from aeorsync.wire.limits import FRAME_COST, MAX_PAGE_BYTES, MIB
from aeorsync.wire.links import (
    ClockReply,
    ClockRequest,
    JoinReply,
    JoinRequest,
    WakeReply,
    WakeRequest,
)
from aeorsync.wire.offers import OfferedChunksReply, OfferHeader, OfferReply
from aeorsync.wire.peer_events import Heartbeat, Hello, RootMoved
from aeorsync.wire.protocol import (
    CHUNKS_HEADER,
    FRAMES_TYPE,
    IDS_TYPE,
    NODE_HEADER,
    DiffEnd,
    DiffHeader,
    DiffRequest,
    pack,
)
from aeorsync.wire.terms import LeaveReply, LeaveRequest

T = TypeVar("T")

PROBE_S: Final = 5.0
"""Longest time for a clock probe or a wake-up call."""
STREAM_S: Final = 600.0
"""Longest time for one page or one batch of chunks; a peer slower than that is down."""
SILENCE_S: Final = 45.0
"""Longest silence of an event stream; three heartbeats."""
TAKE_BYTES: Final = 2 * MIB
"""Chunk bytes handed over at a time, at least, while there are more."""

Event = Hello | RootMoved | Heartbeat
Take = Callable[[list[Chunk | Delta]], Awaitable[None]]
"""Takes chunks as they come; their names are not checked yet."""
_NOTHING: Final[Bases] = {}


class DiffPage(msgspec.Struct, frozen=True):
    """One page of what changed at a peer.

    Attributes:
        header: Who answered.
        parts: msgpack arrays of `wire.protocol.Item`, not decoded yet.
        end: How to go on.
    """

    header: DiffHeader
    parts: list[bytes]
    end: DiffEnd


class _TokenReply(msgspec.Struct, frozen=True):
    """Answer to ``POST /auth/token``."""

    token: str


class _TokenRequest(msgspec.Struct, frozen=True):
    """Body of ``POST /auth/token``."""

    api_key: str


class Remote:
    """A peer, as somebody to call.

    Calls raise what `remote.connection` says, and BadRequestError for an answer that breaks the
    protocol.

    Attributes:
        address: Its base URL.
        throttle: Passed by pages and chunks, whichever way they go, and by nothing else.
        encoding: How pages and chunks are to be compressed.
        deltas: Whether it said, with a page, that bases may be named to it.
    """

    def __init__(self, connection: Connection) -> None:
        """Speak through ``connection``, and close it with `close`."""
        self._connection = connection
        self.address = connection.address
        self.throttle = Throttle()
        self.encoding = Encoding.ZSTD
        self.deltas = False

    @property
    def connection(self) -> Connection:
        """The way to the peer, for those who speak otherwise with it."""
        return self._connection

    def introduce(self, node_id: int, run: int) -> "Remote":
        """Say with every call from now on which run of which node is calling; returns this."""
        self._connection.introduce(node_id, run)
        return self

    async def close(self) -> None:
        """Let go of all connections."""
        await self._connection.close()

    async def token(self, api_key: str) -> str:
        """Trade an API key for a token."""
        body = msgspec.json.encode(_TokenRequest(api_key))
        return self._parse(
            await self._connection.call("POST", "/auth/token", body), _TokenReply
        ).token

    async def join(self, request: JoinRequest) -> JoinReply:
        """Ask to become a member of the peer's cluster."""
        body = msgspec.json.encode(request)
        return self._parse(await self._connection.call("POST", "/sync/join", body), JoinReply)

    async def clock(self, now_ms: int, deadline_s: float = PROBE_S) -> ClockReply:
        """Ask what time it is there, and who is there."""
        body = msgspec.json.encode(ClockRequest(0))  # what it echoes, we know
        path = "/sync/clock?brief=true"
        answer = await self._connection.call("POST", path, body, deadline_s=deadline_s)
        if answer.startswith(b"{"):
            return msgspec.structs.replace(self._parse(answer, ClockReply), t0=now_ms)
        try:
            told = msgspec.msgpack.decode(answer, type=BriefClock)
        except UNREADABLE as error:
            raise BadRequestError(f"{self.address} sent a broken answer: {error}") from error
        return ClockReply(now_ms, *msgspec.structs.astuple(told))

    async def wake(self, node_id: int, *, repair: bool = False) -> WakeReply:
        """Tell the peer that ``node_id`` (us) has news; with ``repair``, to compare all of it."""
        body = msgspec.json.encode(WakeRequest(node_id, repair))
        answer = await self._connection.call("POST", "/sync/wake", body, deadline_s=PROBE_S)
        return self._parse(answer, WakeReply)

    async def leave(self, node_id: int, told: int | None, deadline_s: float) -> bool:
        """Ask node ``told`` to forget its link to ``node_id`` (us); returns whether it had one."""
        body = msgspec.json.encode(LeaveRequest(node_id, told))
        answer = await self._connection.call("POST", "/sync/leave", body, deadline_s=deadline_s)
        return self._parse(answer, LeaveReply).removed

    async def diff(
        self,
        cursor: str | None,
        paths: Sequence[str] | None,
        asker: int | None,
        excludes: Sequence[str] | None = None,
        *,
        knowledge: bool | Mark = False,
        held: tuple[bytes, bytes] | None = None,
    ) -> DiffPage:
        """Ask for a page of what changed since ``cursor``.

        Args:
            cursor: From the page before; None for all there is.
            paths: Globs that limit what is told.
            asker: Our node id, to leave out what came from us; None to be told of that, too.
            excludes: Globs of what is not to be told after all.
            knowledge: Ask what the peer knows, too. A mark says what it told with this cursor:
                if that is all it has to tell, a word will do.
            held: Roots of our trees, live and graves; if the peer's are the same, it lists
                nothing.
        """
        body = msgspec.json.encode(
            DiffRequest(
                cursor=cursor,
                paths=tuple(paths) if paths else None,
                node_id=asker,
                knowledge=bool(knowledge),
                excludes=tuple(excludes) if excludes else None,
                current_root_hash=held[0].hex() if held else None,
                current_graves_hash=held[1].hex() if held else None,
            )
        )
        headers = {"Content-Type": "application/json", **self._wishes()}
        if asker is not None:
            headers[NODE_HEADER] = str(asker)
        frames: list[Frame] = []
        size = 0
        mark = knowledge if isinstance(knowledge, Mark) else None
        path = "/sync/diff" if mark is None else f"/sync/diff?same={mark.text}"
        async with (
            self._connection.deadline(STREAM_S) as timer,
            aclosing(self._frames(path, body, headers, timer)) as batches,
        ):
            async for batch in batches:
                frames += batch
                size += sum(FRAME_COST + len(frame.payload) for frame in batch)
                if size > MAX_PAGE_BYTES:
                    raise BadRequestError(
                        f"{self.address} sent a page over {MAX_PAGE_BYTES} bytes"
                    )
        same = None if mark is None or cursor is None else read_same(frames)
        if same is None or mark is None or cursor is None:
            return self._page(frames)
        header = DiffHeader(same.node_id, same.database, mark.root_hash)
        return DiffPage(header, [], DiffEnd(cursor, more=False, root_hash=mark.root_hash))

    async def chunks(
        self,
        ids: Sequence[bytes],
        take: Take,
        manner: Literal["checked", "held"] | None = None,
        bases: Bases = _NOTHING,
    ) -> set[bytes]:
        """Fetch chunks; ``take`` gets them as they come in, a few MiB at a time.

        Args:
            ids: Which.
            take: Takes them.
            manner: See `wire.protocol.CHUNKS_HEADER`.
            bases: What is here and probably alike, by id; those may come as deltas against that.

        Returns:
            Which the peer did not send, because it does not hold them.
        """
        wanted = set(ids)
        names_bases = self.deltas and not bases.keys().isdisjoint(wanted)
        body = encode_wants(ids, bases) if names_bases else b"".join(ids)
        headers = {"Content-Type": WANTS_TYPE if names_bases else IDS_TYPE, **self._wishes()}
        if manner is not None:
            headers[CHUNKS_HEADER] = manner
        waiting: list[Chunk | Delta] = []
        size = 0
        async with (
            self._connection.deadline(STREAM_S) as timer,
            aclosing(self._frames("/sync/chunks", body, headers, timer)) as batches,
        ):
            async for batch in batches:
                fresh = [chunk for chunk in map(read_chunk, batch) if chunk is not None]
                for chunk in fresh:
                    # Each is taken once, so the number asked for bounds what is stored.
                    if chunk.id not in wanted:
                        raise BadRequestError(f"{self.address} sent a chunk nobody asked for")
                    wanted.discard(chunk.id)
                    size += weigh(chunk, bases)
                waiting += fresh
                if size >= TAKE_BYTES:
                    ready, waiting, size = waiting, [], 0
                    await take(ready)
            if waiting:
                await take(waiting)
        return wanted

    async def offer(
        self, header: OfferHeader, entries: Sequence[bytes], missing: Collection[bytes]
    ) -> OfferReply:
        """Offer entries.

        Args:
            header: Who offers.
            entries: ENTRIES frames.
            missing: Chunk ids that were asked for and cannot be had here.
        """
        lost = [framing.encode(Kind.MISSING, b"".join(missing))] if missing else []
        return await self._push("/sync/offer", header, [*entries, *lost], OfferReply)

    async def offer_chunks(
        self, header: OfferHeader, chunks: Sequence[bytes]
    ) -> OfferedChunksReply:
        """Send chunks (CHUNK frames) that an offer was answered with."""
        return await self._push("/sync/offer/chunks", header, chunks, OfferedChunksReply)

    async def _push(
        self, path: str, header: OfferHeader, frames: Sequence[bytes], shape: type[T]
    ) -> T:
        first, last = framing.encode(Kind.HEADER, pack(header)), framing.encode(Kind.END, pack({}))
        body = b"".join((first, *frames, last))
        await self.throttle.pay(len(body))
        answer = await self._connection.call(
            "POST", path, body, content_type=FRAMES_TYPE, deadline_s=STREAM_S
        )
        return self._parse(answer, shape)

    async def nodes(self, names: Sequence[bytes]) -> NodesAnswer:
        """Fetch tree nodes by id; with none, only the roots are told.

        Returns:
            What came. What is neither there nor missing has to be asked for again.
        """
        asked = set(names)
        headers = {"Content-Type": IDS_TYPE, "Accept": FRAMES_TYPE}
        frames: list[Frame] = []
        size = 0
        async with (
            self._connection.deadline(STREAM_S) as timer,
            aclosing(self._frames("/sync/nodes", b"".join(names), headers, timer)) as batches,
        ):
            async for batch in batches:
                frames += batch
                size += sum(FRAME_COST + len(frame.payload) for frame in batch)
                if size > MAX_PAGE_BYTES:
                    raise BadRequestError(
                        f"{self.address} sent tree nodes of over {MAX_PAGE_BYTES} bytes"
                    )
        return read_nodes(self.address, frames, asked, size)

    async def events(self, node_id: int) -> AsyncGenerator[Event, None]:
        """Listen to the peer for ever; close the iterator to stop.

        Args:
            node_id: Ours; commits that hold nothing but what came from us are not told.

        Raises:
            UnavailableError: The stream ended, or was silent for `SILENCE_S`.
        """
        decoder = EventDecoder()
        headers = {"Accept": "text/event-stream", NODE_HEADER: str(node_id)}
        path = f"/sync/events?node_id={node_id}&brief=true"
        async with self._connection.open("GET", path, b"", headers, idle_s=SILENCE_S) as pieces:
            async for piece in pieces:
                for name, data in decoder.feed(piece):
                    shape = _EVENTS.get(name)
                    if shape is not None:
                        yield self._parse(data, shape)
        raise UnavailableError(f"{self.address} ended its event stream")

    def _wishes(self) -> dict[str, str]:
        return {"Accept": FRAMES_TYPE, "Accept-Encoding": accept(self.encoding)}

    async def _frames(
        self, path: str, body: bytes, headers: dict[str, str], timer: asyncio.Timeout
    ) -> AsyncGenerator[list[Frame], None]:
        decoder = Decoder()

        async def pace(size: int) -> None:
            await self.throttle.pay(size, timer)

        async with self._connection.open("POST", path, body, headers, pace=pace) as pieces:
            async for piece in pieces:
                frames = decoder.feed(piece)
                if frames and frames[-1].kind is Kind.ERROR:
                    raise self._told_error(frames[-1].payload)
                if frames:
                    yield frames
        decoder.finish()

    def _page(self, frames: list[Frame]) -> DiffPage:
        """The page that some frames make up; `Decoder` has seen that END is the last of them."""
        if len(frames) < 2 or frames[0].kind is not Kind.HEADER:  # noqa: PLR2004
            raise BadRequestError(f"{self.address} sent a page without a header")
        try:
            header = msgspec.msgpack.decode(frames[0].payload, type=DiffHeader)
            end = msgspec.msgpack.decode(frames[-1].payload, type=DiffEnd)
        except UNREADABLE as error:
            raise BadRequestError(f"{self.address} sent a broken page: {error}") from error
        if end.knowledge is not None and not is_vector(end.knowledge):
            raise BadRequestError(f"{self.address} claims to know what cannot be known")
        self.deltas = header.deltas
        parts = [frame.payload for frame in frames if frame.kind is Kind.ENTRIES]
        return DiffPage(header, parts, end)

    def _parse(self, data: bytes, shape: type[T]) -> T:
        try:
            return msgspec.json.decode(data, type=shape)
        except UNREADABLE as error:
            raise BadRequestError(f"{self.address} sent a broken answer: {error}") from error

    def _told_error(self, payload: bytes) -> AeorError:
        try:
            text = msgspec.msgpack.decode(payload, type=_Failure).error
        except UNREADABLE:
            text = ""
        return UnavailableError(f"{self.address} gave up half-way: {redact(text) or 'no reason'}")


class _Failure(msgspec.Struct, frozen=True):
    """Payload of an ERROR frame."""

    error: str = ""


_EVENTS: Final[dict[str, type[Event]]] = {
    "hello": Hello,
    "root": RootMoved,
    "heartbeat": Heartbeat,
}
