"""A data folder that was copied and started beside the original is found out, and told so."""

import pytest

from aeorsync.cluster.twins import SILENT_S, TWIN_S, Twins
from aeorsync.errors import TwinError


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def twins(clock: Clock) -> Twins:
    return Twins(clock)


def test_a_node_may_be_started_anew_as_often_as_it_likes(twins: Twins, clock: Clock) -> None:
    for run in range(1, 300):
        for _ in range(3):
            twins.hear(7, run)
            clock.now += 100


def test_of_two_that_live_the_one_that_was_started_later_is_refused(
    twins: Twins, clock: Clock
) -> None:
    twins.hear(7, 1)
    twins.hear(7, 2)
    clock.now += TWIN_S + 1
    twins.hear(7, 1)
    for _ in range(3):
        with pytest.raises(TwinError, match="copy"):
            twins.hear(7, 2)
        twins.hear(7, 1)
        clock.now += 100
    twins.hear(8, 2)
    # The original, started anew, and then the copy.
    twins.hear(7, 3)
    twins.hear(7, 4)
    clock.now += TWIN_S + 1
    twins.hear(7, 3)
    with pytest.raises(TwinError):
        twins.hear(7, 4)
    twins.hear(7, 3)


def test_a_call_that_was_on_its_way_while_the_node_was_started_anew_accuses_nobody(
    twins: Twins, clock: Clock
) -> None:
    twins.hear(7, 1)
    twins.hear(7, 2)
    clock.now += TWIN_S - 1
    twins.hear(7, 1)
    clock.now += 100
    twins.hear(7, 2)
    twins.hear(7, 2)


def test_a_call_that_was_held_up_for_very_long_keeps_nobody_off_for_ever(
    twins: Twins, clock: Clock
) -> None:
    twins.hear(7, 1)
    twins.hear(7, 2)
    clock.now += TWIN_S + 1
    twins.hear(7, 1)
    with pytest.raises(TwinError):
        twins.hear(7, 2)
    clock.now += SILENT_S + 1
    twins.hear(7, 2)
    clock.now += 1000
    twins.hear(7, 2)
