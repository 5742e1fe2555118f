"""Several folders, people and programs in all of them, and processes that die: nothing is lost.

The short form of ``./scripts/try-folders``, with fixed seeds.
"""

from pathlib import Path

import pytest

from tests.support.folder_rounds import Size, World


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("seed", "size"),
    [
        (1, Size(folders=2, servers=1, acts=50, with_programs=False)),
        (2, Size(folders=3, servers=2, acts=40)),
    ],
    ids=["two folders, one server", "three folders, two servers, git and tar"],
)
def test_nothing_is_lost_nothing_comes_back_and_nothing_is_foreign(
    tmp_path: Path, seed: int, size: Size
) -> None:
    world = World(tmp_path, seed, size, print)
    try:
        world.run_round()
        world.run_round()
    finally:
        world.close()
