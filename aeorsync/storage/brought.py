"""Which chunks a caller brought lately: what it sent itself it may commit.

To know the name of a chunk gives no right to its bytes, so whoever is bound by rules may commit
only chunks that it may read, and those it brought in the last day. That is remembered across
restarts, or an upload that was interrupted by one would begin anew.

Each batch is a note in the space `SPACE`, named by its time; the eldest are forgotten first.
"""

import threading
from collections import deque
from collections.abc import Collection
from typing import Final, NamedTuple

from aeorsync.runtime import chance
from aeorsync.runtime.clock import WallClock
from aeorsync.storage.base import Store
from aeorsync.storage.idsets import IdSet

SPACE: Final = "brought chunks"
DAY_MS: Final = 24 * 3_600_000
MAX_IDS: Final = 2_000_000
_ID = 32


class _Note(NamedTuple):
    at_ms: int
    name: str
    size: int


class Brought:
    """Chunks by who brought them. Blocking; safe from any thread."""

    def __init__(self, store: Store, wall: WallClock, limit: int = MAX_IDS) -> None:
        """Remember what the store remembers.

        Args:
            store: Where it is noted.
            wall: The clock.
            limit: Chunks that are remembered at most, of all owners.
        """
        self._store = store
        self._wall = wall
        self._limit = limit
        self._lock = threading.Lock()
        self._ids: IdSet | None = None
        self._notes: deque[_Note] = deque()
        self._count = 0

    def note(self, owner: bytes, ids: Collection[bytes]) -> set[bytes]:
        """Remember that somebody brought chunks; durable on return.

        Args:
            owner: 16 bytes that name them.
            ids: Of the chunks, which are here already, each once.

        Returns:
            Those that they had brought before.
        """
        before = self.held(owner, ids)
        if not ids:
            return before
        with self._lock:
            known = self._load()
            at_ms = self._wall.now_ms()
            name = f"{at_ms:015d} {owner.hex()} {chance.token_hex(8)}"
            self._store.set_note(SPACE, name, b"".join(ids))
            known.add([owner + chunk for chunk in ids], at_ms)
            self._notes.append(_Note(at_ms, name, len(ids)))
            self._count += len(ids)
            self._trim(known, at_ms)
        return before

    def held(self, owner: bytes, ids: Collection[bytes]) -> set[bytes]:
        """Which of these chunks somebody brought in the last day."""
        with self._lock:
            since = self._wall.now_ms() - DAY_MS
            found = self._load().found([owner + chunk for chunk in ids], since)
        return {name[len(owner) :] for name in found}

    def _load(self) -> IdSet:
        if self._ids is not None:
            return self._ids
        known = IdSet()
        for name, joined in self._store.notes(SPACE).items():  # sorted, so by time
            moment, owner, _ = name.split(" ")
            at_ms, prefix = int(moment), bytes.fromhex(owner)
            ids = [prefix + joined[at : at + _ID] for at in range(0, len(joined), _ID)]
            known.add(ids, at_ms)
            self._notes.append(_Note(at_ms, name, len(ids)))
            self._count += len(ids)
        self._ids = known
        self._trim(known, self._wall.now_ms())
        return known

    def _trim(self, known: IdSet, now_ms: int) -> None:
        forgotten = 0
        while self._notes and (
            self._notes[0].at_ms < now_ms - DAY_MS or self._count > self._limit
        ):
            eldest = self._notes.popleft()
            self._count -= eldest.size
            self._store.set_note(SPACE, eldest.name, None)
            forgotten = eldest.at_ms + 1
        if forgotten:
            known.forget(forgotten)
