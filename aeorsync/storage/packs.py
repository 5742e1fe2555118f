"""Pack files: append-only chunk bytes.

    pack     = magic (16 bytes) record*
    record   = chunk id (32) codec (u8) stored size (u32) plain size (u32) stored bytes

Integers are big-endian. Where a record lies is the index's business (`storage.embedded`); the
record's own header lets an index be rebuilt from the packs alone. A pack is appended to until it
is `SEAL_SIZE` long, then never written again.

A crash leaves at most bytes past the last indexed record. They are never appended to and never
cut off (an index restored from a backup would make that a loss): the next append starts a new
pack, and garbage collection takes the rest.
"""

import os
import struct
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec

from aeorsync.errors import CorruptError
from aeorsync.runtime.durable import sync_file, sync_folder
from aeorsync.storage.base import StoredChunk

MAGIC = b"aeorsync pack 1\n"
SEAL_SIZE = 1 << 30
_HEADER = struct.Struct(">32sBII")
_IOVECS = 512
"""Buffers one writev takes; the system allows 1024."""


class Location(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where a chunk's stored bytes lie, and what they are."""

    pack: int
    at: int
    stored: int
    size: int
    codec: int


class Packs:
    """The pack files of one folder. Appends are serialised here; reads need no lock."""

    def __init__(self, folder: Path, newest: int, end: int) -> None:
        """Open a folder of packs.

        Args:
            folder: Where the packs are; made when missing.
            newest: Number of the newest pack the index knows, 0 for none.
            end: First byte of that pack after the last record the index knows.
        """
        self._folder = folder
        self._append_lock = threading.Lock()
        self._handles: dict[int, int] = {}
        self._unsynced: set[int] = set()
        folder.mkdir(mode=0o700, exist_ok=True)
        sync_folder(folder.parent)
        numbers = [int(pack.stem) for pack in folder.glob("*.pack")]
        self._number = max(numbers, default=0)
        self._end = SEAL_SIZE
        if newest and self._number == newest and self._path(newest).stat().st_size == end:
            self._end = end

    def append(self, chunks: Sequence[StoredChunk]) -> list[Location]:
        """Write chunks at the end; readable at once, durable after `sync`."""
        with self._append_lock:
            if self._end >= SEAL_SIZE:
                self._start_pack()
            handle, at = self._handle(self._number), self._end
            locations: list[Location] = []
            buffers: list[bytes | memoryview] = []
            for chunk in chunks:
                stored = len(chunk.data)
                buffers.append(_HEADER.pack(chunk.id, chunk.codec, stored, chunk.size))
                buffers.append(chunk.data)
                at += _HEADER.size
                locations.append(Location(self._number, at, stored, chunk.size, chunk.codec))
                at += stored
            self._unsynced.add(self._number)
            _write_all(handle, buffers, self._end)
            self._end = at
            return locations

    def sync(self) -> None:
        """Make every append that returned before this call durable.

        After a failure nothing can be said of what was appended since the last success: the
        system forgets pages it could not write, and says so only once.
        """
        with self._append_lock:
            unsynced, self._unsynced = self._unsynced, set()
        for number in unsynced:
            sync_file(self._handle(number))

    def read(self, name: bytes, location: Location) -> StoredChunk:
        """The stored bytes at a location, unchecked.

        Raises:
            CorruptError: The pack is gone or ends before the chunk does.
        """
        try:
            data = os.pread(self._handle(location.pack), location.stored, location.at)
        except FileNotFoundError as error:
            raise CorruptError(f"pack {location.pack} is gone") from error
        if len(data) != location.stored:
            raise CorruptError(f"pack {location.pack} ends before chunk {name.hex()} does")
        return StoredChunk(name, location.codec, location.size, data)

    def close(self) -> None:
        """Close all files."""
        while self._handles:
            os.close(self._handles.popitem()[1])

    def _start_pack(self) -> None:
        number = self._number + 1
        path = self._path(number)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._handles[number] = handle
        # Its name is taken now; if the rest fails, the next try takes another.
        self._number = number
        _write_all(handle, [MAGIC], 0)
        sync_folder(self._folder)
        self._end = len(MAGIC)

    def _handle(self, number: int) -> int:
        handle = self._handles.get(number)
        if handle is None:
            handle = os.open(self._path(number), os.O_RDWR | os.O_CLOEXEC)
            other = self._handles.setdefault(number, handle)
            if other != handle:
                os.close(handle)
                handle = other
        return handle

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:08d}.pack"


def _write_all(handle: int, buffers: list[bytes | memoryview], at: int) -> None:
    """Write every byte at an offset, whatever the system takes at a time."""
    for start in range(0, len(buffers), _IOVECS):
        batch = buffers[start : start + _IOVECS]
        total = sum(map(len, batch))
        written = os.pwritev(handle, batch, at)
        if written != total:
            rest = memoryview(b"".join(batch))[written:]
            while rest:
                done = os.pwrite(handle, rest, at + written)
                rest = rest[done:]
                written += done
        at += total
