"""``GET /system/events``: what happens to files, as it happens.

The number of an event is a row of the feed. Who comes back with ``Last-Event-ID`` is told what was
missed; where the feed does not reach back, or the number is none of ours, a ``reset`` says that
everything must be listed again. The bus only wakes a stream up: what it tells comes from the feed,
so a slow reader misses nothing and costs no memory.

Cycles, tasks and the like are told of, too, but are in no feed: they move no mark, and who was
away missed them.

Whom rules bind hears of paths they may read, and of nothing that is about no path but that the
stream lives. Their numbers are sealed (`api.places`).
"""

import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from starlette.responses import Response

from aeorsync import __version__
from aeorsync.api import reach
from aeorsync.api.endpoint import Access, Call, Endpoint, Parameter
from aeorsync.api.news import News, Teller, print_place, wrap
from aeorsync.api.node import Node
from aeorsync.api.parameters import Query
from aeorsync.api.places import Places
from aeorsync.api.sse import EventStream, Watch, demand_room, print_event, print_mark
from aeorsync.api.stats import recent_figures
from aeorsync.core.access import Op
from aeorsync.core.paths import ROOT, TreePath, is_inside, parse
from aeorsync.errors import BadRequestError
from aeorsync.runtime import bridge
from aeorsync.runtime.bus import Bus
from aeorsync.storage.repository import Repository
from aeorsync.storage.writer import Committed
from aeorsync.wire.peer_events import Heartbeat

_MARK = re.compile(r"([0-9]{1,18})-([0-9a-f]{1,16})\Z")
"""Row of the feed, and the epoch it was numbered in (`Repository.epoch`)."""
_LOST = -1
"""Stands for a place that is not in the feed."""
_tellers: WeakKeyDictionary[Bus[Committed], Teller] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class _Filter:
    """What a client wants to hear of, and may.

    Attributes:
        kinds: Types of events; None for all.
        folder: Only what lies in it, and nothing that has no path; None for everything.
        places: What it is told in place of rows of the feed, and what it may read.
    """

    kinds: frozenset[str] | None
    folder: TreePath | None
    places: Places

    @classmethod
    def read(cls, call: Call) -> "_Filter":
        query = Query(call.request.scope["query_string"])
        kinds = query.text("events")
        prefix = query.text("path_prefix")
        return cls(
            kinds=None if kinds is None else frozenset(map(str.strip, kinds.split(","))),
            folder=parse(prefix) if prefix else None,
            places=reach.places(call),
        )

    @property
    def hears_all(self) -> bool:
        """Whether no rule binds the client."""
        return self.places.access.is_everything

    def takes(self, kind: str) -> bool:
        """Whether events of a type are wanted."""
        return self.kinds is None or kind in self.kinds

    def takes_pathless(self, kind: str) -> bool:
        """Whether events of a type that has no paths are wanted."""
        return self.folder is None and self.takes(kind)

    def choose(self, news: News) -> bytes | None:
        """What is wanted of an event; None for nothing."""
        if not self.takes(news.kind):
            return None
        if self.hears_all and self.folder in {None, ROOT}:
            return news.data
        may_know = self.places.access.may_know
        return news.chosen(self._has, may_know, self.mark(news.seq, news.epoch))

    def mark(self, seq: int, epoch: int) -> str:
        """What stands for a row of the feed."""
        return print_place(seq, epoch) if self.hears_all else self.places.seal_row(seq, epoch)

    def row(self, repository: Repository, text: str) -> int:
        """The row after which a client wants to go on; `_LOST` when that cannot be."""
        place = _parse(text) if self.hears_all else self.places.open_row(text)
        if place is None:
            return _LOST
        seq, epoch = place
        return seq if repository.has_feed_since(epoch, seq) else _LOST

    def _has(self, path: TreePath) -> bool:
        is_here = self.folder is None or is_inside(path, self.folder)
        return is_here and self.places.access.may(path, Op.READ)


async def listen(call: Call) -> Response:
    """Open a stream."""
    demand_room(call)
    reach.demand_somebody(call)
    query = Query(call.request.scope["query_string"])
    wanted = _Filter.read(call)
    since = call.request.headers.get("last-event-id") or query.text("last_event_id") or None
    position = None if since is None else await bridge.run(wanted.row, call.node.repository, since)
    return EventStream(_stream(call, wanted, position))


def _parse(text: str) -> tuple[int, int] | None:
    """The row and the epoch that `print_place` printed."""
    match = _MARK.match(text)
    return None if match is None else (int(match[1]), int(match[2], 16))


async def _stream(
    call: Call, wanted: _Filter, position: int | None
) -> AsyncGenerator[bytes, None]:
    # From here on no commit goes unnoticed; only then may the present be looked at.
    with call.node.bus.listen(limit=1) as listener:
        watch = Watch(call, listener)
        reader = _Reader(call, wanted, position)
        yield reader.greeting()
        if position == _LOST:
            yield reader.reset()
        while True:
            async for event in reader.news():
                yield event
            for event in (*reader.cycles(), *reader.bulletins()):
                yield event
            turn = await watch.turn(waits=not reader.is_behind)
            if turn is None:
                return
            if turn.beat is not None:
                yield reader.beat(turn.beat)
                async for event in reader.figures():
                    yield event


class _Reader:
    """One client on its way through the feed."""

    def __init__(self, call: Call, wanted: _Filter, position: int | None) -> None:
        node = self._node = call.node
        self._sees_all = call.caller.is_root and call.caller.access.is_everything
        self._wanted = wanted
        self._teller = _teller(node)
        self._told = node.tally.number
        self._read = node.bulletins.number
        self._position = node.repository.head.seq if position in {None, _LOST} else position

    def greeting(self) -> bytes:
        """The first thing a client hears: at least where it stands."""
        if not self._wanted.takes_pathless("server_ready"):
            return print_mark(self._mark(self._position))
        now_ms, started_ms = self._node.wall.now_ms(), self._node.started_ms
        payload = {
            "status": "ready",
            "version": __version__,
            "startup_time": started_ms,
            "uptime_ms": max(0, now_ms - started_ms),
        }
        return self._print("server_ready", now_ms, payload)

    @property
    def is_behind(self) -> bool:
        """Whether the feed has more."""
        return self._position < self._node.repository.head.seq

    async def news(self) -> AsyncGenerator[bytes, None]:
        """The next page of what the feed has for the client, if it has any."""
        if not self.is_behind:
            return
        page = await self._teller.page(self._position)
        if page is None:
            self._position = self._node.repository.head.seq
            yield self.reset()
            return
        for news in page.news:
            data = self._wanted.choose(news)
            if data is not None:
                yield print_event(news.kind, data, self._wanted.mark(news.seq, news.epoch))
        self._position = page.end

    def cycles(self) -> list[bytes]:
        """The cycles that ended since the last look."""
        after, self._told = self._told, self._node.tally.number
        if after == self._told or not self._wanted.hears_all:
            return []
        return [
            self._print(told.kind, told.at_ms, told.payload)
            for told in self._node.tally.told
            if told.number > after and self._wanted.takes_pathless(told.kind)
        ]

    def bulletins(self) -> list[bytes]:
        """What else happened since the last look; for who may know of everything."""
        told = self._node.bulletins.after(self._read)
        self._read = self._node.bulletins.number
        return [
            self._print(one.kind, one.at_ms, one.payload)
            for one in told
            if self._sees_all and self._wanted.takes_pathless(one.kind)
        ]

    async def figures(self) -> AsyncGenerator[bytes, None]:
        """The node in figures, for who may know of everything."""
        if self._sees_all and self._wanted.takes_pathless("metrics"):
            yield self._print(
                "metrics", self._node.wall.now_ms(), await recent_figures(self._node)
            )

    def _mark(self, seq: int) -> str:
        return self._wanted.mark(seq, self._node.repository.epoch)

    def reset(self) -> bytes:
        """Tell that events were missed; no filter hides this."""
        reason = "events were missed that can no longer be told; list everything again"
        return self._print("reset", self._node.wall.now_ms(), {"reason": reason})

    def beat(self, beat: Heartbeat) -> bytes:
        """The heartbeat, or where it is not wanted a mere mark."""
        if not self._wanted.takes_pathless("heartbeat"):
            return print_mark(self._mark(self._position))
        return self._print("heartbeat", beat.clock.construct_time, beat)

    def _print(self, kind: str, now_ms: int, payload: object) -> bytes:
        data = wrap(kind, self._mark(self._position), now_ms, payload)
        return print_event(kind, data, self._mark(self._position))


def _teller(node: Node) -> Teller:
    teller = _tellers.get(node.bus)
    if teller is None:
        teller = _tellers[node.bus] = Teller(node.repository, node.wall)
    return teller


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "GET",
        "/system/events",
        listen,
        "Stream what happens to files, as server-sent events.",
        access=Access.USER,
        errors=(BadRequestError,),
        media=("text/event-stream",),
        parameters=(
            Parameter("events", {"type": "string"}, "Types to hear of, separated by commas."),
            Parameter("path_prefix", {"type": "string"}, "Only what lies in this folder."),
            Parameter("last_event_id", {"type": "string"}, "As the header."),
            Parameter(
                "Last-Event-ID", {"type": "string"}, "Number of the last event had.", "header"
            ),
        ),
    ),
)
