"""The process is killed at any moment; the next run loses nothing of the user's."""

import subprocess
import sys
from pathlib import Path

import pytest

from aeorsync.folder.sweeping import sweep
from tests.support.folders import World

CRASH = """
import os, sys
from pathlib import Path
from aeorsync.folder import held
from aeorsync.folder.root import SafeRoot
from aeorsync.runtime import renaming

path, verb, steps, saves, swaps = Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:])
if not swaps:
    renaming._renameat2 = None
calls = 0

def dying(real):
    def call(*args, **kwargs):
        global calls
        calls += 1
        if calls == steps:
            os.kill(os.getpid(), 9)
        if calls == 2 and saves:
            (path / "saved").write_text("mine")
            (path / "saved").replace(path / "file")
        return real(*args, **kwargs)
    return call

root = SafeRoot(path, "0123abcd")
with root.folder() as folder:
    seen = folder.look("file")
    for name in ("rename_new", "exchange", "replace"):
        setattr(renaming, name, dying(getattr(renaming, name)))
    held.os.unlink = dying(os.unlink)
    calls = 1
    try:
        if verb == "remove":
            folder.remove("file", seen)
        else:
            staged = folder.stage()
            staged.write(b"theirs")
            staged.finish(5, executable=False)
            folder.place(staged, "file", seen)
    except held.ChangedError:
        pass
"""


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
        done = subprocess.run([sys.executable, "-c", CRASH, *args], check=False)
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
