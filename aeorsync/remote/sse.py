"""Server-sent events: bytes in, events out. Sans-I/O.

    event: root
    data: {"seq":7}
    <empty line>

Lines end in LF, CR LF or CR. What is not ``event``, ``data`` or ``id`` is skipped. Bounded: a line
or an event longer than the limit is an error, so memory does not depend on the peer.
"""

import re
from typing import NamedTuple

from aeorsync.errors import BadRequestError
from aeorsync.wire.limits import MIB

MAX_EVENT = MIB
_LINE_END = re.compile(rb"\r\n|\n|\r")


class ServerEvent(NamedTuple):
    """One event.

    Attributes:
        name: ``message`` when the sender gave none.
        data: Its data lines, joined by LF.
    """

    name: str
    data: bytes


class EventDecoder:
    """Keeps at most one unfinished event.

    Args:
        limit: Longest line, and longest event, in bytes.

    Attributes:
        marks: The id in force after each event of the last `feed`: where to go on after it.
        mark: The last id that was told, also by itself; empty when none was.
    """

    def __init__(self, limit: int = MAX_EVENT) -> None:
        self.marks: list[str] = []
        self.mark = ""
        self._next_mark = ""
        self._limit = limit
        self._rest = bytearray()
        self._searched = 0
        self._name = ""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[ServerEvent]:
        """Return the events that ``data`` completes, in order.

        Raises:
            BadRequestError: A line or an event is too long.
        """
        events: list[ServerEvent] = []
        self.marks = []
        text, at = self._rest, 0
        text += data
        # What was searched before is not searched again: a line may come byte by byte.
        while found := _LINE_END.search(text, max(at, self._searched)):
            # A CR at the very end may be the first half of CR LF; what follows will tell.
            if found.end() == len(text) and found[0] == b"\r":
                break
            event = self._take_line(bytes(text[at : found.start()]))
            at = found.end()
            if event is not None:
                events.append(event)
                self.marks.append(self.mark)
        # Or the buffer could not shrink.
        del found
        del text[:at]
        self._searched = max(0, len(text) - 1)
        if len(text) > self._limit:
            raise BadRequestError("a line of an event stream is too long")
        return events

    def _take_line(self, line: bytes) -> ServerEvent | None:
        if not line:
            return self._finish_event()
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"event":
            self._name = value.decode("utf-8", "replace")
        elif field == b"id" and b"\0" not in value:
            self._next_mark = value.decode("utf-8", "replace")
        elif field == b"data":
            self._data.append(value)
            self._size += len(value) + 1
        if self._size > self._limit or len(line) > self._limit:
            raise BadRequestError("an event of an event stream is too long")
        return None

    def _finish_event(self) -> ServerEvent | None:
        name, data = self._name or "message", self._data
        self.mark = self._next_mark
        self._name, self._data, self._size = "", [], 0
        return ServerEvent(name, b"\n".join(data)) if data else None
