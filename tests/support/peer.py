"""A peer that answers out of a repository, as a transport: no network, and it lies on demand."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field

import httpx
import msgspec

from aeorsync.cluster.offers import Offers, Stance, read_offer
from aeorsync.core.hashing import HASH_SIZE
from aeorsync.errors import AeorError
from aeorsync.remote.calls import Remote
from aeorsync.remote.connection import Connection
from aeorsync.storage.base import StoredChunk
from aeorsync.storage.deltas import Maker
from aeorsync.storage.repository import Repository
from aeorsync.wire.deltas import WANTS_TYPE, Delta, parse_wants
from aeorsync.wire.framing import Codec, Decoder, Frame, Kind, encode, encode_chunk
from aeorsync.wire.links import ClockReply, WakeReply
from aeorsync.wire.nodes import NodesHeader
from aeorsync.wire.offers import OfferedChunksReply, OfferReply
from aeorsync.wire.peer_events import Hello, RootMoved
from aeorsync.wire.protocol import DiffEnd, DiffHeader, Item, pack

ADDRESS = "http://peer"

Frames = list[bytes]


@dataclass
class Request:
    """One request as it came in."""

    path: str
    body: bytes
    headers: dict[str, str]


class Body(httpx.AsyncByteStream):
    """A body that comes piece by piece."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._pieces:
            yield piece

    async def aclose(self) -> None:
        await self._pieces.aclose()  # type: ignore[attr-defined]


async def each(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    """The pieces, one a turn."""
    for piece in pieces:
        yield piece


def answer(status: int, body: bytes = b"", **headers: str) -> httpx.Response:
    """An answer that is at hand whole."""
    return httpx.Response(status, headers=headers, stream=Body(each([body])))


@dataclass
class FakePeer(httpx.AsyncBaseTransport):
    """Speaks the frames of `/sync/*`; each attribute is a way to misbehave.

    Attributes:
        repository: What it has.
        page_size: Entries a page.
        clock_ms: What its clock shows.
        down: Refuse connections.
        hang: Never answer these paths.
        items: Changes what a page tells.
        chunk: Changes a chunk frame; None leaves the chunk out, as missing.
        node: Changes the body of a tree node.
        root: Root of the live tree it claims to have, to those who ask for tree nodes.
        frames: Changes the frames of an answer.
        deltas: Say that bases may be named, and send these deltas where one is.
        status: Answer these paths with a status and a body.
        stance: How it stands to who offers it something.
        reply: Changes its answer to an offer.
    """

    repository: Repository
    page_size: int = 1000
    node_id: int = 0
    clock_ms: Callable[[], int] = lambda: 1_700_000_000_000
    down: bool = False
    hang: set[str] = field(default_factory=set)
    items: Callable[[list[Item]], list[Item]] = lambda items: items
    chunk: Callable[[StoredChunk], bytes | None] = lambda chunk: encode_chunk(
        chunk.id, Codec(chunk.codec), chunk.size, bytes(chunk.data)
    )
    node: Callable[[bytes], bytes] = lambda body: body
    root: bytes | None = None
    frames: Callable[[str, Frames], Frames] = lambda _, frames: frames
    deltas: Callable[[Delta], bytes] | None = None
    status: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    stance: Stance = field(default_factory=lambda: Stance(is_linked=True))
    reply: Callable[[OfferReply], OfferReply] = lambda reply: reply
    offers: Offers = field(default_factory=Offers)
    requests: list[Request] = field(default_factory=list)
    listeners: list["asyncio.Queue[bytes]"] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.node_id = self.node_id or self.repository.head.node

    def remote(self, address: str = ADDRESS) -> Remote:
        """The way to this peer."""
        return Remote(Connection(address, lambda: "token", self))

    def asked(self, path: str) -> list[Request]:
        """What was asked at a path."""
        return [request for request in self.requests if request.path == path]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = b"".join([piece async for piece in request.stream])  # type: ignore[union-attr]
        path = request.url.path
        self.requests.append(Request(path, body, dict(request.headers)))
        if self.down:
            raise httpx.ConnectError("connection refused")
        if path in self.hang:
            await asyncio.Event().wait()
        if path in self.status:
            return answer(*self.status[path])
        if path.startswith("/sync/offer"):
            return await self._offered(path, body)
        if request.headers.get("content-type") == WANTS_TYPE:
            return self._framed("chunks", self._alike(parse_wants(body)))
        return self._routes()[path](body)

    def _routes(self) -> dict[str, Callable[[bytes], httpx.Response]]:
        return {
            "/sync/clock": lambda body: self._clock(msgspec.json.decode(body)["t0"]),
            "/sync/diff": lambda body: self._framed("diff", self._diff(msgspec.json.decode(body))),
            "/sync/chunks": lambda body: self._framed("chunks", self._chunks(body)),
            "/sync/nodes": lambda body: self._framed("nodes", self._nodes(body)),
            "/sync/events": lambda _: httpx.Response(200, stream=Body(self._events())),
            "/sync/wake": lambda _: answer(
                202, msgspec.json.encode(WakeReply(linked=self.stance.is_linked))
            ),
            "/sync/leave": lambda _: answer(200, b'{"removed":true}'),
        }

    async def _offered(self, path: str, body: bytes) -> httpx.Response:
        async def frames() -> AsyncIterator[list[Frame]]:
            yield Decoder().feed(body)

        reply: OfferReply | OfferedChunksReply
        try:
            if path.endswith("chunks"):
                reply = await self.offers.take_chunks(self.repository, frames())
            else:
                offer = await read_offer(frames())
                reply = await self.offers.take(self.repository, offer, self.stance)
                reply = self.reply(msgspec.structs.replace(reply, node_id=self.node_id))
        except AeorError as error:
            return answer(error.status, msgspec.json.encode({"error": error.message}))
        return answer(200, msgspec.json.encode(reply))

    def _framed(self, name: str, frames: Frames) -> httpx.Response:
        return httpx.Response(200, stream=Body(each(self.frames(name, frames))))

    def _clock(self, t0: int) -> httpx.Response:
        now = self.clock_ms()
        reply = ClockReply(t0, now, now, self.node_id, self.repository.database_id, "test")
        return answer(200, msgspec.json.encode(reply))

    def _diff(self, asked: dict[str, object]) -> Frames:
        head = self.repository.head
        mark = str(asked.get("cursor") or f"list:0:{head.seq}")
        kind, at, seq = mark.split(":")
        with self.repository.view() as view:
            if kind == "list":
                all_items = [*view.walk(system=True), *view.graves(system=True)]
                items = all_items[int(at) : int(at) + self.page_size]
                more = int(at) + self.page_size < len(all_items)
                after = f"list:{int(at) + self.page_size}:{seq}" if more else f"feed:{seq}:0"
            else:
                rows = self.repository.changes(int(at), self.page_size)
                keys = {row.key for row in rows if row.via != asked.get("node_id")}
                entries = {**dict(view.walk(system=True)), **dict(view.graves(system=True))}
                items = [(key, entries[key]) for key in sorted(keys)]
                more = bool(rows) and rows[-1].seq < head.seq
                after = f"feed:{rows[-1].seq if rows else at}:0"
        root = head.root.hex()
        return [
            encode(
                Kind.HEADER,
                pack(
                    DiffHeader(
                        self.node_id,
                        self.repository.database_id,
                        root,
                        deltas=self.deltas is not None,
                    )
                ),
            ),
            encode(Kind.ENTRIES, pack(self.items(items))),
            encode(Kind.END, pack(DiffEnd(after, more, root))),
        ]

    def _chunks(self, body: bytes) -> Frames:
        ids = [body[at : at + HASH_SIZE] for at in range(0, len(body), HASH_SIZE)]
        held = {chunk.id: chunk for chunk in self.repository.stored_chunks(ids)}
        return self._sent(
            [(name, self.chunk(held[name]) if name in held else None) for name in ids]
        )

    def _alike(self, wants: dict[bytes, tuple[bytes, ...]]) -> Frames:
        assert self.deltas is not None
        maker = Maker(self.repository)
        sent: list[tuple[bytes, bytes | None]] = []
        for chunk in self.repository.stored_chunks(list(wants)):
            delta = maker.make(chunk, wants[chunk.id])
            frame = self.chunk(chunk) if delta is None else self.deltas(delta)
            sent.append((chunk.id, frame))
        return self._sent(sent)

    def _sent(self, sent: list[tuple[bytes, bytes | None]]) -> Frames:
        return [
            encode(Kind.HEADER, pack({})),
            *(frame for _, frame in sent if frame is not None),
            encode(Kind.MISSING, b"".join(name for name, frame in sent if frame is None)),
            encode(Kind.END, pack({})),
        ]

    def _nodes(self, body: bytes) -> Frames:
        ids = [body[at : at + HASH_SIZE] for at in range(0, len(body), HASH_SIZE)]
        found = self.repository.trees.bodies(ids, 1 << 20)
        head = self.repository.head
        header = NodesHeader(
            self.node_id,
            self.repository.database_id,
            (self.root or head.root).hex(),
            head.graves.hex(),
            head.seq,
        )
        bodies = [self.node(body) for body in found.found.values()]
        return [
            encode(Kind.HEADER, msgspec.msgpack.encode(header)),
            encode(Kind.ENTRIES, msgspec.msgpack.encode(bodies)),
            encode(Kind.MISSING, b"".join(found.missing)),
            encode(Kind.END, pack({})),
        ]

    async def _events(self) -> AsyncIterator[bytes]:
        head = self.repository.head
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        self.listeners.append(queue)
        try:
            hello = Hello(self.node_id, self.repository.database_id, head.root.hex(), head.seq)
            yield event("hello", hello)
            while piece := await queue.get():
                yield piece
        finally:
            self.listeners.remove(queue)

    def tell(self, name: str = "root", data: object = None) -> None:
        """Send an event to all who listen."""
        head = self.repository.head
        told = RootMoved(head.root.hex(), head.seq) if data is None else data
        for queue in self.listeners:
            queue.put_nowait(event(name, told))

    def hang_up(self) -> None:
        """End all event streams."""
        for queue in self.listeners:
            queue.put_nowait(b"")


def event(name: str, data: object) -> bytes:
    """One server-sent event."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), msgspec.json.encode(data))
