"""What a token bucket lets pass, over any history."""

from hypothesis import given
from hypothesis import strategies as st

from aeorsync.core.bucket import BURST_S, Bucket

RATES = st.integers(1, 10_000_000)
AMOUNTS = st.lists(st.tuples(st.integers(0, 1_000_000), st.floats(0, 2)), max_size=50)


@given(RATES, AMOUNTS)
def test_whoever_waits_as_told_never_goes_beyond_the_rate_and_one_bucketful(
    rate: int, pieces: list[tuple[int, float]]
) -> None:
    bucket, now, passed = Bucket(rate, 0.0), 0.0, 0
    for amount, idle in pieces:
        now += idle
        bucket.take(amount, now)
        passed += amount
        now += bucket.wait_s(now)
        assert passed <= rate * (now + BURST_S) * (1 + 1e-9) + 1


@given(RATES, AMOUNTS)
def test_whoever_always_has_something_to_send_loses_nothing_of_the_rate(
    rate: int, pieces: list[tuple[int, float]]
) -> None:
    bucket, now, passed = Bucket(rate, 0.0), 0.0, 0
    for amount, _ in pieces:
        bucket.take(amount, now)
        passed += amount
        now += bucket.wait_s(now)
    assert now <= passed / rate * (1 + 1e-9) + 1e-6


@given(RATES, st.integers(0, 10**9), st.floats(0, 10))
def test_several_who_share_a_bucket_wait_together_as_long_as_one(
    rate: int, amount: int, later: float
) -> None:
    one, two = Bucket(rate, 0.0), Bucket(rate, 0.0)
    one.take(2 * amount, later)
    two.take(amount, later)
    two.take(amount, later)
    assert one.wait_s(later) == two.wait_s(later)


@given(AMOUNTS)
def test_without_a_rate_nobody_ever_waits(pieces: list[tuple[int, float]]) -> None:
    bucket = Bucket(0, 0.0)
    for amount, _ in pieces:
        bucket.take(amount, 1.0)
        assert bucket.wait_s(1.0) == 0


def test_another_rate_holds_from_now_on_and_what_is_owed_stays_owed() -> None:
    bucket = Bucket(100, 0.0)
    bucket.take(1025, 0.0)
    assert bucket.wait_s(0.0) == 10
    bucket.change(1000, 5.0)
    assert bucket.wait_s(5.0) == 0.5
    bucket.change(0, 5.0)
    assert bucket.wait_s(5.0) == 0
    bucket.change(100, 5.0)
    bucket.take(100, 5.0)
    assert bucket.wait_s(5.0) == 1


def test_a_clock_that_goes_back_gives_nothing_for_free() -> None:
    bucket = Bucket(100, 10.0)
    bucket.take(125, 10.0)
    assert bucket.wait_s(5.0) == 1
    assert bucket.wait_s(10.0) == 1
