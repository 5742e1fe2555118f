"""Events to many listeners in one process.

    with bus.listen() as listener:
        async for batch in listener:
            if batch.lagged: ...        # some were dropped: read the feed from where you stopped
            for event in batch.events: ...

The bus only wakes; the feed on disk is the truth. So a listener that does not keep up costs no
memory and holds nobody back: its queue is dropped and it is told to read the feed. What it then
receives may be in the feed already; the numbers of the feed tell.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

MAX_QUEUE = 1024  # events that wait for one listener


@dataclass(frozen=True, slots=True)
class Batch(Generic[T]):
    """What a listener has not yet seen.

    Attributes:
        events: In the order they were published.
        lagged: Whether others were dropped before these.
    """

    events: list[T]
    lagged: bool


class Listener(Generic[T]):
    """One end of the bus, for one task; iterating waits for the next batch."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._events: list[T] = []
        self._lagged = False
        self._closed = False
        self._awake = asyncio.Event()

    @property
    def lagged(self) -> bool:
        """Whether events were dropped since the last batch."""
        return self._lagged

    def put(self, event: T) -> None:
        """Queue an event, or mark the listener as lagged when its queue is full."""
        if self._lagged:
            return  # the feed has it, and the listener will read the feed
        if len(self._events) < self._limit:
            self._events.append(event)
        else:
            self._events = []
            self._lagged = True
        self._awake.set()

    def close(self) -> None:
        """End the iteration, once what is queued was received."""
        self._closed = True
        self._awake.set()

    def __aiter__(self) -> AsyncIterator[Batch[T]]:
        return self

    async def __anext__(self) -> Batch[T]:
        await self._awake.wait()
        if not self._events and not self._lagged:
            raise StopAsyncIteration
        batch = Batch(self._events, self._lagged)
        self._events, self._lagged = [], False
        if not self._closed:
            self._awake.clear()
        return batch


class Bus(Generic[T]):
    """Publishes to all listeners; made, used and closed in one event loop.

    Only `publish_threadsafe` may be called from another thread.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        # A dictionary keeps them in the order in which they came.
        self._listeners: dict[Listener[T], None] = {}
        self._closed = False

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return len(self._listeners)

    @contextlib.contextmanager
    def listen(self, limit: int = MAX_QUEUE) -> Iterator[Listener[T]]:
        """Yield a listener for what is published from now on.

        Args:
            limit: Events that may wait before the listener counts as lagged, at least 1.
        """
        listener: Listener[T] = Listener(limit)
        if self._closed:
            listener.close()
        self._listeners[listener] = None
        try:
            yield listener
        finally:
            self._listeners.pop(listener, None)

    def publish(self, event: T) -> None:
        """Hand ``event`` to every listener; never waits. After `close` it goes nowhere."""
        if self._closed:
            return
        for listener in self._listeners:
            listener.put(event)

    def publish_threadsafe(self, event: T) -> None:
        """Publish from any thread; events of one thread keep their order."""
        # A closed loop has no listeners any more, and what happened is in the feed.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.publish, event)

    def close(self) -> None:
        """End all listeners, present and future; closing twice is closing once."""
        self._closed = True
        for listener in self._listeners:
            listener.close()
