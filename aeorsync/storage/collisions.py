"""Which paths somebody has to decide about, as a commit finds them.

| at a path | it is in conflict when |
| --- | --- |
| a file or a link | it has other versions, or something is inside: two nodes made both |
| a folder | it has other versions |
| nothing | never |
| a record of the system | it has other versions |

What is inside a file may come by a peer and go by anybody, so both are looked at from every path
above.
"""

from typing import Protocol

from aeorsync.core.merge import Sight, see
from aeorsync.core.paths import TreePath, from_key
from aeorsync.core.versions import Entry, Kind
from aeorsync.storage.views import is_system_key


class Sought(Protocol):
    """What is there after the operations of a commit."""

    def entry(self, key: bytes) -> Entry | None:
        """The whole entry at a key."""

    def has_inside(self, path: TreePath) -> bool:
        """Whether anything is live below a path."""


class ConflictMarks:
    """The marks that one commit changes.

    Attributes:
        found: Whether each path is in conflict from now on, by its key.
    """

    def __init__(self, draft: Sought) -> None:
        self.found: dict[bytes, bool] = {}
        self._draft = draft
        self._above_new: set[bytes] = set()
        self._above_gone: set[bytes] = set()

    def note(self, key: bytes, was: Sight | None, now: Sight, *, is_merged: bool) -> None:
        """Look at a path that the commit changes.

        Args:
            key: The path.
            was: What was there.
            now: What is there.
            is_merged: Whether a peer brought it, who need not know what is here.
        """
        had_losers = was is not None and bool(was.losers)
        is_other = was is not None and was.winner.kind != now.winner.kind
        if had_losers or now.losers or is_other or not now.is_live:
            self.found[key] = self._is_contested(key, now)
        elif is_merged and self._is_contested(key, now):
            self.found[key] = True
        if not now.is_live:
            self._look_above(key, self._above_gone)
        elif is_merged:
            self._look_above(key, self._above_new)

    def _look_above(self, key: bytes, seen: set[bytes]) -> None:
        """Look at the files that something is inside of, or was."""
        above = key.rpartition(b"\0")[0]
        while above and above not in seen:
            seen.add(above)
            entry = self._draft.entry(above)
            sight = None if entry is None else see(entry)
            if sight is not None and sight.is_live and sight.winner.kind != Kind.DIRECTORY:
                self.found[above] = self._is_contested(above, sight)
            above = above.rpartition(b"\0")[0]

    def _is_contested(self, key: bytes, sight: Sight) -> bool:
        if not sight.is_live or sight.losers:
            return sight.is_live
        # A fork's record that something is gone may have such records inside.
        is_nothing = sight.winner.kind == Kind.DIRECTORY or is_system_key(key)
        return not is_nothing and self._draft.has_inside(from_key(key))
