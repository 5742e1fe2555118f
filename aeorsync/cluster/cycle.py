"""One replication cycle with one peer: everything it has that we lack.

    observe    what changed there since the cursor                        one round trip a page
    plan       which of it is news here; refuse what breaks a rule        `cluster.plan`
    fetch      the chunks those entries need, each checked                 `cluster.fetch`
    apply      join the entries into ours                                 one commit a page
    record     the cursor, last, so that repeating any part is harmless

What breaks a rule becomes a problem in the report: nothing of it is stored, the rest goes on, and
the cursor stays before it, so that it is asked for again. An error ends the cycle.
"""

from functools import partial
from typing import Final

import msgspec

from aeorsync.cluster.along import NOTHING, Along, take_along
from aeorsync.cluster.fetch import fetch_contents
from aeorsync.cluster.peers import CursorRecord, LinkBook, LinkRecord
from aeorsync.cluster.plan import (
    Complete,
    News,
    Plan,
    Problem,
    held_of,
    make_plan,
    needed_of,
    without_spoiled,
)
from aeorsync.core.filters import Filter
from aeorsync.errors import BadRequestError, UnavailableError
from aeorsync.remote.calls import DiffPage, Remote
from aeorsync.runtime import bridge
from aeorsync.storage.answers import Applied
from aeorsync.storage.repository import Repository
from aeorsync.wire.brief import Mark, mark

MAX_PROBLEMS: Final = 100
"""Problems a report tells in full; the others are counted."""
_MAX_CURSOR: Final = 16_384


class Report(msgspec.Struct, frozen=True):
    """What a cycle did.

    Attributes:
        told: Entries the peer sent.
        skipped: How many of them were no news: we had them or something newer, or a filter of
            ours leaves them out.
        changed: Entries that are different here now.
        files: How many of them are files, deleted ones included.
        conflicts: How many of them are in conflict.
        chunks: Chunks fetched.
        bytes: Bytes of these chunks as they were sent: mostly compressed, or plain on request.
        problems: The first `MAX_PROBLEMS` problems.
        problem_count: All problems. With none, everything the peer had is here.
        reached: The peer's mark after the last page.
        root: Hex root of the peer's live tree when the last page was begun.
        is_comparable: Whether equal files there and here mean equal roots.
    """

    told: int = 0
    skipped: int = 0
    changed: int = 0
    files: int = 0
    conflicts: int = 0
    chunks: int = 0
    bytes: int = 0
    problems: tuple[Problem, ...] = ()
    problem_count: int = 0
    reached: str | None = None
    root: str = ""
    is_comparable: bool = True

    @property
    def is_partial(self) -> bool:
        """Whether something was not taken."""
        return self.problem_count > 0

    @property
    def complaint(self) -> str | None:
        """One sentence on the problems; None without any."""
        if not self.problems:
            return None
        first = self.problems[0]
        return f"{self.problem_count} not taken, first {first.path}: {first.text}"

    def plus(self, complete: Complete, applied: Applied, told: int) -> "Report":
        """This and one more page."""
        return msgspec.structs.replace(
            self,
            told=self.told + told,
            skipped=self.skipped + told - len(complete.news) - len(complete.problems),
            changed=self.changed + applied.changed,
            files=self.files + applied.files,
            conflicts=self.conflicts + applied.conflicts,
            chunks=self.chunks + complete.chunks,
            bytes=self.bytes + complete.bytes,
            problems=(*self.problems, *complete.problems)[:MAX_PROBLEMS],
            problem_count=self.problem_count + len(complete.problems),
        )


class Peering(msgspec.Struct, frozen=True):
    """The two sides of a cycle.

    Attributes:
        repository: Ours.
        remote: The peer.
        link: Its record; the node id is known.
        asker: Our node id, to leave out what came from whoever takes; None to tell of that, too.
        database: Id of the peer's database.
        now_ms: When this begins, in milliseconds since the Unix epoch.
        asks_knowledge: Whether whoever takes something over asks what the other knows, and so
            comes to know it, too.
        heard: What the peer told last, by the cursor it told with it.
        written: What was recorded last, by the id of the link: it need not be read again.
    """

    repository: Repository
    remote: Remote
    link: LinkRecord
    asker: int | None
    database: int
    now_ms: int
    asks_knowledge: bool = False
    heard: dict[str, Mark] = {}
    written: dict[int, CursorRecord] = {}

    @property
    def takes_everything(self) -> bool:
        """Whether no filter keeps anything from us: only then do we know what the peer knows."""
        return self.link.sync_paths is None and self.link.excludes is None


async def run_cycle(peering: Peering, ahead: str | None = None) -> Report:
    """Take over everything the peer has that we lack.

    Args:
        peering: Who and whom.
        ahead: Go on from this mark of an earlier, partial cycle instead of the recorded cursor,
            and record nothing: what that cycle could not take stays to be asked for.
    """
    look = partial(_recorded_cursor, peering)
    is_at_hand = peering.link.id in peering.written
    cursor = ahead or (look() if is_at_hand else await bridge.run(look))
    wanted = Filter.parse(peering.link.sync_paths, peering.link.excludes)
    report, has_more = Report(), True
    while has_more:
        page = await observe(peering, cursor)
        plan, along = await bridge.run(_take_news, peering.repository, page, wanted)
        complete = await fetch(peering, plan, along)
        applied = await apply(peering, complete.news)
        report = report.plus(complete, applied, plan.told)
        if ahead is None and not report.is_partial:
            if page.end.cursor != cursor:
                await bridge.run(record, peering, page.end.cursor)
            if page.end.knowledge is not None and peering.takes_everything and not page.end.more:
                # Everything the peer had when it said so is in our trees by now.
                await bridge.run(peering.repository.learn, dict(page.end.knowledge))
                peering.heard.clear()
                peering.heard[page.end.cursor] = mark(page.end.root_hash, page.end.knowledge)
        cursor, has_more = page.end.cursor, page.end.more
        report = msgspec.structs.replace(report, reached=cursor, root=page.end.root_hash)
    return report


async def observe(peering: Peering, cursor: str | None) -> DiffPage:
    """The next page of what changed at the peer.

    Raises:
        UnavailableError: Another node, or another database, answers at this address now.
        BadRequestError: The page breaks the protocol.
    """
    remote, link = peering.remote, peering.link
    asks = peering.asks_knowledge and peering.takes_everything
    knowledge = peering.heard.get(cursor, True) if asks and cursor else asks
    head = peering.repository.head
    page = await remote.diff(
        cursor,
        link.sync_paths,
        peering.asker,
        link.excludes,
        knowledge=knowledge,
        held=(head.root, head.graves),
    )
    if (page.header.node_id, page.header.database) != (link.node_id, peering.database):
        raise UnavailableError(f"another node answers at {link.address} now")
    if len(page.end.cursor) > _MAX_CURSOR or (page.end.more and page.end.cursor == cursor):
        raise BadRequestError(f"{link.address} sent a cursor that leads nowhere")
    return page


def _take_news(repository: Repository, page: DiffPage, wanted: Filter) -> tuple[Plan, Along]:
    """The plan of a page, and what of its files came along. Blocking."""
    plan = make_plan(repository, page.parts, wanted)
    return plan, take_along(repository, needed_of(plan), page.chunks, held_of(plan))


async def fetch(peering: Peering, plan: Plan, along: Along = NOTHING) -> Complete:
    """Bring here what the news of a plan need, and leave out those that cannot be completed."""
    contents = needed_of(plan)
    if not contents or along.is_all:
        return Complete(plan.news, plan.problems, along.chunks, along.bytes)
    pasts = {content: item.past for item in plan.news for content in item.contents if item.past}
    repository, remote = peering.repository, peering.remote
    fetched = await fetch_contents(repository, remote, contents, pasts, held_of(plan))
    chunks, size = fetched.chunks + along.chunks, fetched.bytes + along.bytes
    return without_spoiled(plan, fetched.spoiled, chunks, size)


async def apply(peering: Peering, news: list[News]) -> Applied:
    """Join complete news into our tree; durable on return."""
    if not news:
        return Applied(changed=0, conflicts=0)
    items = [(item.key, item.entry) for item in news]
    return await bridge.settle(peering.repository.apply(items, peering.link.peer_id))


def record(peering: Peering, cursor: str) -> None:
    """Note how far the peer was followed. Blocking; durable on return."""
    mark = CursorRecord(
        node_id=peering.link.peer_id,
        database=peering.database,
        sync_paths=peering.link.sync_paths,
        excludes=peering.link.excludes,
        cursor=cursor,
        synced_at=peering.now_ms,
    )
    LinkBook(peering.repository).save_cursor(peering.link, mark)
    peering.written[peering.link.id] = mark


def _recorded_cursor(peering: Peering) -> str | None:
    link = peering.link
    mark = peering.written.get(link.id) or LinkBook(peering.repository).cursor(link)
    return mark.cursor if mark and mark.fits(peering.link, peering.database) else None
