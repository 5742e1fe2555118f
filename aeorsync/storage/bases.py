"""What the base of a writer says about the versions that are there now.

A *base* is the context of what was edited (`core.versions`): all that the writer had seen. None
stands for a writer who has seen whatever is there.
"""

from collections.abc import Callable

from aeorsync.core.merge import Sight
from aeorsync.core.versions import Entry, Vector, Version, covers


def stated(
    entry: Entry | None, old: Sight | None, base: Vector | None, says: Callable[[Version], bool]
) -> Version | None:
    """The version that says already what a writer states, so that there is nothing to write.

    Whoever did not hear the answer writes again what they wrote, from the base they had: what
    that base covers is gone by then, and their own version stands.
    """
    if entry is None or old is None:
        return None
    if base is None:
        return old.winner if not old.losers and says(old.winner) else None
    for version in entry.versions:
        others = (other for other in entry.versions if other is not version)
        if says(version) and not any(covers(base, other.dot) for other in others):
            return version
    return None


def edited(entry: Entry | None, base: Vector | None) -> Version | None:
    """The one version that a base covers, no more and no less, if it is still there."""
    if entry is None or base is None:
        return None
    exact = (version for version in entry.versions if Entry((version,)).context == base)
    return next((version for version in exact if not version.deleted), None)


def edited_from(entry: Entry | None, base: Vector | None) -> bytes:
    """Content hash of the version a writer edited, where that is known for certain."""
    if entry is None:
        return b""
    if base is None:
        version = entry.versions[0]
        is_known = len(entry.versions) == 1 and not version.deleted
        return version.content.hash if is_known else b""
    version_edited = edited(entry, base)
    if version_edited is not None:
        known = version_edited.content.hash
    else:
        # Who edited the same version first has told what it was.
        siblings = (version for version in entry.versions if version.vector == base)
        known = next((version.base for version in siblings if version.base), b"")
    unseen = (v for v in entry.versions if not v.deleted and not covers(base, v.dot))
    # Of equal bytes they changed something else, which an edit of the bytes must not overrule.
    return b"" if any(version.content.hash == known for version in unseen) else known
