"""The bytes of a local file: their hash, and where they are cut.

One pass over the file gives both: one thread reads and cuts, another hashes what was cut before,
the whole and the chunks, which is about as much work. At most three pieces are in memory.
"""

import os
from collections.abc import Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Final, TypeAlias

from aeorsync.core.chunking import MIN_CHUNK, Chunker
from aeorsync.core.hashing import chunk_id, content_hash, hasher
from aeorsync.errors import StaleError
from aeorsync.folder.facts import REFERENCE, Content, Fingerprint, Place
from aeorsync.folder.held import HeldFolder

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

_PIECE: Final = 4 << 20
_Named: TypeAlias = list[tuple[bytes, memoryview | bytes]]


@cache
def _hashers() -> "ThreadPoolExecutor":
    # Loaded when there is a large file: many a pass meets none.
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    return ThreadPoolExecutor(2, thread_name_prefix="aeorsync-hash")


class ReadError(StaleError):
    """A file changed while it was read."""

    def __init__(self, message: str = "a file changed while it was read") -> None:
        super().__init__(f"{message}; it is looked at again")


def read_file(folder: HeldFolder, name: str) -> tuple[Fingerprint, Content]:
    """How a file looks, and the content that belongs to it.

    Raises:
        ChangedError: It is no file any more.
        ReadError: It changed meanwhile.
        OSError: It cannot be read.
    """
    handle = folder.open(name)
    try:
        before = os.fstat(handle)
        found = read(handle, before.st_size)
        after = os.fstat(handle)
    finally:
        os.close(handle)
    if _times(before) != _times(after) or found.size != before.st_size:
        raise ReadError
    seen = Fingerprint.of(before)
    if seen is None:
        raise ReadError
    return seen, found


def read(handle: int, hint: int = MIN_CHUNK) -> Content:
    """The content of an open file, from its start to its end.

    Args:
        handle: The file.
        hint: Bytes it probably has.

    Raises:
        OSError: It cannot be read.
    """
    data = os.pread(handle, min(hint, MIN_CHUNK) + 1, 0)
    if len(data) <= min(hint, MIN_CHUNK):
        return small(data)
    cutting = Cutting(handle)
    cut = [REFERENCE.pack(name, len(view)) for name, view in cutting.chunks()]
    return Content(cutting.hash, cutting.size, b"".join(cut))


class Cutting:
    """An open file being read once, from its start to its end. For one thread at a time.

    Attributes:
        size: Bytes read so far.
    """

    def __init__(self, handle: int) -> None:
        """Take an open file; the caller closes it."""
        self._handle = handle
        self._whole = hasher()
        self._ahead: Future[_Named] | None = None
        self.size = 0

    @property
    def hash(self) -> bytes:
        """Of the whole, after the last of the chunks."""
        return self._whole.digest()

    def chunks(self) -> Iterator[tuple[bytes, memoryview | bytes]]:
        """The names and bytes of the chunks; the bytes stay as they are.

        Raises:
            OSError: It cannot be read.
        """
        chunker = Chunker()
        for piece in _pieces(self._handle):
            self.size += len(piece)
            views = list(chunker.feed(piece))
            named = self._wait()
            self._ahead = _hashers().submit(self._name, piece, views)
            yield from named
        yield from self._wait()
        if rest := chunker.finish():
            yield chunk_id(rest), rest

    def _name(self, piece: bytes, views: Iterable[memoryview]) -> _Named:
        self._whole.update(piece)
        return [(chunk_id(view), view) for view in views]

    def _wait(self) -> _Named:
        """The chunks of the last piece that was passed on; the whole is hashed as far then."""
        ahead, self._ahead = self._ahead, None
        return [] if ahead is None else ahead.result()


def of(data: bytes) -> Content:
    """The content of a file that was read."""
    if len(data) <= MIN_CHUNK:
        return small(data)
    chunker = Chunker()
    cut = [REFERENCE.pack(chunk_id(view), len(view)) for view in chunker.feed(data)]
    if rest := chunker.finish():
        cut.append(REFERENCE.pack(chunk_id(rest), len(rest)))
    return Content(content_hash(data), len(data), b"".join(cut))


def small(data: bytes) -> Content:
    """The content of at most `MIN_CHUNK` bytes, which are one chunk."""
    chunks = REFERENCE.pack(chunk_id(data), len(data)) if data else b""
    return Content(content_hash(data), len(data), chunks)


def read_place(handle: int, place: Place) -> bytes:
    """One chunk of an open file, by where it was found.

    Raises:
        ReadError: The bytes there are others by now.
        OSError: It cannot be read.
    """
    data = os.pread(handle, place.size, place.start)
    if chunk_id(data) != place.id:
        raise ReadError
    return data


def _times(seen: os.stat_result) -> tuple[int, int, int]:
    return seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns


def _pieces(handle: int) -> Iterator[bytes]:
    at = 0
    while data := os.pread(handle, _PIECE, at):
        yield data
        at += len(data)
