"""Giving back the space of chunks that nobody needs any more.

A pack is never changed. One with much garbage is *rewritten*: what is in use is copied to the end
of the newest pack, and then the file is removed.

    read and check     each chunk against its name
    append, fsync      to the newest pack
    one transaction    moves the index rows, those that still name the old place
    remove             the old pack, when no row names it

A crash between any two leaves the old pack as it was and some bytes nobody refers to; the next
collection takes those. A chunk that turns out damaged is quarantined, as by any read of it.
"""

from collections.abc import Callable, Iterator

from aeorsync.errors import CorruptError, UnavailableError
from aeorsync.storage.base import Compacted, StoredChunk
from aeorsync.storage.compression import unpack
from aeorsync.storage.database import Database
from aeorsync.storage.packs import MAGIC, RECORD_HEAD, Location, Packs
from aeorsync.storage.rows import forget_locations, move_locations

_PAGE = 256
_BATCH_BYTES = 8 << 20

Found = list[tuple[bytes, Location]]


class Compaction:
    """One run over the packs of a store."""

    def __init__(self, database: Database, packs: Packs, sync: Callable[[], None]) -> None:
        """Take what it works on.

        Args:
            database: With the index.
            packs: The files.
            sync: Makes appended bytes durable, under the write lock.
        """
        self._database = database
        self._packs = packs
        self._sync = sync

    def estimate(self, garbage: float) -> Compacted:
        """What a run would give back now."""
        sizes, used = self._packs.sizes(), self._used()
        due = [number for number in sizes if _is_due(sizes[number], used.get(number, 0), garbage)]
        return Compacted(
            packs=len(due),
            moved_bytes=sum(used.get(number, 0) for number in due),
            freed_bytes=sum(sizes[number] - used.get(number, 0) for number in due),
        )

    def seal(self, garbage: float) -> None:
        """Append no more to the newest pack if it is due itself."""
        number = self._packs.newest
        size = self._packs.sizes().get(number)
        if size is not None and _is_due(size, self._used().get(number, 0), garbage):
            self._packs.seal(number)

    def run(self, sealed: set[int], garbage: float, goes_on: Callable[[], bool]) -> Compacted:
        """Rewrite what is due.

        Args:
            sealed: Packs in which nothing will ever be indexed again.
            garbage: As in `storage.base.Store.compact`.
            goes_on: Asked between batches.

        Raises:
            UnavailableError: The disk refused; every chunk is where it was or where it is copied.
        """
        sizes, used = self._packs.sizes(), self._used()
        packs = moved = freed = 0
        damaged: list[bytes] = []
        for number in sorted(sealed & sizes.keys()):
            live = used.get(number, 0)
            if not goes_on():
                break
            if not _is_due(sizes[number], live, garbage):
                continue
            for batch in self._batches(number):
                damaged += self._move(batch)
                if not goes_on():
                    break
            if self._remove_if_empty(number):
                packs, moved, freed = packs + 1, moved + live, freed + sizes[number] - live
        return Compacted(packs, moved, freed, tuple(damaged))

    def _used(self) -> dict[int, int]:
        """Bytes in use in each pack, the heads of the records included."""
        rows = self._database.rows(
            "SELECT pack, sum(stored) + count(*) * ? FROM chunks GROUP BY pack", (RECORD_HEAD,)
        )
        return dict(rows)

    def _batches(self, number: int) -> Iterator[Found]:
        """What the index has in a pack, a few MiB at a time."""
        after, batch, size = b"", Found(), 0
        while rows := self._database.rows(
            "SELECT id, pack, at, stored, size, codec FROM chunks"
            " WHERE pack = ? AND id > ? ORDER BY id LIMIT ?",
            (number, after, _PAGE),
        ):
            after = rows[-1][0]
            for row in rows:
                batch.append((row[0], Location(*row[1:])))
                size += row[3]
                if size >= _BATCH_BYTES:
                    yield batch
                    batch, size = Found(), 0
        if batch:
            yield batch

    def _move(self, batch: Found) -> list[bytes]:
        """Copy some chunks to the newest pack; returns those that are damaged."""
        good: list[tuple[StoredChunk, Location]] = []
        bad: dict[bytes, Location] = {}
        for name, location in batch:
            try:
                chunk = self._packs.read(name, location)
                unpack(chunk)
                good.append((chunk, location))
            except CorruptError:
                bad[name] = location
        failures = self._packs.failures
        try:
            places = self._packs.append([chunk for chunk, _ in good]) if good else []
        except OSError as error:
            text = f"the disk refused a write: {error.strerror}; nothing was lost"
            raise UnavailableError(text) from error
        moves = {chunk.id: (old, new) for (chunk, old), new in zip(good, places, strict=True)}
        with self._database.write_lock:
            self._sync()
            if self._packs.failures != failures:
                # Another fsync failed in between, and has taken the copies with it.
                raise UnavailableError("the disk failed to keep a copy; nothing was lost")
            with self._database.transaction() as db:
                move_locations(db, moves)
                forget_locations(db, bad)
        return list(bad)

    def _remove_if_empty(self, number: int) -> bool:
        rows = self._database.rows("SELECT 1 FROM chunks WHERE pack = ? LIMIT 1", (number,))
        if rows:
            return False
        try:
            self._packs.remove(number)
        except OSError as error:
            text = f"the disk refused to remove a pack: {error.strerror}; nothing was lost"
            raise UnavailableError(text) from error
        return True


def find_records(packs: Packs, wanted: set[bytes]) -> dict[bytes, Location]:
    """Where whole records of some chunks lie, whatever the index says; each is checked."""
    found: dict[bytes, Location] = {}
    for number in sorted(packs.sizes()):
        for name, location in packs.records(number):
            if name in wanted and name not in found and is_whole(packs, name, location):
                found[name] = location
    return found


def is_whole(packs: Packs, name: bytes, location: Location) -> bool:
    """Whether a chunk can be read at a place, and is the right one."""
    try:
        unpack(packs.read(name, location))
    except (CorruptError, UnavailableError):
        return False
    return True


def _is_due(size: int, used: int, garbage: float) -> bool:
    records = size - len(MAGIC)
    return records > used and records - used >= garbage * records
