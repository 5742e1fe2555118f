"""Settling conflicts, as decisions on a draft."""

from aeorsync.core.access import EVERYTHING, Access
from aeorsync.core.paths import TreePath, to_key
from aeorsync.core.versions import Kind, Version
from aeorsync.errors import ConflictError, NotFoundError
from aeorsync.storage.bounds import has_known
from aeorsync.storage.draft import Draft, state_of


def resolve(draft: Draft, path: TreePath, pick: str, access: Access = EVERYTHING) -> Version:
    """Settle a conflict for all nodes.

    Args:
        draft: Where to write.
        path: The path in conflict.
        pick: ``winner``, ``loser`` (the best of them), or the id of a version.
        access: Of who decides.

    Raises:
        NotFoundError: There is no conflict, or no such version.
    """
    entry = draft.entry(to_key(path))
    sight = draft.live(path)
    if entry is None or sight is None or not sight.losers:
        is_file = sight is not None and sight.winner.kind != Kind.DIRECTORY
        if is_file and has_known(draft, path, access):
            raise ConflictError(f"{path} is a file and a folder; rename or delete one of them")
        raise no_conflict(path)
    words = {"winner": sight.winner, "loser": sight.losers[0]}
    chosen = words.get(pick) or entry.version(pick)
    if chosen is None:
        raise NotFoundError(f"{path} has no version {pick}")
    return draft.write(path, state_of(chosen, base=chosen.content.hash))


def no_conflict(path: TreePath) -> NotFoundError:
    """The error of a path where there is nothing to decide."""
    return NotFoundError(f"no conflict at {path}")
