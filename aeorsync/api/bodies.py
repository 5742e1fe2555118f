"""Long answers that are made piece by piece in threads, in bounded memory.

    files ── FileReader ──> a generator that blocks ── streamed() ──> the body of an answer

`FileReader` reads files; where a chunk is lost, its thread waits until a peer was asked for it.
`streamed` runs the generator about `BATCH` bytes at a time, each time in a thread.
"""

import asyncio
from collections.abc import AsyncGenerator, Generator, Iterator

from aeorsync.api.node import Node
from aeorsync.api.streams import BATCH, Pieces
from aeorsync.core.versions import Content
from aeorsync.runtime import bridge
from aeorsync.storage.content import LostChunkError

_RESCUE_S = 120


class FileReader:
    """Reads files for generators that run in threads; made in the event loop of the node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._loop = asyncio.get_running_loop()

    def read(self, content: Content, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The bytes of a file, in pieces of about `BATCH`. Blocking.

        Raises:
            LostChunkError: A chunk is damaged or missing, and no peer could give it.
        """
        repository = self._node.repository
        pieces = Pieces(lambda at: repository.read(content, at, stop), start)
        tried: frozenset[bytes] = frozenset()
        while True:
            try:
                batch = pieces.gather()
            except LostChunkError as error:
                if error.chunks <= tried or not self._rescue(error.chunks):
                    raise
                tried |= error.chunks
                continue
            if not batch:
                return
            yield batch

    def _rescue(self, chunks: frozenset[bytes]) -> bool:
        asked = asyncio.run_coroutine_threadsafe(self._node.member.rescue(chunks), self._loop)
        try:
            return asked.result(_RESCUE_S)
        except TimeoutError:
            asked.cancel()
            return False


async def streamed(made: Generator[bytes, None, None]) -> AsyncGenerator[bytes, None]:
    """What a blocking generator makes, about `BATCH` bytes a thread hop."""
    try:
        while batch := await bridge.run(_gather, made):
            yield batch
    finally:
        await bridge.run(made.close)


def _gather(made: Iterator[bytes]) -> bytes:
    pieces: list[bytes] = []
    size = 0
    for piece in made:
        pieces.append(piece)
        size += len(piece)
        if size >= BATCH:
            break
    return b"".join(pieces)
