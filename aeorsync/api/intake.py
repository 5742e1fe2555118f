"""Chunks that a client sends in frames: checked and stored while the next ones arrive.

What came before a body broke off is kept, so that whoever sends it again need not begin anew.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from starlette.requests import ClientDisconnect

from aeorsync.api.budget import Share
from aeorsync.api.endpoint import Call
from aeorsync.core.hashing import chunk_id
from aeorsync.errors import AeorError, BadRequestError, CorruptError
from aeorsync.runtime import bridge
from aeorsync.storage.base import StoredChunk
from aeorsync.storage.composing import Taken
from aeorsync.wire.framing import HEAD_SIZE, Decoder, Frame, Kind, parse_chunk
from aeorsync.wire.limits import FRAME_COST, KIB, MAX_CHUNK, MIB

CHUNK_FRAME: Final = MAX_CHUNK + KIB
_GROUP: Final = 2 * MIB
"""Bytes stored at a time, at least, while there are more."""
_NAME_COST: Final = 128
"""Bytes that each chunk counts for to the end of its request, which remembers its name."""

Heard = Callable[[Sequence[StoredChunk], Taken], None]
"""Told of chunks that were stored, in a thread, one call at a time."""


class Intake:
    """The chunks of one request; use it in an ``async with`` block.

    Attributes:
        created: Chunks that were not here before.
        exists: Chunks that were, or came twice.
    """

    def __init__(
        self, call: Call, share: Share, heard: Heard | None = None, *, flushes: bool = True
    ) -> None:
        """Begin.

        Args:
            call: Whose chunks.
            share: What the request may hold in memory.
            heard: Told of all that is stored.
            flushes: Whether they are to be durable at the end of the block; else with the next
                commit.
        """
        self._call = call
        self._repository = call.node.repository
        self._share = share
        self._heard = heard
        self._flushes = flushes
        self._names: list[bytes] = []
        self._waiting: list[StoredChunk] = []
        self._size = 0
        self._storing: asyncio.Task[None] | None = None
        self._storing_size = 0
        self.created = 0
        self.exists = 0

    async def take(self, frames: Sequence[Frame]) -> None:
        """Take frames in, which may be chunks and the end.

        Raises:
            BadRequestError: Another frame is among them, or a chunk does not match its name.
            OverloadedError: There is no memory for them.
        """
        size = FRAME_COST * len(frames)
        for frame in frames:
            size += len(frame.payload)
        self._share.take(size + _NAME_COST * len(frames))
        self._size += size
        for kind, payload in frames:
            if kind is Kind.CHUNK:
                self._waiting.append(StoredChunk(*parse_chunk(payload)))
            elif kind is not Kind.END:
                raise BadRequestError("a frame does not belong among chunks")
        if self._size >= _GROUP:
            await self._store()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if kind is None:
            try:
                await self._store()
                await self._settle()
            except AeorError:
                await self._keep()
                raise
            await self._note_all()
        elif issubclass(kind, AeorError):
            await self._keep()
        elif self._storing is not None:
            await asyncio.gather(self._storing, return_exceptions=True)

    async def _keep(self) -> None:
        """Keep what arrived whole before something went wrong."""
        for step in (self._settle, self._store, self._settle, self._note_all):
            with suppress(AeorError):
                await step()

    async def _note_all(self) -> None:
        """Make them durable, and note who brought them."""
        if self._flushes:
            await bridge.run(self._repository.flush)
        caller = self._call.caller
        before = await self._call.node.grants.note(caller.owner, caller.access, self._names)
        if not caller.access.is_everything:
            # What others brought is not theirs to know of.
            self.created = len(set(self._names)) - len(before)
            self.exists = len(self._names) - self.created

    async def _store(self) -> None:
        await self._settle()
        group, self._waiting = self._waiting, []
        self._storing_size, self._size = self._size, 0
        if group:
            self._storing = asyncio.create_task(bridge.run(self._store_group, group))

    async def _settle(self) -> None:
        """Wait for what is being stored."""
        storing, self._storing = self._storing, None
        if storing is not None:
            try:
                await storing
            finally:
                self._share.give(self._storing_size)

    def _store_group(self, group: list[StoredChunk]) -> None:
        try:
            self._note(group, self._repository.take_in(group))
        except CorruptError:
            for chunk in group:
                self._store_one(chunk)

    def _store_one(self, chunk: StoredChunk) -> None:
        try:
            self._note([chunk], self._repository.take_in([chunk]))
        except CorruptError as error:
            raise mismatch(chunk, error) from error

    def _note(self, chunks: Sequence[StoredChunk], taken: Taken) -> None:
        self.created += taken.created
        self.exists += len(chunks) - taken.created
        self._names += [chunk.id for chunk in chunks]
        if self._heard is not None:
            self._heard(chunks, taken)


def mismatch(chunk: StoredChunk, error: CorruptError) -> BadRequestError:
    """The error for a chunk that does not match its name."""
    refusal = BadRequestError(f"{error.message}; it was not stored")
    refusal.details["expected"] = chunk.id.hex()
    if not chunk.codec:
        refusal.details["got"] = chunk_id(chunk.data).hex()
    return refusal


async def read_frames(call: Call, share: Share, max_frame: int) -> AsyncIterator[list[Frame]]:
    """The frames of a request body, as they arrive.

    Raises:
        BadRequestError: They break a rule of `wire.framing`, or were cut off.
        OverloadedError: There is no memory for an unfinished one.
    """
    decoder = Decoder(max_frame)
    unfinished = 0
    try:
        async for piece in call.request.stream():
            share.take(len(piece))
            unfinished += len(piece)
            frames = decoder.feed(piece)
            if frames:
                whole = sum(HEAD_SIZE + len(frame.payload) for frame in frames)
                unfinished -= whole
                share.give(whole)
                yield frames
    except ClientDisconnect as error:
        raise BadRequestError("the body was cut off") from error
    decoder.finish()
    share.give(unfinished)


async def read_bytes(call: Call, share: Share, limit: int) -> bytes:
    """The whole body of a request.

    Raises:
        BadRequestError: It was cut off.
        OverloadedError: There is no memory for it.
        TooLargeError: It is over the limit.
    """
    return await call.bytes(limit, share.take)
