"""Files of the server, written into the folder. Blocking.

Bytes first, under names of ours; then they are made durable, many files at a time; then each takes
its place, if what is there is what was expected; then the names are made durable. Where many
batches follow each other, the bytes of one and the names of the one before become durable at once
(`pull`).
"""

import os
from collections.abc import Sequence
from functools import partial

from aeorsync.core.hashing import content_hash
from aeorsync.core.versions import Kind
from aeorsync.errors import CorruptError, StaleError
from aeorsync.folder import facts
from aeorsync.folder.fetching import Larder, Pantry, chunk_ids
from aeorsync.folder.held import HeldFolder
from aeorsync.folder.placing import FEW, Done, Folders, Placer
from aeorsync.folder.plan import Take
from aeorsync.folder.root import told
from aeorsync.folder.staging import Staged
from aeorsync.folder.work import Work
from aeorsync.wire.framing import Chunk


class LackingError(StaleError):
    """A chunk that should be at hand is not."""


class Ready:
    """A file under a name of ours, complete."""

    def __init__(self, take: Take, file: Staged, chunks: bytes) -> None:
        self.take = take
        self.file = file
        self.chunks = chunks

    @property
    def path(self) -> str:
        """Where it goes."""
        return self.take.path


def write(
    work: Work, placer: Placer, takes: Sequence[Take], chunks: Sequence[Chunk], at_home: Larder
) -> Done:
    """Write files from chunks that are at hand, and put them in their places, durably."""
    writing = Writing(work, placer, takes)
    try:
        writing.stage(chunks, at_home)
        if not writing.are_few:
            work.root.sync()
        writing.place()
        writing.sync_names()
    finally:
        writing.close()
    return writing.done


class Writing:
    """A batch of files on its way into the folder. For one thread at a time.

    Attributes:
        takes: The files.
        are_few: Whether each is made durable by itself; else the caller does that with all of
            them, between `stage` and `place`, and again before anything is written down.
        done: What came of it so far.
    """

    def __init__(self, work: Work, placer: Placer, takes: Sequence[Take]) -> None:
        """Prepare; `close` it."""
        self.takes = takes
        self.are_few = len(takes) <= FEW
        self.done = Done()
        self._root = work.root
        self._placer = placer
        self._folders = Folders(work.root)
        self._ready: list[Ready] = []

    def stage(self, chunks: Sequence[Chunk], at_home: Larder) -> None:
        """Write all that can be written, under names of ours."""
        with Pantry(self._root, chunks, at_home) as pantry:
            for take in self.takes:
                self._placer.attempt(take.path, partial(self._try, pantry), take)

    def place(self) -> None:
        """Give the files their places."""
        for ready in self._ready:
            self._placer.attempt(ready.path, self._place, ready)

    def sync_names(self) -> None:
        """Make what `place` did durable."""
        self._folders.sync()

    def close(self) -> None:
        """Delete what has no place, and let go of the folders."""
        for ready in self._ready:
            ready.file.close()
        self._ready.clear()
        self._folders.close()

    def _try(self, pantry: Pantry, take: Take) -> None:
        try:
            self._stage(take, pantry)
        except LackingError:
            self.done.lacking.append(take)

    def _stage(self, take: Take, pantry: Pantry) -> None:
        data, packed = assemble(take, pantry)
        folder = self._folders.of(take.path)
        with told(take.path):
            file = folder.stage()
            try:
                file.write(data)
                finish(folder, take, file)
                if self.are_few:
                    file.sync()
            except BaseException:
                file.close()
                raise
            let_go(file)
        self._ready.append(Ready(take, file, packed))

    def _place(self, ready: Ready) -> None:
        take = ready.take
        folder = self._folders.of(take.path)
        with told(take.path):
            expected = self._placer.make_room(folder, take)
            here = folder.place(ready.file, facts.name(take.path), expected)
        self.done.add(take.path, self._placer.agreed(here, take.told, ready.chunks))


def assemble(take: Take, pantry: Pantry) -> tuple[bytes, bytes]:
    """The bytes of a file, checked, and its packed chunk list.

    Raises:
        LackingError: A chunk is missing.
        CorruptError: The whole is not what the server says.
    """
    parts = []
    size = 0
    for wanted in chunk_ids(take.told.chunks):
        plain = pantry.get(wanted)
        if plain is None:
            raise LackingError("the server does not have all of it (any more)")
        size += len(plain)
        if size > take.told.size:
            raise CorruptError("the server names more chunks than the file has bytes")
        parts.append((wanted, plain))
    data = b"".join(plain for _, plain in parts)
    if content_hash(data) != take.told.content:
        raise CorruptError("the server sent something else than it says it is; it was not taken")
    return data, facts.pack((wanted, len(plain)) for wanted, plain in parts)


def finish(folder: HeldFolder, take: Take, file: Staged) -> None:
    """Set the times and the mode of a file that takes its place next."""
    mode = None
    if take.here is not None and take.here.kind is Kind.FILE:
        before = folder.stat(facts.name(take.path))
        mode = None if before is None else before.st_mode
    file.finish(take.told.mtime_ns, executable=take.told.executable, mode=mode)


def let_go(file: Staged) -> None:
    """Close a staged file that is complete; it keeps its name of ours."""
    os.close(file.handle)
    file.handle = -1
