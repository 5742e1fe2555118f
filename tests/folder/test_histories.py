"""What people see in three folders is explained by who had seen what: a few of many histories."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.folder_trees import Leaf, Seen
from tests.support.histories import Explanation, judge
from tests.support.history_steps import History, make, shorten

KEPT = sorted((Path(__file__).parent / "histories").glob("*.json"))
MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own is made there


@pytest.fixture
def base() -> Iterator[Path]:
    """A folder on a disk that is fast, for what is tried is not the disk."""
    with TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        yield Path(folder) / "run"


@pytest.mark.parametrize("seed", range(12))
def test_every_history_is_explained(base: Path, seed: int) -> None:
    assert judge(base, make(seed, (1, 5)[seed % 2])).wrong == []


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_lost_when_servers_are_put_back_to_older_copies(base: Path, seed: int) -> None:
    assert judge(base, make(seed, (1, 5)[seed % 2], goes_back=True)).wrong == []


@pytest.mark.parametrize("file", KEPT, ids=lambda file: file.stem)
def test_what_failed_once_never_does_again(base: Path, file: Path) -> None:
    assert judge(base, json.loads(file.read_text())).wrong == []


# The judge


def seen(*shown: tuple[str, str], copies: dict[str, set[str]] | None = None) -> Seen:
    return Seen({path: Leaf("file", content) for content, path in shown}, copies or {}, [])


def test_a_version_that_nobody_has_seen_must_be_shown() -> None:
    truth = Explanation()
    truth.born(("1", "f"))
    assert truth.wrong(seen(), may_return=False) == ["lost: 1 of f"]
    assert truth.wrong(seen(), may_return=True) == ["lost: 1 of f"]
    assert truth.wrong(seen(("1", "f")), may_return=False) == []


def test_a_version_that_somebody_has_seen_and_replaced_is_not_explained() -> None:
    truth = Explanation()
    truth.born(("1", "f"))
    truth.end(("1", "f"))
    truth.born(("2", "f"))
    assert truth.wrong(seen(("2", "f")), may_return=False) == []
    back = seen(("2", "f"), copies={"f": {"1"}})
    assert truth.wrong(back, may_return=False) == ["unexplained: 1 of f"]
    assert truth.wrong(seen(("3", "g"), ("2", "f")), may_return=True) == ["foreign: 3 of g"]


def test_a_conflict_has_to_be_one() -> None:
    truth = Explanation()
    truth.born(("1", "f"))
    truth.born(("2", "f"))
    assert truth.wrong(seen(("1", "f")), may_return=False) == ["lost: 2 of f"]
    assert truth.wrong(seen(("1", "f"), copies={"f": {"2"}}), may_return=False) == []


def test_of_versions_in_conflict_one_may_stay_that_somebody_gave_up() -> None:
    truth = Explanation()
    truth.born(("1", "f"))
    truth.born(("2", "f"))
    truth.end(("1", "f"))
    truth.end(("2", "f"))
    assert truth.wrong(seen(("2", "f")), may_return=False) == []


def test_a_failing_history_is_shortened_to_what_matters() -> None:
    source = random.Random(1)
    history: History = [["sync", source.randrange(3)] for _ in range(40)]
    history[13], history[31] = ["cut"], ["heal"]

    def fails(some: History) -> bool:
        return ["cut"] in some and ["heal"] in some

    assert shorten(history, fails) == [["cut"], ["heal"]]


def test_the_same_seed_makes_the_same_history() -> None:
    assert make(5, 3) == make(5, 3) != make(6, 3)
