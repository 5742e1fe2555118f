"""A folder with many names, listed in bounded memory, with the others still being served.

    gather    one walk over the folder; of each row only a key is kept, whose bytes sort as the
              rows are to be sorted. With a limit, only of rows that may be on the page
    send      the rows of the page, some at a time, found again by their keys

What is kept is taken out of the budget of the node. Few such walks go on at a time, and some may
wait. A reader sees one state of the folder, unless it reads for longer than `HOLD_S`: then rows
are as they are when they are sent, and what is gone by then is left out.
"""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import aclosing, closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from aeorsync.api.bodies import streamed
from aeorsync.api.budget import Share
from aeorsync.api.walks import Walks
from aeorsync.core import paths
from aeorsync.core.merge import see
from aeorsync.core.paths import TreePath, to_key
from aeorsync.core.versions import Kind, decode_entry
from aeorsync.errors import TooLargeError
from aeorsync.storage.repository import Repository
from aeorsync.storage.views import Child, View
from aeorsync.wire.limits import MIB

HOLD_S: Final = 30.0
MAX_KEYS: Final = 128 * MIB
"""Bytes of the keys of one listing: about a million names."""
_KEY_COST: Final = 48
_SPARE: Final = 4096
_ROWS: Final = 256
_SENDING: Final = 3 * MIB
_SIGN: Final = 1 << 63

_encode = msgspec.json.Encoder().encode
Item = Callable[[Child], Any]


def sort_key(sort: str) -> Callable[[Child], bytes]:
    """The bytes that rows are sorted by; they end in the path."""

    def by_name(row: Child) -> bytes:
        return f"{paths.name(row.path).casefold()}\0{row.path}".encode()

    def number(value: int) -> bytes:
        return (value + _SIGN).to_bytes(9, "big")

    def by_size(row: Child) -> bytes:
        return number(0 if row.version is None else row.version.content.size) + by_name(row)

    def by_created(row: Child) -> bytes:
        return number(0 if row.version is None else row.version.created) + by_name(row)

    def by_updated(row: Child) -> bytes:
        return number(0 if row.version is None else row.version.updated) + by_name(row)

    return {
        "name": by_name,
        "size": by_size,
        "created_at": by_created,
        "updated_at": by_updated,
    }[sort]


@dataclass(frozen=True, slots=True)
class Order:
    """Which rows, and in which order.

    Attributes:
        sort: What by; a key of `sort_key`.
        is_descending: Which way; folders come first in either.
        limit: Rows of the page; None for all.
        offset: Rows before it.
    """

    sort: str
    is_descending: bool
    limit: int | None
    offset: int

    @property
    def stop(self) -> int | None:
        """Rows up to the end of the page; None for all."""
        return None if self.limit is None else self.offset + self.limit


@dataclass(slots=True)
class _Keys:
    """Keys of rows of one kind; those that cannot be on the page are dropped now and then."""

    order: Order
    share: Share
    kept: list[bytes] = field(default_factory=list)
    count: int = 0
    _size: int = 0
    _taken: int = 0

    def add(self, key: bytes) -> None:
        self.count += 1
        self.kept.append(key)
        self._size += len(key) + _KEY_COST
        if self._size >= self._taken:
            self._take(MIB)
        stop = self.order.stop
        if stop is not None and len(self.kept) > 2 * stop + _SPARE:
            self.sort(stop)
            self._size = sum(map(len, self.kept)) + _KEY_COST * len(self.kept)

    def sort(self, stop: int | None) -> None:
        self.kept.sort(reverse=self.order.is_descending)
        if stop is not None:
            del self.kept[stop:]

    def _take(self, size: int) -> None:
        if self._taken + size > MAX_KEYS:
            text = "there are too many names in it for one listing; ask for a part, with limit"
            raise TooLargeError(text)
        self.share.take(size)
        self._taken += size


class LongListing(Response):
    """The answer that lists a folder.

    Args:
        repository: Whose.
        walks: Where it waits for its turn.
        rows: All rows to choose from, as a view has them. Blocking.
        order: Which of them, and in which order.
        item: What a row is told as.
        share: What the answer may hold.
    """

    def __init__(  # all that a listing depends on
        self,
        repository: Repository,
        walks: Walks,
        rows: Callable[[View], Iterator[Child]],
        order: Order,
        item: Item,
        share: Share,
    ) -> None:
        super().__init__()
        self._repository = repository
        self._walks = walks
        self._rows = rows
        self._order = order
        self._item = item
        self._share = share

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Gather, then send; see `Response`.

        Raises:
            OverloadedError: There is no memory for it now.
            TooLargeError: There are more rows than fit into one listing.
        """
        self._share.take(_SENDING)
        sight, page, total = await self._walks.run(self._gather)
        with closing(sight):
            parts = streamed(self._print(sight, page, total))
            async with aclosing(parts):
                answer = StreamingResponse(parts, media_type="application/json")
                await answer(scope, receive, send)

    def _gather(self) -> tuple["_Sight", list[bytes], int]:
        order = self._order
        key_of = sort_key(order.sort)
        folders, others = (_Keys(order, self._share) for _ in range(2))
        view = self._repository.view()
        try:
            for row in self._rows(view):
                keys = folders if row.kind == Kind.DIRECTORY else others
                keys.add(key_of(row))
            for keys in (folders, others):
                keys.sort(order.stop)
        except BaseException:
            view.close()
            raise
        page = (folders.kept + others.kept)[order.offset : order.stop]
        return _Sight(self._repository, view), page, folders.count + others.count

    def _print(
        self, sight: "_Sight", page: list[bytes], total: int
    ) -> Generator[bytes, None, None]:
        order, skip = self._order, 0 if self._order.sort == "name" else 9
        yield b'{"items":['
        before = b""
        for at in range(0, len(page), _ROWS):
            with sight.now() as view:
                found = (_row(view, key, skip) for key in page[at : at + _ROWS])
                part = b",".join(_encode(self._item(row)) for row in found if row is not None)
            if part:
                yield before + part
                before = b","
        tail = _encode({"total": total, "limit": order.limit, "offset": order.offset})
        yield b"]," + tail[1:]


class _Sight:
    """What the tree was when somebody began to read it, for a while; then, what it is."""

    def __init__(self, repository: Repository, view: View) -> None:
        self._repository = repository
        self._view: View | None = view
        self._until = time.monotonic() + HOLD_S

    @contextmanager
    def now(self) -> Iterator[View]:
        """The state to read from. Blocking."""
        if time.monotonic() > self._until:
            self.close()
        if self._view is not None:
            yield self._view
            return
        with self._repository.view() as view:
            yield view

    def close(self) -> None:
        """Let go of it."""
        view, self._view = self._view, None
        if view is not None:
            view.close()


def _row(view: View, key: bytes, skip: int) -> Child | None:
    """A row by its key; None when it is gone."""
    path = TreePath(key[skip:].partition(b"\0")[2].decode())
    data = view.live_data(to_key(path))
    if data is not None:
        entry = decode_entry(data)
        return Child(path, entry, see(entry))
    return Child(path) if view.has_inside(to_key(path)) else None
