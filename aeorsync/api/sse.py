r"""Streams of events to clients that stay connected: ``text/event-stream``.

    id: 57\nevent: entries_created\ndata: {...}\n\n

A stream ends when the client goes, when the bus closes, or when who listens may no longer, or may
hear other things than before. That is looked at when anything in the system namespace changes, and
every 4 s, because keys expire. An idle stream costs that timer, and a heartbeat every 15 s.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from starlette.responses import StreamingResponse
from starlette.types import Send

from aeorsync.api.endpoint import Call
from aeorsync.errors import AeorError, OverloadedError
from aeorsync.runtime.bus import Batch, Listener
from aeorsync.storage.views import is_system_key
from aeorsync.storage.writer import Committed
from aeorsync.wire import limits
from aeorsync.wire.peer_events import ClockTold, Heartbeat

BEAT_S = 15.0
CHECK_S = 4.0
STREAM_COST = 32 * limits.KIB
"""Bytes that a stream takes, its connection included."""
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class EventStream(StreamingResponse):
    """The answer that carries a stream; closes its generator as soon as it ends."""

    def __init__(self, events: AsyncGenerator[bytes, None]) -> None:
        super().__init__(events, headers=_HEADERS, media_type="text/event-stream")
        self._events = events

    async def stream_response(self, send: Send) -> None:
        """Send everything; see Starlette."""
        async with aclosing(self._events):
            await super().stream_response(send)


def print_event(kind: str, data: bytes, mark: str) -> bytes:
    """Return one event.

    Args:
        kind: Its type.
        data: JSON on one line.
        mark: Where in the feed the reader is once it has this.
    """
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (mark.encode(), kind.encode(), data)


def print_mark(mark: str) -> bytes:
    """Return what is no event, but keeps the connection alive and moves the reader's mark."""
    return b": ping\nid: %b\n\n" % mark.encode()


@dataclass(frozen=True, slots=True)
class Turn:
    """What woke a stream up.

    Attributes:
        batch: What the bus had; None when it was only time.
        beat: The heartbeat that is due, if one is.
    """

    batch: Batch[Committed] | None
    beat: Heartbeat | None


def demand_room(call: Call) -> None:
    """Refuse one stream too many.

    Raises:
        OverloadedError: It would be.
    """
    if not call.caller.is_peer and call.node.bus.listeners >= limits.MAX_STREAMS:
        raise OverloadedError("too many event streams are open on this node; try again later")
    call.share.take(STREAM_COST)


class Watch:
    """Waits on behalf of one stream."""

    def __init__(self, call: Call, listener: Listener[Committed]) -> None:
        self._call = call
        self._listener = listener
        self._clock = asyncio.get_running_loop().time
        self._next_check = self._clock() + CHECK_S
        self._next_beat = self._clock() + BEAT_S

    async def turn(self, *, waits: bool = True) -> Turn | None:
        """Wait until there is something to do; None when the stream must end.

        Args:
            waits: False to look only, because there is something to do already.
        """
        batch = None
        until = min(self._next_check, self._next_beat) if waits else self._clock()
        try:
            async with asyncio.timeout_at(until):
                batch = await anext(self._listener)
        except TimeoutError:
            pass
        except StopAsyncIteration:
            return None
        # By the clock, not by what woke us: news without end must hold up neither.
        now = self._clock()
        if now >= self._next_check or _is_about_callers(batch):
            self._next_check = now + CHECK_S
            if not await self._may_stay():
                return None
        if now < self._next_beat:
            return Turn(batch, None)
        beat = self._beat(now - self._next_beat)
        self._next_beat = now + BEAT_S
        return Turn(batch, beat)

    async def _may_stay(self) -> bool:
        was = self._call.caller
        try:
            now = await self._call.request.scope["recheck"]()
        except AeorError:
            return False
        return bool(now.access.digest == was.access.digest)

    def _beat(self, late_s: float) -> Heartbeat:
        node = self._call.node
        now_ms = node.wall.now_ms()
        return Heartbeat(ClockTold(now_ms - int(late_s * 1000), now_ms, node.member.node_id))


def _is_about_callers(batch: Batch[Committed] | None) -> bool:
    """Whether what the bus had may be about keys: a revocation ends streams at once."""
    if batch is None:
        return False
    changes = (change for committed in batch.events for change in committed.changes)
    return batch.lagged or any(is_system_key(change.key) for change in changes)
