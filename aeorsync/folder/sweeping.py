"""What a crash left under names of ours: thrown away if it is ours, given back if it is not.

    name says               and it is             then
    ---------               ---------             ----
    another pair's          young                 it is left alone: that pair may be running
    staged                  a download to resume  it is left alone
    staged                  anything else         it is deleted
    about to swap places    what was staged       it is deleted
    about to swap places    a file of the user    it gets its name back, or one beside
    displaced               a file of the user    likewise

Whose file it was, the ledger knows by the inode. Where its name is taken by what was to replace
it, it is only needed if it is not what was agreed.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from aeorsync.folder import facts, temps
from aeorsync.folder.facts import Fingerprint, Flaw, Trouble
from aeorsync.folder.held import HeldFolder
from aeorsync.folder.ledger import Ledger
from aeorsync.folder.root import LostError, SafeRoot, told
from aeorsync.folder.temps import Temp
from aeorsync.runtime.clock import WallClock

_FOREIGN_NS: Final = 7 * 24 * 3600 * 1_000_000_000
_NAMELESS: Final = "left by aeorsync"


def sweep(root: SafeRoot, ledger: Ledger, found: Iterable[str], clock: WallClock) -> list[Trouble]:
    """See to temporary files of earlier runs; nothing of this run may be under way.

    Args:
        root: The folder.
        ledger: What was agreed.
        found: Paths a scan met (`Scan.temps`).
        clock: For the age of those of other pairs.

    Returns:
        Files of the user that have another name now.

    Raises:
        DiskError: The disk refused.
        LostError: A folder is gone; the others are seen to by the next scan.
    """
    troubles: list[Trouble] = []
    kept = {facts.join(facts.parent(part.path), part.temp) for part in ledger.parts()}
    for path in found:
        temp = temps.parse(facts.name(path))
        if temp is None or path in kept:
            continue
        with suppress(LostError), root.folder(facts.parent(path)) as folder, told(path):
            if _may_go(root, folder, path, temp, clock):
                trouble = _see_to(folder, ledger, path, temp)
                troubles += [trouble] if trouble else []
    return troubles


def _may_go(root: SafeRoot, folder: HeldFolder, path: str, temp: Temp, clock: WallClock) -> bool:
    if temp.tag == root.tag:
        return True
    seen = folder.stat(facts.name(path))
    return seen is not None and seen.st_ctime_ns < clock.now_ns() - _FOREIGN_NS


def _see_to(folder: HeldFolder, ledger: Ledger, path: str, temp: Temp) -> Trouble | None:
    name = facts.name(path)
    seen = folder.look(name)
    if seen is None:
        return None
    if temp.role == "s" or (temp.role == "x" and temp.inode == seen.inode):
        os.unlink(name, dir_fd=folder.handle)
        return None
    was = next((row for row in ledger.rows(folder.path) if row[5] == seen.inode), None)
    wanted = _NAMELESS if was is None else was[0]
    if was is not None and _is_needless(folder, ledger, wanted, seen):
        os.unlink(name, dir_fd=folder.handle)
        return None
    given = folder.give_back(name, wanted)
    folder.sync()
    if was is not None and given == wanted:
        return None
    shown = facts.printable(facts.join(folder.path, given))
    text = f"{shown} was set aside when an earlier run was interrupted; see whether you need it"
    return Trouble(shown, Flaw.CHANGING, text)


def _is_needless(folder: HeldFolder, ledger: Ledger, wanted: str, seen: Fingerprint) -> bool:
    """Whether what has the name is the same file, or was to replace one that was agreed on."""
    there = folder.look(wanted)
    if there is None:
        return False
    agreed = ledger.agreed(facts.join(folder.path, wanted))
    return there.inode == seen.inode or (agreed is not None and agreed.fingerprint.is_like(seen))
