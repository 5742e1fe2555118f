"""Hybrid logical clock: a stamp orders events of all nodes and stays close to the wall clock.

A stamp is one integer, ``wall_ms << 16 | tick``: milliseconds since the Unix epoch, and a tick
that orders what happens within one of them. Integers compare as stamps do. Stamps only rank
versions that are concurrent; which one came first is decided by `core.versions`.

*Progress*: `next_stamp` is always greater than the last stamp, whatever the wall clock does.
*Bound*: a stamp is at most `MAX_AHEAD_MS` ahead of every wall clock that accepted it.
"""

TICK_BITS = 16
MAX_STAMP = 2**63 - 1
MAX_AHEAD_MS = 30_000


def make_stamp(wall_ms: int, tick: int = 0) -> int:
    """Return the stamp of a millisecond and a tick within it (0..65535)."""
    return wall_ms << TICK_BITS | tick


def next_stamp(last: int, wall_ms: int) -> int:
    """Return a stamp after ``last``, even if the wall clock stood still or went back.

    A tick that overflows runs into the next millisecond. A last stamp from further in the future
    than clocks may differ is not followed: it came from a clock that was wrong, and no other node
    would take ours until time had caught up with it.
    """
    if is_too_far_ahead(last, wall_ms):
        return make_stamp(wall_ms)
    return max(last + 1, make_stamp(wall_ms))


def wall_ms(stamp: int) -> int:
    """Return the milliseconds since the Unix epoch, as some node saw them."""
    return stamp >> TICK_BITS


def tick(stamp: int) -> int:
    """Return the place of a stamp within its millisecond."""
    return stamp & ((1 << TICK_BITS) - 1)


def is_too_far_ahead(stamp: int, wall_ms: int) -> bool:
    """Whether ``stamp`` is so far in the future that the clock of its node must be wrong."""
    return stamp >> TICK_BITS > wall_ms + MAX_AHEAD_MS


def observe(last: int, remote: int) -> int:
    """Return what ``last`` becomes when a stamp of another node is accepted.

    The caller has refused stamps that are `is_too_far_ahead`.
    """
    return max(last, remote)
