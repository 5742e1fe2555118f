"""Bytes of a file on their way out, in bounded memory.

One batch is read while the one before is being sent. What was announced is sent whole or the
connection is broken off: a damaged chunk never becomes a short or padded file.
"""

import asyncio
from collections.abc import Iterator

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from aeorsync.runtime import bridge
from aeorsync.wire.limits import MIB

BATCH = MIB
"""Bytes read and sent at a time, at least."""

Pieces = Iterator[bytes | memoryview]


def gather(pieces: Pieces) -> bytes:
    """The next batch; empty at the end. Blocking.

    Raises:
        CorruptError: A chunk is missing or damaged.
    """
    batch: list[bytes | memoryview] = []
    size = 0
    for piece in pieces:
        batch.append(piece)
        size += len(piece)
        if size >= BATCH:
            break
    return b"".join(batch)


class FileResponse(Response):
    """A file, or a range of one.

    Args:
        status: Of the answer.
        headers: Fields, Content-Length included.
        first: The first batch.
        pieces: What follows; None when that was all.
    """

    def __init__(
        self,
        status: int,
        headers: list[tuple[bytes, bytes]],
        first: bytes = b"",
        pieces: Pieces | None = None,
    ) -> None:
        self.status_code = status
        self.raw_headers = headers
        self.background = None
        self._first = first
        self._pieces = pieces

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; see `Response`.

        Raises:
            CorruptError: A chunk is missing or damaged; what was sent is less than announced.
        """
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        if self._pieces is None:
            await send({"type": "http.response.body", "body": self._first})
            return
        # A server that has lost its client swallows what it is sent, so somebody has to listen.
        gone = asyncio.create_task(_until_gone(receive))
        try:
            await self._send_all(self._pieces, gone, send)
        finally:
            gone.cancel()

    async def _send_all(self, pieces: Pieces, gone: "asyncio.Task[None]", send: Send) -> None:
        batch = self._first
        while batch and not gone.done():
            following = asyncio.create_task(bridge.run(gather, pieces))
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
