"""How long to wait before what failed is tried again."""


def backoff(failures: int, base: float, cap: float, jitter: float) -> float:
    """Return how many seconds to wait before the next attempt.

    It doubles with each failure up to ``cap``; half of it is left to chance, so that nodes which
    failed together do not come back together.

    Args:
        failures: Failures in a row before this pause, from 1.
        base: Seconds after the first, without chance.
        cap: Most seconds ever.
        jitter: Random, from 0 to 1.
    """
    # Beyond 64 doublings any base has met its cap, and a float would overflow.
    longest = min(cap, base * 2.0 ** min(max(failures - 1, 0), 64))
    return longest * (0.5 + jitter / 2)
