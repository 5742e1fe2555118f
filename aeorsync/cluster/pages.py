"""Pages of changes, as nodes exchange them: entries cut to size, and how to go on from there."""

from collections.abc import Sequence
from typing import Final

import msgspec

from aeorsync.cluster.along import MOST_ALONG
from aeorsync.cluster.walk import Sieve, Step, is_done, is_usable, start, walk
from aeorsync.core.cursors import Cursor
from aeorsync.core.versions import Content, Kind
from aeorsync.storage.base import Head
from aeorsync.storage.repository import Repository
from aeorsync.wire import framing
from aeorsync.wire.limits import KIB, MIB
from aeorsync.wire.protocol import Item, pack

PAGE_ITEMS: Final = 4_000
PAGE_BYTES: Final = 8 * MIB
_FRAME_ITEMS: Final = 500
_FRAME_BYTES: Final = 512 * KIB


class Page(msgspec.Struct, frozen=True):
    """What a reader is told at once.

    Attributes:
        items: (tree key, entry bytes as stored).
        cursor: Where the reader stands once it has them.
        has_more: Whether there is more to tell.
        head: What was read.
        fresh: The first `MOST_ALONG` files that were written here itself since the reader's
            place in the feed; whoever heard of them elsewhere first is seldom there.
    """

    items: list[Item]
    cursor: Cursor
    has_more: bool
    head: Head
    fresh: list[Content] = []


def read_page(
    repository: Repository,
    cursor: Cursor | None,
    sieve: Sieve,
    max_content: int | None = None,
    held: tuple[str, str] | None = None,
) -> Page:
    """Read the next page from one view. Blocking.

    Args:
        repository: Whose changes.
        cursor: Where the reader stands; one of no use here, or None, begins a listing.
        sieve: What the reader is told of.
        max_content: End the page before the files in it are larger than so many bytes together;
            a single one may be. None for no such bound.
        held: Hex roots of the reader's own trees, live and graves. If they are what would be
            listed, the reader is led past that.

    Raises:
        StaleError: The feed was cut short meanwhile; ask again.
    """
    items: list[Item] = []
    fresh: list[Content] = []
    size = content = 0
    with repository.view() as view:
        head = view.head
        if cursor is None or not is_usable(cursor, head, repository):
            cursor = start(repository, head)
            if held == (head.root.hex(), head.graves.hex()):
                cursor = Cursor(repository.epoch, head.seq)
        for step in walk(repository, view, cursor, sieve):
            if max_content is not None:
                content += _content_size(step)
                if items and content > max_content:
                    break
            cursor = step.cursor
            if step.key is not None and step.data is not None:
                items.append((step.key, step.data))
                size += len(step.key) + len(step.data)
                fresh += _written_here(step) if len(fresh) < MOST_ALONG else ()
            if len(items) >= PAGE_ITEMS or size >= PAGE_BYTES:
                break
    return Page(items, cursor, not is_done(cursor, head), head, fresh)


def entry_frames(items: Sequence[Item]) -> list[bytes]:
    """The ENTRIES frames that carry some items."""
    frames: list[bytes] = []
    first = size = 0
    for at, (key, data) in enumerate(items):
        if at > first and (at - first >= _FRAME_ITEMS or size + len(data) > _FRAME_BYTES):
            frames.append(framing.encode(framing.Kind.ENTRIES, pack(list(items[first:at]))))
            first, size = at, 0
        size += len(key) + len(data)
    if items:
        frames.append(framing.encode(framing.Kind.ENTRIES, pack(list(items[first:]))))
    return frames


def _content_size(step: Step) -> int:
    """Bytes of the files that a reader may have to fetch for one step."""
    return sum(content.size for content in _contents(step))


def _written_here(step: Step) -> list[Content]:
    """The files of a step of the feed, if no peer brought them."""
    return _contents(step) if step.span is not None and not step.span.via else []


def _contents(step: Step) -> list[Content]:
    versions = () if step.entry is None else step.entry.versions
    return [v.content for v in versions if v.kind == Kind.FILE and not v.deleted]
