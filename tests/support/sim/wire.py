"""One node's face to another, without a network; stands in for `Remote`.

What is asked is answered by the functions that the API answers by. One message of a conversation
may have a fault:

    lost        it never arrives, and the asker hears so
    unheard     it is carried out, and the answer is lost
    twice       it is carried out twice, and answered once
    asker       whoever asks dies in that moment, the message is on its way
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from typing import Literal, TypeVar

import msgspec

from aeorsync.api import diff
from aeorsync.cluster.offers import Offers, Stance, read_offer
from aeorsync.cluster.walk import Sieve
from aeorsync.core.cursors import parse_cursor
from aeorsync.core.filters import Filter
from aeorsync.errors import UnavailableError
from aeorsync.remote.calls import DiffPage, Take
from aeorsync.remote.nodes import NodesAnswer, read_nodes
from aeorsync.runtime.throttle import Throttle
from aeorsync.storage.deltas import Maker
from aeorsync.storage.repository import Repository
from aeorsync.wire.brief import Mark
from aeorsync.wire.deltas import Bases, Delta
from aeorsync.wire.encoding import Encoding
from aeorsync.wire.framing import Chunk, Codec, Decoder, Frame, Kind, encode
from aeorsync.wire.links import WakeReply
from aeorsync.wire.nodes import ANSWER_BYTES, NodesHeader
from aeorsync.wire.offers import OfferedChunksReply, OfferHeader, OfferReply
from aeorsync.wire.protocol import DiffEnd, DiffHeader, pack
from tests.support.sim.disk import CrashedError, Disk

T = TypeVar("T")
_decode = msgspec.msgpack.decode


class Wire:
    """What a node may ask of another.

    Attributes:
        chunks_sent: How many chunks went over it, whichever way.
    """

    def __init__(
        self,
        asker: Disk,
        server: Repository,
        offers: Offers,
        stance: Stance,
        fault: tuple[str, int] | None,
    ) -> None:
        self.address = "http://peer"
        self.encoding = Encoding.ZSTD
        self.throttle = Throttle()
        self.chunks_sent = 0
        self._asker = asker
        self._server = server
        self._offers = offers
        self._stance = stance
        self._fault, self._left = fault or ("", 0)

    def _carry(self, answer: Callable[[], T]) -> T:
        fault = self._meet_fault()
        self._before(fault)
        try:
            reply = answer()
            if fault == "twice":
                reply = answer()
        except CrashedError as crash:
            raise self._hung_up(crash) from crash
        self._after(fault)
        return reply

    def _meet_fault(self) -> str:
        self._left -= 1
        return self._fault if self._left == -1 else ""

    def _before(self, fault: str) -> None:
        if fault == "lost":
            raise UnavailableError("lost")
        if fault == "asker":
            self._asker.die()

    def _after(self, fault: str) -> None:
        if self._asker.is_dead:
            raise CrashedError(self._asker)
        if fault == "unheard":
            raise UnavailableError("unheard")

    def _hung_up(self, crash: CrashedError) -> BaseException:
        return crash if crash.disk is self._asker else UnavailableError("it died")

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
        sieve = Sieve(
            Filter.parse(tuple(paths) if paths else None, tuple(excludes) if excludes else None),
            shows_system=True,
            asker=asker or 0,
            shows_graves=True,
        )
        place = None if cursor is None else parse_cursor(cursor)
        roots = None if held is None else (held[0].hex(), held[1].hex())
        body = self._carry(
            lambda: diff._frames(self._server, place, sieve, roots, bool(knowledge))
        )
        frames = Decoder().feed(body)
        return DiffPage(
            _decode(frames[0].payload, type=DiffHeader),
            [frame.payload for frame in frames if frame.kind is Kind.ENTRIES],
            _decode(frames[-1].payload, type=DiffEnd),
        )

    async def chunks(
        self,
        ids: Sequence[bytes],
        take: Take,
        manner: Literal["checked", "held"] | None = None,
        bases: Bases | None = None,
    ) -> set[bytes]:
        del manner

        def answer() -> list[Chunk | Delta]:
            maker = Maker(self._server)
            held = self._server.stored_chunks(list(ids))
            deltas = (
                (chunk, maker.make(chunk, (bases or {}).get(chunk.id, ()))) for chunk in held
            )
            return [
                Chunk(c.id, Codec(c.codec), c.size, bytes(c.data)) if delta is None else delta
                for c, delta in deltas
            ]

        held = self._carry(answer)
        self.chunks_sent += len(held)
        await take(held)
        return set(ids) - {chunk.id for chunk in held}

    async def nodes(self, names: Sequence[bytes]) -> NodesAnswer:
        def answer() -> list[Frame]:
            found = self._server.trees.bodies(list(names), ANSWER_BYTES)
            head = self._server.head
            header = NodesHeader(
                head.node,
                self._server.database_id,
                head.root.hex(),
                head.graves.hex(),
                head.seq,
            )
            bodies = list(found.found.values())
            return [
                Frame(Kind.HEADER, pack(header)),
                Frame(Kind.ENTRIES, msgspec.msgpack.encode(bodies)),
                Frame(Kind.MISSING, b"".join(found.missing)),
                Frame(Kind.END, pack({})),
            ]

        return read_nodes(self.address, self._carry(answer), set(names), 0)

    async def wake(self, node_id: int, *, repair: bool = False) -> WakeReply:
        del node_id, repair
        return WakeReply(linked=self._stance.is_linked)

    async def offer(
        self, header: OfferHeader, entries: Sequence[bytes], missing: Collection[bytes]
    ) -> OfferReply:
        lost = [encode(Kind.MISSING, b"".join(missing))] if missing else []
        first, last = encode(Kind.HEADER, pack(header)), encode(Kind.END, pack({}))
        body = b"".join((first, *entries, *lost, last))

        async def answer() -> OfferReply:
            offer = await read_offer(_frames(body))
            return await self._offers.take(self._server, offer, self._stance)

        return await self._push(answer)

    async def offer_chunks(
        self, header: OfferHeader, chunks: Sequence[bytes]
    ) -> OfferedChunksReply:
        self.chunks_sent += len(chunks)
        first, last = encode(Kind.HEADER, pack(header)), encode(Kind.END, pack({}))
        body = b"".join((first, *chunks, last))
        return await self._push(lambda: self._offers.take_chunks(self._server, _frames(body)))

    async def _push(self, answer: Callable[[], Awaitable[T]]) -> T:
        fault = self._meet_fault()
        self._before(fault)
        try:
            reply = await answer()
            if fault == "twice":
                reply = await answer()
        except CrashedError as crash:
            raise self._hung_up(crash) from crash
        self._after(fault)
        return reply


async def _frames(body: bytes) -> AsyncIterator[list[Frame]]:
    yield Decoder().feed(body)
