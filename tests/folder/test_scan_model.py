"""Random trees: what a scan tells is what a model says."""

import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aeorsync.core.hashing import content_hash
from aeorsync.core.versions import Kind
from aeorsync.folder.facts import Found
from tests.support.folders import World

NAMES = st.sampled_from(["a", "b", "c", "a b", "é", "e\u0301", "A"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
TEXTS = st.sampled_from(["", "x", "y", "longer"])


def write(_root: Path, place: Path, text: str) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)


def save(root: Path, place: Path, text: str) -> None:
    saved = root.parent / "saved"
    saved.write_text(text)
    saved.replace(place)


def make(_root: Path, place: Path, _: str) -> None:
    place.mkdir(parents=True)


def link(_root: Path, place: Path, target: str) -> None:
    place.symlink_to(target)


def remove(_root: Path, place: Path, _: str) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink()


def move(root: Path, place: Path, target: str) -> None:
    place.rename(root / target)


def run(_root: Path, place: Path, _: str) -> None:
    if place.is_file() and not place.is_symlink():
        place.chmod(place.stat().st_mode ^ 0o100)


def touch(_root: Path, place: Path, second: str) -> None:
    os.utime(place, ns=(0, len(second) * 10**9 + 1))


Step = tuple[Callable[[Path, Path, str], None], str, str]
STEPS: st.SearchStrategy[Step] = st.one_of(
    st.tuples(st.sampled_from([write, save, touch]), PATHS, TEXTS),
    st.tuples(st.sampled_from([make, remove, run]), PATHS, st.just("")),
    st.tuples(st.just(link), PATHS, NAMES),
    st.tuples(st.just(move), PATHS, PATHS),
)

State = tuple[Kind, bytes, bool]


def take(world: World, step: Step) -> set[str]:
    """Do one thing as a user would; the paths a watcher would tell."""
    act, path, value = step
    paths = {path, value} if act is move else {path}
    named = spots(world.path, paths)
    with suppress(OSError):
        act(world.path, world.path / path, value)
    named |= spots(world.path, paths)
    # A watcher tells of the folders that were made on the way as well.
    return named | {str(above) for one in named for above in Path(one).parents} - {"."}


def spots(root: Path, paths: set[str]) -> set[str]:
    """Where paths really are, for what is written through a link."""
    places = {root / path for path in paths}
    real = {Path(os.path.realpath(place.parent)) / place.name for place in places}
    real |= {Path(os.path.realpath(place)) for place in places}
    return paths | {str(place.relative_to(root)) for place in real if root in place.parents}


def on_disk(world: World) -> dict[str, State]:
    found: dict[str, State] = {}
    for place in world.path.rglob("*"):
        path = str(place.relative_to(world.path))
        if place.is_symlink():
            found[path] = Kind.SYMLINK, str(place.readlink()).encode(), False
        elif place.is_dir():
            found[path] = Kind.DIRECTORY, b"", False
        else:
            mode = place.stat().st_mode
            found[path] = Kind.FILE, content_hash(place.read_bytes()), bool(mode & 0o100)
    return found


def agreed(world: World) -> dict[str, State]:
    return {
        path: (entry.kind, entry.content, entry.fingerprint.executable)
        for path, entry in world.ledger.below()
    }


def told(found: dict[str, Found]) -> dict[str, State | None]:
    states: dict[str, State | None] = {}
    for path, one in found.items():
        if one.fingerprint is None:
            states[path] = None
            continue
        content = one.content.hash if one.content else one.target.encode()
        states[path] = one.fingerprint.kind, content, one.fingerprint.executable
    return states


@pytest.mark.parametrize("is_watched", [False, True], ids=["all", "some"])
@settings(max_examples=25, deadline=None)
@given(bursts=st.lists(st.lists(STEPS, max_size=8), max_size=5))
def test_a_scan_tells_all_that_changed_and_then_nothing(
    *, is_watched: bool, bursts: list[list[Step]]
) -> None:
    with tempfile.TemporaryDirectory() as base:
        world = World(Path(base))
        try:
            world.agree(world.scan())
            for burst in bursts:
                named = {path for step in burst for path in take(world, step)}
                check(world, named if is_watched and named else set())
        finally:
            world.close()


def check(world: World, named: set[str]) -> None:
    before, now = agreed(world), on_disk(world)
    found = world.scan(*named)
    differing = {path for path in before.keys() | now.keys() if before.get(path) != now.get(path)}
    states = told(found)
    assert states.keys() >= differing
    assert all(states[path] == now.get(path) for path in states)
    # A folder is told before what is in it, so that it can be made first.
    order = [path for path, state in states.items() if state is not None]
    for path in order:
        above = path.rpartition("/")[0]
        assert above not in order or order.index(above) < order.index(path)
    world.agree(found)
    assert agreed(world) == now
    assert world.scan() == {}
