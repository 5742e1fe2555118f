"""Whole clusters, with links and requests, on a bad network: what is promised holds as well."""

import pytest

from tests.support.sim.defects import broken
from tests.support.sim.running import encode, make, play

RUNS = 120
BATCH = 6


@pytest.mark.parametrize("first", range(0, RUNS, BATCH))
def test_whatever_the_network_does_nothing_is_lost_and_all_come_to_agree(first: int) -> None:
    ended = [play(make("whole", seed)) for seed in range(first, first + BATCH)]
    assert [encode(one.schedule) + one.where for one in ended if one.failure] == []


def test_a_seed_gives_the_same_whole_run_again() -> None:
    first, again = ([play(make("whole", seed)).trace for seed in range(3)] for _ in range(2))
    assert first == again
    assert "" not in first


def test_a_defect_of_the_links_is_found() -> None:
    with broken("moves data before the clocks agree"):
        assert any(play(make("whole", seed)).failure for seed in range(10))
