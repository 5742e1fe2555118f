"""How a link to a peer stands: its states, and what it takes for data to flow.

A link is *disconnected* until the peer answers, in its *honeymoon* until the clocks are known to
agree, and only then *active*. Data moves in no other state. Whatever breaks the connection starts
all of it again. *Paused* is a person's wish and outlasts everything but their change of mind.

    event           disconnected    honeymoon       active          paused
    -----           ------------    ---------       ------          ------
    CONNECTED       honeymoon       -               -               -
    CLOCK_SETTLED   -               active          active          -
    CLOCK_OFF       -               honeymoon       honeymoon       -
    PROBE_FAILED    disconnected    honeymoon       active          -
    LOST            disconnected    disconnected    disconnected    -
    FORCED          -               active          active          -
    PAUSED          paused          paused          paused          paused
    RESUMED         disconnected    honeymoon       active          disconnected

A dash is an event that has no place in that state: it came late, and changes nothing. `diagram`
draws the table, for `docs/design.md`.

The clocks have *settled* when they were compared often enough, are at most 30 s apart, and the way
to the peer is even enough for its deadlines to mean something (`unsettled`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from aeorsync.core.clock import MAX_AHEAD_MS


class LinkState(Enum):
    """How a link stands; the value is its word for people."""

    DISCONNECTED = "disconnected"
    HONEYMOON = "honeymoon"
    ACTIVE = "active"
    PAUSED = "paused"


class LinkEvent(Enum):
    """What may happen to a link."""

    CONNECTED = "the peer answered"
    CLOCK_SETTLED = "the clocks agree well enough"
    CLOCK_OFF = "the clocks do not agree"
    PROBE_FAILED = "a clock probe got no answer"
    LOST = "the connection broke, or could not be made"
    FORCED = "a person wants data to flow, whatever the clocks say"
    PAUSED = "a person wants no data to flow"
    RESUMED = "a person takes that back"


_D, _H, _A, _P = LinkState
_TABLE: dict[LinkEvent, tuple[LinkState | None, ...]] = {
    LinkEvent.CONNECTED: (_H, None, None, None),
    LinkEvent.CLOCK_SETTLED: (None, _A, _A, None),
    LinkEvent.CLOCK_OFF: (None, _H, _H, None),
    LinkEvent.PROBE_FAILED: (_D, _H, _A, None),
    LinkEvent.LOST: (_D, _D, _D, None),
    LinkEvent.FORCED: (None, _A, _A, None),
    LinkEvent.PAUSED: (_P, _P, _P, _P),
    LinkEvent.RESUMED: (_D, _H, _A, _D),
}
_COLUMN = {state: column for column, state in enumerate(LinkState)}


def next_state(state: LinkState, event: LinkEvent) -> LinkState | None:
    """The state after an event; None when the event has no place in this state."""
    return _TABLE[event][_COLUMN[state]]


def diagram() -> str:
    """The table as a Mermaid diagram; events that lead to the same place share an arrow."""
    arrows: dict[tuple[LinkState, LinkState], list[str]] = {}
    for event, row in _TABLE.items():
        for state, after in zip(LinkState, row, strict=True):
            if after is not None:
                arrows.setdefault((state, after), []).append(event.name)
    lines = [
        f"    {state.value} --> {after.value}: {', '.join(arrows[state, after])}"
        for state in LinkState
        for after in LinkState
        if (state, after) in arrows
    ]
    return "\n".join(("stateDiagram-v2", f"    [*] --> {LinkState.DISCONNECTED.value}", *lines))


def meanings() -> str:
    """What each event of the diagram means, as a list in Markdown."""
    return "\n".join(f"- `{event.name}`: {event.value}" for event in LinkEvent)


@dataclass(frozen=True, slots=True)
class ClockSample:
    """One exchange with a peer's clock, in milliseconds since the Unix epoch.

    Attributes:
        sent: Ours, when the question left.
        received: Theirs, when it came in.
        answered: Theirs, when the answer left.
        returned: Ours, when it came in.
    """

    sent: float
    received: float
    answered: float
    returned: float

    @property
    def round_trip_ms(self) -> float:
        """Time on the way, there and back; what the peer took to answer is left out."""
        return max(0.0, (self.returned - self.sent) - (self.answered - self.received))

    @property
    def offset_ms(self) -> float:
        """How far their clock is ahead of ours, off by at most half the round trip."""
        return ((self.received - self.sent) + (self.answered - self.returned)) / 2


@dataclass(frozen=True, slots=True)
class ClockEstimate:
    """What some samples say together.

    Attributes:
        offset_ms: How far their clock is ahead of ours.
        round_trip_ms: The shortest round trip.
        jitter_ms: Mean change from one round trip to the next.
        samples: How many exchanges this rests on; 0 when nothing is known.
    """

    offset_ms: float = 0.0
    round_trip_ms: float = 0.0
    jitter_ms: float = 0.0
    samples: int = 0


MIN_SAMPLES = 3
"""Exchanges before an estimate can settle a clock."""
MAX_JITTER_MS = 2_000
"""A probe may take 5 s at most, so of the eight that are remembered one slow one (a page that
blocked the way, a node that was busy) makes a jitter of 10 / 7 s and two make 20 / 7 s: one is
bad luck, two are a way on which deadlines and heartbeats say nothing any more."""


def estimate(samples: Sequence[ClockSample]) -> ClockEstimate:
    """What the samples, oldest first, say of a peer's clock.

    The offset is the mean over the quarter (at least one) with the shortest round trips: whatever
    delayed an exchange made one way longer than the other, and that is the error of its offset.
    """
    if not samples:
        return ClockEstimate()
    trips = [sample.round_trip_ms for sample in samples]
    best = sorted(samples, key=lambda sample: sample.round_trip_ms)[: (len(samples) + 3) // 4]
    changes = [abs(after - before) for before, after in pairwise(trips)]
    return ClockEstimate(
        offset_ms=sum(sample.offset_ms for sample in best) / len(best),
        round_trip_ms=min(trips),
        jitter_ms=sum(changes) / len(changes) if changes else 0.0,
        samples=len(samples),
    )


def unsettled(clock: ClockEstimate) -> str | None:
    """Why data may not flow yet; None when the clock has settled."""
    if clock.samples < MIN_SAMPLES:
        return f"the clock was compared {clock.samples} times, {MIN_SAMPLES} are needed"
    if abs(clock.offset_ms) > MAX_AHEAD_MS:
        seconds = f"{abs(clock.offset_ms) / 1000:.1f} s"
        relation = "ahead of" if clock.offset_ms > 0 else "behind"
        limit = MAX_AHEAD_MS // 1000
        return f"its clock is {seconds} {relation} ours, more than {limit} s; check NTP on both"
    if clock.jitter_ms > MAX_JITTER_MS:
        seconds = f"{clock.jitter_ms / 1000:.1f} s"
        limit = MAX_JITTER_MS // 1000
        return f"its round trips differ by {seconds}, more than {limit} s; check the network"
    return None
