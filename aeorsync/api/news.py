"""What the feed says, as events for people and clients.

    row of the feed                event
    ---------------                -----
    there is something now         entries_created, also when it was there before
    there was, now there is not    entries_deleted
    ... and versions disagree      conflicts_created, before it
    about snapshots and forks      see `api.version_news`

Rows of one sort that follow each other make one event, numbered by the last of them, so whoever
has an event has everything up to its number. An event about conflicts has the number before: who
goes on from there is told twice rather than never; likewise where one row makes two events.
Nothing else of the system namespace is told of.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby, islice

import msgspec

from aeorsync.api.version_news import Versions, VersionTold, tell
from aeorsync.core.merge import Sight, see
from aeorsync.core.paths import TreePath, from_key
from aeorsync.core.versions import Kind
from aeorsync.runtime import bridge
from aeorsync.runtime.clock import WallClock
from aeorsync.storage.base import Change
from aeorsync.storage.repository import Repository
from aeorsync.storage.views import View, is_system_key

PAGE_ROWS = 500
_PAGES = 64
_ROWS = 4 * PAGE_ROWS
"""Pages held for streams that come to the same place, and their rows: a stream that has been away
long reads large ones that nobody else does."""
CREATED = "entries_created"
DELETED = "entries_deleted"
CONFLICT = "conflicts_created"
MAX_INSIDE = 1000
"""Paths in a folder that are looked at for one that a reader may know of."""


class EntryTold(msgspec.Struct, frozen=True, omit_defaults=True):
    """One path in an event; all but the path is left out where it says nothing.

    Attributes:
        path: Where.
        entry_type: ``file``, ``directory`` or ``symlink``.
        content_type: Media type of a file.
        size: Bytes.
        hash: BLAKE3 of the whole content, hex; empty for a folder.
        created_at: Milliseconds since the Unix epoch.
        updated_at: Likewise.
    """

    path: TreePath
    entry_type: str | msgspec.UnsetType = msgspec.UNSET
    content_type: str | msgspec.UnsetType | None = msgspec.UNSET
    size: int | msgspec.UnsetType = msgspec.UNSET
    hash: str | msgspec.UnsetType = msgspec.UNSET
    created_at: int | msgspec.UnsetType = msgspec.UNSET
    updated_at: int | msgspec.UnsetType = msgspec.UNSET


class Entries(msgspec.Struct, frozen=True):
    """The payload of an event about paths."""

    entries: tuple[EntryTold, ...]


class Envelope(msgspec.Struct, frozen=True):
    """The data of an event.

    Attributes:
        event_id: What to resume after, as the ``id`` of the stream.
        event_type: Its type.
        timestamp: When it was told, in milliseconds since the Unix epoch.
        user_id: Always ``system``: the feed does not say who it was.
        payload: What the type says.
    """

    event_id: str
    event_type: str
    timestamp: int
    user_id: str
    payload: object


_encode = msgspec.json.Encoder().encode


def print_place(seq: int, epoch: int) -> str:
    """A place in the feed as event streams spell it: the row, and the epoch it was numbered in."""
    return f"{seq}-{epoch:x}"


def wrap(kind: str, place: str, now_ms: int, payload: object) -> bytes:
    """Return the data of an event, on one line."""
    return _encode(Envelope(place, kind, now_ms, "system", payload))


@dataclass(frozen=True)
class News:
    """One event about paths.

    Attributes:
        seq: Row of the feed where a reader is who has it.
        epoch: In which the rows were numbered.
        kind: Its type.
        now_ms: When it was read, in milliseconds since the Unix epoch.
        entries: What it is about; of one about snapshots and forks, nothing.
        versions: The snapshots and forks it is about.
        inside: What lies in the folders that files are in conflict with, by the path of both.
    """

    seq: int
    epoch: int
    kind: str
    now_ms: int
    entries: tuple[EntryTold, ...] = ()
    versions: tuple[VersionTold, ...] = ()
    inside: Mapping[TreePath, tuple[TreePath, ...]] = field(default_factory=dict)

    @cached_property
    def data(self) -> bytes:
        """All of it as JSON; made once for all who listen."""
        if self.versions:
            return wrap(self.kind, self.place, self.now_ms, Versions(self.versions))
        return wrap(self.kind, self.place, self.now_ms, Entries(self.entries))

    @property
    def place(self) -> str:
        """Where in the feed a reader is who has it (`print_place`)."""
        return print_place(self.seq, self.epoch)

    def chosen(
        self,
        is_wanted: Callable[[TreePath], bool],
        may_know: Callable[[TreePath], bool],
        place: str,
    ) -> bytes | None:
        """What of it is about some of the paths, as JSON; None when nothing is.

        Args:
            is_wanted: Which paths.
            may_know: Which paths the reader may know of; a folder that is there only through
                others is not told of.
            place: What the reader is told in place of `place`.
        """
        chosen = tuple(
            entry
            for entry in self.entries
            if is_wanted(entry.path)
            and (entry.path not in self.inside or any(map(may_know, self.inside[entry.path])))
        )
        return wrap(self.kind, place, self.now_ms, Entries(chosen)) if chosen else None


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of the feed as events.

    Attributes:
        news: In order; may be empty.
        end: The last row read.
    """

    news: list[News]
    end: int


class Teller:
    """Reads the feed for all streams of a node, once for all that stand at the same place."""

    def __init__(self, repository: Repository, wall: WallClock) -> None:
        self._repository = repository
        self._wall = wall
        self._lock = asyncio.Lock()
        self._pages: dict[int, Page] = {}
        self._rows = 0

    async def page(self, after: int) -> Page | None:
        """Read on after a row; None when the feed does not reach back to it."""
        async with self._lock:
            page = self._pages.get(after)
            if page is None:
                page = await bridge.run(read_page, self._repository, after, self._wall.now_ms())
                if page is not None and page.end > after:
                    self._remember(after, page)
        return page

    def _remember(self, after: int, page: Page) -> None:
        self._pages[after] = page
        self._rows += page.end - after
        while len(self._pages) > _PAGES or self._rows > _ROWS:
            oldest = next(iter(self._pages))
            self._rows -= self._pages.pop(oldest).end - oldest


def read_page(repository: Repository, after: int, now_ms: int) -> Page | None:
    """Read at most `PAGE_ROWS` rows after a row; None when there is a gap. Blocking."""
    with repository.view() as view:
        last = view.head.seq
        rows = [row for row in repository.changes(after, PAGE_ROWS) if row.seq <= last]
        if after < last and (not rows or rows[0].seq != after + 1):
            return None
        told = [item for row in rows for item in _told_all(view, repository, row)]
    news = _group(told, after, now_ms, repository.epoch)
    return Page(list(news), rows[-1].seq if rows else after)


@dataclass(frozen=True, slots=True)
class _Told:
    """One row that is worth an event."""

    seq: int
    kind: str
    entry: EntryTold | None
    is_conflict: bool = False
    inside: tuple[TreePath, ...] = ()
    version: VersionTold | None = None


def _told_all(view: View, repository: Repository, row: Change) -> Iterator[_Told]:
    if is_system_key(row.key):
        for kind, version in tell(view, repository.read, row):
            yield _Told(row.seq, kind, None, version=version)
    elif (told := _told(view, row)) is not None:
        yield told


def _told(view: View, row: Change) -> _Told | None:
    path = from_key(row.key)
    if not row.now:
        gone = EntryTold(path, _word(row.was)) if row.was else None
        return None if gone is None else _Told(row.seq, DELETED, gone)
    entry = view.entry(row.key)
    sight = None if entry is None else see(entry)
    if sight is None or not sight.is_live:
        return None  # deleted since; a later row says so
    winner = sight.winner
    inside: tuple[TreePath, ...] = ()
    if winner.kind != Kind.DIRECTORY and not sight.losers:
        inside = tuple(from_key(key) for key, _ in islice(view.walk(path), MAX_INSIDE))
    is_conflict = bool(sight.losers or inside)
    return _Told(row.seq, CREATED, _describe(path, sight), is_conflict, inside)


def _describe(path: TreePath, sight: Sight) -> EntryTold:
    version = sight.winner
    return EntryTold(
        path=path,
        entry_type=_word(version.kind),
        content_type=version.content_type or None,
        size=version.content.size,
        hash=version.content.hash.hex(),
        created_at=version.created,
        updated_at=version.updated,
    )


def _group(told: Iterable[_Told], after: int, now_ms: int, epoch: int) -> Iterator[News]:
    groups = [list(group) for _, group in groupby(told, lambda item: item.kind)]
    for at, items in enumerate(groups):
        entries = tuple(item.entry for item in items if item.entry is not None)
        versions = tuple(item.version for item in items if item.version is not None)
        conflicts = tuple(
            EntryTold(item.entry.path) for item in items if item.entry and item.is_conflict
        )
        if conflicts:
            inside = {item.entry.path: item.inside for item in items if item.entry and item.inside}
            yield News(after, epoch, CONFLICT, now_ms, conflicts, inside=inside)
        is_half = at + 1 < len(groups) and groups[at + 1][0].seq == items[-1].seq
        after = items[-1].seq - is_half
        yield News(after, epoch, items[0].kind, now_ms, entries, versions)


def _word(kind: int) -> str:
    return Kind(kind).name.lower()
