"""Chunks that were appended to a pack and are not in the index yet.

    put      appended: readable, not durable
    sync     fsync of the packs; then one transaction indexes them, and they are `settled`
    mended   after an fsync that failed

A system that failed to write pages forgets them, says so once, and lets the next fsync succeed. So
nothing that was appended before a failure is ever made durable by a later fsync of the same file:
all of it is read back, checked, appended to a new pack, and only when *that* was synced writing
goes on. Till then every write is refused. What cannot be read back was lost, though somebody may
have been told that it is here; then nothing is written any more until the node starts again.
"""

import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from typing import Final

from aeorsync.errors import CorruptError, UnavailableError
from aeorsync.runtime.clock import WallClock
from aeorsync.runtime.log import get_logger
from aeorsync.storage.base import StoredChunk
from aeorsync.storage.compression import unpack
from aeorsync.storage.packs import Location, Packs
from aeorsync.storage.rows import refused

_PAUSE_S: Final = 1.0
_MAX_PAUSE_S: Final = 30.0
"""Between two tries to write on after a failed fsync, at first and at most."""
_BATCH_BYTES: Final = 8 << 20
_log = get_logger(__name__)


class Pending:
    """See the top of the module. Safe from any thread where nothing else is said."""

    def __init__(self, packs: Packs, wall: WallClock) -> None:
        self._packs = packs
        self._wall = wall
        self._places: dict[bytes, Location] = {}
        self._lock = threading.Lock()
        # Held from an append until its places are known: without it nobody could say of a pack
        # that no chunk will be indexed there any more.
        self.put_lock = threading.Lock()
        self._failure: str | None = None
        self._is_lost = False
        self._pause_s = _PAUSE_S
        self._retry_at = 0.0

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, name: bytes) -> bool:
        return name in self._places

    def get(self, name: bytes) -> Location | None:
        """Where a chunk lies, if it is one of these."""
        return self._places.get(name)

    @property
    def packs(self) -> set[int]:
        """Packs in which some of them lie; under `put_lock`."""
        with self._lock:
            return {place.pack for place in self._places.values()}

    def put(self, chunks: Sequence[StoredChunk]) -> None:
        """Append chunks.

        Raises:
            UnavailableError: The disk refused.
        """
        with self.put_lock:
            try:
                places = self._packs.append(chunks)
            except OSError as error:
                raise refused(error) from error
            with self._lock:
                self._places.update((c.id, at) for c, at in zip(chunks, places, strict=True))

    def drop(self, names: Collection[bytes]) -> None:
        """Forget some: they are indexed, or damaged."""
        with self._lock:
            for name in names:
                self._places.pop(name, None)

    @property
    def is_refusing(self) -> bool:
        """Whether an fsync failed and `mend` has not succeeded since."""
        return self._failure is not None

    def sync(self) -> dict[bytes, Location]:
        """Make all of them durable and return them; under the write lock.

        Raises:
            UnavailableError: The disk failed.
        """
        with self._lock:
            places = dict(self._places)
        if places:
            self.sync_packs()
        return places

    def sync_packs(self) -> None:
        """Make every append durable; under the write lock.

        Raises:
            UnavailableError: The disk failed.
        """
        self.mend()
        try:
            self._packs.sync()
        except OSError as error:
            self._note(error)
            raise refused(error) from error

    def mend(self) -> None:
        """Get over a failed fsync, if there was one; under the write lock.

        Raises:
            UnavailableError: It is not the time to try yet, or that failed, too.
        """
        if self._failure is None:
            return
        if not self._is_lost and self._wall.monotonic() >= self._retry_at:
            with self.put_lock:
                self._move()
        if self._failure is not None:
            what = "see to the disk, then restart the node"
            then = what if self._is_lost else "it is tried again by itself"
            raise UnavailableError(f"{self._failure}; nothing was changed; {then}")

    def _note(self, error: OSError) -> None:
        self._failure = f"the disk failed to keep what it had taken ({error.strerror})"
        self._retry_at = self._wall.monotonic() + self._pause_s
        self._pause_s = min(self._pause_s * 2, _MAX_PAUSE_S)
        _log.error("nothing is written until the disk keeps it", reason=str(error))

    def _move(self) -> None:
        """Put all of them into a new pack, durably, or leave everything as it is."""
        before = self._packs.newest
        self._packs.seal(before)
        moved: dict[bytes, Location] = {}
        try:
            for chunks in self._read_back():
                places = self._packs.append(chunks)
                moved.update((c.id, at) for c, at in zip(chunks, places, strict=True))
            self._packs.sync()
        except CorruptError as error:
            self._is_lost = True
            self._failure = f"the disk lost data it had taken ({error.message})"
        except OSError as error:
            self._note(error)
        else:
            with self._lock:
                self._places.update({n: at for n, at in moved.items() if n in self._places})
            self._failure, self._pause_s = None, _PAUSE_S
            _log.warning("the disk keeps what it takes again", chunks=len(moved))
            return
        # A collection may have copied into the same packs: it must not count on them.
        self._packs.failures += 1
        self._packs.seal(self._packs.newest)
        for number in range(before + 1, self._packs.newest + 1):
            with suppress(OSError):
                self._packs.remove(number)

    def _read_back(self) -> Iterator[list[StoredChunk]]:
        """All of them, each checked, a few MiB at a time."""
        batch: list[StoredChunk] = []
        size = 0
        for name, place in list(self._places.items()):
            chunk = self._packs.read(name, place)
            unpack(chunk)
            batch.append(chunk)
            size += place.stored
            if size >= _BATCH_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch
