"""A long file on its way: cut, asked about, sent; several batches at a time.

    read and cut ──> check ──> send        batch 1
       read and cut ──> check ──> send     batch 2     at most `AHEAD` at a time

Memory: a few batches of `BATCH` bytes and the names of the chunks, whatever the size.
"""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from aeorsync.core.chunking import Chunker
from aeorsync.core.hashing import chunk_id, hasher
from aeorsync.runtime import bridge
from aeorsync.runtime.squeeze import expand, squeeze
from aeorsync.runtime.together import together
from aeorsync.wire.framing import Chunk, Codec
from aeorsync.wire.limits import MIB

BATCH: Final = 4 * MIB
AHEAD: Final = 4
_PIECE: Final = MIB


class Taker(Protocol):
    """Who takes chunks."""

    async def check(self, hashes: Sequence[bytes]) -> set[bytes]:
        """Which of them have to be sent."""

    async def send_chunks(self, chunks: Sequence[Chunk]) -> None:
        """Store them."""


class Cutter:
    """Cuts what it reads into batches of chunks. Blocking; for one thread at a time.

    Attributes:
        names: Of all chunks so far, in file order.
        size: Bytes read so far.
    """

    def __init__(self, read: Callable[[int], bytes], head: bytes = b"") -> None:
        """Read nothing yet.

        Args:
            read: Returns so many bytes, none at the end.
            head: What was read already.
        """
        self._read = read
        self._head = head
        self._chunker = Chunker()
        self._hasher = hasher()
        self._is_done = False
        self.names: list[bytes] = []
        self.size = 0

    @property
    def content_hash(self) -> str:
        """BLAKE3 of what was read so far, hex."""
        return self._hasher.hexdigest()

    def batch(self) -> dict[bytes, bytes]:
        """The next chunks by their names, about `BATCH` bytes; none at the end."""
        found: dict[bytes, bytes] = {}
        size = 0
        while size < BATCH and not self._is_done:
            piece = self._head or self._read(_PIECE)
            self._head = b""
            self._hasher.update(piece)
            self.size += len(piece)
            if piece:
                cut = [bytes(view) for view in self._chunker.feed(piece)]
            else:
                cut = [last] if (last := self._chunker.finish()) else []
                self._is_done = True
            for chunk in cut:
                name = chunk_id(chunk)
                self.names.append(name)
                found[name] = chunk
                size += len(chunk)
        return found


class Upload:
    """One file being sent."""

    def __init__(
        self, taker: Taker, total: int | None, progress: Callable[[int, int | None], None] | None
    ) -> None:
        self._taker = taker
        self._total = total
        self._progress = progress
        self._done = 0

    async def send(self, cutter: Cutter) -> None:
        """Send all that a cutter cuts, and that is not there yet."""
        import asyncio  # noqa: PLC0415  # there by now, but not for whoever only packs chunks

        turn = asyncio.Lock()

        async def work() -> None:
            while True:
                async with turn:
                    before = cutter.size
                    batch = await bridge.run(cutter.batch)
                    size = cutter.size - before
                if not batch:
                    return
                await self._send(batch, size)

        await together(*(work() for _ in range(AHEAD)))

    async def _send(self, batch: dict[bytes, bytes], size: int) -> None:
        needed = await self._taker.check(list(batch))
        chunks = await bridge.run(_squeezed, [(n, batch[n]) for n in batch if n in needed])
        await self._taker.send_chunks(chunks)
        self._done += size
        if self._progress is not None:
            self._progress(self._done, self._total)


def _squeezed(chunks: Sequence[tuple[bytes, bytes]]) -> list[Chunk]:
    return [pack(name, plain) for name, plain in chunks]


def pack(name: bytes, plain: bytes | memoryview) -> Chunk:
    """A chunk as it is sent: compressed where that pays."""
    small = squeeze(plain)
    if small is None:
        return Chunk(name, Codec.RAW, len(plain), plain)
    return Chunk(name, Codec.ZSTD, len(plain), small)


def plain_of(chunk: Chunk) -> bytes:
    """The bytes of a chunk that was packed here."""
    return bytes(chunk.stored) if chunk.codec is Codec.RAW else expand(chunk.stored, chunk.size)
