"""The work of `./scripts/bench peers`: what lies in the folder, and what happens to it.

The data are made once; each tool gets a copy of its own, in a folder of its own.
"""

import random
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import _measure
from _bench_folder import insert_at_head, make_big, make_small

MIB = 1 << 20
TINY = 100_000


@dataclass(frozen=True)
class Step:
    """Something that happens to the source folder, after which it is synced.

    Attributes:
        name: The row of the table.
        change: Does it to a folder.
        paths: Files of the data, below the folder, in order.
    """

    name: str
    change: Callable[[Path], None]
    paths: list[Path] = field(default_factory=list)


@dataclass(frozen=True)
class Group:
    """Steps that follow one another on the same data.

    Attributes:
        name: Of the data.
        make: Makes the data in a folder that is not there.
        steps: Names of the steps, the first of which is the data's arrival.
    """

    name: str
    make: Callable[[Path], None]
    steps: tuple[str, ...]


def _big(root: Path) -> None:
    root.mkdir()
    make_big(root / "big.bin", _measure.scaled(1024) * MIB)


def _small(root: Path) -> None:
    make_small(root, _measure.scaled(10_000))


def _tiny(root: Path) -> None:
    """Files of 1 KiB that nothing can compress, a hundred a folder."""
    source = random.Random(13)
    for number in range(_measure.scaled(TINY)):
        folder = root / f"d{number // 100:05d}"
        if number % 100 == 0:
            folder.mkdir(parents=True)
        (folder / f"f{number:06d}.dat").write_bytes(source.randbytes(1024))


GROUPS = {
    "big": Group("big", _big, ("big", "insert")),
    "small": Group("small", _small, ("small", "noop", "one")),
    "tiny": Group("tiny", _tiny, ("tiny",)),
}


def steps(group: Group, data: Path) -> list[Step]:
    """The steps of a group, whose data lie in a folder."""
    paths = sorted(path.relative_to(data) for path in data.rglob("*") if path.is_file())

    def arrive(root: Path) -> None:
        subprocess.run(["cp", "-r", f"{data}/.", root], check=True)

    def insert(root: Path) -> None:
        insert_at_head(root / "big.bin")

    def change_one(root: Path) -> None:
        (root / some_file(paths)).write_bytes(b"changed once more")

    what = {"insert": insert, "noop": lambda _root: None, "one": change_one}
    return [Step(name, what.get(name, arrive), paths) for name in group.steps]


def some_file(paths: list[Path]) -> Path:
    """The file that is changed."""
    return paths[len(paths) // 8]
