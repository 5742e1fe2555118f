"""What a node that we cannot reach offers us: the other end of `cluster.push`.

An offer is a page of entries, and goes the way of a page that we pulled: planned by the same
functions, refused entry by entry, applied in one commit under the name of its sender, so that it
does not go back there. Only fetching is turned around: the answer names the chunks that are
lacking, the sender brings them and offers the same page again.

Nothing is remembered between two offers but the chunks that each sender was lately asked for. No
others are taken, since nobody would ever refer to them. Sending anything twice is harmless.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import msgspec

from aeorsync.cluster.fetch import PROVE_BYTES, Spoiled, groups, prove, receive, survey
from aeorsync.cluster.link import Link
from aeorsync.cluster.plan import Complete, Plan, held_of, make_plan, needed_of, without_spoiled
from aeorsync.cluster.walk import Sieve
from aeorsync.core.cursors import Cursor, parse_cursor, print_cursor
from aeorsync.core.filters import Filter
from aeorsync.core.knowledge import is_vector
from aeorsync.core.versions import Content
from aeorsync.errors import (
    UNREADABLE,
    AeorError,
    BadRequestError,
    ConflictError,
    StaleError,
    TooLargeError,
)
from aeorsync.runtime import bridge
from aeorsync.storage.repository import Repository
from aeorsync.wire import limits
from aeorsync.wire.framing import Chunk, Frame, Kind, parse_chunk, parse_missing
from aeorsync.wire.offers import OfferedChunksReply, OfferHeader, OfferProblem, OfferReply
from aeorsync.wire.protocol import (
    Item,
    pack,
)

TAKE_BYTES: Final = 2 * limits.MIB
"""Chunk bytes handed to the store at a time, at least, while there are more."""
_MAX_PROBLEMS: Final = 20
_MAX_PATH: Final = 1000
_MAX_TEXT: Final = 500
_decode_items = msgspec.msgpack.Decoder(list[Item]).decode


class Stance(msgspec.Struct, frozen=True):
    """How this node stands to one that offers.

    Attributes:
        is_linked: A link from here to it is active, so what it has is pulled anyway.
        takes: Whether anything may come from it at all.
        sync_paths: Globs of what is taken from it; None for everything.
        excludes: Globs of what is not taken after all; None for no exception.
    """

    is_linked: bool = False
    takes: bool = True
    sync_paths: tuple[str, ...] | None = None
    excludes: tuple[str, ...] | None = None


def stance_of(link: Link) -> Stance:
    """How this node stands to the peer of a link."""
    record = link.record
    takes = record.enabled and record.pulls
    return Stance(takes and link.is_active, takes, record.sync_paths, record.excludes)


@dataclass(frozen=True, slots=True)
class Offer:
    """One page as it was sent.

    Attributes:
        header: Who offers.
        parts: msgpack arrays of `wire.protocol.Item`, not decoded yet.
        missing: Chunk ids that the sender was asked for and cannot bring.
    """

    header: OfferHeader
    parts: Sequence[bytes]
    missing: Collection[bytes] = ()


class Offers:
    """The chunks this node waits for, by who is to bring them. Belongs to one event loop."""

    def __init__(self) -> None:
        """Wait for nothing."""
        self._expected: dict[int, frozenset[bytes]] = {}

    async def take(self, repository: Repository, offer: Offer, stance: Stance) -> OfferReply:
        """Apply an offer, or say which chunks are to be brought first.

        Durable on return where it was applied.

        Raises:
            BadRequestError: The page breaks the protocol.
            ConflictError: It is our own.
        """
        sender, head = offer.header.node_id, repository.head
        if sender == head.node:
            raise ConflictError("this node cannot offer anything to itself; nothing was changed")
        reply = OfferReply(
            node_id=head.node,
            database=repository.database_id,
            linked=stance.is_linked,
            takes=stance.takes,
            known=is_known(repository, offer.header.receipt),
            sync_paths=stance.sync_paths,
            excludes=stance.excludes,
        )
        if not (reply.takes and reply.known):
            return reply
        plan = await bridge.run(_plan, repository, offer.parts, stance)
        complete, lacking = await _complete(repository, plan, offer.missing)
        if lacking:
            self._expect(sender, lacking)
            return msgspec.structs.replace(reply, lacking=[name.hex() for name in lacking])
        items = [(item.key, item.entry) for item in complete.news]
        applied = await bridge.settle(repository.apply(items, sender))
        self._expected.pop(sender, None)
        knowledge = offer.header.knowledge
        takes_everything = not (stance.sync_paths or stance.excludes or complete.problems)
        if knowledge is not None and takes_everything and is_vector(knowledge):
            await bridge.run(repository.learn, dict(knowledge))
        return msgspec.structs.replace(
            reply,
            receipt=print_cursor(Cursor(repository.epoch, repository.head.seq)),
            applied=applied.changed,
            conflicts=applied.conflicts,
            problems=[
                OfferProblem(problem.path[:_MAX_PATH], problem.text[:_MAX_TEXT])
                for problem in complete.problems[:_MAX_PROBLEMS]
            ],
            problem_count=len(complete.problems),
        )

    async def take_chunks(
        self, repository: Repository, frames: AsyncIterator[list[Frame]]
    ) -> OfferedChunksReply:
        """Check and store chunks as they come in.

        Raises:
            BadRequestError: The frames break the protocol; what was stored before stays.
            StaleError: One was not asked for; likewise.
        """
        intake: _Intake | None = None
        async for batch in frames:
            for frame in batch:
                if intake is None:
                    sender = parse_header([frame]).node_id
                    intake = _Intake(repository, self._expected.get(sender, frozenset()))
                elif frame.kind is Kind.CHUNK:
                    intake.add(parse_chunk(frame.payload))
                elif frame.kind is not Kind.END:
                    raise BadRequestError("a frame does not belong among chunks")
            if intake is not None and intake.size >= TAKE_BYTES:
                await intake.store()
        if intake is None:
            raise BadRequestError("the chunks have no header")
        await intake.store()
        return OfferedChunksReply(intake.stored, [name.hex() for name in intake.refused])

    def _expect(self, sender: int, names: Sequence[bytes]) -> None:
        self._expected.pop(sender, None)
        self._expected[sender] = frozenset(names)
        if len(self._expected) > limits.MAX_OFFERERS:
            # Whoever waited longest offers again, and is asked again.
            del self._expected[next(iter(self._expected))]


async def read_offer(frames: AsyncIterator[list[Frame]]) -> Offer:
    """Collect the frames of an offer.

    Raises:
        BadRequestError: They break the protocol.
        TooLargeError: They are more than a page.
    """
    found: list[Frame] = []
    size = 0
    async for batch in frames:
        found += batch
        size += sum(limits.FRAME_COST + len(frame.payload) for frame in batch)
        if size > limits.MAX_PAGE_BYTES:
            raise TooLargeError(f"an offer has at most {limits.MAX_PAGE_BYTES} bytes")
    header, between = parse_header(found), found[1:-1]
    if any(frame.kind not in {Kind.ENTRIES, Kind.MISSING} for frame in between):
        raise BadRequestError("a frame does not belong into an offer")
    parts = [frame.payload for frame in between if frame.kind is Kind.ENTRIES]
    lost = (parse_missing(frame.payload) for frame in between if frame.kind is Kind.MISSING)
    return Offer(header, parts, {name for names in lost for name in names})


def parse_header(frames: Sequence[Frame]) -> OfferHeader:
    """Read the first of some frames.

    Raises:
        BadRequestError: It is no header.
    """
    if not frames or frames[0].kind is not Kind.HEADER:
        raise BadRequestError("the frames do not begin with a header")
    try:
        return msgspec.msgpack.decode(frames[0].payload, type=OfferHeader)
    except UNREADABLE as error:
        raise BadRequestError(f"the header is broken: {error}") from error


def is_known(repository: Repository, receipt: str | None) -> bool:
    """Whether this database still holds what it held when it gave out a receipt."""
    if receipt is None:
        return True
    mark = parse_cursor(receipt)
    return mark is not None and repository.has_feed_since(mark.epoch, mark.seq)


@dataclass(slots=True)
class _Intake:
    """Chunks on their way in. Belongs to one task.

    Attributes:
        repository: Where to.
        expected: Ids that may come.
        size: Bytes that wait to be stored.
        stored: Chunks that are here.
        refused: Ids of those that were wrong.
    """

    repository: Repository
    expected: frozenset[bytes]
    size: int = 0
    stored: int = 0
    refused: list[bytes] = field(default_factory=list)
    _seen: set[bytes] = field(default_factory=set)
    _waiting: list[Chunk] = field(default_factory=list)

    def add(self, chunk: Chunk) -> None:
        """Take one.

        Raises:
            BadRequestError: It comes twice.
            StaleError: It was not asked for.
        """
        if chunk.id not in self.expected:
            raise StaleError("a chunk was not asked for; offer the entries that need it first")
        if chunk.id in self._seen:
            raise BadRequestError("a chunk comes twice")
        self._seen.add(chunk.id)
        self._waiting.append(chunk)
        self.size += len(chunk.stored)

    async def store(self) -> None:
        """Check and store what waits."""
        ready, self._waiting, self.size = self._waiting, [], 0
        if not ready:
            return
        received = await bridge.run(receive, self.repository, ready, {}, are_plain=False)
        self.refused += received.bad
        self.stored += len(ready) - len(received.bad)


def _plan(repository: Repository, parts: Sequence[bytes], stance: Stance) -> Plan:
    if stance.sync_paths or stance.excludes:
        wanted = Filter.parse(stance.sync_paths, stance.excludes)
        sieve = Sieve(wanted, shows_system=True)
        parts = [_matching(part, sieve) for part in parts]
    return make_plan(repository, parts)


def _matching(part: bytes, sieve: Sieve) -> bytes:
    """The items of a part that we want; what is malformed stays, to be refused by the plan."""

    def is_wanted(key: bytes) -> bool:
        try:
            return sieve.passes(key)
        except (AeorError, UnicodeDecodeError):
            return True

    try:
        items = _decode_items(part)
    except UNREADABLE:
        return part
    return pack([item for item in items if is_wanted(item[0])])


async def _complete(
    repository: Repository, plan: Plan, missing: Collection[bytes]
) -> tuple[Complete, list[bytes]]:
    """What of a plan can be applied, or else some of the chunks that are lacking first."""
    lost = {name: f"the sender does not hold chunk {name.hex()}" for name in missing}
    spoiled: Spoiled = {}
    whole: list[Content] = []
    for group in groups(needed_of(plan)):
        found = await bridge.run(survey, repository, group, lost)
        if found.wanted:
            return Complete([], []), list(islice(found.wanted, limits.MAX_LACKING))
        spoiled.update(found.spoiled)
        whole += found.kept
    held = held_of(plan)
    unproven = [content for content in whole if content not in held]
    for group in groups(unproven, PROVE_BYTES):
        spoiled.update(await bridge.run(prove, repository, group))
    return without_spoiled(plan, spoiled), []
