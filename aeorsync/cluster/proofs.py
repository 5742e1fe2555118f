"""Content hashes of large files, worked out while their chunks come in.

A file is only taken over if it is what its content hash says. Of a file that mostly comes from
the peer that is found out on the way, from the very bytes that were checked and stored: what comes
next in the file is hashed, what comes too early waits in memory, and where there is no room for
it, it is read back in its turn. So when the last chunk is here there is next to nothing left to
do, and nothing is read twice. Files of which most is here already are read in one go at the end
(`Repository.check_content`), which takes longer strides.
"""

import threading
from collections.abc import Iterable
from typing import Final

from aeorsync.core.hashing import Buffer, hasher
from aeorsync.core.versions import REF_SIZE, Content
from aeorsync.errors import CorruptError
from aeorsync.storage.repository import Repository
from aeorsync.wire.limits import MIB

MOST_WAITING: Final = 24 * MIB
"""Bytes of chunks that may wait for those before them, of all files together."""
_MOST_FILES: Final = 1_000


def is_long(content: Content) -> bool:
    """Whether a file has several chunks."""
    return content.depth > 0 or len(content.refs) > REF_SIZE


class _Track:
    """One file, hashed up to some chunk."""

    def __init__(self, content: Content, names: list[bytes]) -> None:
        self.content = content
        self.names = names
        self.at = 0
        self.size = 0
        self.hasher = hasher()
        self.waiting: dict[bytes, Buffer] = {}
        self.left_out: set[bytes] = set()
        self.lock = threading.Lock()


class Proofs:
    """The large files among those that are fetched. Blocking; safe from any thread."""

    def __init__(
        self, repository: Repository, contents: Iterable[Content], wanted: dict[bytes, int]
    ) -> None:
        """Begin.

        Args:
            repository: Where the chunks are stored, and the manifests are.
            contents: Files whose manifests are all here.
            wanted: Data chunks that will be fetched, with the bytes of each.
        """
        self._repository = repository
        self._lock = threading.Lock()
        self._held = 0
        self._tracks: list[_Track] = []
        self._by_chunk: dict[bytes, list[_Track]] = {}
        for content in contents:
            if len(self._tracks) >= _MOST_FILES:
                break
            if is_long(content):
                self._add(content, wanted)

    def _add(self, content: Content, wanted: dict[bytes, int]) -> None:
        try:
            found = [(name, size) for _, name, size in self._repository.references(content)]
        except CorruptError:
            return  # told by whoever surveys it
        coming = sum(size for name, size in found if name in wanted)
        if coming * 2 <= content.size:
            return
        track = _Track(content, [name for name, _ in found])
        self._tracks.append(track)
        for name in dict.fromkeys(track.names):
            self._by_chunk.setdefault(name, []).append(track)

    def take(self, name: bytes, plain: Buffer) -> None:
        """Take note of a chunk that was checked and stored."""
        for track in self._by_chunk.get(name, ()):
            with self._lock:
                is_next = track.at < len(track.names) and track.names[track.at] == name
                if is_next or self._held + len(plain) <= MOST_WAITING:
                    track.waiting[name] = plain
                    self._held += len(plain)
                else:
                    track.left_out.add(name)

    def advance(self) -> None:
        """Hash what can be hashed by now; what another thread is at is left to it."""
        for track in self._tracks:
            if track.waiting and track.lock.acquire(blocking=False):
                try:
                    self._follow(track)
                except CorruptError:
                    track.at = -1  # damaged since; the slow way tells which
                    self._forget(track)
                finally:
                    track.lock.release()

    def proven(self) -> list[Content]:
        """Bring all of them to their ends, and say which files are what they should be."""
        self.advance()
        return [track.content for track in self._tracks if self._is_proven(track)]

    def _is_proven(self, track: _Track) -> bool:
        if not track.at > 0:
            return False
        with track.lock:
            try:
                if track.at < len(track.names):
                    for data in self._repository.read(track.content, track.size):
                        track.hasher.update(data)
                        track.size += len(data)
            except CorruptError:
                return False
            is_whole = track.size == track.content.size
            return is_whole and track.hasher.digest() == track.content.hash

    def _follow(self, track: _Track) -> None:
        while 0 <= track.at < len(track.names):
            name = track.names[track.at]
            plain = track.waiting.get(name)
            if plain is None:
                if name not in track.left_out:
                    return
                plain = self._repository.plain_chunk(name)
            track.hasher.update(plain)
            track.size += len(plain)
            with self._lock:
                track.at += 1
                if track.waiting.pop(name, None) is not None:
                    self._held -= len(plain)
                    # Should the file have it once more, it is read back.
                    track.left_out.add(name)

    def _forget(self, track: _Track) -> None:
        with self._lock:
            self._held -= sum(map(len, track.waiting.values()))
            track.waiting.clear()
