"""Joining two states of a path, and what readers see of the result.

*Joining* decides by causality alone: the join of two entries is the set of maximal versions of
both. It is commutative, associative and idempotent, so nodes converge whatever the order,
duplication or route of messages.

*Seeing* is a pure function of the joined set and changes nothing in it, so it cannot make nodes
disagree:

    concurrent versions            readers see           conflict?
    -------------------            -----------           ---------
    equal state                    the higher rank       no   (the same change, made twice)
    x, and later y edited from x   y                     no   (a history was lost; y knew x)
    a deletion, later a new file   the new file          no   (it knows nothing of the old one)
    live and deleted               the live one          yes
    anything else                  the higher rank       yes

Rank is: live beats deleted, then the higher stamp, then the higher node id.
"""

from collections.abc import Sequence
from operator import attrgetter

import msgspec

from aeorsync.core.versions import Entry, Kind, Vector, Version, covers

_rank = attrgetter("rank")


def join(ours: Entry | None, theirs: Entry) -> Entry:
    """The least entry that holds all that both sides know.

    Returns ``ours`` itself (the same object) when ``theirs`` adds nothing, and ``theirs`` itself
    when ``ours`` adds nothing.
    """
    if ours is None or ours == theirs:
        return theirs if ours is None else ours
    merged = {version.dot: version for version in theirs.versions}
    merged.update((version.dot, version) for version in ours.versions)
    everyone = list(merged.values())
    kept = tuple(
        merged[dot]
        for dot in sorted(merged)
        if not any(covers(other.vector, dot) for other in everyone)
    )
    if kept == ours.versions:
        return ours
    return theirs if kept == theirs.versions else Entry(kept)


class Sight(msgspec.Struct, frozen=True, gc=False):
    """What readers see of an entry.

    Attributes:
        winner: The version served at the path; it may be a deletion.
        losers: Other versions that a person has to decide about, best first. Empty means that
            there is no conflict.
    """

    winner: Version
    losers: tuple[Version, ...] = ()

    @property
    def is_live(self) -> bool:
        """Whether the path exists for readers."""
        return not self.winner.deleted

    @property
    def conflict_type(self) -> str | None:
        """The word for the conflict on the wire, or None when there is none."""
        if not self.losers:
            return None
        if any(loser.deleted for loser in self.losers):
            return "ModifyDelete"
        everyone = (self.winner, *self.losers)
        knew_something = all(version.base or version.vector for version in everyone)
        return "ConcurrentModify" if knew_something else "ConcurrentCreate"


def see(entry: Entry) -> Sight:
    """Decide what readers see; see the table at the top of this module."""
    if len(entry.versions) == 1:
        return Sight(entry.versions[0])
    ranked = sorted(entry.versions, key=_rank, reverse=True)
    # First who stands: of two that leave the same state perhaps only one is overruled. Only the
    # strictly higher stamp may overrule, so there are no cycles and somebody stands.
    standing: list[Version] = []
    for version in ranked:
        for other in ranked:
            if other.stamp > version.stamp and _overrules(other, version):
                break
        else:
            if not any(is_same_state(version, better) for better in standing):
                standing.append(version)
    return Sight(standing[0], tuple(standing[1:]))


def is_same_state(a: Version, b: Version) -> bool:
    """Whether both leave the path in a state no reader could tell apart.

    Times are left out: two people who make the same edit do not disagree.
    """
    if a.deleted or b.deleted:
        return a.deleted and b.deleted
    return _left_the_same(a, b)


def _left_the_same(a: Version, b: Version) -> bool:
    return (
        a.kind == b.kind
        and a.content.hash == b.content.hash
        and a.target == b.target
        and a.content_type == b.content_type
        and a.executable == b.executable
    )


def _overrules(newer: Version, older: Version) -> bool:
    """Whether nobody has to decide between two versions, although neither writer saw the other."""
    return _edited_from(newer, older) or _began_after(newer, older)


def _began_after(newer: Version, older: Version) -> bool:
    """Whether ``newer`` is a start from nothing, and ``older`` deleted something else.

    Most often its writer had known the deletion and has forgotten it (`core.knowledge`), while
    somebody slower has not. Of a folder there is nothing to keep but its name.
    """
    return (
        older.deleted
        and not newer.deleted
        and (newer.base != older.content.hash or older.kind == Kind.DIRECTORY)
        and _share_nothing(newer.vector, older.vector)
    )


def _share_nothing(one: Vector, other: Vector) -> bool:
    """Whether there is no version that both writers had seen.

    Each number of a vector is that of a version of this path, and covers all lower ones; so two
    that go by the same incarnation share at least the version with the lower number.
    """
    return {incarnation for incarnation, _ in one}.isdisjoint(
        incarnation for incarnation, _ in other
    )


def _edited_from(newer: Version, older: Version) -> bool:
    """Whether ``newer`` was made from exactly what ``older`` left.

    A deletion tells all of what it deleted, not only the content: who changed the mode meanwhile
    is not overruled.
    """
    if newer.deleted and not _left_the_same(newer, older):
        return False
    return not older.deleted and newer.base != b"" and newer.base == older.content.hash


def fresh_versions(ours: Entry | None, theirs: Entry) -> Sequence[Version]:
    """Their versions that are neither ours nor ancestors of ours.

    A version under a dot of ours that is not our version counts as fresh: a database was copied,
    and joining will part the two.
    """
    if ours is None:
        return theirs.versions
    if ours == theirs:
        return ()
    held = {version.dot: version for version in ours.versions}
    return [
        version
        for version in theirs.versions
        if held.get(version.dot) != version
        and not any(covers(other.vector, version.dot) for other in ours.versions)
    ]
