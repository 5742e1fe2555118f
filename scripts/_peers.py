"""The same work through our folder client and through others: the trees have to be the same.

usage: try-peers [--runs N] [--seed S] [--rounds N]

Two folders for each program, and the same things done to each pair: files written, appended to,
deleted, moved, made executable, given times; folders made, moved, deleted; links. Either in turns
(one side works, then both are made equal), or apart (both work, in folders of their own). rsync
goes one way, so it is there only for turns. A program that is not installed is left out, and told
so. In the end contents, links, executable bits and times of all pairs are compared.
"""

import argparse
import asyncio
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from aeorsync.folder.options import DeleteLimit, Options
from aeorsync.folder.session import FolderSync
from aeorsync.runtime import bridge
from tests.support.folder_trees import Tree, differences, walk
from tests.support.hosts import Host

NAMES = ("a.txt", "b", "ç.md", "with space", ".hidden", "UPPER")
FOLDERS = ("", "d", "d/e", "été")
QUIET: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
Sync = Callable[[Path, Path, int], Awaitable[None]]


class Worker:
    """Does the same to a folder for the same seed."""

    def __init__(self, root: Path, seed: str) -> None:
        self.root = root
        self.random = random.Random(seed)
        self.root.mkdir(parents=True, exist_ok=True)

    def act(self) -> None:
        """Do something."""
        acts: list[Callable[[], None]] = [self.write, self.write, self.append, self.delete]
        acts += [self.move, self.chmod, self.touch, self.link]
        acts += [self.make_folder, self.move_folder, self.delete_folder]
        self.random.choice(acts)()

    def place(self) -> Path:
        folder = self.root / self.random.choice(FOLDERS)
        path = folder / self.random.choice(NAMES)
        if not any(parent.is_file() for parent in path.parents):
            folder.mkdir(parents=True, exist_ok=True)
        return path

    def some(self, what: Callable[[Path], bool]) -> Path | None:
        found = sorted(path for path in self.root.rglob("*") if what(path))
        return self.random.choice(found) if found else None

    def file(self) -> Path | None:
        return self.some(lambda path: path.is_file() and not path.is_symlink())

    def folder(self) -> Path | None:
        return self.some(lambda path: path.is_dir() and not path.is_symlink())

    def write(self) -> None:
        path = self.place()
        data = self.random.randbytes(int(10 * 20_000 ** self.random.random()))
        if not path.is_dir():
            path.unlink(missing_ok=True)
            path.write_bytes(data)
            self.date(path)

    def append(self) -> None:
        if (path := self.file()) is not None:
            path.write_bytes(path.read_bytes() + b"more")
            self.date(path)

    def date(self, path: Path) -> None:
        at = self.random.randrange(10**9, 17 * 10**8) * 10**9
        os.utime(path, ns=(at, at), follow_symlinks=False)

    def delete(self) -> None:
        if (path := self.file()) is not None:
            path.unlink()

    def move(self) -> None:
        source, target = self.file(), self.place()
        if source is not None and not target.is_dir():
            source.replace(target)

    def chmod(self) -> None:
        if (path := self.file()) is not None:
            path.chmod(path.stat().st_mode ^ 0o100)

    def touch(self) -> None:
        if (path := self.file()) is not None:
            self.date(path)

    def link(self) -> None:
        path = self.place()
        if not path.exists() and not path.is_symlink():
            path.symlink_to(self.random.choice(("../target", "nowhere")))
            self.date(path)

    def make_folder(self) -> None:
        folder = self.root / f"new{self.random.randrange(4)}"
        if not folder.exists():
            folder.mkdir()

    def move_folder(self) -> None:
        source, target = self.folder(), self.root / f"moved{self.random.randrange(4)}"
        if source is not None and not target.exists() and not target.is_relative_to(source):
            source.rename(target)

    def delete_folder(self) -> None:
        source = self.folder()
        if source is not None and self.random.random() < 0.3:
            shutil.rmtree(source)


async def run(command: list[str], **more: Any) -> None:  # noqa: ANN401 - passed on
    """Run a program to its end."""
    await bridge.run(lambda: subprocess.run(command, check=True, **QUIET, **more))


async def rsync(a: Path, b: Path, worker: int) -> None:
    """From who worked to the other."""
    source, target = (a, b) if worker == 0 else (b, a)
    await run(["rsync", "-aI", "--delete", f"{source}/", f"{target}/"])


async def unison(a: Path, b: Path, _worker: int) -> None:
    """Both ways."""
    command = ["unison", str(a), str(b), "-ui", "text", "-batch", "-auto", "-times"]
    command += ["-confirmbigdel=false", "-fastcheck", "false"]
    await run(command, env=os.environ | {"UNISON": str(a.parent / "unison")})


def ours(host: Host) -> Sync:
    """Through a server, until nothing changes."""

    async def sync(a: Path, b: Path, _worker: int) -> None:
        for path in (a, b, a):
            ledger = path.with_name(f"{path.name}.ledger")
            options = Options(max_delete=DeleteLimit.parse("100%"))
            async with (
                host.client() as client,
                FolderSync(path, client, "/", options, ledger) as sync,
            ):
                await sync.run_once()

    return sync


async def play(base: Path, seed: int, rounds: int, *, apart: bool) -> list[str]:
    """One script through all programs; what differs."""
    async with Host(base / "node", 1) as host:
        programs: dict[str, Sync] = {"aeorsync": ours(host)}
        if shutil.which("unison"):
            programs["unison"] = unison
        if shutil.which("rsync") and not apart:
            programs["rsync"] = rsync
        trees: dict[str, Tree] = {}
        for name, sync in programs.items():
            sides = [base / name / side for side in ("a", "b")]
            for number in range(rounds):
                await work(sides, f"{seed} {number}", (0, 1) if apart else (number % 2,))
                await sync(sides[0], sides[1], number % 2)
            first, second = map(walk, sides)
            if first != second:
                return [f"{name}: {line}" for line in differences(first, second)]
            trees[name] = first
    return [
        f"aeorsync / {name}: {line}"
        for name, tree in trees.items()
        for line in differences(trees["aeorsync"], tree)
    ]


async def work(sides: list[Path], seed: str, workers: tuple[int, ...]) -> None:
    """Have somebody work in a folder, or in each of both, apart from each other."""
    for side in sides:
        side.mkdir(parents=True, exist_ok=True)
    for one in workers:
        root = sides[one] / f"of {one}" if len(workers) > 1 else sides[one]
        worker = Worker(root, f"{seed} {one}")
        for _ in range(6):
            worker.act()


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/try-peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--runs", type=int, default=20, help="how many scripts (20)")
    parser.add_argument("--seed", type=int, help="of the first; the others follow (random)")
    parser.add_argument("--rounds", type=int, default=8, help="of work and syncing (8)")
    options = parser.parse_args()
    first = options.seed if options.seed is not None else random.randrange(10**6)
    missing = [name for name in ("rsync", "unison") if shutil.which(name) is None]
    if missing:
        print(f"not installed, so left out: {', '.join(missing)}")
    bad = 0
    with tempfile.TemporaryDirectory(prefix="aeorsync-peers-") as folder:
        for seed in range(first, first + options.runs):
            for apart in (False, True):
                base = Path(folder) / f"{seed}-{apart}"
                wrong = asyncio.run(play(base, seed, options.rounds, apart=apart))
                shutil.rmtree(base)
                if wrong:
                    bad += 1
                    print("\n".join([f"seed {seed}, apart {apart}:", *wrong]))
    print(f"{2 * options.runs} scripts from seed {first}: {bad} with differences")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
