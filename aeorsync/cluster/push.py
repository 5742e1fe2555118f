"""One cycle turned around: everything we have that a peer lacks, brought there.

    read      what changed here since the peer last acknowledged           a page of the feed
    offer     the page; the peer plans it, and names the chunks it lacks   one round trip or more
    send      those chunks, a few batches side by side
    offer     the page again: now it is applied
    record    how far the peer is, last, so that repeating any part is harmless

The peer decides by its own rules what it takes (`cluster.offers`). What it refuses becomes a
problem in the report, as in a pull, and the record stays before it. With each answer comes a
*receipt*; a peer that does not know its own receipt again was put back to an older copy, and is
offered everything.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from aeorsync import __version__
from aeorsync.cluster.cycle import MAX_PROBLEMS, Peering, Report
from aeorsync.cluster.fetch import BATCH_IDS, IN_FLIGHT
from aeorsync.cluster.pages import Page, entry_frames, read_page
from aeorsync.cluster.peers import Filters, LinkBook, PushRecord
from aeorsync.cluster.plan import Problem
from aeorsync.cluster.walk import Sieve
from aeorsync.core.cursors import Cursor, parse_cursor, print_cursor
from aeorsync.core.filters import Filter
from aeorsync.core.hashing import parse_hash
from aeorsync.core.knowledge import Knowledge, to_vector
from aeorsync.core.versions import Vector
from aeorsync.errors import BadRequestError, CorruptError, UnavailableError
from aeorsync.runtime import bridge
from aeorsync.runtime.redact import redact
from aeorsync.runtime.together import together
from aeorsync.storage.repository import Repository
from aeorsync.wire.framing import Codec, encode_chunk
from aeorsync.wire.limits import GIB, MAX_LACKING, MIB
from aeorsync.wire.offers import OfferedChunksReply, OfferHeader, OfferReply

MAX_CONTENT: Final = GIB
"""Bytes of files in one page, so that what is being sent is acknowledged now and then."""
SEND_BYTES: Final = 4 * MIB
_READ_IDS: Final = 16
_MAX_RESTARTS: Final = 2
_MAX_RECEIPT: Final = 16_384


class Pushed(Report, frozen=True):
    """What was brought there, and what the peer does by itself.

    Attributes:
        is_linked: Whether the peer pulls from us by itself.
        takes: Whether it takes anything from us.
    """

    is_linked: bool = False
    takes: bool = True


async def run_push(
    peering: Peering, ahead: str | None = None, *, is_asked_for: bool = False
) -> Pushed:
    """Bring everything there that the peer lacks.

    Args:
        peering: Who and whom.
        ahead: Go on from this mark of an earlier, partial cycle instead of the recorded one, and
            record nothing: what the peer did not take stays to be offered.
        is_asked_for: Somebody wants this, also if the peer pulls by itself.

    Raises:
        AeorError: The peer broke the protocol or cannot be reached.
    """
    mark = await bridge.run(_recorded, peering)
    push = _Push(peering, mark, ahead, is_asked_for=is_asked_for)
    reply: OfferReply | None = None
    has_more = True
    while has_more:
        # Before the page is read: what is known is in the trees by then.
        known = await bridge.run(peering.repository.known)
        page = await bridge.run(
            read_page, peering.repository, push.cursor, push.sieve, MAX_CONTENT
        )
        has_more = page.has_more
        if has_more and not page.items:
            push.cursor = page.cursor
            continue
        reply, sent = await push.offer(page, known)
        if push.is_vain(reply):
            break
        if push.must_restart(reply):
            has_more = True
        else:
            await push.note(page, reply, sent)
    # The last page is offered even when it is empty: that is how we ask.
    is_linked, takes = (reply.linked, reply.takes) if reply is not None else (False, True)
    return msgspec.structs.replace(push.report, is_linked=is_linked, takes=takes)


class _Push:
    """One cycle on its way. Belongs to one task and those it starts.

    Attributes:
        cursor: Where the next page begins.
        sieve: What is offered.
        report: What was brought there so far.
    """

    def __init__(
        self,
        peering: Peering,
        mark: PushRecord | None,
        ahead: str | None,
        *,
        is_asked_for: bool,
    ) -> None:
        begin = ahead or (None if mark is None else mark.cursor)
        self.cursor = None if begin is None else parse_cursor(begin)
        self.sieve = _sieve(peering)
        self.report = Pushed()
        self._peering = peering
        self._is_asked_for = is_asked_for
        self._receipt = None if mark is None else mark.receipt
        self._taken = None if mark is None else mark.taken
        self._records = ahead is None
        self._restarts = 0
        self._bytes = 0

    async def offer(self, page: Page, known: Knowledge) -> tuple[OfferReply, int]:
        """Offer a page, with the chunks it takes; returns the last answer and their number.

        Raises:
            UnavailableError: Another node, or another database, answers at this address now, or
                it asks again for what it was sent.
        """
        peering = self._peering
        remote, link = peering.remote, peering.link
        header = OfferHeader(
            node_id=page.head.node,
            database=peering.repository.database_id,
            root_hash=page.head.root.hex(),
            version=__version__,
            receipt=self._receipt,
            knowledge=self._knowledge(page, known),
        )
        frames = entry_frames(page.items)
        sent: set[bytes] = set()
        missing: set[bytes] = set()
        while True:
            reply = await remote.offer(header, frames, missing)
            if (reply.node_id, reply.database) != (link.node_id, peering.database):
                raise UnavailableError(f"another node answers at {link.address} now")
            wanted = _names(reply.lacking)
            if not wanted or self.is_vain(reply):
                return reply, len(sent)
            if not (sent | missing).isdisjoint(wanted):
                text = f"{link.address} asks again for chunks it was sent; what it has is kept"
                raise UnavailableError(text)
            lost = await self._send(header, wanted)
            missing |= lost
            sent.update(name for name in wanted if name not in lost)

    def _knowledge(self, page: Page, known: Knowledge) -> Vector | None:
        """What the peer knows when it has taken this page, if that is all we know."""
        peering = self._peering
        is_whole = self._records and not (self.report.is_partial or page.has_more)
        is_asked = peering.asks_knowledge and peering.takes_everything
        # What was taken so far may have been less than all; `must_restart` sees to that.
        was_narrow = any(self._taken or ())
        return to_vector(known) if is_whole and is_asked and not was_narrow else None

    def is_vain(self, reply: OfferReply) -> bool:
        """Whether the peer does not need us to go on, or does not want us to."""
        return not reply.takes or (reply.linked and not self._is_asked_for)

    def must_restart(self, reply: OfferReply) -> bool:
        """Whether everything has to be offered anew; prepares for it.

        Raises:
            UnavailableError: That was done already, and did not help.
        """
        has_changed = self._receipt is not None and _taken(reply) != self._taken
        if reply.known and not has_changed:
            return False
        self._restarts += 1
        if self._restarts > _MAX_RESTARTS or self._receipt is None:
            text = f"{self._peering.link.address} forgets what it was told; it is tried again"
            raise UnavailableError(text)
        self.cursor, self._receipt, self._taken, self._records = None, None, None, True
        self.report = Pushed()
        return True

    async def note(self, page: Page, reply: OfferReply, sent: int) -> None:
        """Take in that a page was acknowledged."""
        if reply.receipt is None or len(reply.receipt) > _MAX_RECEIPT:
            raise BadRequestError(f"{self._peering.link.address} gave no receipt")
        report = _plus(self.report, reply, len(page.items), sent)
        self.report = msgspec.structs.replace(
            report,
            bytes=report.bytes + self._bytes,
            reached=print_cursor(page.cursor),
            root=page.head.root.hex(),
        )
        self._bytes = 0
        has_moved = page.cursor != self.cursor
        self.cursor = page.cursor
        self._receipt, self._taken = reply.receipt, _taken(reply)
        if self._records and has_moved and not self.report.is_partial:
            await bridge.run(_record, self._peering, reply, page.cursor)

    async def _send(self, header: OfferHeader, wanted: Sequence[bytes]) -> set[bytes]:
        """Send chunks; returns which of them could not be sent, or were damaged."""
        repository, remote = self._peering.repository, self._peering.remote
        waiting = deque(wanted)
        lost: set[bytes] = set()

        async def work() -> None:
            while waiting:
                count = min(BATCH_IDS, -(-len(waiting) // IN_FLIGHT))
                names = [waiting.popleft() for _ in range(count)]
                batch = await bridge.run(_read_batch, repository, names)
                waiting.extendleft(reversed(names[batch.read :]))
                lost.update(batch.missing)
                if batch.frames:
                    self._bytes += batch.bytes
                    reply = await remote.offer_chunks(header, batch.frames)
                    lost.update(await bridge.run(_damaged, repository, reply))

        await together(*(work() for _ in range(IN_FLIGHT)))
        return lost


@dataclass(frozen=True, slots=True)
class _Batch:
    """Chunks to send together.

    Attributes:
        frames: One each.
        missing: Ids of those that are not here.
        read: How many of the ids asked for these are.
        bytes: Of the chunks, as they are sent.
    """

    frames: list[bytes]
    missing: list[bytes]
    read: int
    bytes: int = 0


def _read_batch(repository: Repository, names: Sequence[bytes]) -> _Batch:
    """Read chunks, `SEND_BYTES` or a little more. Blocking."""
    batch = _Batch([], [], 0)
    read = size = 0
    while read < len(names) and size < SEND_BYTES:
        part = names[read : read + _READ_IDS]
        found = {chunk.id: chunk for chunk in repository.stored_chunks(part)}
        for name in part:
            if name not in found:
                batch.missing.append(name)
                continue
            chunk = found[name]
            data = bytes(chunk.data)
            batch.frames.append(encode_chunk(name, Codec(chunk.codec), chunk.size, data))
            size += len(data)
        read += len(part)
    return replace(batch, read=read, bytes=size)


def _damaged(repository: Repository, reply: OfferedChunksReply) -> list[bytes]:
    """The chunks that a peer refused. Ours are looked at: what is damaged is held no more."""
    names = _names(reply.refused)
    for name in names:
        try:
            repository.plain_chunk(name)
        except CorruptError:
            continue
    return names


def _names(texts: Sequence[str]) -> list[bytes]:
    """Chunk ids that a peer told.

    Raises:
        BadRequestError: One is none, or there are too many.
    """
    if len(texts) > MAX_LACKING:
        raise BadRequestError(f"a peer asks for more than {MAX_LACKING} chunks at a time")
    return list(dict.fromkeys(map(parse_hash, texts)))


def _sieve(peering: Peering) -> Sieve:
    link = peering.link
    return Sieve(
        wanted=Filter.parse(link.sync_paths, link.excludes),
        shows_system=True,
        asker=0 if peering.asker is None else link.peer_id,
        shows_graves=True,
    )


def _taken(reply: OfferReply) -> Filters:
    return reply.sync_paths, reply.excludes


def _plus(report: Pushed, reply: OfferReply, told: int, sent: int) -> Pushed:
    problems = (Problem(redact(p.path), redact(p.text)) for p in reply.problems)
    return msgspec.structs.replace(
        report,
        told=report.told + told,
        skipped=report.skipped + max(0, told - reply.applied - len(reply.problems)),
        files=report.files + reply.applied,
        changed=report.changed + reply.applied,
        conflicts=report.conflicts + reply.conflicts,
        chunks=report.chunks + sent,
        problems=(*report.problems, *problems)[:MAX_PROBLEMS],
        problem_count=report.problem_count + max(reply.problem_count, len(reply.problems)),
    )


def _recorded(peering: Peering) -> PushRecord | None:
    mark = LinkBook(peering.repository).pushed(peering.link)
    return mark if mark is not None and mark.fits(peering.link, peering.database) else None


def _record(peering: Peering, reply: OfferReply, cursor: Cursor) -> None:
    """Note how far the peer is. Blocking; durable on return."""
    mark = PushRecord(
        node_id=peering.link.peer_id,
        database=peering.database,
        offered=(peering.link.sync_paths, peering.link.excludes),
        taken=_taken(reply),
        cursor=print_cursor(cursor),
        receipt=reply.receipt,
        pushed_at=peering.now_ms,
    )
    LinkBook(peering.repository).save_pushed(peering.link, mark)
