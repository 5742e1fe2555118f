"""Large files on their way to the server: their chunks go first, their commit needs none.

    new      read ─ cut ─ hash ──> check ──> send          window 1
               read ─ cut ─ hash ──> check ──> send        window 2, while that one travels
    edited   what is missing is read where it was found, or made there of what it replaced

A new file is read once, whatever its size: what a window holds is kept until the server has it.
Memory: a few windows. The server makes durable what came when it is committed, and now and then
before: a crash there costs about `UNSYNCED` bytes of each file, which travel again.
"""

import os
from collections.abc import Iterable, Iterator
from typing import Final

from aeorsync.client.uploading import pack
from aeorsync.errors import StaleError
from aeorsync.folder.content import Cutting
from aeorsync.folder.facts import REFERENCE, Content, Place, name
from aeorsync.folder.plan import Give
from aeorsync.folder.reading import Holder, demand, read_some
from aeorsync.folder.recipes import Recipes, after, lacking
from aeorsync.folder.root import told
from aeorsync.folder.work import Gauge, Work
from aeorsync.runtime import bridge
from aeorsync.runtime.together import together
from aeorsync.wire.framing import Chunk
from aeorsync.wire.limits import MIB

IN_FLIGHT: Final = 3
WINDOW: Final = 4 * MIB
UNSYNCED: Final = 64 * MIB


async def send_fresh(work: Work, give: Give, gauge: Gauge) -> Content:
    """Read a file, and send what the server lacks of it.

    Raises:
        StaleError: The file is not what it was.
        AeorError: It cannot be read, or the server cannot be reached, or refuses.
    """
    reader = await bridge.run(_Reader, work, give)
    delivery = _Delivery(work)
    import asyncio  # noqa: PLC0415  # there by now, but not for whoever only packs chunks

    turn = asyncio.Lock()

    async def send() -> None:
        while True:
            async with turn:
                before = reader.size
                window = await bridge.run(reader.window)
                size = reader.size - before
            if not size:
                return
            if window:
                await _send_window(work, window, delivery)
            gauge.add(size=size)

    try:
        await together(*(send() for _ in range(IN_FLIGHT)))
        return await bridge.run(reader.end)
    finally:
        await bridge.run(reader.close)


async def _send_window(
    work: Work, window: "dict[bytes, memoryview | bytes]", delivery: "_Delivery"
) -> None:
    needed = await work.server.check(list(window))
    some = [(one, view) for one, view in window.items() if one in needed]
    window.clear()
    if some:
        await delivery.send(await bridge.run(_packed, some))


class _Reader:
    """A file being read, window by window. Blocking; for one thread at a time.

    Attributes:
        size: Bytes of the chunks so far.
    """

    def __init__(self, work: Work, give: Give) -> None:
        self.size = 0
        self._give = give
        self._met: set[bytes] = set()
        self._cut: list[bytes] = []
        with Holder(work.root) as held:
            folder = held.folder_of(give.path)
            with told(give.path):
                self._handle = folder.open(name(give.path))
        self._cutting = Cutting(self._handle)
        self._chunks = self._cutting.chunks()
        try:
            self._demand()
        except BaseException:
            self.close()
            raise

    def window(self) -> "dict[bytes, memoryview | bytes]":
        """The next chunks that nobody knows yet."""
        found: dict[bytes, memoryview | bytes] = {}
        kept = 0
        with told(self._give.path):
            for chunk, view in self._chunks:
                self._cut.append(REFERENCE.pack(chunk, len(view)))
                self.size += len(view)
                if chunk not in self._met:
                    self._met.add(chunk)
                    found[chunk] = view
                    kept += len(view)
                if kept >= WINDOW:
                    break
        return found

    def end(self) -> Content:
        """What was read, if it is still there as it was.

        Raises:
            StaleError: It is not.
        """
        content = Content(self._cutting.hash, self._cutting.size, b"".join(self._cut))
        self._demand()
        if content.size != self._give.here.size:
            raise StaleError("it changed while it was read; it is looked at again")
        return content

    def close(self) -> None:
        """Let go of the file."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _demand(self) -> None:
        with told(self._give.path):
            demand(self._handle, self._give.here)


async def send_file(
    work: Work,
    give: Give,
    gauge: Gauge | None = None,
    *,
    is_whole: bool = False,
    at_once: bool = False,
) -> None:
    """Send the chunks of a file that was read before and that the server lacks.

    Args:
        work: The pass.
        give: The file.
        gauge: Is told of what was sent, or was there already.
        is_whole: Send all of them, whatever the server says.
        at_once: Have them durable on return, for who does not send again what a commit misses.

    Raises:
        StaleError: The file is not what it was.
        AeorError: The server cannot be reached, or refuses.
    """
    first = {place.id: place for place in after(give)}
    needed = set(first) if is_whole else await lacking(work, [give])
    some = [place for name, place in first.items() if name in needed]
    windows = _windows(some)
    recipes, delivery = Recipes(work), _Delivery(work)

    async def send() -> None:
        for window in windows:
            chunks = await bridge.run(read_some, work.root, give, window)
            if not is_whole:
                chunks = await recipes.send([give], chunks)
            await delivery.send(chunks, at_once=is_whole or at_once)
            if gauge is not None:
                gauge.add(size=sum(place.size for place in window))

    if gauge is not None:
        gauge.add(size=give.here.size - sum(place.size for place in some))
    if some:
        await together(*(send() for _ in range(IN_FLIGHT)))


class _Delivery:
    """Chunks of one file on their way."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._unsynced = 0

    async def send(self, chunks: list[Chunk], *, at_once: bool = False) -> None:
        """Send some; they are durable ``at_once``, or when much is not."""
        size = sum(len(chunk.stored) for chunk in chunks)
        self._unsynced += size
        is_due = at_once or self._unsynced >= UNSYNCED
        if is_due:
            self._unsynced = 0
        await self._work.server.send_chunks(chunks, volatile=not is_due)
        self._work.tally.bytes_sent += size


def _packed(some: "Iterable[tuple[bytes, memoryview | bytes]]") -> list[Chunk]:
    return [pack(one, view) for one, view in some]


def _windows(some: Iterable[Place]) -> Iterator[list[Place]]:
    window: list[Place] = []
    size = 0
    for place in some:
        window.append(place)
        size += place.size
        if size >= WINDOW:
            yield window
            window, size = [], 0
    if window:
        yield window
