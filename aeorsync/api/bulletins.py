"""What a node does that is in no feed, told to event streams: tasks, collections, imports.

Whoever was away missed it; the last `MAX_TOLD` are kept for streams that are on their way.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

MAX_TOLD: Final = 256


@dataclass(frozen=True, slots=True)
class Bulletin:
    """One thing that happened.

    Attributes:
        number: Counts up from 1.
        kind: Type of the event.
        at_ms: When, in milliseconds since the Unix epoch.
        payload: What the type says.
    """

    number: int
    kind: str
    at_ms: int
    payload: object


class Bulletins:
    """The last things that happened; belongs to one event loop."""

    def __init__(self) -> None:
        self.number = 0
        self._told: deque[Bulletin] = deque(maxlen=MAX_TOLD)

    def post(self, kind: str, at_ms: int, payload: object) -> None:
        """Note that something happened; streams look when the bus wakes them."""
        self.number += 1
        self._told.append(Bulletin(self.number, kind, at_ms, payload))

    def after(self, number: int) -> list[Bulletin]:
        """What happened after a number, oldest first."""
        if number >= self.number:
            return []
        return [told for told in self._told if told.number > number]
