"""Names in an archive that somebody will unpack, wherever that is.

    asked for          in the archive
    /docs/a.txt        a.txt
    /docs              docs/..., with all that is in it
    /                  what is in it, without a folder around it
    /x/a.txt as well   a (2).txt

*Nothing is unpacked outside of the folder that somebody unpacks into*: names are those of tree
paths, which have no ``..`` and no empty component; a backslash and the colon of a drive, which
some systems read as more than a letter, become ``_``; and nothing lies below a symlink.
"""

import re

from aeorsync.core.paths import ROOT, TreePath, name

_DRIVE = re.compile(r"\A([A-Za-z]):")


class Names:
    """Gives each thing asked for a name of its own at the top of the archive."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def top(self, path: TreePath) -> str:
        """The name of a path that was asked for; empty for the root.

        Compared without case, since it may be unpacked where case does not count.
        """
        if path == ROOT:
            return ""
        first = safe(name(path))
        stem, dot, ending = first.rpartition(".") if "." in first[1:] else (first, "", "")
        chosen, number = first, 1
        while chosen.casefold() in self._taken:
            number += 1
            chosen = f"{stem} ({number}){dot}{ending}"
        self._taken.add(chosen.casefold())
        return chosen


def safe(relative: str) -> str:
    """A relative tree path as a name in an archive."""
    return _DRIVE.sub(r"\1_", relative.replace("\\", "_"))
