"""What became of the last commits, by the names their senders gave them.

Who did not hear the answer asks again under that name, and learns which versions were theirs, also
when others have replaced or deleted them meanwhile. It is kept in memory and only on the node that
made the commit: who finds nothing here sends again what they see no trace of.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from aeorsync.storage.bundles import Outcome

MAX_CHANGES: Final = 20_000
"""Changes of all commits that are remembered; the last commit is, whatever its size."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """One commit.

    Attributes:
        outcome: What became of it.
        files: How many of its puts are files; the others are links.
    """

    outcome: Outcome
    files: int

    @property
    def weight(self) -> int:
        """How many changes it made."""
        return sum(map(len, (self.outcome.deletes, self.outcome.folders, self.outcome.puts)))


@dataclass(slots=True)
class CommitBook:
    """The last commits that have a name. Safe from any thread."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _found: "OrderedDict[tuple[bytes, str], Remembered]" = field(default_factory=OrderedDict)
    _weight: int = 0

    def keep(self, owner: bytes, name: str, commit: Remembered) -> None:
        """Remember a commit, and forget the oldest where there are too many.

        Args:
            owner: Whose it is; see `node.Caller.owner`.
            name: That they gave it.
            commit: What became of it.
        """
        with self._lock:
            self._forget((owner, name))
            self._found[owner, name] = commit
            self._weight += commit.weight
            while self._weight > MAX_CHANGES and len(self._found) > 1:
                self._forget(next(iter(self._found)))

    def find(self, owner: bytes, name: str) -> Remembered | None:
        """What is remembered of a commit; None also for the name of somebody else's."""
        with self._lock:
            return self._found.get((owner, name))

    def _forget(self, key: tuple[bytes, str]) -> None:
        gone = self._found.pop(key, None)
        if gone is not None:
            self._weight -= gone.weight
