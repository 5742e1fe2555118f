"""Trees that stay readable a while longer, because somebody elsewhere is reading them.

A commit removes the nodes that the new head does not use. Who compares our trees from another
node asks for their nodes level by level, so the trees whose roots we told are kept for a moment:
at most `PLACES` of them, each at most `HOLD_S`.
"""

import threading
from collections.abc import Callable
from typing import Final

from aeorsync.storage.views import View

PLACES: Final = 4
HOLD_S: Final = 30.0


class Shelf:
    """Views that others read. Safe from any thread."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """Keep time by a clock that never jumps, in seconds."""
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._views: list[tuple[float, View]] = []

    def put(self, view: View) -> None:
        """Keep a view open for a while; the shelf closes it."""
        now = self._monotonic()
        with self._lock:
            old = [(until, kept) for until, kept in self._views if until > now]
            gone = [kept for until, kept in self._views if until <= now]
            same = [kept for _, kept in old if kept.head.seq == view.head.seq]
            old = [(until, kept) for until, kept in old if kept not in same]
            while len(old) >= PLACES:
                gone.append(old.pop(0)[1])
            self._views = [*old, (now + HOLD_S, view)]
        for kept in (*gone, *same):
            kept.close()

    def tidy(self) -> None:
        """Close what was kept for long enough."""
        now = self._monotonic()
        with self._lock:
            gone = [kept for until, kept in self._views if until <= now]
            self._views = [(until, kept) for until, kept in self._views if until > now]
        for kept in gone:
            kept.close()
