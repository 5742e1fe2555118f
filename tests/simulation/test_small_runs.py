"""Little clusters, many of them: what is promised holds whatever happens, in any order."""

from pathlib import Path

import pytest

from tests.support.sim.defects import DEFECTS, broken
from tests.support.sim.running import decode, encode, make, play
from tests.support.sim.shrinking import shrink

SCHEDULES = sorted((Path(__file__).parent / "schedules").glob("*.json"))
RUNS = 2500
BATCH = 125


@pytest.mark.parametrize("first", range(0, RUNS, BATCH))
def test_whatever_happens_nothing_is_lost_and_all_come_to_agree(first: int) -> None:
    ended = [play(make("small", seed)) for seed in range(first, first + BATCH)]
    assert [encode(one.schedule) + one.where for one in ended if one.failure] == []


@pytest.mark.parametrize("path", SCHEDULES, ids=lambda path: path.stem)
def test_what_once_failed_holds_now(path: Path) -> None:
    ended = play(decode(path.read_bytes()))
    assert ended.failure is None, ended.where


def test_a_seed_gives_the_same_run_again() -> None:
    first, again = ([play(make("small", seed)).trace for seed in range(20)] for _ in range(2))
    assert first == again
    assert len(set(first)) > 15


@pytest.mark.parametrize("name", ["drops a loser", "hides what a deletion met"])
def test_a_defect_is_found_and_made_small(name: str) -> None:
    with broken(name):
        ended = next(one for seed in range(300) if (one := play(make("small", seed))).failure)
        least = shrink(ended.schedule, lambda other: play(other).kind == ended.kind)
        assert play(least).kind == ended.kind
    assert len(least.steps) <= min(6, len(ended.schedule.steps))
    assert play(least).failure is None
    assert encode(decode(encode(least))) == encode(least)


def test_every_defect_of_the_list_can_be_switched_on_and_off() -> None:
    for name in DEFECTS:
        with broken(name):
            play(make("small", 0))
    assert play(make("small", 0)).failure is None
