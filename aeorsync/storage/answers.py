"""What a repository answers when it is asked for conflicts, and when it was given entries."""

import msgspec

from aeorsync.core.merge import Sight
from aeorsync.core.paths import TreePath
from aeorsync.core.versions import Entry


class Conflict(msgspec.Struct, frozen=True):
    """A path with versions that wait for somebody to decide.

    Attributes:
        path: Where.
        entry: All versions of it.
        sight: Which of them readers see, and which lost.
        is_file_and_folder: Two nodes made a file and a folder of one name; both are kept, and
            renaming or deleting one of them settles it.
    """

    path: TreePath
    entry: Entry
    sight: Sight
    is_file_and_folder: bool


class Applied(msgspec.Struct, frozen=True):
    """What joining a peer's entries did.

    Attributes:
        changed: Entries that are different now.
        conflicts: Paths among them that are in conflict now.
        files: How many of them are files, for readers; deleted ones included.
    """

    changed: int
    conflicts: int
    files: int = 0
