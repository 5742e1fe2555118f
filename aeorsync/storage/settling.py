"""Settling conflicts, for all nodes, as decisions on a draft."""

from aeorsync.core.access import EVERYTHING, Access
from aeorsync.core.merge import is_same_state
from aeorsync.core.paths import TreePath, to_key
from aeorsync.core.versions import Entry, Kind, Version, covers
from aeorsync.errors import ConflictError, NotFoundError
from aeorsync.storage.bounds import has_known
from aeorsync.storage.draft import Draft
from aeorsync.storage.states import state_of


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


def give_up(draft: Draft, path: TreePath, version_id: str) -> Version:
    """Give up one version that lost; the others, if any, stay in conflict.

    Returns:
        The version that readers see, as it was, but that it knows the one given up.

    Raises:
        ConflictError: It is what readers see.
        NotFoundError: There is no conflict, or no such version in it.
    """
    entry, sight = draft.entry(to_key(path)), draft.live(path)
    if entry is None or sight is None or not sight.losers:
        raise no_conflict(path)
    if sight.winner.id == version_id:
        raise ConflictError(f"{version_id} is what readers of {path} see; pick another instead")
    given = next((loser for loser in sight.losers if loser.id == version_id), None)
    if given is None:
        raise NotFoundError(f"{path} has no version {version_id} to give up")
    left = [loser for loser in sight.losers if loser is not given]
    staying = [v for v in entry.versions if any(is_same_state(v, loser) for loser in left)]
    known = Entry(tuple(v for v in entry.versions if v not in staying)).context
    if any(covers(known, version.dot) for version in staying):
        raise ConflictError(f"{version_id} cannot be told from other versions; pick one instead")
    # As old as it was: who is editing it somewhere now makes what comes after it, no conflict.
    return draft.write(path, state_of(sight.winner), known, sight.winner.stamp)


def no_conflict(path: TreePath) -> NotFoundError:
    """The error of a path where there is nothing to decide."""
    return NotFoundError(f"no conflict at {path}")
