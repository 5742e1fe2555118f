"""A large file of the server, straight into its temporary file, in order.

    windows of chunks  ->  a few are fetched ahead  ->  hashed, written, forgotten

Memory holds a few windows, whatever the size. What was written stays under its name of ours when
the download breaks off, and the ledger knows it: the next one cuts what is there into chunks
again, keeps those that are right, and goes on behind them.
"""

import asyncio
import os
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from blake3 import blake3

from aeorsync.core.chunking import Chunker
from aeorsync.core.hashing import chunk_id, hasher
from aeorsync.errors import AeorError, CorruptError, StaleError
from aeorsync.folder import facts, unsure
from aeorsync.folder.alike import Came, bases_of, fetch_alike
from aeorsync.folder.events import Why
from aeorsync.folder.facts import Agreed
from aeorsync.folder.fetching import Larder, Pantry, chunk_ids, fetch, larder
from aeorsync.folder.held import HeldFolder
from aeorsync.folder.ledger_rows import Part
from aeorsync.folder.placing import Done, Folders, Placer
from aeorsync.folder.plan import Take
from aeorsync.folder.root import DiskError, told
from aeorsync.folder.staging import Staged
from aeorsync.folder.work import Gauge, Work
from aeorsync.folder.writing import finish
from aeorsync.runtime import bridge, durable
from aeorsync.wire.framing import Chunk
from aeorsync.wire.limits import MIB

WINDOW: Final = 32
"""Chunks fetched with one request: about 4 MiB."""
AHEAD: Final = 3
_PIECE: Final = 4 * MIB


@dataclass(slots=True)
class _Writing:
    """A file that is being written; by one thread at a time.

    Attributes:
        file: Under a name of ours.
        whole: Hash of what was written.
        places: Ids and sizes of the chunks that were written.
    """

    file: Staged
    whole: blake3 = field(default_factory=hasher)
    places: list[tuple[bytes, int]] = field(default_factory=list)

    def take(self, wanted: list[bytes], pantry: Pantry, limit: int) -> int:
        """Append some chunks, and return their bytes; so many bytes may there be in all."""
        before = self.file.size
        for name in wanted:
            plain = pantry.get(name)
            if plain is None:
                raise CorruptError("the server does not have all of it (any more)")
            if self.file.size + len(plain) > limit:
                raise CorruptError("the server names more chunks than the file has bytes")
            self.whole.update(plain)
            self.file.write(plain)
            self.places.append((name, len(plain)))
        # So that making all of it durable in the end takes no longer than the last of it.
        durable.start_writing(self.file.handle, before, self.file.size - before)
        return self.file.size - before


async def take_large(work: Work, placer: Placer, take: Take, gauge: Gauge) -> Done:
    """Bring a large file here.

    Raises:
        AeorError: The server cannot be reached.
    """
    return await _Large(work, placer, take, gauge).run()


class _Large:
    def __init__(self, work: Work, placer: Placer, take: Take, gauge: Gauge) -> None:
        self._work = work
        self._placer = placer
        self._take = take
        self._gauge = gauge
        self._folders = Folders(work.root)
        self._at_home: Larder = {}
        self._name = facts.name(take.path)

    async def run(self) -> Done:
        done = Done()
        try:
            writing = await bridge.run(self._begin)
            try:
                await self._fill(writing)
                agreed = await bridge.run(self._end, writing)
                done.add(self._take.path, agreed)
            finally:
                await bridge.run(self._leave, writing)
        except StaleError:
            self._work.tally.again.add(self._take.path)
        except CorruptError as error:
            self._work.trouble(self._take.path, Why.MISSING_CONTENT, error.message)
        except DiskError as error:
            self._work.trouble(self._take.path, Why.DISK, error.message)
        finally:
            self._folders.close()
        return done

    async def _fill(self, writing: _Writing) -> None:
        ids = chunk_ids(self._take.told.chunks)[len(writing.places) :]
        windows = _windows(ids)
        bases = await bridge.run(bases_of, self._take, self._at_home)
        work, at_home = self._work, self._at_home
        flying: deque[tuple[list[bytes], asyncio.Task[Came]]] = deque()
        try:
            while True:
                while len(flying) < AHEAD and (window := next(windows, None)) is not None:
                    missing = [name for name in window if name not in at_home]
                    task = asyncio.create_task(
                        fetch_alike(work.server, work.root, missing, bases, at_home)
                    )
                    flying.append((window, task))
                if not flying:
                    return
                window, task = flying.popleft()
                chunks, received = await task
                gone = await self._not_at_home(window, chunks)
                size = await bridge.run(self._append, writing, window, chunks + gone)
                work.tally.bytes_received += received + sum(len(one.stored) for one in gone)
                self._gauge.add(size=size)
        finally:
            for _, task in flying:
                task.cancel()
            await asyncio.gather(*(task for _, task in flying), return_exceptions=True)

    async def _not_at_home(self, window: list[bytes], chunks: list[Chunk]) -> list[Chunk]:
        """Fetch what should be on the disk and is not."""
        fetched = {chunk.id for chunk in chunks}
        hoped = [name for name in window if name in self._at_home and name not in fetched]
        gone = await bridge.run(self._gone, hoped) if hoped else []
        return await fetch(self._work.server, gone)

    # In threads

    def _begin(self) -> _Writing:
        work, take = self._work, self._take
        self._at_home = larder(work.ledger, take)
        folder = self._folders.of(take.path)
        with told(take.path):
            found = next((part for part in work.ledger.parts() if part.path == take.path), None)
            if found is not None:
                resumed = self._resume(folder, found)
                if resumed is not None:
                    self._gauge.add(size=resumed.file.size)
                    return resumed
            file = folder.stage()
            try:
                work.ledger.begin_part(Part(take.path, file.name, take.told.content, b""))
            except BaseException:
                file.close()
                raise
            return _Writing(file)

    def _resume(self, folder: HeldFolder, part: Part) -> _Writing | None:
        """Go on with what an earlier download has written, as far as it is right."""
        file = folder.restage(part.temp)
        if file is None:
            return None
        try:
            file.size = 0
            writing = _Writing(file)
            if part.content == self._take.told.content:
                _recognise(writing, chunk_ids(self._take.told.chunks))
            os.ftruncate(file.handle, file.size)
            os.lseek(file.handle, file.size, os.SEEK_SET)
        except BaseException:
            file.close()
            raise
        return writing

    def _append(self, writing: _Writing, window: list[bytes], chunks: list[Chunk]) -> int:
        with Pantry(self._work.root, chunks, self._at_home) as pantry, told(self._take.path):
            return writing.take(window, pantry, self._take.told.size)

    def _gone(self, names: list[bytes]) -> list[bytes]:
        with Pantry(self._work.root, (), self._at_home) as pantry:
            return [name for name in names if pantry.get(name) is None]

    def _end(self, writing: _Writing) -> Agreed:
        take, file = self._take, writing.file
        if writing.whole.digest() != take.told.content:
            # Not to be gone on with: every chunk of it was right, and the whole is not.
            file.close()
            raise CorruptError("the server sent something else than it says it is")
        folder = self._folders.of(take.path)
        with told(take.path):
            finish(folder, take, file)
            file.sync()
            unsure.begin(self._work.ledger, [take])
            expected = self._placer.make_room(folder, take)
            here = folder.place(file, self._name, expected)
            self._folders.sync()
        return self._placer.agreed(here, take.told, facts.pack(iter(writing.places)))

    def _leave(self, writing: _Writing) -> None:
        """Close the file; what has no place yet stays for the next time."""
        file = writing.file
        if not file.name or file.handle < 0 or file.size == 0:
            file.close()
            with suppress(AeorError):
                self._work.ledger.end_part(self._take.path)
            return
        os.close(file.handle)
        file.handle = -1


def _windows(ids: list[bytes]) -> Iterator[list[bytes]]:
    for at in range(0, len(ids), WINDOW):
        yield ids[at : at + WINDOW]


def _recognise(writing: _Writing, ids: list[bytes]) -> None:
    """Find the chunks at the start of a file that was written in part."""
    chunker, expected = Chunker(), iter(ids)
    at = 0
    while data := os.pread(writing.file.handle, _PIECE, at):
        at += len(data)
        for chunk in chunker.feed(data):
            if chunk_id(chunk) != next(expected, None):
                return
            writing.whole.update(bytes(chunk))
            writing.places.append((chunk_id(chunk), len(chunk)))
            writing.file.size += len(chunk)
