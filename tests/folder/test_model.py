"""Two people and one server, doing whatever they like: nothing is lost, nothing comes back."""

from pathlib import Path

import pytest

from aeorsync.folder.options import DeleteLimit, Options
from tests.support.nodes import NodeProcess
from tests.support.people import Model, Synced

OPTIONS = Options(max_delete=DeleteLimit.parse("100%"))


@pytest.mark.parametrize("seed", range(6))
def test_whatever_two_people_do_nothing_is_lost_and_nothing_comes_back(
    node: NodeProcess, tmp_path: Path, seed: int
) -> None:
    people = [Synced(tmp_path / name, node, f"/model{seed}", OPTIONS) for name in ("a", "b")]
    model = Model(people, seed)
    try:
        for _ in range(4):
            for _ in range(15):
                model.step()
            model.settle()
            model.check()
    except AssertionError:
        print("\n".join(model.log))  # noqa: T201  # what led here
        raise
