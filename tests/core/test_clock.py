"""Stamps always go forward, whatever the wall clock does."""

from hypothesis import assume, example, given
from hypothesis import strategies as st

from aeorsync.core import clock

stamps = st.integers(0, 2**62)
milliseconds = st.integers(0, 2**46)


@given(stamps, milliseconds)
@example(last=clock.make_stamp(5, 65_535), wall_ms=5)
@example(last=clock.make_stamp(5, 3), wall_ms=4)
def test_the_next_stamp_is_later_than_both_the_last_and_the_wall(last: int, wall_ms: int) -> None:
    assume(not clock.is_too_far_ahead(last, wall_ms))
    following = clock.next_stamp(last, wall_ms)
    assert following > last
    assert clock.wall_ms(following) >= wall_ms


@given(stamps, milliseconds)
def test_a_stamp_from_a_wrong_clock_is_not_followed(last: int, wall_ms: int) -> None:
    following = clock.next_stamp(last, wall_ms)
    # One tick over the limit at most, when the last stamp was just within it.
    assert not clock.is_too_far_ahead(following - 1, wall_ms)


@given(stamps, milliseconds)
def test_the_next_stamp_is_no_further_ahead_than_it_must_be(last: int, wall_ms: int) -> None:
    assert clock.next_stamp(last, wall_ms) in {last + 1, clock.make_stamp(wall_ms)}


@given(milliseconds, st.integers(0, 65_535))
def test_a_stamp_tells_its_millisecond_and_tick(wall_ms: int, tick: int) -> None:
    stamp = clock.make_stamp(wall_ms, tick)
    assert (clock.wall_ms(stamp), clock.tick(stamp)) == (wall_ms, tick)


def test_a_full_millisecond_runs_into_the_next() -> None:
    assert clock.next_stamp(clock.make_stamp(5, 65_535), 5) == clock.make_stamp(6, 0)


def test_thirty_seconds_ahead_is_accepted_and_one_millisecond_more_is_not() -> None:
    now = 1_000_000
    assert not clock.is_too_far_ahead(clock.make_stamp(now + 30_000, 65_535), now)
    assert clock.is_too_far_ahead(clock.make_stamp(now + 30_001), now)


@given(stamps, stamps, milliseconds)
def test_what_follows_an_observed_stamp_is_later_than_it(last: int, remote: int, now: int) -> None:
    assume(not clock.is_too_far_ahead(max(last, remote), now))
    assert clock.next_stamp(clock.observe(last, remote), now) > max(last, remote)
