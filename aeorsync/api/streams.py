"""Bytes of a file on their way out, in bounded memory.

One batch is read while the one before is being sent. What was announced is sent whole or the
connection is broken off: a damaged chunk never becomes a short or padded file. It is fetched from
a peer while the reader waits, where one has it.
"""

import asyncio
from collections.abc import Callable, Iterator

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from aeorsync.api.node import Node
from aeorsync.api.rescue import rescued
from aeorsync.storage.content import LostChunkError
from aeorsync.wire.limits import MIB

BATCH = MIB
"""Bytes read and sent at a time, at least."""
SMALL_BATCH = MIB // 8
"""The same, where memory is short."""
COPIES = 6
"""Batches at a time: chunks being read and put together, one being sent, one in the socket."""

Read = Callable[[int], Iterator[bytes | memoryview]]
"""Reads a file from an offset on."""


class Pieces:
    """The bytes of a file from some offset on, in order; may be asked again after an error."""

    def __init__(self, read: Read, start: int, batch: int = BATCH) -> None:
        """Begin at an offset.

        Args:
            read: Reads the file from any offset on to where it is to end.
            start: The offset, in bytes.
            batch: Bytes of a batch, at least.
        """
        self._read = read
        self._batch = batch
        self._at = start
        self._rest: Iterator[bytes | memoryview] | None = None

    def gather(self) -> bytes:
        """The next batch; empty at the end. Blocking.

        Raises:
            LostChunkError: The very next chunk is missing or damaged. Once it is here again, the
                next call goes on where the one before ended.
            CorruptError: The file cannot be read.
        """
        batch: list[bytes | memoryview] = []
        size = 0
        if self._rest is None:
            self._rest = self._read(self._at)
        try:
            for piece in self._rest:
                batch.append(piece)
                size += len(piece)
                if size >= self._batch:
                    break
        except LostChunkError:
            # What came before it is right. The error comes again if there is no way past it.
            self._rest = None
            if not batch:
                raise
        self._at += size
        return b"".join(batch)


class FileResponse(Response):
    """A file, or a range of one.

    Args:
        status: Of the answer.
        headers: Fields, Content-Length included.
        first: The first batch.
        pieces: What follows; None when that was all.
        node: Whose peers help when a chunk is lost; not needed without ``pieces``.
    """

    def __init__(
        self,
        status: int,
        headers: list[tuple[bytes, bytes]],
        first: bytes = b"",
        pieces: Pieces | None = None,
        node: Node | None = None,
    ) -> None:
        self.status_code = status
        self.raw_headers = headers
        self.background = None
        self._first = first
        self._pieces = pieces
        self._node = node

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; see `Response`.

        Raises:
            CorruptError: A chunk is missing or damaged, and no peer has it; what was sent is
                less than announced.
        """
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        if self._pieces is None or self._node is None:
            await send({"type": "http.response.body", "body": self._first})
            return
        # A server that has lost its client swallows what it is sent, so somebody has to listen.
        gone = asyncio.create_task(_until_gone(receive))
        try:
            await self._send_all(self._node, self._pieces, gone, send)
        finally:
            gone.cancel()

    async def _send_all(
        self, node: Node, pieces: Pieces, gone: "asyncio.Task[None]", send: Send
    ) -> None:
        batch = self._first
        while batch and not gone.done():
            following = asyncio.create_task(rescued(node, pieces.gather))
            try:
                await send({"type": "http.response.body", "body": batch, "more_body": True})
                batch = await following
            finally:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)
        await send({"type": "http.response.body", "body": b""})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
