"""Chunks that were damaged or lost here, remembered until they are whole again.

Whoever finds a damaged chunk quarantines it (`storage.base.Store`), which notes its id in the same
transaction. Somebody else fetches it from a peer, now or after a restart, and then it is forgotten
here. One that nobody could give for `KEEP_MS` is forgotten, too: most likely no file needs it.
"""

from typing import Final

from aeorsync.runtime.clock import WallClock
from aeorsync.storage.base import LOST, UNREAD, Store

KEEP_MS: Final = 7 * 24 * 3_600_000


class Damage:
    """What is known of damaged chunks. Blocking; safe from any thread."""

    def __init__(self, store: Store, wall: WallClock) -> None:
        self._store = store
        self._wall = wall

    def is_lost(self, name: bytes) -> bool:
        """Whether a chunk was here and is known to have been damaged."""
        return self._store.note(LOST, name.hex()) is not None

    def lost(self, limit: int) -> list[bytes]:
        """Some of the chunks that are still to be had from elsewhere."""
        notes = self._store.notes(LOST)
        if not notes:
            return []
        missing = self._store.missing({bytes.fromhex(name) for name in notes})
        if len(missing) < len(notes):
            # They may have been put just now, and a note must not go before they are durable.
            self._store.flush()
        now_ms = self._wall.now_ms()
        found: list[bytes] = []
        for text, since in notes.items():
            name = bytes.fromhex(text)
            if not since:
                self._store.set_note(LOST, text, b"%d" % now_ms)
            if name not in missing or (since and now_ms - int(since) > KEEP_MS):
                self._store.set_note(LOST, text, None)
                self._store.set_note(UNREAD, text, None)
            else:
                found.append(name)
        return found[:limit]
