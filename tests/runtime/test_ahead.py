"""The hash of a long file, whoever makes it."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aeorsync.core.hashing import hasher
from aeorsync.runtime import threads
from aeorsync.runtime.ahead import GATHERED, HasherAhead

SIZES = [0, 1, 70_000, GATHERED - 1, GATHERED, GATHERED + 1, 3 * GATHERED]


class Busy(threads.Threads):
    """A crew of which nobody is ever free."""

    def submit(self, call: Callable[[], Any]) -> Future[Any]:
        """Put it off for ever."""
        del call
        return Future()


def hashes(expected: int, sizes: list[int]) -> tuple[bytes, bytes]:
    """As it is hashed ahead, from memory that changes afterwards, and as it should be."""
    ahead, plain = HasherAhead(expected), hasher()
    for number, size in enumerate(sizes):
        piece = bytearray([number + 1]) * size
        ahead.update(piece)
        plain.update(piece)
        piece[:] = bytes(size)
    assert ahead.digest() == ahead.digest()
    return ahead.digest(), plain.digest()


@given(st.sampled_from(SIZES), st.lists(st.sampled_from(SIZES), max_size=5))
def test_the_hash_does_not_depend_on_how_the_bytes_came(expected: int, sizes: list[int]) -> None:
    # What comes against all expectations comes in few pieces, or it would take long.
    ahead, plain = hashes(max(expected, 70_000), sizes)
    assert ahead == plain


def test_more_may_come_than_was_expected() -> None:
    ahead, plain = hashes(0, [100, 0, 1])
    assert ahead == plain


def test_where_nobody_is_free_the_caller_does_it() -> None:
    with threads.done_by(Busy()):
        ahead, plain = hashes(sum(SIZES), SIZES)
    assert ahead == plain
