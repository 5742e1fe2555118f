"""The way of a reader of changes: a listing first, then the feed; a page at a time.

`spans` and `gone` decide, and do no I/O; `walk` reads one view and one stretch of the feed.

What the feed says of one path between two places in it is a *span*. A reader whose state is known
exactly had, at the path, what was there at the beginning of the span. One that got there by pages
may have been told of any state in between, so it is told of the end of each:

    began as    came by        is now    exact reader              reader of pages
    --------    -------        ------    ------------              ---------------
    -           file           -         nothing                   file gone
    -           file, link     file      file added                link gone, file added
    file        -              file      file modified             file modified
    file        -              link      file gone, link added     file gone, link added
    file        link           -         file gone                 file gone, link gone
"""

from collections.abc import Iterable, Iterator
from functools import cached_property

import msgspec

from aeorsync.core.access import EVERYTHING, Access, Op
from aeorsync.core.cursors import Cursor, Phase
from aeorsync.core.filters import Filter
from aeorsync.core.paths import from_key
from aeorsync.core.versions import Entry, decode_entry, encode_entry
from aeorsync.errors import StaleError
from aeorsync.runtime.bus import Batch
from aeorsync.storage.base import Change, Head
from aeorsync.storage.repository import Repository
from aeorsync.storage.version_records import path_in_fork
from aeorsync.storage.views import View, is_system_key
from aeorsync.storage.writer import Committed

_EVERYTHING = Filter()
MAX_SCAN = 20_000
"""Entries or rows one page looks at, told or not."""


class Span(msgspec.Struct, frozen=True):
    """What a stretch of the feed says of one path.

    Attributes:
        key: Its tree key.
        first: Number of the first row about it.
        was: Kind before that row; 0 when nothing was there.
        kinds: Every kind that was there, before, between and after.
        via: Peer that the state after the last row came from; 0 for none.
    """

    key: bytes
    first: int
    was: int
    kinds: frozenset[int]
    via: int


def spans(rows: Iterable[Change]) -> list[Span]:
    """Return one span for each path, in the order of their first rows."""
    found: dict[bytes, tuple[Change, set[int], Change]] = {}
    for row in rows:
        first, kinds, _ = found.get(row.key, (row, {row.was}, row))
        kinds.add(row.now)
        found[row.key] = (first, kinds, row)
    return [
        Span(first.key, first.seq, first.was, frozenset(kinds - {0}), last.via)
        for first, kinds, last in found.values()
    ]


def gone(span: Span, now: int, *, exact: bool) -> set[int]:
    """Return the kinds whose end a reader must be told of, where ``now`` is the kind there now."""
    had = {span.was} if exact else span.kinds
    return set(had - {0, now})


class Sieve(msgspec.Struct, frozen=True):
    """What a reader is told of.

    Attributes:
        wanted: Which paths.
        shows_system: Whether the system namespace is told of; no filter hides it then, save what
            is in forks.
        asker: Node id of the reader; what came from there is not told. 0 for no node.
        shows_graves: Whether a listing goes on with the deletions.
        access: Only what the reader may read.
    """

    wanted: Filter = _EVERYTHING
    shows_system: bool = False
    asker: int = 0
    shows_graves: bool = False
    access: Access = EVERYTHING

    def passes(self, key: bytes) -> bool:
        """Whether the path is told of."""
        if is_system_key(key) and not self.shows_system:
            return False
        may_read = self.access.is_everything or self.access.may(from_key(key), Op.READ)
        return may_read and is_wanted(self.wanted, key)


def is_wanted(wanted: Filter, key: bytes) -> bool:
    """Whether a filter of a link lets a path pass; the system namespace always does."""
    if wanted.is_everything:
        return True
    if not is_system_key(key):
        return wanted.passes(from_key(key))
    # What is in a fork passes where the same would pass outside.
    forked = path_in_fork(key)
    return forked is None or wanted.passes(forked)


class Step(msgspec.Struct, frozen=True, dict=True):
    """One path, or only a move.

    Attributes:
        cursor: Where the reader stands after this step.
        key: Tree key of the path; None when there is nothing to tell.
        span: What the feed says of it; None in a listing.
        stored: The entry as stored, in a listing.
        found: The entry now, in the feed; None also when its deletion is long forgotten.
    """

    cursor: Cursor
    key: bytes | None = None
    span: Span | None = None
    stored: bytes | None = None
    found: Entry | None = None

    @cached_property
    def entry(self) -> Entry | None:
        """The entry, live or deleted."""
        return self.found if self.stored is None else decode_entry(self.stored)

    @cached_property
    def data(self) -> bytes | None:
        """Its canonical bytes."""
        if self.stored is None and self.found is not None:
            return encode_entry(self.found)
        return self.stored


def is_usable(cursor: Cursor, head: Head, repository: Repository) -> bool:
    """Whether a reader may go on from ``cursor``; if not, it must start again."""
    return cursor.seq <= head.seq and repository.has_feed_since(cursor.epoch, cursor.seq)


def start(repository: Repository, head: Head) -> Cursor:
    """Where a reader with nothing starts."""
    return Cursor(repository.epoch, head.seq, Phase.LIVE)


def is_done(cursor: Cursor, head: Head) -> bool:
    """Whether a reader has been told everything up to ``head``."""
    return cursor.phase == Phase.FEED and cursor.seq >= head.seq


def walk(repository: Repository, view: View, cursor: Cursor, sieve: Sieve) -> Iterator[Step]:
    """Lead a reader on from ``cursor``, through `MAX_SCAN` entries or rows at most.

    The last step is a move, and comes also when there was nothing to tell. The reader may stop
    after any step. Blocking.

    Raises:
        StaleError: The feed does not reach back to the cursor any more.
    """
    # Numbers that are good now are good in this epoch, whichever they were learnt in.
    cursor = msgspec.structs.replace(cursor, epoch=repository.epoch)
    if cursor.phase == Phase.FEED:
        yield from _follow(repository, view, cursor, sieve)
    else:
        yield from _list(view, cursor, sieve)


def _list(view: View, cursor: Cursor, sieve: Sieve) -> Iterator[Step]:
    scanned = 0
    for phase in (Phase.LIVE, Phase.GRAVES):
        if phase < cursor.phase or (phase is Phase.GRAVES and not sieve.shows_graves):
            continue
        if phase != cursor.phase:
            cursor = msgspec.structs.replace(cursor, phase=phase, key=b"")
        read = view.walk if phase is Phase.LIVE else view.graves
        for key, data in read(system=True, after=cursor.key):
            here = msgspec.structs.replace(cursor, key=key)
            if sieve.passes(key):
                yield Step(here, key, stored=data)
            scanned += 1
            if scanned >= MAX_SCAN:
                yield Step(here)
                return
    yield Step(Cursor(cursor.epoch, cursor.seq))


def _follow(repository: Repository, view: View, cursor: Cursor, sieve: Sieve) -> Iterator[Step]:
    last = view.head.seq
    rows = [row for row in repository.changes(cursor.seq, MAX_SCAN) if row.seq <= last]
    if cursor.seq < last and (not rows or rows[0].seq != cursor.seq + 1):
        raise StaleError("the feed was cut short while it was read; ask again")
    end = rows[-1].seq if rows else cursor.seq
    found = spans(rows)
    for at, span in enumerate(found):
        is_echo = sieve.asker != 0 and span.via == sieve.asker
        if is_echo or not sieve.passes(span.key):
            continue
        # All rows before the next span's first are about paths told by now.
        reached = found[at + 1].first - 1 if at + 1 < len(found) else end
        here = msgspec.structs.replace(cursor, seq=reached)
        yield Step(here, span.key, span, found=view.entry(span.key))
    yield Step(msgspec.structs.replace(cursor, seq=end))


def is_news(batch: Batch[Committed], asker: int) -> bool:
    """Whether anything in a batch did not come from the asking node."""
    return batch.lagged or any(
        change.via != asker or not asker
        for committed in batch.events
        for change in committed.changes
    )
