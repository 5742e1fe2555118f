"""Long reference lists as chunks of their own.

A file's chunk list is kept inline while it has at most `INLINE` references. A longer list is cut
into *pieces*; each piece is stored like any chunk, and the entry keeps references to the pieces.
Repeated until the list is short, this gives a shallow tree (`Content.depth` levels):

    depth 0    refs -> data chunks
    depth 1    refs -> pieces -> data chunks
    depth 2    refs -> pieces -> pieces -> data chunks

A piece ends after a reference whose id ends in five zero bits, or at 128 references. The cut
depends on the ids from the previous cut on, so changing one chunk of a 1 GiB file changes one or
two pieces. The rule is part of the format.

A piece's bytes are its references, 40 bytes each, in file order.

Rules that every list made here keeps, and that are demanded of a peer's:

1. A piece has 1 to 128 references, and covers exactly the bytes its parent states.
2. No reference covers zero bytes.
3. From any data chunk on, N bytes lie in at most N / `DENSITY` + `SLACK` chunks. Our own chunks
   have 64 KiB or more, but for the last. Without this rule a few pieces that name each other over
   and over would make a file of billions of chunks.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from aeorsync.core.hashing import chunk_id
from aeorsync.core.versions import REF_SIZE, Content, pack_references, references
from aeorsync.errors import CorruptError

INLINE = 32
"""References an entry keeps inline before a manifest is made."""
DENSITY = 1024
"""File bytes a data chunk covers, at least and on average."""
SLACK = 64
"""Data chunks a file may have beyond that."""
_PIECE_MAX = 128
_CUT_MASK = 0x1F

ReadChunk: TypeAlias = Callable[[bytes], bytes]
"""Plain bytes of a chunk by its id; raises when it is not there."""


class ReferenceList:
    """Builds the reference list of one file in bounded memory.

    Pieces are handed to ``store`` as soon as it is certain that the list needs them, so a short
    list stores nothing and a long one holds one open piece a level.
    """

    def __init__(self, store: Callable[[bytes, bytes], None]) -> None:
        """Make an empty list.

        Args:
            store: Takes the id and the bytes of a finished piece.
        """
        self._store = store
        self._levels = [_Level()]

    def add(self, chunk: bytes, size: int) -> None:
        """Append one reference to the file's data."""
        self._add(0, chunk, size)

    def finish(self) -> tuple[int, bytes]:
        """The depth and the inline references of the whole list."""
        depth = 0
        while (level := self._levels[depth]).is_long:
            if level.open:
                self._close_piece(depth)
            depth += 1
        return depth, pack_references(level.head)

    def _add(self, depth: int, chunk: bytes, size: int) -> None:
        if depth == len(self._levels):
            self._levels.append(_Level())
        level = self._levels[depth]
        level.open.append((chunk, size))
        if not level.is_long:
            level.head.append((chunk, size))
            if len(level.head) > INLINE:
                level.is_long = True
                waiting, level.closed = level.closed, []
                for piece in waiting:
                    self._emit(depth, piece)
        if len(level.open) == _PIECE_MAX or not chunk[-1] & _CUT_MASK:
            self._close_piece(depth)

    def _close_piece(self, depth: int) -> None:
        level = self._levels[depth]
        piece, level.open = level.open, []
        if level.is_long:
            self._emit(depth, piece)
        else:
            level.closed.append(piece)

    def _emit(self, depth: int, piece: list[tuple[bytes, int]]) -> None:
        body = pack_references(piece)
        name = chunk_id(body)
        self._store(name, body)
        self._add(depth + 1, name, sum(size for _, size in piece))


@dataclass(slots=True)
class _Level:
    """One level of a list under construction.

    Attributes:
        head: All references while the level is short; meaningless once it is long.
        open: The references of the piece being filled.
        closed: Full pieces, kept back while the level might stay short.
        is_long: Whether the level has outgrown `INLINE`.
    """

    head: list[tuple[bytes, int]] = field(default_factory=list)
    open: list[tuple[bytes, int]] = field(default_factory=list)
    closed: list[list[tuple[bytes, int]]] = field(default_factory=list)
    is_long: bool = False


def data_references(
    content: Content, read: ReadChunk, start: int = 0, stop: int | None = None
) -> Iterator[tuple[int, bytes, int]]:
    """The data chunks that hold bytes ``start`` to ``stop`` of a file.

    Yields:
        (offset of the chunk in the file, chunk id, chunk size), in file order.

    Raises:
        CorruptError: The list breaks a rule of this module.
    """
    end = content.size if stop is None else stop
    first = None
    found = _descend(content.refs, content.depth, 0, (start, end), read)
    for count, (offset, name, size) in enumerate(found, 1):
        first = offset if first is None else first
        if count > (offset + size - first) // DENSITY + SLACK:
            raise CorruptError("the file is cut into more chunks than any file needs")
        yield offset, name, size


def pieces(content: Content, read: ReadChunk) -> Iterator[bytes]:
    """The ids of all manifest pieces below ``content``, parents before children.

    Each once a level, however often it is named: a list may repeat itself.

    Raises:
        CorruptError: The list breaks a rule of this module.
    """
    if content.depth:
        yield from _piece_ids(content.refs, content.depth, read, set())


def _piece_ids(
    refs: bytes, depth: int, read: ReadChunk, seen: set[tuple[int, bytes, int]]
) -> Iterator[bytes]:
    for name, size in check_references(refs):
        if (depth, name, size) in seen:
            continue
        seen.add((depth, name, size))
        yield name
        if depth > 1:
            yield from _piece_ids(check_piece(read(name), size), depth - 1, read, seen)


def _descend(
    refs: bytes, depth: int, offset: int, wanted: tuple[int, int], read: ReadChunk
) -> Iterator[tuple[int, bytes, int]]:
    start, stop = wanted
    for name, size in check_references(refs):
        if offset >= stop:
            return
        if offset + size > start:
            if depth:
                below = check_piece(read(name), size)
                yield from _descend(below, depth - 1, offset, wanted, read)
            else:
                yield offset, name, size
        offset += size


def check_piece(body: bytes, size: int) -> bytes:
    """Return ``body`` if it is a piece that covers exactly ``size`` file bytes.

    Raises:
        CorruptError: It is not.
    """
    if not body or len(body) % REF_SIZE or len(body) > _PIECE_MAX * REF_SIZE:
        raise CorruptError("a manifest piece is torn or too long")
    if sum(below for _, below in check_references(body)) != size:
        raise CorruptError("a manifest piece does not add up to the size its parent states")
    return body


def check_references(refs: bytes) -> list[tuple[bytes, int]]:
    """The (chunk id, bytes below it) pairs of a reference list, in file order.

    Raises:
        CorruptError: One covers nothing.
    """
    pairs = list(references(refs))
    if any(size == 0 for _, size in pairs):
        raise CorruptError("a reference covers zero bytes")
    return pairs
