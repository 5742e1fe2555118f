"""Pack files: append-only chunk bytes.

    pack     = magic (16 bytes) record*
    record   = chunk id (32) codec (u8) stored size (u32) plain size (u32) stored bytes

Integers are big-endian. Where a record lies is the index's business (`storage.embedded`); the
record's own header lets an index be rebuilt from the packs alone. A pack is appended to until it
is `SEAL_SIZE` long, then never written again.

A crash leaves at most bytes past the last indexed record. They are never appended to and never
cut off (an index restored from a backup would make that a loss): the next append starts a new
pack, and garbage collection (`storage.compaction`) takes the rest.
"""

import errno
import os
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from aeorsync.errors import CorruptError, UnavailableError
from aeorsync.runtime.durable import start_writing, sync_file, sync_folder
from aeorsync.storage.base import StoredChunk

MAGIC = b"aeorsync pack 1\n"
SEAL_SIZE = 1 << 30
WRITE_BEHIND = 16 << 20
"""Bytes after which the system is told to begin writing them, in a long upload."""
_HEADER = struct.Struct(">32sBII")
RECORD_HEAD = _HEADER.size
_MAX_RUN = 2 << 20
"""Bytes read in one go, at most."""
_MAX_GAP = 4096
"""Bytes between two chunks that are read and thrown away rather than read around."""
_IOVECS = 512
"""Buffers one writev takes; the system allows 1024."""
_MOST_AT_ONCE = 512 << 10
"""Bytes after which a writev is given no more. For a write of MiBs Linux looks for memory in one
piece, and on a virtual machine that is mostly memory which the host has to find and clear first:
1 GiB written 2 MiB at a time took 0.9 to 3 s of system time where this took 0.4."""
_PASSING = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EACCES, errno.EPERM}
"""Reasons why a file cannot be opened that say nothing of what is in it."""


class Location(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where a chunk's stored bytes lie, and what they are."""

    pack: int
    at: int
    stored: int
    size: int
    codec: int


class _Open:
    """An open pack; closed when the last reader lets go, so no reader meets another file."""

    __slots__ = ("descriptor",)

    def __init__(self, path: Path, flags: int = 0) -> None:
        self.descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o600)

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)


class Packs:
    """The pack files of one folder. Appends are serialised here; reads need no lock.

    Attributes:
        failures: How often `sync` failed.
    """

    def __init__(self, folder: Path, newest: int, end: int) -> None:
        """Open a folder of packs.

        Args:
            folder: Where the packs are; made when missing.
            newest: Number of the newest pack the index knows, 0 for none.
            end: First byte of that pack after the last record the index knows.
        """
        self._folder = folder
        self._append_lock = threading.Lock()
        self._handles: dict[int, _Open] = {}
        self._unsynced: set[int] = set()
        self._removed: set[int] = set()
        self.failures = 0
        folder.mkdir(mode=0o700, exist_ok=True)
        sync_folder(folder.parent)
        self._number = max(self.sizes(), default=0)
        self._end = SEAL_SIZE
        self._begun = 0
        if newest and self._number == newest and self._path(newest).stat().st_size == end:
            self._end = self._begun = end

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
            _write_all(handle.descriptor, buffers, self._end)
            self._end = at
            begun, is_due = self._begun, at - self._begun >= WRITE_BEHIND
            if is_due:
                self._begun = at
        if is_due:
            # Or all of a large upload would wait in memory for one long sync at its end.
            start_writing(handle.descriptor, begun, at - begun)
        return locations

    def sync(self) -> None:
        """Make every append that returned before this call durable.

        After a failure nothing can be said of what was appended since the last success: the
        system forgets pages it could not write, and says so only once.
        """
        with self._append_lock:
            unsynced, self._unsynced = self._unsynced, set()
        for number in unsynced:
            try:
                sync_file(self._handle(number).descriptor)
            except OSError as error:
                if isinstance(error, FileNotFoundError) and number in self._removed:
                    continue
                self.failures += 1
                raise

    def read(self, name: bytes, location: Location) -> StoredChunk:
        """The stored bytes at a location, unchecked.

        Raises:
            CorruptError: The pack is gone or ends before the chunk does.
            UnavailableError: This process has too many files open, or no memory.
        """
        try:
            handle = self._handle(location.pack)
            data = os.pread(handle.descriptor, location.stored, location.at)
        except FileNotFoundError as error:
            raise CorruptError(f"pack {location.pack} is gone") from error
        except OSError as error:
            if error.errno in _PASSING:
                text = f"pack {location.pack} cannot be read now: {error.strerror}; try later"
                raise UnavailableError(text) from error
            text = f"the disk cannot read pack {location.pack}: {error.strerror}"
            raise CorruptError(text) from error
        if len(data) != location.stored:
            raise CorruptError(f"pack {location.pack} ends before chunk {name.hex()} does")
        return StoredChunk(name, location.codec, location.size, data)

    def read_all(
        self, places: Mapping[bytes, Location]
    ) -> tuple[dict[bytes, StoredChunk], set[bytes]]:
        """The stored bytes at many locations, unchecked, and which of them cannot be read.

        What lies side by side is read in one go; its chunks are views of it.

        Raises:
            UnavailableError: This process has too many files open, or no memory.
        """
        read: dict[bytes, StoredChunk] = {}
        failed: set[bytes] = set()
        for run in _runs(places):
            whole = self._read_run(run) if len(run) > 1 else b""
            if whole:
                first = run[0][1].at
                view = memoryview(whole)
                for name, at in run:
                    data = view[at.at - first : at.at - first + at.stored]
                    read[name] = StoredChunk(name, at.codec, at.size, data)
                continue
            for name, at in run:
                try:
                    read[name] = self.read(name, at)
                except CorruptError:
                    failed.add(name)
        return read, failed

    def _read_run(self, run: Sequence[tuple[bytes, Location]]) -> bytes:
        """All bytes from the first chunk of a run to its last; none when there is any trouble."""
        first, last = run[0][1], run[-1][1]
        size = last.at + last.stored - first.at
        try:
            data = os.pread(self._handle(first.pack).descriptor, size, first.at)
        except OSError:
            return b""  # one by one it is seen which of them it is about
        return data if len(data) == size else b""

    @property
    def newest(self) -> int:
        """Number of the pack that is, or was last, appended to; 0 without any."""
        return self._number

    def sizes(self) -> dict[int, int]:
        """Bytes of each pack file."""
        packs = (pack for pack in self._folder.glob("*.pack") if pack.stem.isdecimal())
        return {int(pack.stem): pack.stat().st_size for pack in packs}

    def seal(self, number: int) -> None:
        """Append no more to a pack."""
        with self._append_lock:
            if number == self._number:
                self._end = SEAL_SIZE

    def sealed(self) -> set[int]:
        """Packs that are there and will never be appended to."""
        with self._append_lock:
            is_open = self._end < SEAL_SIZE
            return {n for n in self.sizes() if n < self._number or not is_open}

    def remove(self, number: int) -> None:
        """Remove a sealed pack that holds nothing in use; durable on return.

        Who reads it at this moment reads on; its space is free when the last of them is done.
        """
        self._removed.add(number)
        self._path(number).unlink(missing_ok=True)
        self._handles.pop(number, None)
        sync_folder(self._folder)

    def records(self, number: int) -> Iterator[tuple[bytes, Location]]:
        """Chunk ids and places as the records themselves tell, unchecked, up to a torn one."""
        handle = self._handle(number)
        end = os.fstat(handle.descriptor).st_size
        at = len(MAGIC)
        while len(head := os.pread(handle.descriptor, RECORD_HEAD, at)) == RECORD_HEAD:
            name, codec, stored, size = _HEADER.unpack(head)
            at += RECORD_HEAD
            if at + stored > end:
                return
            yield name, Location(number, at, stored, size, codec)
            at += stored

    def close(self) -> None:
        """Close all files."""
        self._handles.clear()

    def _start_pack(self) -> None:
        number = self._number + 1
        handle = _Open(self._path(number), os.O_CREAT | os.O_EXCL)
        try:
            _write_all(handle.descriptor, [MAGIC], 0)
            sync_folder(self._folder)
        except BaseException:
            # Or a full disk would be full of empty packs, one for each try.
            try:
                self._path(number).unlink()
            except OSError:
                # Its name is taken; the next try takes another.
                self._number = number
            raise
        self._handles[number] = handle
        self._number = number
        self._end = len(MAGIC)
        self._begun = 0

    def _handle(self, number: int) -> _Open:
        handle = self._handles.get(number)
        if handle is None:
            handle = self._handles.setdefault(number, _Open(self._path(number)))
            if number in self._removed:
                self._handles.pop(number, None)
        return handle

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:08d}.pack"


def _runs(places: Mapping[bytes, Location]) -> Iterator[list[tuple[bytes, Location]]]:
    """Chunks in the order in which they lie, cut where they do not lie side by side."""
    run: list[tuple[bytes, Location]] = []
    start = end = pack = 0
    for item in sorted(places.items(), key=_place):
        at = item[1]
        is_next = at.pack == pack and 0 <= at.at - end <= _MAX_GAP
        if run and not (is_next and at.at + at.stored - start <= _MAX_RUN):
            yield run
            run = []
        if not run:
            start, pack = at.at, at.pack
        run.append(item)
        end = at.at + at.stored
    if run:
        yield run


def _place(item: tuple[bytes, Location]) -> tuple[int, int]:
    return item[1].pack, item[1].at


def _calls(
    buffers: Sequence[bytes | memoryview],
) -> Iterator[tuple[list[bytes | memoryview], int]]:
    """What one call writes at a time, and its bytes."""
    batch: list[bytes | memoryview] = []
    size = 0
    for buffer in buffers:
        batch.append(buffer)
        size += len(buffer)
        if size >= _MOST_AT_ONCE or len(batch) == _IOVECS:
            yield batch, size
            batch, size = [], 0
    if batch:
        yield batch, size


def _write_all(handle: int, buffers: list[bytes | memoryview], at: int) -> None:
    """Write every byte at an offset, whatever the system takes at a time."""
    for batch, total in _calls(buffers):
        written = os.pwritev(handle, batch, at)
        if written != total:
            rest = memoryview(b"".join(batch))[written:]
            while rest:
                done = os.pwrite(handle, rest, at + written)
                rest = rest[done:]
                written += done
        at += total
