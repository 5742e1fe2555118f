"""What has happened, kept by somebody who forgets nothing and believes no vector.

Each version that ever became durable is known here with what its writer had *really* seen: the
versions that were at the path when they wrote, or when they read what they edited, and all that
the writers of those had seen. From that follows, without a look at any vector,

    at each commit    nothing that was there went, unless a version that has seen it is there now;
                      no number names two versions; stamps grow; no vector claims to have seen
                      what its writer has not (`over`), nor lacks what they have (`under`)
    in the end        at each path are exactly those versions that nobody has seen and written
                      over, on every node; graves that were forgotten in time may be missing
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b

from aeorsync.core.clock import is_too_far_ahead, make_stamp
from aeorsync.core.merge import see
from aeorsync.core.versions import Dot, Entry, Kind, Version, covers

Seen = frozenset[Dot]
NOTHING: Seen = frozenset()


class BrokenError(AssertionError):
    """A promise is broken."""


@dataclass(frozen=True, slots=True)
class Known:
    """A version, and all that its writer had really seen."""

    key: bytes
    version: Version
    seen: Seen


@dataclass(slots=True)
class Past:
    """What one node has been through.

    Attributes:
        held: Each version it ever had.
        stamp: The last one it gave out, before the present commit.
        fresh: Those of the present commit.
    """

    held: set[Dot] = field(default_factory=set)
    stamp: int = 0
    fresh: list[int] = field(default_factory=list)

    def copy(self) -> "Past":
        return Past(set(self.held), self.stamp)


def demand(holds: object, text: str) -> None:
    """Break off unless something holds."""
    if not holds:
        raise BrokenError(text)


class History:
    """See the module.

    Attributes:
        known: Every version by its dot.
        forgotten: Dots of graves that a node has forgotten.
        claims: What writers had seen, of versions that are about to become durable; without one
            a writer has seen what is there.
        contents: The bytes that each content hash stands for.
        broken: The first promise that was seen broken at a commit.
        trace: Told of every commit.
    """

    def __init__(self) -> None:
        self.known: dict[Dot, Known] = {}
        self.by_key: dict[bytes, list[Known]] = {}
        self.forgotten: set[Dot] = set()
        self.claims: dict[Dot, Seen] = {}
        self.contents: dict[bytes, bytes] = {}
        self.broken: BrokenError | None = None
        self.trace = blake2b(digest_size=16)

    def copy(self) -> "History":
        """The same past, for another run."""
        other = History()
        other.known = dict(self.known)
        other.by_key = {key: list(known) for key, known in self.by_key.items()}
        other.forgotten = set(self.forgotten)
        return other

    def closure(self, dots: Iterable[Dot]) -> Seen:
        """All that somebody has seen who has read these versions."""
        found: set[Dot] = set()
        for dot in dots:
            found.add(dot)
            known = self.known.get(dot)
            if known is not None:
                found |= known.seen
        return frozenset(found)

    def end_commit(self, past: Past, stamps: tuple[int, int], node: int, now_ms: int) -> None:
        """All paths of a commit have been noted.

        A stamp from too far ahead, that of a wrong clock, is not followed: then they go back, also
        where nothing is given one because it is only stated again.

        Args:
            past: Of the node.
            stamps: Its last ones before and after the commit.
            node: Its id.
            now_ms: What its clock shows, in milliseconds since the Unix epoch.
        """
        before, after = stamps
        if is_too_far_ahead(before, now_ms) and after < before:
            past.stamp = min(past.stamp, make_stamp(now_ms) - 1)
        if past.fresh:
            first, last = min(past.fresh), max(past.fresh)
            demand(first > past.stamp, f"node {node}: stamp {first} after {past.stamp}")
            demand(len(set(past.fresh)) == len(past.fresh), f"node {node} gave out a stamp twice")
            past.stamp = last
            past.fresh.clear()

    def note(
        self, past: Past, key: bytes, before: Entry | None, after: Entry, *, node: int
    ) -> None:
        """One path changed on one node, durably."""
        was = () if before is None else before.versions
        for version in after.versions:
            dot = version.dot
            known = self.known.get(dot)
            if known is None:
                self._add(past, key, version, (v.dot for v in was), node)
            elif known.version != version or known.key != key:
                raise BrokenError(f"{_name(dot)} names two things: {known.version}, {version}")
            past.held.add(dot)
        known_of = self.known
        for version in was:
            if version not in after.versions and not any(
                version.dot in known_of[v.dot].seen for v in after.versions
            ):
                raise BrokenError(
                    f"node {node} lost {_name(version.dot)} of {key!r}: {dots(before)} became"
                    f" {dots(after)}"
                )
        if len(after.versions) > 1:
            self._check_concurrent(node, key, after)

    def _check_concurrent(self, node: int, key: bytes, entry: Entry) -> None:
        for version in entry.versions:
            seen = self.known[version.dot].seen
            for other in entry.versions:
                if other.dot in seen:
                    raise BrokenError(
                        f"node {node} keeps {_name(other.dot)} of {key!r} beside"
                        f" {_name(version.dot)}, whose writer had seen it"
                    )

    def _add(
        self,
        past: Past,
        key: bytes,
        version: Version,
        was: Iterable[Dot],
        node: int,
    ) -> None:
        dot = version.dot
        claimed = self.claims.pop(dot, None)
        seen = self.closure(was) if claimed is None else claimed
        if version.node != node:
            raise BrokenError(f"node {node} has {_name(dot)} from nobody")
        # What is only stated again keeps its age.
        if not any(self.known[other].version.stamp == version.stamp for other in seen):
            past.fresh.append(version.stamp)
        for other in seen:
            if not covers(version.vector, other):
                raise BrokenError(
                    f"under: {_name(dot)} of {key!r} has seen {_name(other)}, and does not say so"
                )
        siblings = self.by_key.setdefault(key, [])
        self._check_beside(siblings, version, seen)
        found = self.known[dot] = Known(key, version, seen)
        siblings.append(found)

    def _check_beside(self, siblings: Iterable[Known], version: Version, seen: Seen) -> None:
        """Whether a new version and those before it say of each other what is true."""
        dot = version.dot
        for sibling in siblings:
            there = sibling.version
            if there.dot in self.forgotten:
                continue  # all have acknowledged it, so to know it is to claim nothing
            if there.dot not in seen and covers(version.vector, there.dot):
                raise BrokenError(
                    f"over: {_name(dot)} of {sibling.key!r} claims to have seen {_name(there.dot)}"
                )
            if covers(there.vector, dot):
                raise BrokenError(
                    f"over: {_name(there.dot)} of {sibling.key!r} claims to have seen"
                    f" {_name(dot)}, which was written later"
                )

    def told(self, key: bytes, version: Version) -> Seen:
        """What a writer claims to have seen of a path."""
        known = self.by_key.get(key, ())
        return self.closure(
            one.version.dot for one in known if covers(version.vector, one.version.dot)
        )

    def forget(self, entry: Entry) -> None:
        """A grave was forgotten somewhere, and with it all that it had seen."""
        self.forgotten |= self.closure(version.dot for version in entry.versions)

    def maximal(self, held: Iterable[Dot]) -> dict[bytes, set[Dot]]:
        """What has to be at each path, going by all that some nodes have ever held."""
        found: dict[bytes, set[Dot]] = {}
        seen: dict[bytes, set[Dot]] = {}
        for dot in held:
            known = self.known[dot]
            found.setdefault(known.key, set()).add(dot)
            seen.setdefault(known.key, set()).update(known.seen)
        return {key: dots - seen[key] for key, dots in found.items()}

    def check_tree(self, node: int, entries: dict[bytes, Entry], held: Iterable[Dot]) -> None:
        """Whether a node has exactly what it has to have."""
        expected = self.maximal(held)
        for key in entries.keys() | expected.keys():
            wanted = expected.get(key, set())
            entry = entries.get(key)
            there = {version.dot for version in entry.versions} if entry is not None else set()
            # A forgotten grave may be missing, and what was written without knowing of it stands.
            if not (there <= wanted and wanted - there <= self.forgotten):
                raise BrokenError(
                    f"node {node} has {shown(there)} at {key!r} instead of {shown(wanted)}"
                )
            if entry is not None and len(entry.versions) > 1:
                self.check_sight(node, key, entry)

    def check_sight(self, node: int, key: bytes, entry: Entry) -> None:
        """Whether every version is shown, or may be left out; and whether nothing is made up."""
        sight = see(entry)
        demand(
            sight.winner.deleted <= all(version.deleted for version in entry.versions)
            or _is_settled(entry),
            f"node {node} hides what lives at {key!r}",
        )
        shown_states = [_state(version) for version in (sight.winner, *sight.losers)]
        demand(
            len(set(shown_states)) == len(shown_states),
            f"node {node} shows one state of {key!r} twice, as a conflict",
        )
        for version in entry.versions:
            if version.deleted or _state(version) in shown_states:
                continue
            if not any(other.base == version.content.hash for other in entry.versions):
                raise BrokenError(f"node {node} does not show {_name(version.dot)} at {key!r}")
        if not sight.winner.deleted and ("deleted",) not in shown_states:
            self._check_hidden_deletions(node, key, entry)

    def _check_hidden_deletions(self, node: int, key: bytes, entry: Entry) -> None:
        """A deletion is left out only beside versions that began from nothing, or from it."""
        lives = [version for version in entry.versions if not version.deleted]
        for version in entry.versions:
            seen = self.known[version.dot].seen
            if not version.deleted or not seen:
                continue
            demand(
                any(
                    seen.isdisjoint(self.known[live.dot].seen) and live.stamp > version.stamp
                    for live in lives
                ),
                f"node {node} hides the deletion {_name(version.dot)} of {key!r}, which somebody"
                " has to decide about",
            )

    def check_bytes(self, version: Version, data: bytes) -> None:
        """Whether a file is what its writer had in hand."""
        if version.kind == Kind.FILE and version.content.hash in self.contents:
            demand(
                data == self.contents[version.content.hash],
                f"{_name(version.dot)} has wrong bytes",
            )


def _is_settled(entry: Entry) -> bool:
    """Whether deletions may win over living versions: they deleted just what each of them says,
    or what was made from that.
    """
    gone = {version.base for version in entry.versions if version.deleted}
    lives = [version for version in entry.versions if not version.deleted]
    while more := {live.base for live in lives if live.content.hash in gone} - gone - {b""}:
        gone |= more
    return all(live.content.hash in gone for live in lives)


def _state(version: Version) -> tuple[object, ...]:
    if version.deleted:
        return ("deleted",)
    return (
        version.kind,
        version.content.hash,
        version.target,
        version.content_type,
        version.executable,
    )


def dots(entry: Entry | None) -> str:
    """The versions of an entry, for people."""
    return "nothing" if entry is None else shown(version.dot for version in entry.versions)


def shown(found: Iterable[Dot]) -> str:
    """Dots for people."""
    return "{" + ", ".join(map(_name, sorted(found))) + "}"


def _name(dot: Dot) -> str:
    return f"{dot[0]:x}-{dot[1]}"
