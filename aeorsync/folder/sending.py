"""Large files on their way to the server: their chunks go first, their commit needs none.

    not read yet   read ─ cut ─ hash ──> check ──> send     window 1
                     read ─ cut ─ hash ──> check ──> send   window 2, while that one travels
    known          check, then what is missing is read where it was found

A file is read once, whatever its size: what a window holds is kept until the server has it. Of a
file that was edited, chunks of what was agreed on are hoped to be there still: nothing of them is
kept, and the server is asked about all of them in the end. Memory: a few windows.
"""

import asyncio
import os
from collections.abc import Iterable, Iterator
from typing import Final

from aeorsync.client.uploading import pack
from aeorsync.errors import StaleError
from aeorsync.folder.content import Cutting
from aeorsync.folder.facts import REFERENCE, Content, Place, name, places
from aeorsync.folder.plan import Give
from aeorsync.folder.reading import Holder, demand, read_some
from aeorsync.folder.root import told
from aeorsync.folder.work import Gauge, Work
from aeorsync.runtime import bridge
from aeorsync.runtime.together import together
from aeorsync.wire.framing import Chunk
from aeorsync.wire.limits import MIB

IN_FLIGHT: Final = 3
WINDOW: Final = 4 * MIB
_STRIDE: Final = 64 * MIB
"""So much is read for one window at most, where the server has nearly all of it."""


async def send_fresh(work: Work, give: Give, gauge: Gauge) -> Give:
    """Read a file, and send what the server lacks of it.

    Returns:
        The same with its content.

    Raises:
        StaleError: The file is not what it was.
        AeorError: It cannot be read, or the server cannot be reached, or refuses.
    """
    return await _Sending(work, give, gauge).run()


class _Sending:
    def __init__(self, work: Work, give: Give, gauge: Gauge) -> None:
        self._work = work
        self._give = give
        self._gauge = gauge
        chunks = b"" if give.was is None else give.was.chunks
        self._known = {place.id for place in places(chunks)}
        self._hoped: set[bytes] = set()
        self._is_all_needed = True
        self._turn = asyncio.Lock()

    async def run(self) -> Give:
        reader = await bridge.run(_Reader, self._work, self._give, self._known)
        try:
            await together(*(self._send(reader) for _ in range(IN_FLIGHT)))
            content = await bridge.run(reader.end)
        finally:
            await bridge.run(reader.close)
        give = self._give._replace(content=content, is_unread=False)
        await self._send_hoped(give, reader.hoped)
        return give

    async def _send(self, reader: "_Reader") -> None:
        while True:
            async with self._turn:
                before = reader.size
                window = await bridge.run(reader.window)
                size = reader.size - before
            if not size:
                return
            if window:
                await self._send_window(window)
            self._gauge.add(size=size)

    async def _send_window(self, window: "dict[bytes, memoryview | bytes]") -> None:
        needed = await self._work.server.check(list(window))
        self._is_all_needed &= needed == window.keys()
        some = [(one, view) for one, view in window.items() if one in needed]
        window.clear()
        if some:
            await _deliver(self._work, await bridge.run(_packed, some))

    async def _send_hoped(self, give: Give, hoped: set[bytes]) -> None:
        """See to it that the server has what it had before."""
        needed = await self._work.server.check(sorted(hoped)) if hoped else set()
        if needed == hoped and self._is_all_needed:
            # Who may not learn what the server has may refer to what they had before.
            return
        if needed:
            first = {place.id: place for place in places_of(give) if place.id in needed}
            await _send_places(self._work, give, list(first.values()), None)


class _Reader:
    """A file being read, window by window. Blocking; for one thread at a time.

    Attributes:
        hoped: Chunks that were met and are known from before.
        size: Bytes of the chunks so far.
    """

    def __init__(self, work: Work, give: Give, known: set[bytes]) -> None:
        self.hoped: set[bytes] = set()
        self.size = 0
        self._give = give
        self._known = known
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
        kept, start = 0, self.size
        with told(self._give.path):
            for chunk, view in self._chunks:
                self._cut.append(REFERENCE.pack(chunk, len(view)))
                self.size += len(view)
                if chunk in self._known:
                    self.hoped.add(chunk)
                elif chunk not in self._met:
                    self._met.add(chunk)
                    found[chunk] = view
                    kept += len(view)
                if kept >= WINDOW or self.size - start >= _STRIDE:
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
    work: Work, give: Give, gauge: Gauge | None = None, *, is_whole: bool = False
) -> None:
    """Send the chunks of a file that was read before and that the server lacks.

    Args:
        work: The pass.
        give: The file.
        gauge: Is told of what was sent, or was there already.
        is_whole: Send all of them, whatever the server says.

    Raises:
        StaleError: The file is not what it was.
        AeorError: The server cannot be reached, or refuses.
    """
    first = {place.id: place for place in places_of(give)}
    names = set(first)
    needed = names if is_whole else await work.server.check(sorted(names))
    if needed == names and give.was is not None and not is_whole:
        # Who may not learn what the server has may refer to what they had before.
        needed = names - {place.id for place in places(give.was.chunks)}
    some = [place for name, place in first.items() if name in needed]
    if gauge is not None:
        gauge.add(size=give.here.size - sum(place.size for place in some))
    if some:
        await _send_places(work, give, some, gauge)


async def _send_places(work: Work, give: Give, some: list[Place], gauge: Gauge | None) -> None:
    windows = _windows(some)

    async def send() -> None:
        for window in windows:
            await _deliver(work, await bridge.run(read_some, work.root, give, window))
            if gauge is not None:
                gauge.add(size=sum(place.size for place in window))

    await together(*(send() for _ in range(IN_FLIGHT)))


async def _deliver(work: Work, chunks: list[Chunk]) -> None:
    await work.server.send_chunks(chunks)
    work.tally.bytes_sent += sum(len(chunk.stored) for chunk in chunks)


def places_of(give: Give) -> Iterator[Place]:
    """The chunks of a file that was read."""
    return places(give.content.chunks if give.content is not None else b"")


def _packed(some: "Iterable[tuple[bytes, memoryview | bytes]]") -> list[Chunk]:
    return [pack(one, bytes(view)) for one, view in some]


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
