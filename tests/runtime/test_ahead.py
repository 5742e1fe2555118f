"""The hash of a long file, whoever makes it."""

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aeorsync.core.hashing import hasher
from aeorsync.runtime import threads
from aeorsync.runtime.ahead import GATHERED, MOST_AHEAD, HasherAhead

SIZES = [0, 1, 70_000, GATHERED - 1, GATHERED, GATHERED + 1, 3 * GATHERED]


class Counting(threads.Threads):
    """A crew that counts what it is asked for."""

    def __init__(self) -> None:
        self.asked = 0

    def submit(self, call: Callable[[], Any]) -> Future[Any]:
        """See the contract."""
        self.asked += 1
        return super().submit(call)


class Busy(Counting):
    """A crew of which nobody is ever free."""

    def submit(self, call: Callable[[], Any]) -> Future[Any]:
        """Put it off for ever."""
        del call
        self.asked += 1
        return Future()


def hashes(expected: int, sizes: list[int]) -> tuple[bytes, bytes]:
    """As it is hashed ahead, from memory that changes afterwards, and as it should be."""
    plain = hasher()
    with HasherAhead(expected) as ahead:
        for number, size in enumerate(sizes):
            piece = bytearray([number + 1]) * size
            ahead.update(piece)
            plain.update(piece)
            piece[:] = bytes(size)
        assert ahead.digest() == ahead.digest()
        return ahead.digest(), plain.digest()


@given(st.sampled_from(SIZES), st.lists(st.sampled_from(SIZES), max_size=5))
def test_the_hash_does_not_depend_on_how_the_bytes_came(expected: int, sizes: list[int]) -> None:
    ahead, plain = hashes(expected, sizes)
    assert ahead == plain


def test_a_long_file_is_hashed_by_others_and_a_short_one_here() -> None:
    crew = Counting()
    with threads.done_by(crew):
        hashes(GATHERED, [GATHERED])
        assert crew.asked == 0
        hashes(3 * GATHERED + 1, [GATHERED + 1, 2 * GATHERED])
        assert crew.asked == 3


def test_where_nobody_is_free_the_caller_does_it() -> None:
    crew = Busy()
    with threads.done_by(crew):
        ahead, plain = hashes(sum(SIZES), SIZES)
    assert ahead == plain
    assert crew.asked > 3


def test_only_so_many_files_are_hashed_ahead_at_a_time() -> None:
    crew = Counting()
    with threads.done_by(crew):
        with ExitStack() as turns:
            for _ in range(MOST_AHEAD):
                turns.enter_context(HasherAhead(2 * GATHERED))
            ahead, plain = hashes(2 * GATHERED, [2 * GATHERED + 1])
            assert ahead == plain
            assert crew.asked == 0
        hashes(2 * GATHERED, [2 * GATHERED + 1])
        assert crew.asked == 2
