"""Paths at which something of the server's was about to take the place of what was agreed on.

They are noted before, durably, and the note goes with what is agreed on then. Whoever finds one at
the start of a round was killed in between, or broke off:

    what is there is what was agreed      nothing was placed; it is as before
    anything else                         nobody knows what it was made from: not from what was
                                          agreed, if that had given way already

What nobody knows anything about is compared by content, and where it is something new it stands
beside all that the server has. Else what somebody made of the server's version would pass for an
edit of the one that had given way, and cost that.
"""

from collections.abc import Iterable
from typing import Final

from aeorsync.folder.ledger import Ledger
from aeorsync.folder.plan import Take
from aeorsync.folder.root import SafeRoot

_PLACING: Final = "placing "
"""What the names of these notes begin with; the path follows."""


def begin(ledger: Ledger, takes: Iterable[Take]) -> None:
    """Note where something is about to give way. Blocking."""
    paths = [take.path for take in takes if take.was is not None and not take.is_held]
    if paths:
        with ledger.transaction():
            for path in paths:
                ledger.note(_PLACING + path, "")


def end(ledger: Ledger, paths: Iterable[str]) -> None:
    """Forget that, now that what is there is agreed on. Blocking."""
    with ledger.transaction():
        for path in paths:
            ledger.note(_PLACING + path, None)


def forget(ledger: Ledger, root: SafeRoot) -> bool:
    """Agree on nothing any more where something else may have been placed. Blocking.

    Returns:
        Whether there is such a path.

    Raises:
        UnavailableError: The disk refused the ledger; nothing was forgotten.
    """
    paths = [name.removeprefix(_PLACING) for name in ledger.notes(_PLACING)]
    if not paths:
        return False
    with ledger.transaction():
        unknown = [path for path in paths if not _is_as_agreed(ledger, root, path)]
        ledger.forget(unknown)
        end(ledger, paths)
    return bool(unknown)


def _is_as_agreed(ledger: Ledger, root: SafeRoot, path: str) -> bool:
    agreed = ledger.agreed(path)
    return agreed is None or root.look(path) == agreed.fingerprint
