"""One replication cycle with one peer: everything it has that we lack.

    observe    what changed there since the cursor                        one round trip a page
    plan       which of it is news here; refuse what breaks a rule        pure, on a snapshot
    fetch      the chunks those entries need, each checked                 `cluster.fetch`
    apply      join the entries into ours                                 one commit a page
    record     the cursor, last, so that repeating any part is harmless

What breaks a rule becomes a problem in the report: nothing of it is stored, the rest goes on, and
the cursor stays before it, so that it is asked for again. An error ends the cycle.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final

import msgspec

from aeorsync.cluster.alike import past_of
from aeorsync.cluster.along import NOTHING, Along, take_along
from aeorsync.cluster.fetch import Spoiled, fetch_contents
from aeorsync.cluster.peers import CursorRecord, LinkBook, LinkRecord
from aeorsync.cluster.walk import is_wanted
from aeorsync.core.filters import Filter
from aeorsync.core.hashing import content_hash
from aeorsync.core.knowledge import Knowledge, is_grave, knows
from aeorsync.core.merge import fresh_versions
from aeorsync.core.paths import ROOT, parse_key
from aeorsync.core.versions import Content, Entry, Kind, Version, parse_entry
from aeorsync.errors import UNREADABLE, AeorError, BadRequestError, UnavailableError
from aeorsync.remote.calls import DiffPage, Remote
from aeorsync.runtime import bridge
from aeorsync.runtime.redact import redact
from aeorsync.storage.answers import Applied
from aeorsync.storage.repository import Repository
from aeorsync.storage.views import View
from aeorsync.wire.brief import Mark, mark
from aeorsync.wire.limits import MAX_FILE, MAX_PAGE
from aeorsync.wire.protocol import Item

MAX_PROBLEMS: Final = 100
"""Problems a report tells in full; the others are counted."""
_MAX_CURSOR: Final = 16_384
_MAX_SHOWN: Final = 4096
_EVERYTHING: Final = Filter()
_decode_items = msgspec.msgpack.Decoder(list[Item]).decode


class Problem(msgspec.Struct, frozen=True):
    """An entry that was not taken, and why."""

    path: str
    text: str


class News(msgspec.Struct, frozen=True):
    """An entry that changes something here.

    Attributes:
        key: Its tree key.
        entry: Checked.
        contents: Files it needs that we may not have.
        past: The file that was here before.
        held: All files that are in our entry of that key.
    """

    key: bytes
    entry: Entry
    contents: tuple[Content, ...]
    past: Content | None = None
    held: tuple[Content, ...] = ()


class Plan(msgspec.Struct, frozen=True):
    """What a page amounts to.

    Attributes:
        told: Entries the peer sent.
        news: Those that change something here.
        problems: Those that break a rule.
    """

    told: int
    news: list[News]
    problems: list[Problem]


class Complete(msgspec.Struct, frozen=True):
    """News that can be applied.

    Attributes:
        news: All their chunks are here.
        problems: Of the plan, and of those that could not be completed.
        chunks: Chunks that were fetched.
        bytes: Bytes of these as they were sent.
    """

    news: list[News]
    problems: list[Problem]
    chunks: int = 0
    bytes: int = 0


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


def make_plan(
    repository: Repository, parts: Sequence[bytes], wanted: Filter = _EVERYTHING
) -> Plan:
    """Sort a page into news, problems and what we have already. Blocking; only reads.

    What is not wanted is no news, even if the peer told it all the same.

    Raises:
        BadRequestError: The page is no list of entries, or too long a one.
    """
    told = 0
    news: list[News] = []
    problems: list[Problem] = []
    known = repository.known()
    with repository.view() as view:
        for part in parts:
            items = _parse_items(part)
            told += len(items)
            if told > MAX_PAGE:
                raise BadRequestError(f"a page of changes holds more than {MAX_PAGE} entries")
            for key, data in items:
                try:
                    item = _read_item(repository, view, known, key, data, wanted)
                except AeorError as error:
                    problems.append(Problem(_shown(key), error.message))
                else:
                    if item is not None:
                        news.append(item)
    return Plan(told, news, problems)


def _take_news(repository: Repository, page: DiffPage, wanted: Filter) -> tuple[Plan, Along]:
    """The plan of a page, and what of its files came along. Blocking."""
    plan = make_plan(repository, page.parts, wanted)
    return plan, take_along(repository, _needed(plan), page.chunks, held_of(plan))


def held_of(plan: Plan) -> set[Content]:
    """The files that our tree holds at the paths of a plan, as it does when they were moved.

    They were proven when they came there.
    """
    return {content for item in plan.news for content in item.held}


def _needed(plan: Plan) -> dict[Content, None]:
    """The files that the news of a plan need, each once."""
    return dict.fromkeys(content for item in plan.news for content in item.contents)


async def fetch(peering: Peering, plan: Plan, along: Along = NOTHING) -> Complete:
    """Bring here what the news of a plan need, and leave out those that cannot be completed."""
    contents = _needed(plan)
    if not contents or along.is_all:
        return Complete(plan.news, plan.problems, along.chunks, along.bytes)
    pasts = {content: item.past for item in plan.news for content in item.contents if item.past}
    repository, remote = peering.repository, peering.remote
    fetched = await fetch_contents(repository, remote, contents, pasts, held_of(plan))
    chunks, size = fetched.chunks + along.chunks, fetched.bytes + along.bytes
    return without_spoiled(plan, fetched.spoiled, chunks, size)


def without_spoiled(plan: Plan, spoiled: Spoiled, chunks: int = 0, size: int = 0) -> Complete:
    """What of a plan can be applied when some files could not be completed."""
    if not spoiled:
        return Complete(plan.news, plan.problems, chunks, size)
    news: list[News] = []
    problems = list(plan.problems)
    for item in plan.news:
        reason = next((spoiled[c] for c in item.contents if c in spoiled), None)
        if reason is None:
            news.append(item)
        else:
            problems.append(Problem(_shown(item.key), reason))
    return Complete(news, problems, chunks, size)


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


def _parse_items(part: bytes) -> list[Item]:
    try:
        return _decode_items(part)
    except UNREADABLE as error:
        raise BadRequestError(f"a page of changes is no list of entries: {error}") from error


def _read_item(
    repository: Repository, view: View, known: Knowledge, key: bytes, data: bytes, wanted: Filter
) -> News | None:
    """What a peer's entry changes here; None when it adds nothing, or is not wanted.

    Raises:
        AeorError: The key or the entry breaks a rule.
    """
    path = parse_key(key, allow_system=True)
    if path == ROOT:
        raise BadRequestError("the root is no entry")
    if not is_wanted(wanted, key):
        return None
    entry = parse_entry(data)
    ours = view.entry(key)
    fresh = fresh_versions(ours, entry)
    if not fresh or (ours is None and is_grave(entry) and knows(known, entry)):
        # A grave that all have acknowledged and we have forgotten stays forgotten.
        return None
    if repository.is_too_far_ahead(entry):
        raise BadRequestError("it was written in the future; check the clocks (NTP) of all nodes")
    held = set() if ours is None else set(contents_of(ours.versions))
    for version in fresh:
        _check_link_target(version)
    lacking = tuple(content for content in contents_of(fresh) if content not in held)
    if any(content.size > MAX_FILE for content in lacking):
        raise BadRequestError(f"the file is larger than {MAX_FILE} bytes")
    return News(key, entry, lacking, past_of(ours) if lacking else None, tuple(held))


def contents_of(versions: Sequence[Version]) -> list[Content]:
    """The files among some versions; what is deleted need not be here."""
    return [v.content for v in versions if v.kind == Kind.FILE and not v.deleted]


def _check_link_target(version: Version) -> None:
    if version.kind == Kind.SYMLINK:
        target = version.target.encode()
        if (content_hash(target), len(target)) != (version.content.hash, version.content.size):
            raise BadRequestError("the target of the link does not match its hash")


def _shown(key: bytes) -> str:
    """A key as a path for people, whatever is in it."""
    return redact("/" + key[:_MAX_SHOWN].decode("utf-8", "replace").replace("\0", "/"))
