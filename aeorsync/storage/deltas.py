"""Deltas against chunks that are here: making them for others, and making chunks of theirs.

A delta is worth sending when it has at most half the bytes of the chunk as stored. Trying costs
reading the base and one fast search, so whoever answers gives up for a while when it does not pay
(`Maker`), and a base is at most 1 MiB.
"""

from collections.abc import Sequence
from typing import Final

from aeorsync.errors import CorruptError
from aeorsync.runtime.likeness import liken, unlike
from aeorsync.storage.base import StoredChunk
from aeorsync.storage.compression import PLAIN, pack, unpack
from aeorsync.storage.repository import Repository
from aeorsync.wire.deltas import Delta
from aeorsync.wire.framing import Chunk

MIN_SIZE: Final = 1024
"""A smaller chunk is sent as it is."""
_VAIN: Final = 8
"""After so many tries in a row that did not pay, only each so many-th chunk is tried."""


class Maker:
    """Makes deltas for one answer. For one thread at a time."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._vain = 0

    def make(self, chunk: StoredChunk, bases: Sequence[bytes]) -> Delta | None:
        """A delta of a chunk, if that pays. Blocking.

        Args:
            chunk: As stored.
            bases: Ids of chunks that the reader has, and may have; those that are not here do not
                count.
        """
        if not bases or len(chunk.data) < MIN_SIZE:
            return None
        if self._vain >= _VAIN and self._vain % _VAIN:
            self._vain += 1
            return None
        try:
            plain = unpack(chunk)
        except CorruptError:
            return None
        found = [held for held in self._repository.stored_chunks(bases) if held.id != chunk.id]
        base, names = _joined(found)
        delta = liken(plain, base) if names else None
        if delta is None or len(delta) > len(chunk.data) // 2:
            self._vain += 1
            return None
        self._vain = 0
        return Delta(chunk.id, chunk.size, names, delta)


def made(repository: Repository, chunks: Sequence[Chunk | Delta]) -> list[StoredChunk]:
    """Chunks as they came, those of deltas made; their names are not checked yet. Blocking.

    Of a delta that leads nowhere a chunk is made that does not match its name.
    """
    return [
        _made(repository, one) if isinstance(one, Delta) else StoredChunk(*one) for one in chunks
    ]


def _made(repository: Repository, delta: Delta) -> StoredChunk:
    base, names = _joined(repository.stored_chunks(delta.bases))
    try:
        if names == delta.bases:
            return pack(delta.id, unlike(delta.stored, base, delta.size))
    except CorruptError:
        pass
    return StoredChunk(delta.id, PLAIN, 0, b"")


def _joined(found: Sequence[StoredChunk]) -> tuple[bytes, tuple[bytes, ...]]:
    """The bytes of some chunks, and which they are; without those that are damaged."""
    parts: list[bytes | memoryview] = []
    names: list[bytes] = []
    for chunk in found:
        try:
            parts.append(unpack(chunk))
        except CorruptError:
            continue
        names.append(chunk.id)
    return b"".join(parts), tuple(names)
