"""Names in an archive that somebody will unpack, wherever that is.

    asked for          in the archive
    /docs/a.txt        a.txt
    /docs              docs/..., with all that is in it
    /                  what is in it, without a folder around it
    /x/a.txt as well   a (2).txt

*Nothing is unpacked outside of the folder that somebody unpacks into*: names are those of tree
paths, which have no ``..`` and no empty component; a backslash and the colon of a drive, which
some systems read as more than a letter, become ``_``; and nothing lies below a symlink, not even
where case or composed letters do not count.
"""

import re
import unicodedata
from collections.abc import Iterable

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


def folders(names: Iterable[str]) -> set[str]:
    """The names, folded, below which any of some names lie."""
    found: set[str] = set()
    for one in names:
        parent = fold(one).rstrip("/")
        while (parent := parent.rpartition("/")[0]) and parent not in found:
            found.add(parent)
    return found


def fold(text: str) -> str:
    """A name as systems compare it where neither case nor composed letters count."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
