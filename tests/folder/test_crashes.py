"""The process is killed at any moment; the next run loses nothing of the user's."""

import subprocess
import sys
from pathlib import Path

import pytest

from aeorsync.folder.sweeping import sweep
from tests.support.folders import World


@pytest.mark.parametrize("swaps", [1, 0], ids=["swap", "no swap"])
@pytest.mark.parametrize("saves", [0, 1], ids=["quiet", "saved meanwhile"])
@pytest.mark.parametrize("verb", ["place", "remove"])
def test_a_crash_at_any_step_leaves_a_whole_file_and_all_of_the_users(
    tmp_path: Path, verb: str, saves: int, swaps: int
) -> None:
    killed = True
    steps = 1
    while killed:
        steps += 1
        base = tmp_path / str(steps)
        base.mkdir()
        world = World(base)
        (world.path / "file").write_text("agreed")
        world.agree(world.scan())
        args = [str(world.path), verb, str(steps), str(saves), str(swaps)]
        dying = [sys.executable, "-m", "tests.support.dying_folder", *args]
        done = subprocess.run(dying, check=False)
        killed = done.returncode == -9
        assert killed or done.returncode == 0
        texts = restart(world)
        if saves and steps > 2:
            assert "mine" in texts.values()
        elif verb == "place" or killed:
            assert texts.get("file") in {"agreed", "theirs", None}
            assert verb == "remove" or "file" in texts
        world.close()
    assert steps > 3


def restart(world: World) -> dict[str, str]:
    """What is in the folder after the next run has seen to what was left."""
    scan = world.look()
    list(scan.all())
    sweep(world.root, world.ledger, scan.temps, world.clock)
    texts = {path.name: path.read_text() for path in world.path.iterdir()}
    assert not [name for name in texts if name.startswith(".")]
    return texts


def test_staged_files_go_but_for_downloads_to_resume_and_those_of_others(world: World) -> None:
    kept = ".aeorsync-tmp-0123abcd-s-0000000000000001"
    foreign = ".aeorsync-tmp-ffffffff-s-0000000000000002"
    odd = ".aeorsync-tmp-of-somebody"
    for name in (kept, foreign, odd, ".aeorsync-tmp-0123abcd-s-0000000000000003"):
        (world.path / name).write_text("x")
    world.ledger.begin_part(world.part("large", kept))
    scan = world.look()
    assert list(scan.all()) == []
    now = type(world.clock).__mro__[1]()
    assert sweep(world.root, world.ledger, scan.temps, now) == []
    assert {path.name for path in world.path.iterdir()} == {kept, foreign, odd}
    assert list(world.look().all()) == []


def test_a_file_whose_name_nobody_knows_gets_one_that_is_seen(world: World) -> None:
    (world.path / ".aeorsync-tmp-0123abcd-d-0000000000000001").write_text("mine")
    scan = world.look()
    list(scan.all())
    [trouble] = sweep(world.root, world.ledger, scan.temps, world.clock)
    assert (world.path / trouble.path).read_text() == "mine"
    assert list(world.scan()) == [trouble.path]
