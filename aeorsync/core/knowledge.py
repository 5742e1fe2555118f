"""What a node knows, and when a deletion may be forgotten.

*Knowledge* is a vector: for each incarnation the highest n up to which the node has taken in all
that was written under it. Whoever knows a dot holds its version, or one that replaced it, or has
forgotten it together with everybody else.

A grave may be forgotten when nobody is left who could bring back what it deleted:

1. it is older than the retention time, and we know everything its writer had seen;
2. every member that was not removed has *acknowledged* it: published knowledge that has its dots;
3. we know all that those members knew when they published.

Rule 3 makes 2 safe against members we have not heard of. Nobody gives or takes entries before it
has written down the other one as a member; so whoever got the deleted version from one that has
acknowledged since is on record there, and rule 3 says that the record is here.
"""

from collections.abc import Collection, Mapping
from typing import TypeAlias

import msgspec

from aeorsync.core.clock import wall_ms
from aeorsync.core.versions import Entry, Vector

Knowledge: TypeAlias = Mapping[int, int]
"""Highest n known of each incarnation."""

MAX_KNOWLEDGE = 100_000
"""Incarnations a node tells of; one that knows more tells nothing, and graves are kept."""
_U64 = 1 << 64


class Ack(msgspec.Struct, frozen=True, array_like=True):
    """What a member has told all others that it knows.

    Attributes:
        node_id: The member.
        at: When it said so, in milliseconds since the Unix epoch.
        vector: Its knowledge.
    """

    node_id: int
    at: int
    vector: Vector


def joined(ours: Knowledge, theirs: Knowledge) -> dict[int, int]:
    """What both know together."""
    return {**ours, **{i: n for i, n in theirs.items() if n > ours.get(i, 0)}}


def is_within(some: Knowledge, all_: Knowledge) -> bool:
    """Whether ``all_`` has everything that ``some`` has."""
    return all(all_.get(incarnation, 0) >= n for incarnation, n in some.items())


def knows(knowledge: Knowledge, entry: Entry) -> bool:
    """Whether every version of an entry is known."""
    return all(knowledge.get(v.incarnation, 0) >= v.n for v in entry.versions)


def knows_past(knowledge: Knowledge, entry: Entry) -> bool:
    """Whether all that the writers of an entry had seen of it is known, too."""
    return all(knowledge.get(incarnation, 0) >= n for incarnation, n in entry.context)


def is_grave(entry: Entry) -> bool:
    """Whether an entry is nothing but deletions."""
    return all(version.deleted for version in entry.versions)


def died(entry: Entry) -> int:
    """When the last deletion of a grave was made, in milliseconds since the Unix epoch."""
    return max(wall_ms(version.stamp) for version in entry.versions)


def heard(acks: Mapping[int, Ack], members: Collection[int], ours: Knowledge) -> list[Knowledge]:
    """The knowledge of all members, as far as it counts here; see rules 2 and 3.

    A member that said nothing, or that knew more than we do when it spoke, counts as knowing
    nothing.
    """
    known = [dict(acks[node].vector) if node in acks else {} for node in members]
    return [vector if is_within(vector, ours) else {} for vector in known]


def to_vector(knowledge: Knowledge) -> Vector | None:
    """Knowledge as it is told; None when it is too long."""
    return tuple(sorted(knowledge.items())) if len(knowledge) <= MAX_KNOWLEDGE else None


def is_vector(vector: Vector) -> bool:
    """Whether what a peer told is knowledge."""
    members = [incarnation for incarnation, _ in vector]
    return (
        len(members) <= MAX_KNOWLEDGE
        and members == sorted(set(members))
        and all(0 < i < _U64 and 0 < n < _U64 for i, n in vector)
    )
