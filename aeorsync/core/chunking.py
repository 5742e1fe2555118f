"""Bytes in, chunks out.

Chunks are cut where the content says so (FastCDC, normalised), so a byte inserted at the head of
a large file changes one or two chunks and leaves all others as they were. The parameters are
part of the format: changing one re-sends everybody's files (`docs/formats.md`).

A chunk is cut from its own first byte onward, so the cuts depend on the content alone and not on
how the bytes arrived.
"""

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyfastcdc import FastCDC

MIN_CHUNK = 64 * 1024
AVERAGE_CHUNK = 128 * 1024
MAX_CHUNK = 256 * 1024
"""Also the largest chunk the wire carries."""


@cache
def _cutter() -> "FastCDC":
    from pyfastcdc import FastCDC  # noqa: PLC0415  # only where there is something to cut

    return FastCDC(avg_size=AVERAGE_CHUNK, min_size=MIN_CHUNK, max_size=MAX_CHUNK)


def _certain(data: bytes | memoryview) -> Iterator[int]:
    """Where chunks end, but for the last if it ends where the data do: the content may go on."""
    for chunk in _cutter().cut_buf(data):
        stop = chunk.offset + chunk.length
        if stop < len(data) or chunk.length == MAX_CHUNK:
            yield stop


class Chunker:
    """Cuts one file. Feed it in order, then call `finish` once; not for use by two threads."""

    def __init__(self) -> None:
        self._rest = b""
        # Bytes that were fed and are in no chunk yet, as counted by what comes and goes.
        self._due = 0

    def feed(self, data: bytes) -> Iterator[memoryview]:
        """Yield the chunks that are certain by now; views of what was fed, or of copies.

        Must be read to its end before the next call. Keeps less than `MAX_CHUNK` bytes back.

        Raises:
            RuntimeError: The chunks are not what was fed: a mistake in here, never to be stored.
        """
        self._due += len(data)
        for chunk in self._cut(data):
            self._due -= len(chunk)
            yield chunk
        if self._due != len(self._rest):
            message = "the chunks of a file do not add up to its bytes"
            raise RuntimeError(message)

    def _cut(self, data: bytes) -> Iterator[memoryview]:
        fresh = memoryview(data)
        if before := len(self._rest):
            # Only as much is copied as the first chunk can have.
            joined = self._rest + fresh[: MAX_CHUNK - before]
            first = next(_certain(joined), 0)
            if not first:
                self._rest = joined
                return
            yield memoryview(joined)[:first]
            if first >= before:
                fresh = fresh[first - before :]
            else:
                # The cutter looks at two bytes at a time: not at an odd last one, until now.
                fresh = memoryview(self._rest[first:] + data)
        start = 0
        for stop in _certain(fresh):
            yield fresh[start:stop]
            start = stop
        self._rest = bytes(fresh[start:])

    def finish(self) -> bytes:
        """The last chunk; empty when the file was empty or ended on a cut."""
        rest, self._rest, self._due = self._rest, b"", 0
        return rest
