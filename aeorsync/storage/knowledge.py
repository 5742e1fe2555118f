"""What this node knows, kept over restarts; see `core.knowledge`.

    note space    name             value
    ----------    ----             -----
    minted        incarnation      n, last given out under an incarnation that has ended
    knowledge     seen             {incarnation: n} learnt from peers, msgpack

Together with the head, which has the incarnation of today. A note claims only what the trees hold
when it is written: *learnt* knowledge is written after the entries it is about, and an incarnation
that ends has all its versions in the trees, or in the commit that is about to be written; were
that to fail, the note would speak of versions that do not exist and never will.
"""

import threading
from collections.abc import Iterable
from typing import Final

import msgspec

from aeorsync.core.knowledge import Knowledge, is_within, joined
from aeorsync.core.versions import Dot
from aeorsync.storage.base import Head, Store

_MINTED: Final = "minted"
_LEARNT: Final = "knowledge"
_SEEN: Final = "seen"


class KnowledgeBook:
    """What this node knows. Blocking; safe from any thread."""

    def __init__(self, store: Store) -> None:
        """Read what was noted."""
        self._store = store
        self._lock = threading.Lock()
        stored = store.note(_LEARNT, _SEEN)
        self._learnt = msgspec.msgpack.decode(stored, type=dict[int, int]) if stored else {}
        self._minted = {
            int(name, 16): msgspec.msgpack.decode(value, type=int)
            for name, value in store.notes(_MINTED).items()
        }

    def known(self) -> dict[int, int]:
        """All that is known; whoever opens a view afterwards finds all of it there."""
        with self._lock:
            known = joined(self._learnt, self._minted)
        return joined(known, _of_head(self._store.head()))

    def learn(self, theirs: Knowledge) -> None:
        """Add what a peer knew when we had taken in all that it had; durable on return."""
        with self._lock:
            if not is_within(theirs, self._learnt):
                learnt = joined(self._learnt, theirs)
                self._store.set_note(_LEARNT, _SEEN, msgspec.msgpack.encode(learnt))
                self._learnt = learnt

    def end(self, dots: Iterable[Dot]) -> None:
        """Note the last dots of incarnations that have ended; durable on return."""
        with self._lock:
            for incarnation, n in dots:
                if self._minted.get(incarnation, 0) < n:
                    value = msgspec.msgpack.encode(n)
                    self._store.set_note(_MINTED, f"{incarnation:x}", value)
                    self._minted[incarnation] = n


def _of_head(head: Head) -> dict[int, int]:
    return {head.incarnation: head.n} if head.n else {}
