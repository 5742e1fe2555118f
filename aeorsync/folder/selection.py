"""Which paths take part, asked for by path: also for those that are only on the server."""

from collections import OrderedDict
from typing import Final

from aeorsync.folder import facts, temps
from aeorsync.folder.ignore import FILE_NAME, Ignore
from aeorsync.folder.root import LostError, SafeRoot, told

_REMEMBERED: Final = 4096


class Selection:
    """The rules of all folders, as they are on the disk now; made anew for each pass.

    For one thread at a time; blocking.
    """

    def __init__(self, root: SafeRoot, rules: Ignore) -> None:
        """Prepare.

        Args:
            root: The folder.
            rules: Those of the command line.
        """
        self._root = root
        self._rules = rules
        self._known: OrderedDict[str, Ignore | None] = OrderedDict()

    def takes(self, path: str, *, is_folder: bool) -> bool:
        """Whether a path takes part.

        Raises:
            DiskError: A file of patterns cannot be read.
        """
        rules = self._of(facts.parent(path))
        name = facts.name(path)
        if rules is None or temps.is_temp(name):
            return False
        if rules.ignores(name, is_folder=is_folder):
            return False
        return not (is_folder and rules.passes(name))

    def _of(self, folder: str) -> Ignore | None:
        """The rules of a folder; None when it takes no part itself."""
        if folder in self._known:
            self._known.move_to_end(folder)
            return self._known[folder]
        # A loop, for a path may have more names than calls may lie in each other.
        unknown = [one for one in (*facts.ways(folder), "") if one not in self._known]
        for one in reversed(unknown):
            above = self._known[facts.parent(one)] if one else None
            self._known[one] = self._enter(one, above)
        rules = self._known[folder]
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return rules

    def _enter(self, folder: str, above: Ignore | None) -> Ignore | None:
        if not folder:
            with self._root.folder() as top, told(FILE_NAME):
                return self._rules.enter_top(top)
        name = facts.name(folder)
        if above is None or above.ignores(name, is_folder=True):
            return None
        try:
            with self._root.folder(folder) as held, told(facts.join(folder, FILE_NAME)):
                return above.enter(name, held)
        except LostError:
            return above.enter(name, None)
