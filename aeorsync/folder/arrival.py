"""A large file on its way into the folder: written piece by piece, resumed after a break.

What has arrived is kept under a name of ours in the folder where the file will be. Its name is in
the ledger (`Part`), so the next run finds it, reads it again and goes on after the last chunk that
is whole.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from aeorsync.core.hashing import chunk_id
from aeorsync.folder import facts
from aeorsync.folder.facts import Fingerprint, Place
from aeorsync.folder.held import HeldFolder
from aeorsync.folder.root import LostError, SafeRoot, told
from aeorsync.folder.staging import Staged


class Arrival:
    """A file that is being written. For one thread at a time; see `arriving`.

    Attributes:
        temp: Name of the temporary file, in the folder of the file.
        done: Chunks at its start that were there already.
        size: Bytes that are there.
    """

    def __init__(self, root: SafeRoot, folder: HeldFolder, path: str, staged: Staged) -> None:
        self._root = root
        self._folder = folder
        self._path = path
        self._staged = staged
        self.temp = staged.name
        self.done = 0

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return self._staged.size

    def resume(self, chunks: bytes) -> None:
        """Keep the chunks at the start that are whole, and nothing after them.

        Args:
            chunks: Packed list of all chunks of the file.

        Raises:
            DiskError: The disk refused.
        """
        with told(self._path):
            size = 0
            for place in facts.places(chunks):
                if not self._has(place):
                    break
                size += place.size
                self.done += 1
            os.ftruncate(self._staged.handle, size)
            os.lseek(self._staged.handle, size, os.SEEK_SET)
            self._staged.size = size

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append bytes.

        Raises:
            DiskError: The disk is full, or refused.
        """
        with told(self._path):
            self._staged.write(data)

    def finish(
        self, mtime_ns: int, expected: Fingerprint | None, *, executable: bool
    ) -> Fingerprint:
        """Put the file in its place, durably.

        Args:
            mtime_ns: When its content changed.
            expected: What is there; None for nothing.
            executable: Whether it may be run.

        Raises:
            ChangedError: Something else is there; it is kept.
            LostError: The folder is gone, or was moved.
            DiskError: The disk refused.
        """
        folder, name = self._folder, facts.name(self._path)
        with told(self._path):
            mode = folder.mode(name) if expected else None
            self._staged.finish(mtime_ns, executable=executable, mode=mode)
            self._staged.sync()
            self._root.check()
            if not self._root.leads_to(folder):
                shown = facts.printable(folder.path)
                raise LostError(f"{shown} was moved away; nothing was changed")
            placed = folder.place(self._staged, name, expected)
            folder.sync()
        return placed

    def keep(self) -> None:
        """Leave what has arrived where it is, for the next run."""
        self._staged.name = ""

    def _has(self, place: Place) -> bool:
        data = os.pread(self._staged.handle, place.size, place.start)
        return chunk_id(data) == place.id


@contextmanager
def arriving(root: SafeRoot, path: str, temp: str | None = None) -> Iterator[Arrival]:
    """Begin a file, or go on with one; what is neither finished nor kept is deleted.

    Args:
        root: The folder.
        path: Where the file will be.
        temp: Name of what an earlier run left; begun anew when it is not there.

    Raises:
        LostError: The folder it belongs in is not there.
        DiskError: The disk refused.
    """
    with root.folder(facts.parent(path)) as folder:
        with told(path):
            staged = (temp and folder.restage(temp)) or folder.stage()
        try:
            yield Arrival(root, folder, path, staged)
        finally:
            staged.close()
