"""The sliding window against guessing."""

import pytest

from aeorsync.api.attempts import Attempts
from aeorsync.errors import RateLimitedError


def test_the_window_slides() -> None:
    attempts = Attempts(limit=2, window_s=10)
    attempts.take("a", 0.0)
    attempts.take("a", 5.0)
    with pytest.raises(RateLimitedError) as refused:
        attempts.take("a", 9.0)
    assert refused.value.retry_after == 2
    attempts.take("a", 10.0)
    with pytest.raises(RateLimitedError):
        attempts.take("a", 14.9)
    attempts.take("a", 15.0)


def test_names_do_not_hinder_each_other() -> None:
    attempts = Attempts(limit=1, window_s=10)
    attempts.take("a", 0.0)
    attempts.take("b", 0.0)
    with pytest.raises(RateLimitedError):
        attempts.take("a", 1.0)


def test_a_refused_attempt_does_not_prolong_the_wait() -> None:
    attempts = Attempts(limit=1, window_s=10)
    attempts.take("a", 0.0)
    for at in range(1, 10):
        with pytest.raises(RateLimitedError):
            attempts.take("a", float(at))
    attempts.take("a", 10.0)


def test_memory_is_bounded_and_the_idlest_go_first() -> None:
    attempts = Attempts(limit=1, window_s=1000, max_names=3)
    for at, name in enumerate("abc"):
        attempts.take(name, float(at))
    with pytest.raises(RateLimitedError):
        attempts.take("a", 3.0)
    attempts.take("d", 4.0)
    with pytest.raises(RateLimitedError):
        attempts.take("a", 5.0)
    attempts.take("b", 6.0)
    assert len(attempts._times) == 3
