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

import msgspec

from aeorsync.folder.ledger import Ledger
from aeorsync.folder.plan import Take
from aeorsync.folder.root import SafeRoot

_PLACING: Final = "placing"
_decode: Final = msgspec.json.Decoder(list[str]).decode


def begin(ledger: Ledger, takes: Iterable[Take]) -> None:
    """Note where something gives way; nothing else is on its way at that time. Blocking."""
    paths = [take.path for take in takes if take.was is not None and not take.is_held]
    if paths:
        ledger.note(_PLACING, msgspec.json.encode(paths).decode())


def end(ledger: Ledger) -> None:
    """Forget that, now that what is there is agreed on. Blocking."""
    if ledger.noted(_PLACING) is not None:
        ledger.note(_PLACING, None)


def forget(ledger: Ledger, root: SafeRoot) -> None:
    """Agree on nothing any more where something else may have been placed. Blocking.

    Raises:
        UnavailableError: The disk refused the ledger; nothing was forgotten.
    """
    text = ledger.noted(_PLACING)
    if text is None:
        return
    with ledger.transaction():
        for path in _decode(text):
            agreed = ledger.agreed(path)
            if agreed is not None and root.look(path) != agreed.fingerprint:
                ledger.forget([path])
        end(ledger)
