"""Calls for who keeps a copy of files: what changed, which chunks, many changes at once.

    diff -> seen -> chunks  take what changed there
    check -> send_chunks -> commit    bring what changed here

A chunk is named by `core.hashing.chunk_id`; whoever takes one checks that.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

import msgspec

from aeorsync.client.calling import LONG_S, Call, Caller, place
from aeorsync.core.hashing import parse_hash, parse_ids
from aeorsync.errors import UNREADABLE, BadRequestError, UnavailableError
from aeorsync.remote.asking import CALL_S, Request, Stream
from aeorsync.runtime.redact import redact
from aeorsync.wire import blobs, framing
from aeorsync.wire.deltas import WANTS_TYPE, Bases, Delta, encode_wants, parse_delta
from aeorsync.wire.framing import Chunk, Decoder, Frame, Kind, parse_chunk
from aeorsync.wire.limits import FRAME_COST, KIB, MIB
from aeorsync.wire.protocol import (
    FRAMES_TYPE,
    IDS_TYPE,
    DiffReply,
    DiffRequest,
    Held,
    SeenReply,
    SeenRequest,
)
from aeorsync.wire.recipes import RecipesReply, encode_recipe, parse_parts

MAX_CHECKED: Final = 8_192
"""Hashes in one `check`."""
PACKED_FROM: Final = 64
"""From so many on chunks are named by raw ids, where the server takes them."""
MAX_ASKED: Final = 2_000
"""Versions in one `seen`."""
MAX_SENT: Final = 8 * MIB
"""Bytes of chunks in one body, about."""
_LARGE: Final = MIB
"""Bytes from which on a body is sent piece by piece."""
_LUMP: Final = 16 * KIB
"""Bytes of a piece that is not put together with others."""
_HEADER: Final = framing.encode(Kind.HEADER, b"\x80")
_END: Final = framing.encode(Kind.END, b"\x80")


class SyncCalls(Caller):
    """What a folder client needs."""

    _deltas: bool | None = None
    _packed: bool | None = None

    async def blob_config(self) -> blobs.ConfigReply:
        """How chunks are named and how long they may be."""
        return await self._ask(Call(method="GET", path="/blobs/config"), blobs.ConfigReply)

    async def knows_deltas(self) -> bool:
        """Whether the server makes chunks of others; asked once."""
        if self._deltas is None:
            await self._learn()
        return bool(self._deltas)

    async def _knows_packed(self) -> bool:
        """Whether the server takes chunks by raw ids; asked once."""
        if self._packed is None:
            await self._learn()
        return bool(self._packed)

    async def _learn(self) -> None:
        config = await self.blob_config()
        self._deltas, self._packed = config.deltas, config.packed

    async def diff(
        self,
        cursor: str | None = None,
        paths: Sequence[str] | None = None,
        *,
        packed: bool = False,
    ) -> DiffReply:
        """Ask for one page of what changed.

        Args:
            cursor: ``root_hash`` of the page before; None for all there is. Keep it only when
                all that the page tells has been applied.
            paths: Globs of what to tell; None for everything.
            packed: Tell the chunks of files as ``chunk_ids``, joined, where the server knows how.

        Returns:
            The page. Ask again at once while its ``more`` is true; ``full`` says that it is part
            of a listing, also when ``cursor`` was not known any more. Its ``chunk_hashes_needed``
            is empty: each file names its own.
        """
        globs = tuple(paths) if paths else None
        # Each file names its chunks; all of them once more are of no use.
        asked = DiffRequest(
            since_root_hash=cursor, paths=globs, include_needed=False, packed=packed
        )
        call = Call(
            method="POST", path="/sync/diff", body=asked, may_repeat=True, deadline_s=LONG_S
        )
        return await self._ask(call, DiffReply)

    async def seen(self, versions: Mapping[str, Held]) -> SeenReply:
        """Ask what became of some versions.

        Args:
            versions: What is held, by its path there; all were given out by this cluster.
        """
        stands: list[str] = []
        past: list[str] = []
        some = list(versions.items())
        for at in range(0, len(some), MAX_ASKED):
            asked = SeenRequest(dict(some[at : at + MAX_ASKED]))
            call = Call(method="POST", path="/sync/seen", body=asked, may_repeat=True)
            reply = await self._ask(call, SeenReply)
            stands += reply.stands
            past += reply.past
        return SeenReply(stands, past)

    async def check(self, hashes: Sequence[bytes]) -> set[bytes]:
        """Return which of some chunks have to be sent; the others stay there for a day."""
        needed: set[bytes] = set()
        distinct = list(dict.fromkeys(hashes))
        for at in range(0, len(distinct), MAX_CHECKED):
            needed.update(await self._check(distinct[at : at + MAX_CHECKED]))
        if not needed <= set(distinct):
            raise BadRequestError(f"{self.address} asks for chunks that nobody named")
        return needed

    async def _check(self, names: list[bytes]) -> list[bytes]:
        if len(names) >= PACKED_FROM and await self._knows_packed():
            fields = {"Content-Type": IDS_TYPE, "Accept": IDS_TYPE}
            request = Request("POST", "/blobs/check", b"".join(names), fields, may_repeat=True)
            return parse_ids(await self._send(request, CALL_S))
        asked = blobs.CheckRequest([name.hex() for name in names])
        call = Call(method="POST", path="/blobs/check", body=asked, may_repeat=True)
        return [parse_hash(text) for text in (await self._ask(call, blobs.CheckReply)).needed]

    async def send_chunks(self, chunks: Sequence[Chunk], *, volatile: bool = False) -> None:
        """Store chunks; they are durable when this returns, and stay for a day.

        Args:
            chunks: Any number.
            volatile: They need not be durable before they are committed: if the server crashes
                before that, they have to be sent again.
        """
        path = "/blobs/chunks" + "?volatile=true" * volatile
        for batch in _batches(chunks):
            await self._send(self._framed(path, _HEADER, *_frames(batch)), LONG_S)

    async def parts(self, ids: Sequence[bytes]) -> dict[bytes, bytes]:
        """What chunks are made of, by id; those that are not there, or not for us, are left out.

        Args:
            ids: At most `wire.recipes.MAX_DESCRIBED`. Ask only who knows deltas.
        """
        fields = {"Content-Type": IDS_TYPE, "Accept": FRAMES_TYPE, "Accept-Encoding": "zstd"}
        decoder = Decoder()
        found: dict[bytes, bytes] = {}
        request = Request("POST", "/blobs/parts", b"".join(ids), fields)
        async with self._connection.exchange(request) as answer:
            self._was_there = True
            async for piece in answer.pieces:
                frames = decoder.feed(piece)
                found.update(parse_parts(f.payload) for f in frames if f.kind is Kind.PARTS)
        decoder.finish()
        return found

    async def send_recipes(self, recipes: Sequence[Delta]) -> set[bytes]:
        """Have chunks made there; returns which have to be sent whole.

        The others are durable when this returns, and stay for a day.
        """
        framed = self._framed("/blobs/recipes", _HEADER, *map(encode_recipe, recipes))
        answer = await self._send(framed, LONG_S)
        try:
            reply = msgspec.json.decode(answer, type=RecipesReply)
        except UNREADABLE as error:
            raise BadRequestError(f"{self.address} sent a broken answer: {error}") from error
        return set(map(parse_hash, reply.refused))

    async def commit(
        self, request: blobs.CommitRequest, chunks: Sequence[Chunk] = ()
    ) -> blobs.CommitReply:
        """Make many changes that all happen or do not.

        Args:
            request: The changes; their chunks are there (`send_chunks`) or come along.
            chunks: Chunks to bring along; best not much over `MAX_SENT` bytes.

        Raises:
            AeorError: Nothing was changed. Where it is about one of the paths, the error's
                ``path`` names it: leave that one out, and the rest may go.
        """
        longest = max((len(file.chunks) for file in request.files), default=0)
        is_packed = longest >= PACKED_FROM and await self._knows_packed()
        if is_packed:
            request = msgspec.structs.replace(request, files=list(map(_pack, request.files)))
        if not (chunks or is_packed):
            call = Call(
                method="POST",
                path="/blobs/commit",
                body=request,
                may_repeat=True,
                deadline_s=LONG_S,
            )
            return await self._ask(call, blobs.CommitReply)
        header = framing.encode(Kind.HEADER, msgspec.msgpack.encode(request))
        framed = self._framed("/blobs/commit", header, *_frames(chunks), may_repeat=not chunks)
        answer = await self._send(framed, LONG_S)
        try:
            return msgspec.json.decode(answer, type=blobs.CommitReply)
        except UNREADABLE as error:
            raise BadRequestError(f"{self.address} sent a broken answer: {error}") from error

    async def committed(self, op: str) -> blobs.CommitReply:
        """Ask what became of a commit whose answer was not heard.

        Args:
            op: The name that `CommitRequest.op` gave it.

        Raises:
            NotFoundError: The server does not remember it: it never came, or was long ago.
        """
        call = Call(method="GET", path=place("/blobs/commits", op))
        return await self._ask(call, blobs.CommitReply)

    async def chunks(
        self, ids: Sequence[bytes], bases: Bases | None = None
    ) -> AsyncGenerator[Chunk | Delta, None]:
        """Fetch chunks as they come; close the iterator to stop.

        Each comes once. Those the server does not have, or does not give to this key, are left
        out. What comes is not checked against its name yet.

        Args:
            ids: Which.
            bases: What is at hand and probably alike, by id: those may come as deltas against
                that, if the server knows deltas.

        Raises:
            UnavailableError: The answer broke off; what came before is whole.
        """
        wanted = set(ids)
        names = list(dict.fromkeys(ids))
        kind, body = IDS_TYPE, b"".join(names)
        if bases and await self.knows_deltas():
            kind, body = WANTS_TYPE, encode_wants(names, bases)
        fields = {"Content-Type": kind, "Accept": FRAMES_TYPE, "Accept-Encoding": "zstd"}
        request = Request("POST", "/sync/chunks", body, fields)
        decoder = Decoder()
        async with self._connection.exchange(request) as answer:
            self._was_there = True
            async for piece in answer.pieces:
                for frame in decoder.feed(piece):
                    chunk = self._chunk(frame)
                    if chunk is None:
                        continue
                    if chunk.id not in wanted:
                        raise BadRequestError(f"{self.address} sent a chunk nobody asked for")
                    wanted.discard(chunk.id)
                    yield chunk
        decoder.finish()

    def _framed(self, path: str, *pieces: bytes | memoryview, may_repeat: bool = False) -> Request:
        fields = {"Content-Type": FRAMES_TYPE, "Accept": "application/json"}
        body: bytes | Stream
        if (size := sum(map(len, pieces)) + len(_END)) < _LARGE:
            body = b"".join((*pieces, _END))
        else:
            # Put together, each byte would be copied once more, into memory that is new.
            fields["Content-Length"] = str(size)
            body = partial(_each, list(_lumps((*pieces, _END))))
        return Request("POST", path, body, fields, may_repeat=may_repeat, idle_s=LONG_S)

    def _chunk(self, frame: Frame) -> Chunk | Delta | None:
        if frame.kind is Kind.ERROR:
            raise UnavailableError(f"{self.address} gave up half-way: {_reason(frame.payload)}")
        if frame.kind is Kind.DELTA:
            return parse_delta(frame.payload)
        return parse_chunk(frame.payload) if frame.kind is Kind.CHUNK else None


class _Failure(msgspec.Struct, frozen=True):
    """Payload of an ERROR frame."""

    error: str = ""


def _reason(payload: bytes) -> str:
    try:
        return redact(msgspec.msgpack.decode(payload, type=_Failure).error) or "no reason"
    except UNREADABLE:
        return "no reason"


def _pack(file: blobs.CommitFile) -> blobs.CommitFile:
    ids = b"".join(map(bytes.fromhex, file.chunks))
    return msgspec.structs.replace(file, chunks=[], chunk_ids=ids)


def _frames(chunks: Sequence[Chunk]) -> Iterator[bytes | memoryview]:
    for chunk in chunks:
        yield framing.encode_chunk_head(chunk.id, chunk.codec, chunk.size, len(chunk.stored))
        yield chunk.stored


def _lumps(pieces: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    """The same bytes in pieces of some size: each is written by itself."""
    small = bytearray()
    for piece in pieces:
        if len(piece) < _LUMP:
            small += piece
        if small and (len(small) >= _LUMP or len(piece) >= _LUMP):
            yield bytes(small)
            small.clear()
        if len(piece) >= _LUMP:
            yield piece
    if small:
        yield bytes(small)


async def _each(pieces: Sequence[bytes | memoryview]) -> AsyncIterator[bytes | memoryview]:
    for piece in pieces:
        yield piece


def _batches(chunks: Sequence[Chunk]) -> Iterator[list[Chunk]]:
    batch: list[Chunk] = []
    size = 0
    for chunk in chunks:
        batch.append(chunk)
        size += len(chunk.stored) + FRAME_COST
        if size >= MAX_SENT:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
