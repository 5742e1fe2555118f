"""The file that `aeorsync export` writes and `aeorsync import` reads. Layout: ``docs/formats.md``.

    archive  = magic frame* ; a HEADER first, an END last, nothing after it
    frame    = kind (u8) length (u32) payload check (16)
    check    = first 16 bytes of BLAKE3-256 over all of the file before it

A check stands for everything before it, so a byte that was changed, a frame that was moved or one
that was left out shows at the next check, and only END says that the file is whole. Frames are
those of `wire.framing`. Chunks come before the entries that need them, each once.
"""

import contextlib
import os
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

import msgspec
from blake3 import blake3

from aeorsync.errors import UNREADABLE, AeorError, BadRequestError, ConflictError, UnavailableError
from aeorsync.runtime import chance
from aeorsync.runtime.durable import publish, sync_file
from aeorsync.storage.base import StoredChunk
from aeorsync.wire.framing import Codec, Frame, Kind, encode, encode_chunk, parse_chunk

MAGIC = b"aeorsync export 1\n"
FORMAT = 1
_CHECK = 16
_HEAD = struct.Struct(">BI")
_MAX_FRAME = 64 << 20

Items: TypeAlias = list[tuple[bytes, bytes]]
"""(Key, entry bytes) pairs."""


class Header(msgspec.Struct, frozen=True):
    """What an archive says of itself.

    Attributes:
        format: `FORMAT`.
        created: Milliseconds since the Unix epoch.
        node: Id of the node it was made by.
        root: Root of the live tree it was made from.
        name: ``current``, or the name of a snapshot.
        base: Root of the snapshot that its reader must have; empty for a whole one.
        base_name: Name of that snapshot.
    """

    format: int
    created: int
    node: int
    root: bytes
    name: str
    base: bytes = b""
    base_name: str = ""


class End(msgspec.Struct, frozen=True):
    """How many entries and chunks an archive holds."""

    entries: int
    chunks: int


class ArchiveEncoder:
    """The bytes of an archive, in order; each call returns those that come next."""

    def __init__(self) -> None:
        self._hash = blake3()
        self._entries = self._chunks = 0

    def header(self, header: Header) -> bytes:
        """The first bytes of all."""
        self._hash.update(MAGIC)
        return MAGIC + self._frame(encode(Kind.HEADER, msgspec.msgpack.encode(header)))

    def chunk(self, chunk: StoredChunk) -> bytes:
        """A chunk as it is stored."""
        self._chunks += 1
        data = bytes(chunk.data)
        return self._frame(encode_chunk(chunk.id, Codec(chunk.codec), chunk.size, data))

    def entries(self, items: Items) -> bytes:
        """Some (key, entry bytes) pairs, whose chunks came before."""
        self._entries += len(items)
        return self._frame(encode(Kind.ENTRIES, msgspec.msgpack.encode(items)))

    def end(self) -> bytes:
        """The last bytes; without them it is not whole."""
        end = End(self._entries, self._chunks)
        return self._frame(encode(Kind.END, msgspec.msgpack.encode(end)))

    def _frame(self, frame: bytes) -> bytes:
        self._hash.update(frame)
        check = self._hash.digest(length=_CHECK)
        self._hash.update(check)
        return frame + check


class ArchiveWriter:
    """Writes an archive into a file; it has its name only when it is whole and durable."""

    def __init__(self, path: Path) -> None:
        """Begin.

        Raises:
            ConflictError: There is such a file already.
            UnavailableError: The disk refused.
        """
        if path.exists():
            raise ConflictError(f"{path} exists already; choose another name")
        self._path = path
        self._staged = path.with_name(f".{path.name}.{chance.token_hex(8)}.tmp")
        self._encoder = ArchiveEncoder()
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._file = os.fdopen(os.open(self._staged, flags, 0o600), "wb")
        except OSError as error:
            raise UnavailableError(f"{path} cannot be written: {error.strerror}") from error

    def header(self, header: Header) -> None:
        """Write the header, first of all."""
        self._write(self._encoder.header(header))

    def chunk(self, chunk: StoredChunk) -> None:
        """Write a chunk as it is stored."""
        self._write(self._encoder.chunk(chunk))

    def entries(self, items: Items) -> None:
        """Write some (key, entry bytes) pairs, whose chunks have been written."""
        self._write(self._encoder.entries(items))

    def finish(self) -> int:
        """End the archive and give it its name; durable. Returns its size in bytes."""
        self._write(self._encoder.end())
        try:
            self._file.flush()
            sync_file(self._file.fileno())
            size = self._file.tell()
            self._file.close()
            publish(self._staged, self._path)
        except OSError as error:
            if self._staged.exists():
                raise self._refused(error) from error
            # It has its name, and nobody knows for how long.
            try:
                self._path.unlink(missing_ok=True)
            except OSError:
                text = f"{self._path}: {error.strerror}; remove it, it may be gone after a crash"
                raise UnavailableError(text) from error
            raise self._refused(error) from error
        return size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        # What went wrong is told by who wrote; a file that stays has no name that anybody reads.
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            self._staged.unlink(missing_ok=True)

    def _write(self, data: bytes) -> None:
        try:
            self._file.write(data)
        except OSError as error:
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> UnavailableError:
        return UnavailableError(
            f"{self._path} cannot be written: {error.strerror}; nothing of it was kept"
        )


class ArchiveReader:
    """Reads an archive, and believes nothing that its checks do not cover."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            UnavailableError: It cannot be opened.
        """
        self._path = path
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise UnavailableError(f"{path} cannot be read: {error.strerror}") from error

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return os.fstat(self._file.fileno()).st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def frames(self) -> Iterator[tuple[int, Frame]]:
        """All frames from the first on, each checked, with the place of its payload.

        Raises:
            BadRequestError: The file is no archive, torn, altered, or of a newer kind.
        """
        self._file.seek(0)
        running = blake3()
        if self._take(len(MAGIC), running) != MAGIC:
            raise BadRequestError(f"{self._path} is no export of aeorsync; nothing was changed")
        kind = None
        while kind is not Kind.END:
            head = self._take(_HEAD.size, running)
            number, length = _HEAD.unpack(head)
            if length > _MAX_FRAME:
                raise self._altered()
            at = self._file.tell()
            payload = self._take(length, running)
            expected = running.digest(length=_CHECK)
            if self._take(_CHECK, running) != expected:
                raise self._altered()
            try:
                # The check says that it was written so: by a newer aeorsync, perhaps.
                first, kind = kind is None, Kind(number)
            except ValueError:
                raise self._newer() from None
            if first != (kind is Kind.HEADER):
                raise self._altered()
            yield at, Frame(kind, payload)
        if self._file.read(1):
            raise self._altered()

    def chunk(self, at: int, length: int) -> StoredChunk:
        """The chunk frame at a place that `frames` told; its bytes are unchecked."""
        try:
            payload = os.pread(self._file.fileno(), length, at)
        except OSError as error:
            raise UnavailableError(f"{self._path} cannot be read: {error.strerror}") from error
        return StoredChunk(*parse_chunk(payload))

    def parse_header(self, payload: bytes) -> Header:
        """The header.

        Raises:
            BadRequestError: It is of a newer format.
        """
        try:
            header = msgspec.msgpack.decode(payload, type=Header)
        except UNREADABLE as error:
            raise self._newer() from error
        if header.format != FORMAT:
            raise self._newer()
        return header

    def _take(self, size: int, running: blake3) -> bytes:
        try:
            data = self._file.read(size)
        except OSError as error:
            raise UnavailableError(f"{self._path} cannot be read: {error.strerror}") from error
        if len(data) != size:
            text = f"{self._path} is torn: it ends at byte {self._file.tell()}, before its end"
            raise BadRequestError(f"{text}; nothing was changed")
        running.update(data)
        return data

    def _altered(self) -> AeorError:
        text = f"{self._path} was altered at or before byte {self._file.tell()}"
        return BadRequestError(f"{text}; nothing was changed")

    def _newer(self) -> AeorError:
        text = f"{self._path} was written by a newer aeorsync; upgrade this one"
        return BadRequestError(f"{text}; nothing was changed")


class Catalog:
    """Which chunks were met, and where; on disk, so its size does not matter."""

    def __init__(self) -> None:
        # No name: a file of SQLite's own, which is gone when it is closed.
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=OFF")
        self._db.execute(
            "CREATE TABLE chunks (id BLOB PRIMARY KEY, at INTEGER, length INTEGER) WITHOUT ROWID"
        )
        self._db.execute("BEGIN")

    def add(self, name: bytes, at: int = 0, length: int = 0) -> None:
        """Note a chunk; the first place counts."""
        self._db.execute("INSERT OR IGNORE INTO chunks VALUES (?, ?, ?)", (name, at, length))

    def find(self, name: bytes) -> tuple[int, int] | None:
        """The place of a chunk; None when it was not met."""
        row = self._db.execute("SELECT at, length FROM chunks WHERE id = ?", (name,)).fetchone()
        return None if row is None else (row[0], row[1])

    def close(self) -> None:
        """Forget it all."""
        self._db.close()
