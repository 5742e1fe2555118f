"""What a long run over HTTP must find: who wrote what, and what its writer had seen.

Each write has a number and a content that nobody else writes. It states a base; the numbers that
the base covers are ended by it once it is acknowledged. What was written and ended by nobody is
*alive*: when all is quiet, the versions of a path are exactly those, on every node.

| a write | until it is known to be durable |
| --- | --- |
| sent | in doubt: it may be read, and may have ended what it covers |
| acknowledged | alive; what it covers is ended, and this node must not show that again |
| refused | never was |
| broken off | stays in doubt until somebody has seen it, or all is quiet |

Memory is bounded by the number of paths: of what was ended, the last `REMEMBERED` are known.
"""

import random
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import blake3

REMEMBERED: Final = 200
"""How many ended versions of a path are told from bytes that nobody wrote."""
_LEAST: Final = 24
_LINE: Final = 64


@dataclass(frozen=True)
class Content:
    """Bytes that can be made again: random ones, or lines that compress well.

    Attributes:
        seed: Of this content alone.
        size: In bytes, at least 24, so that no two seeds give the same.
    """

    seed: int
    size: int

    def body(self) -> bytes:
        """The bytes."""
        source = random.Random(self.seed)
        if self.seed % 2:
            return source.randbytes(self.size)
        line = source.randbytes(_LINE // 2).hex().encode()
        return (line * (self.size // _LINE + 1))[: self.size]

    @cached_property
    def hash(self) -> str:
        """What answers call them."""
        return blake3.blake3(self.body()).hexdigest()


@dataclass(frozen=True, slots=True)
class Write:
    """One write.

    Attributes:
        number: Ascending, of no other write.
        content: None for a deletion.
    """

    number: int
    content: Content | None

    @property
    def hash(self) -> str:
        """Of its content; empty for a deletion."""
        return self.content.hash if self.content else ""


@dataclass(frozen=True, slots=True)
class Token:
    """A base, and which writes whoever has it has seen."""

    etag: str
    covers: frozenset[int]


@dataclass(frozen=True, slots=True)
class Sent:
    """A write on its way."""

    path: str
    write: Write
    covers: frozenset[int]
    node: int


@dataclass(frozen=True, slots=True)
class Look:
    """What a read that begins now must not come back with.

    Attributes:
        path: What is read.
        gone: Contents that this node has said to be ended.
        there: Writes that this node has acknowledged and nobody has ended.
        known: Contents that may be there.
    """

    path: str
    gone: frozenset[str]
    there: frozenset[int]
    known: frozenset[str]


@dataclass
class Place:
    """One path.

    Attributes:
        alive: Writes that nobody has ended, by number.
        doubts: Writes of which nobody knows whether they happened.
        ended: Writes that were ended, the last ones, with the nodes that know it.
        told: The nodes that acknowledged a write that is alive.
        token: What the last writer had seen, in words of the server; None when nobody knows.
        is_taken: Whether somebody is at it.
        picked: Writes of a content that was there before, by the ids of their versions.
        is_muddled: Whether two writes of one content cannot be told apart: nobody may go on, and
            only the bytes are judged, until all is quiet.
    """

    alive: dict[int, Write] = field(default_factory=dict)
    doubts: dict[int, Sent] = field(default_factory=dict)
    ended: "OrderedDict[int, tuple[Write, set[int]]]" = field(default_factory=OrderedDict)
    told: dict[int, set[int]] = field(default_factory=dict)
    token: Token | None = None
    is_taken: bool = False
    is_muddled: bool = False
    picked: dict[str, int] = field(default_factory=dict)

    def end(self, number: int, node: int | None) -> None:
        """Somebody who had seen a write has replaced it, and a node has said so."""
        if (write := self.alive.pop(number, None)) is not None:
            self.told.pop(number, None)
            self.ended[number] = write, set()
            while len(self.ended) > REMEMBERED:
                forgotten, _ = self.ended.popitem(last=False)
                self.picked = {at: n for at, n in self.picked.items() if n != forgotten}
        if node is not None and number in self.ended:
            self.ended[number][1].add(node)

    def known(self) -> dict[str, Write]:
        """Every content that may be seen here, by its hash."""
        found = {write.hash: write for write, _ in self.ended.values()}
        found |= {sent.write.hash: sent.write for sent in self.doubts.values()}
        found |= {write.hash: write for write in self.alive.values()}
        return found


class Oracle:
    """All paths."""

    def __init__(self, complain: Callable[[str, str, str], None]) -> None:
        """Know nothing.

        Args:
            complain: Is told of what must not be: kind, path, what was expected and seen.
        """
        self.places: dict[str, Place] = {}
        self._complain = complain
        self._number = 0

    def at(self, path: str) -> Place:
        """What is known of a path."""
        return self.places.setdefault(path, Place())

    def begin(self, path: str, content: Content | None, covers: Iterable[int], node: int) -> Sent:
        """A write is about to be sent; `covers` says which writes its base has seen."""
        self._number += 1
        sent = Sent(path, Write(self._number, content), frozenset(covers), node)
        self.at(path).doubts[self._number] = sent
        return sent

    def done(
        self, sent: Sent, etag: str | None = None, *, node: int | None = None
    ) -> Token | None:
        """A write was acknowledged; returns what its writer has seen by now.

        Args:
            sent: The write.
            etag: From the answer; None if it told none.
            node: That said so; None when it was merely seen.
        """
        place = self.at(sent.path)
        place.doubts.pop(sent.write.number, None)
        # Who has seen a write that was in doubt has proven it.
        for number in sent.covers & place.doubts.keys():
            self.done(place.doubts[number])
        for number in sent.covers:
            place.end(number, node)
        place.alive[sent.write.number] = sent.write
        if node is not None:
            place.told[sent.write.number] = {node}
        if etag is None:
            return None
        recent = place.alive.keys() | place.doubts.keys() | place.ended.keys()
        return Token(etag, (sent.covers | {sent.write.number}) & recent)

    def refused(self, sent: Sent) -> None:
        """A write was answered with an error: nothing was changed."""
        self.at(sent.path).doubts.pop(sent.write.number, None)

    def covered_by_all(self, path: str) -> frozenset[int]:
        """What somebody has seen who is shown deletions only: every deletion there."""
        alive = self.at(path).alive.values()
        return frozenset(write.number for write in alive if write.content is None)

    def picked(self, sent: Sent, version: str) -> None:
        """A write of a content that was there before has made a version of its own."""
        self.at(sent.path).picked[version] = sent.write.number

    def numbers_of(self, path: str, shown: Iterable[tuple[str, str]]) -> frozenset[int]:
        """The writes behind versions that somebody was shown together: ids and hashes."""
        place = self.at(path)
        writes = [write for write, _ in place.ended.values()]
        writes += [sent.write for sent in place.doubts.values()]
        writes += place.alive.values()
        again = set(place.picked.values())
        first = {write.hash: write.number for write in writes if write.number not in again}
        found = (place.picked.get(version, first.get(hashed)) for version, hashed in shown)
        return frozenset(number for number in found if number is not None)

    def look(self, path: str, node: int) -> Look:
        """Begin a read."""
        place = self.at(path)
        current = {write.hash for write in place.alive.values()}
        current |= {sent.write.hash for sent in place.doubts.values()}
        over = {write.hash for write, nodes in place.ended.values() if node in nodes}
        # A content that somebody picked has two writes: the node may know of the end of one.
        over -= {write.hash for write, nodes in place.ended.values() if node not in nodes}
        there = {
            number
            for number, nodes in place.told.items()
            if node in nodes and place.alive[number].content is not None
        }
        gone = frozenset(over - current - {""})
        return Look(path, gone, frozenset(there), frozenset(place.known()))

    def saw(self, look: Look, content_hash: str | None) -> Content | None:
        """End a read.

        Args:
            look: What `look` returned.
            content_hash: Of what came; None for nothing.

        Returns:
            What must have come; None when nothing, or something wrong, did.
        """
        place = self.at(look.path)
        if content_hash is None:
            # A deletion that is in doubt may have come over.
            missing = look.there & place.alive.keys()
            is_excused = any(sent.write.content is None for sent in place.doubts.values())
            if missing and not is_excused:
                self._complain("lost write", look.path, f"404, though {sorted(missing)} is there")
            return None
        known = place.known()
        if content_hash not in known and content_hash not in look.known:
            self._complain("wrong bytes", look.path, f"nobody wrote {content_hash}")
            return None
        if content_hash in look.gone and not self._is_current(place, content_hash):
            self._complain("stale read", look.path, f"{content_hash} was ended on this node")
        write = known.get(content_hash)
        return write.content if write else None

    def judge(self, path: str, seen: dict[str, str], *, in_conflict: bool) -> None:
        """All is quiet: compare a path with what must be there, and go on from what is.

        Args:
            path: Which.
            seen: Content hashes of its versions, with words about where.
            in_conflict: Whether the server lists it as in conflict.
        """
        place = self.at(path)
        if place.is_muddled:
            self._clear_up(place, seen)
        self._settle_doubts(place, seen.keys())
        expected = {write.hash for write in place.alive.values() if write.content is not None}
        for content_hash in sorted(expected - seen.keys()):
            self._complain("lost write", path, f"{content_hash} is nowhere")
        ended = {write.hash for write, _ in place.ended.values()}
        for content_hash in sorted(seen.keys() - expected):
            kind = "resurrection" if content_hash in ended else "wrong bytes"
            self._complain(kind, path, f"{content_hash} is at {seen[content_hash]}")
        if in_conflict and len(place.alive) < 2:
            self._complain("false conflict", path, f"only {sorted(place.alive)} should be there")
        if not in_conflict and len(seen) == 1:
            for number in [n for n, write in place.alive.items() if write.content is None]:
                place.end(number, None)
        if len(place.alive) > 1:
            place.token = None

    def _clear_up(self, place: Place, seen: dict[str, str]) -> None:
        """What may be there is what is: go on from it."""
        known = place.known()
        for number in (*place.alive, *place.doubts):
            place.doubts.pop(number, None)
            place.end(number, None)
        for content_hash in seen.keys() & known.keys():
            write = known[content_hash]
            place.ended.pop(write.number, None)
            place.alive[write.number] = write
        place.token = None
        place.picked.clear()
        place.is_muddled = False

    def _settle_doubts(self, place: Place, seen: Iterable[str]) -> None:
        """What is in doubt happened if it is to be seen; a deletion, if what it ended is not."""
        shown = set(seen)
        # The latest first: it may cover others, which are proven by it.
        for number in sorted(place.doubts, reverse=True):
            sent = place.doubts.pop(number, None)
            if sent is None:
                continue
            ends = {place.alive[n].hash for n in sent.covers & place.alive.keys()}
            is_gone = bool(ends) and not ends & shown
            if sent.write.hash in shown if sent.write.content else is_gone:
                place.doubts[number] = sent
                self.done(sent)

    @staticmethod
    def _is_current(place: Place, content_hash: str) -> bool:
        current = {write.hash for write in place.alive.values()}
        current |= {sent.write.hash for sent in place.doubts.values()}
        return content_hash in current
