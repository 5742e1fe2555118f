"""A client that is killed at any moment goes on where it was: nothing lost, nothing twice."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.cycles import noise
from tests.support.people import Synced, tree

Make = Callable[..., Synced]


def started(who: Synced) -> subprocess.Popen[bytes]:
    """Sync in a process of its own, which has opened the folder."""
    assert who.node.key is not None
    command = [sys.executable, "-m", "tests.support.one_pass", who.node.url, who.node.key]
    command += [str(who.path), who.remote, str(who.ledger)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def interrupted(who: Synced, seconds: float) -> None:
    """Sync in a process of its own, and kill it that late."""
    with started(who) as process:
        time.sleep(seconds)
        process.kill()


def change(who: Synced, pick: random.Random, number: int) -> None:
    """Many small files, a large one, some moved, some deleted."""
    for index in range(60):
        who.write(f"d{index % 5}/{index}", f"{number} {pick.random()} " * pick.randrange(1, 300))
    (who.path / "large").write_bytes(noise(12_000_000, number))
    for path in sorted(who.path.glob("d1/*"))[:5]:
        path.unlink()
    target = who.path / f"moved{number}"
    if (who.path / "d2").is_dir() and not target.exists():
        (who.path / "d2").rename(target)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", range(2))
def test_killed_while_pushing_and_while_pulling(person: Make, seed: int) -> None:
    pick = random.Random(seed)
    a, b = person(f"a{seed}"), person(f"b{seed}")
    for number in range(4):
        change(a, pick, number)
        interrupted(a, pick.uniform(0, 0.6))
        interrupted(a, pick.uniform(0, 0.6))
        assert not a.sync().problems
        interrupted(b, pick.uniform(0, 0.6))
        interrupted(b, pick.uniform(0, 0.6))
        assert not b.sync().problems
        assert tree(a.path) == tree(b.path)
        assert a.sync().changes == 0
        assert not a.status().conflicts


def test_an_interrupted_download_is_gone_on_with(person: Make) -> None:
    a, b = person("a"), person("b")
    size = 80_000_000
    (a.path / "large").write_bytes(noise(size))
    a.sync()
    arrived = 0
    with started(b) as process:
        while arrived < size // 4:
            assert process.poll() is None, "it was done before it could be interrupted"
            arrived = max((path.stat().st_size for path in parts_of(b)), default=0)
        process.kill()
    outcome = b.sync()
    assert outcome.bytes_received <= size - arrived // 2
    assert tree(a.path) == tree(b.path)


def test_an_interrupted_upload_is_gone_on_with(person: Make) -> None:
    a = person("a")
    size = 80_000_000
    (a.path / "large").write_bytes(noise(size, 77))
    packs = a.node.data / "packs"
    before = stored(packs)
    with started(a) as process:
        while stored(packs) < before + size // 4:
            assert process.poll() is None, "it was done before it could be interrupted"
        process.send_signal(signal.SIGINT)
        process.wait(30)
    outcome = a.sync()
    assert outcome.uploaded == 1
    assert outcome.bytes_sent < size


def parts_of(who: Synced) -> list[Path]:
    return list(who.path.glob(".aeorsync-tmp-*"))


def stored(packs: Path) -> int:
    return sum(path.stat().st_size for path in packs.glob("*.pack"))


def test_what_another_program_left_under_our_names_is_nobodys_file(
    person: Make, tmp_path: Path
) -> None:
    a, b = person("a"), person("b")
    a.write("f", "f")
    a.write(".aeorsync-tmp-0123abcd-s-0123456789abcdef", "never sent")
    a.sync()
    b.sync()
    assert b.names == ["f"]
    assert tmp_path.is_dir()
