"""What a pass may cost: a person is asked before more than that is done.

deletions, here or there                 over `Options.max_delete`: nothing is changed
a listing of a server that has never     what it would delete here or replace: likewise, be
seen versions that we hold             it a single file (`observing.DOUBT`)
"""

from collections.abc import Container
from typing import Final

from aeorsync.core.versions import Kind
from aeorsync.errors import ConflictError
from aeorsync.folder.ledger import Ledger
from aeorsync.folder.observing import DOUBT, all_pending
from aeorsync.folder.options import Options
from aeorsync.folder.plan import Plan

_ADVICE: Final = "Nothing was changed. If that is right, run again with --max-delete 100%"


class MassDeletionError(ConflictError):
    """A pass would delete more than it may; nothing was changed."""

    code = "MASS_DELETION"


def brake(ledger: Ledger, options: Options, plan: Plan, unseen: Container[str]) -> None:
    """Stop before a mass deletion. Blocking.

    Args:
        ledger: What was agreed.
        options: What a person allows.
        plan: What would be done.
        unseen: Paths whose version here the server has never seen.

    Raises:
        MassDeletionError: It would be one.
    """
    limit = options.max_delete
    here = [step.path for step in plan.remove if step.here.kind is not Kind.DIRECTORY]
    there = [step.path for step in plan.drop if step.kind is not Kind.DIRECTORY]
    known = ledger.count() if here or there else 0
    if not limit.allows(len(here), known):
        arriving = {take.told.content for take in plan.take}
        here = [path for path in here if _content(ledger, path) not in arriving]
    if not limit.allows(len(there), known):
        leaving = {give.content.hash for give in plan.give if give.content is not None}
        there = [path for path in there if _content(ledger, path) not in leaving]
    for paths, where, other in (
        (here, "here", "on the server"),
        (there, "on the server", "here"),
    ):
        if not limit.allows(len(paths), known):
            raise MassDeletionError(
                f"{len(paths)} of {known} files would be deleted {where}, because they are"
                f" gone {other}; the limit is {limit}. {_ADVICE}"
            )
    if ledger.noted(DOUBT) is not None:
        _demand_trust(ledger, options, plan, unseen)


def _demand_trust(ledger: Ledger, options: Options, plan: Plan, unseen: Container[str]) -> None:
    """Stop before a server that has never seen what we hold costs a single file of that.

    Raises:
        MassDeletionError: It would.
    """
    if not options.max_delete.is_none:
        arriving = {take.told.content for take in plan.take}
        files = [step.path for step in plan.remove if step.here.kind is not Kind.DIRECTORY]
        lost = [path for path in files if path in unseen]
        gone = [path for path in lost if _content(ledger, path) not in arriving]
        takes = [take for take in plan.take if take.path in unseen and not take.is_held]
        replaced = [take for take in takes if take.here is not None]
        if gone or replaced:
            raise MassDeletionError(
                f"{len(gone)} files would be deleted here and {len(replaced)} replaced by"
                " other versions, because the server has never seen what is here: it may be"
                " another one, or was put back to an older copy, or the key may see less than"
                f" before. {_ADVICE}"
            )
    waits = not all(row for _, row in all_pending(ledger))
    if (options.max_delete.is_none or not waits) and not options.dry_run:
        ledger.note(DOUBT, None)


def _content(ledger: Ledger, path: str) -> bytes:
    agreed = ledger.agreed(path)
    return b"" if agreed is None else agreed.content
