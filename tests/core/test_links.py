from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeorsync.core.links import (
    MAX_JITTER_MS,
    ClockSample,
    LinkEvent,
    LinkState,
    diagram,
    estimate,
    next_state,
    unsettled,
)

DISCONNECTED, HONEYMOON, ACTIVE, PAUSED = LinkState

# The table of the module once more, as a person would say it; what is not here has no place.
STEPS = {
    (DISCONNECTED, LinkEvent.CONNECTED): HONEYMOON,
    (DISCONNECTED, LinkEvent.PROBE_FAILED): DISCONNECTED,
    (DISCONNECTED, LinkEvent.LOST): DISCONNECTED,
    (DISCONNECTED, LinkEvent.PAUSED): PAUSED,
    (DISCONNECTED, LinkEvent.RESUMED): DISCONNECTED,
    (HONEYMOON, LinkEvent.CLOCK_SETTLED): ACTIVE,
    (HONEYMOON, LinkEvent.CLOCK_OFF): HONEYMOON,
    (HONEYMOON, LinkEvent.PROBE_FAILED): HONEYMOON,
    (HONEYMOON, LinkEvent.LOST): DISCONNECTED,
    (HONEYMOON, LinkEvent.FORCED): ACTIVE,
    (HONEYMOON, LinkEvent.PAUSED): PAUSED,
    (HONEYMOON, LinkEvent.RESUMED): HONEYMOON,
    (ACTIVE, LinkEvent.CLOCK_SETTLED): ACTIVE,
    (ACTIVE, LinkEvent.CLOCK_OFF): HONEYMOON,
    (ACTIVE, LinkEvent.PROBE_FAILED): ACTIVE,
    (ACTIVE, LinkEvent.LOST): DISCONNECTED,
    (ACTIVE, LinkEvent.FORCED): ACTIVE,
    (ACTIVE, LinkEvent.PAUSED): PAUSED,
    (ACTIVE, LinkEvent.RESUMED): ACTIVE,
    (PAUSED, LinkEvent.PAUSED): PAUSED,
    (PAUSED, LinkEvent.RESUMED): DISCONNECTED,
}


@pytest.mark.parametrize(("state", "event"), list(product(LinkState, LinkEvent)))
def test_every_event_in_every_state_does_what_the_table_says(
    state: LinkState, event: LinkEvent
) -> None:
    assert next_state(state, event) is STEPS.get((state, event))


@given(st.lists(st.sampled_from(LinkEvent)))
def test_no_history_leads_to_active_without_a_connection_and_a_settled_or_overruled_clock(
    events: list[LinkEvent],
) -> None:
    state, connected, agreed = DISCONNECTED, False, False
    for event in events:
        state = next_state(state, event) or state
        if event in {LinkEvent.LOST, LinkEvent.PAUSED}:
            connected = agreed = False
        connected |= event is LinkEvent.CONNECTED
        agreed |= event in {LinkEvent.CLOCK_SETTLED, LinkEvent.FORCED}
        assert state is not ACTIVE or (connected and agreed)


@given(st.lists(st.sampled_from([e for e in LinkEvent if e is not LinkEvent.RESUMED])))
def test_a_paused_link_stays_paused_whatever_happens(events: list[LinkEvent]) -> None:
    state = PAUSED
    for event in events:
        state = next_state(state, event) or state
    assert state is PAUSED


def sample(offset: float, there: float, back: float, *, at: float = 1e12) -> ClockSample:
    """An exchange with a clock that is ahead by ``offset``, and so long on the way."""
    received = at + there + offset
    return ClockSample(at, received, received + 3, at + there + 3 + back)


def test_a_symmetric_way_gives_the_exact_offset() -> None:
    one = sample(offset=1234, there=20, back=20)
    assert (one.offset_ms, one.round_trip_ms) == (1234, 40)


@given(
    offset=st.integers(-10_000_000, 10_000_000),
    there=st.integers(0, 5000),
    back=st.integers(0, 5000),
)
def test_the_error_of_an_offset_is_at_most_half_the_round_trip(
    offset: int, there: int, back: int
) -> None:
    one = sample(offset, there, back)
    assert abs(one.offset_ms - offset) <= one.round_trip_ms / 2 + 1e-3


def test_slow_exchanges_do_not_spoil_the_estimate() -> None:
    samples = [
        sample(100, 500, 1),
        sample(100, 2, 2),
        sample(100, 1, 700),
        sample(100, 3, 300),
    ]
    clock = estimate(samples)
    assert clock.offset_ms == 100
    assert clock.round_trip_ms == 4
    assert clock.jitter_ms == pytest.approx((497 + 697 + 398) / 3)
    assert clock.samples == 4


def test_nothing_is_known_without_samples() -> None:
    assert unsettled(estimate([])) is not None
    assert estimate([]).samples == 0


@pytest.mark.parametrize(
    ("offset", "count", "complaint"),
    [
        (0, 5, None),
        (30_000, 5, None),
        (-30_000, 5, None),
        (30_001, 5, "30.0 s ahead of ours"),
        (-90_000, 5, "90.0 s behind ours"),
        (0, 2, "compared 2 times"),
    ],
)
def test_a_clock_settles_when_it_was_compared_often_and_is_near_enough(
    offset: int, count: int, complaint: str | None
) -> None:
    reason = unsettled(estimate([sample(offset, 1, 1)] * count))
    if complaint is None:
        assert reason is None
    else:
        assert reason is not None
        assert complaint in reason


def test_an_answer_that_seems_to_come_before_the_question_has_no_negative_round_trip() -> None:
    assert ClockSample(1000, 1000, 1010, 1005).round_trip_ms == 0


def test_a_way_that_is_too_uneven_does_not_settle_and_one_slow_probe_is_forgiven() -> None:
    slow = [sample(0, 1, 1), sample(0, 5000, 0)] * 4
    reason = unsettled(estimate(slow))
    assert reason is not None
    assert "round trips differ by 5.0 s" in reason
    once = [sample(0, 1, 1)] * 4 + [sample(0, 5000, 0)] + [sample(0, 1, 1)] * 3
    assert unsettled(estimate(once)) is None
    assert MAX_JITTER_MS < 5000  # a probe that takes longer gets no answer at all


def test_the_diagram_has_an_arrow_for_every_cell_of_the_table() -> None:
    lines = diagram().splitlines()
    drawn = {
        (*line.strip().partition(":")[0].split(" --> "), event)
        for line in lines[2:]
        for event in line.partition(": ")[2].split(", ")
    }
    steps = (
        (state, event, next_state(state, event)) for state, event in product(LinkState, LinkEvent)
    )
    assert drawn == {(s.value, after.value, e.name) for s, e, after in steps if after is not None}
