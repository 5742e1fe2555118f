"""Events as they happen, for as long as one likes."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import Any, Final

import msgspec

from aeorsync.client.calling import Caller, Pauses, print_query
from aeorsync.client.model import Event
from aeorsync.errors import (
    UNREADABLE,
    BadRequestError,
    RateLimitedError,
    UnavailableError,
    UntrustedError,
)
from aeorsync.remote.asking import Request
from aeorsync.remote.sse import EventDecoder

CONNECTED: Final = "connected"
"""An event of ours: from here on nothing is missed."""
SILENCE_S: Final = 45.0
"""Longest silence of a stream; three heartbeats."""
_MARK: Final = ""
_QUIET: Final = frozenset({_MARK, CONNECTED, "heartbeat"})


class EventCalls(Caller):
    """Hear what happens."""

    async def events(
        self,
        kinds: Iterable[str] = (),
        prefix: str | None = None,
        last_id: str | None = None,
        *,
        reconnect: bool = True,
    ) -> AsyncGenerator[Event, None]:
        """Listen for ever; close the iterator to stop.

        A stream that breaks is taken up again where it was, so nothing is missed but
        ``syncs_completed`` and ``syncs_failed``, which the server does not keep. Where it cannot
        go on there (its database was replaced), an event ``reset`` says so: list again.

        Args:
            kinds: Which events; none for all but heartbeats. With ``connected`` among them, each
                connection that was made is one, too: what happens from there on will be told.
            prefix: Only what lies in this folder, and nothing that has no path.
            last_id: Go on after this event.
            reconnect: False: raise when the stream breaks.

        Raises:
            UnavailableError: The server was never reached, or the stream broke and is not to be
                taken up again.

        Example:
            >>> for event in client.events(["entries_created"], prefix="/photos"):
            ...     print(event.payload["entries"])
        """
        words = frozenset(kinds)
        asked = ",".join(sorted(words - {CONNECTED}))
        pauses = Pauses()
        while True:
            try:
                async with aclosing(self._stream(asked, prefix, last_id)) as stream:
                    async for event in stream:
                        last_id, pauses = event.id or last_id, Pauses()
                        if event.kind in words or (not words and event.kind not in _QUIET):
                            yield event
            except (UnavailableError, RateLimitedError) as error:
                is_hopeless = isinstance(error, UntrustedError) or not self._was_there
                if is_hopeless or not reconnect:
                    raise
                await asyncio.sleep(pauses.next(error))

    async def _stream(
        self, kinds: str, prefix: str | None, last_id: str | None
    ) -> AsyncGenerator[Event, None]:
        """Yield the events of one connection; what only moves the mark is a `_MARK`."""
        query = print_query({"events": kinds or None, "path_prefix": prefix})
        fields = {"Accept": "text/event-stream"}
        if last_id is not None:
            fields["Last-Event-ID"] = last_id
        decoder = EventDecoder()
        request = Request("GET", f"/system/events{query}", b"", fields, idle_s=SILENCE_S)
        async with self._connection.exchange(request) as answer:
            self._was_there, is_new = True, True
            async for piece in answer.pieces:
                told = decoder.feed(piece)
                if is_new and decoder.mark:
                    yield Event(last_id or decoder.mark, CONNECTED, 0, {})
                    is_new = False
                for (name, data), mark in zip(told, decoder.marks, strict=True):
                    yield self._event(name, data, mark)
                yield Event(decoder.mark, _MARK, 0, {})
        raise UnavailableError(f"{self.address} ended its event stream")

    def _event(self, name: str, data: bytes, mark: str) -> Event:
        try:
            told = msgspec.json.decode(data, type=_Told)
        except UNREADABLE as error:
            raise BadRequestError(f"{self.address} sent a broken event: {error}") from error
        return Event(mark, name, told.timestamp, told.payload)


class _Told(msgspec.Struct, frozen=True):
    """The data of an event."""

    timestamp: int = 0
    payload: dict[str, Any] = {}
