"""Letting go of one version of a path in conflict, while all others stay as they are.

What readers see is stated again, by a writer who has seen it and the version that goes: so that
one goes, and others that stand beside them do not.
"""

from aeorsync.core.merge import is_same_state
from aeorsync.core.paths import TreePath, to_key
from aeorsync.core.versions import Entry, Version
from aeorsync.errors import ConflictError, NotFoundError
from aeorsync.storage.draft import Draft, state_of
from aeorsync.storage.settling import no_conflict


def give_up(draft: Draft, path: TreePath, version_id: str) -> Version:
    """Let go of a version that readers do not see.

    Returns:
        The version that readers see now; it says what they saw before.

    Raises:
        NotFoundError: There is no conflict, or no such version in it.
        ConflictError: It is the version that readers see.
    """
    entry, sight = draft.entry(to_key(path)), draft.live(path)
    if entry is None or sight is None or not sight.losers:
        raise no_conflict(path)
    if version_id == sight.winner.id:
        raise ConflictError(f"{path}: readers see that version; delete the file, or pick another")
    loser = next((version for version in sight.losers if version.id == version_id), None)
    if loser is None:
        raise NotFoundError(f"{path} has no version {version_id}")
    others = [version for version in sight.losers if version is not loser]
    seen = tuple(
        version
        for version in entry.versions
        if not any(is_same_state(version, other) for other in others)
    )
    winner = sight.winner
    state = state_of(winner, base=winner.content.hash)
    return draft.write(path, state, Entry(seen).context)
