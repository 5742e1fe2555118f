"""What was done to a disk, as it was noted, and folders made of it."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support import disk_model as model
from tests.support.disk_model import ROOT, Body, Name, Operation, Sort, State, Thing


@dataclass(frozen=True, slots=True)
class Mark:
    """What a test noted.

    Attributes:
        at: Operations that had been done by then.
        value: What should be there from here on.
        is_promised: Whether somebody was told so; else it is just possible.
    """

    at: int
    value: Any
    is_promised: bool


@dataclass(slots=True)
class Recording:
    """What was done to a disk.

    Attributes:
        base: What was there before.
        things: All that were ever there, by number.
        operations: What was done, in order.
        marks: What the test noted, with the operations that had been done by then.
        ctimes: When things were changed, by the system: the operations that had been done by
            then, the thing, and the time in nanoseconds.
    """

    base: State
    things: list[Thing]
    operations: list[Operation] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    ctimes: list[tuple[int, int, int]] = field(default_factory=list)

    @property
    def end(self) -> State:
        """What is there if everything is."""
        state = self.base.copy(set(self.base.bodies))
        for operation in self.operations:
            if not isinstance(operation, model.Sync | model.SyncAll):
                state.take(operation)
        return state

    def build(self, state: State, folder: Path) -> dict[int, os.stat_result]:
        """Make a folder that holds a state of the disk.

        Returns:
            Numbers of the things that are there, and how they look now.
        """
        folder.mkdir()
        below: dict[int, list[tuple[str, int]]] = {}
        for (parent, name), number in state.names.items():
            below.setdefault(parent, []).append((name, number))
        made = {ROOT: folder}
        todo = [(ROOT, folder)]
        while todo:
            parent, place = todo.pop()
            for name, number in below.get(parent, ()):
                thing, body = self.things[number], state.bodies.get(number, Body())
                path = place / name
                if thing.sort is Sort.FOLDER:
                    if number not in made:
                        path.mkdir()
                        path.chmod(0o700 | body.mode)
                        made[number] = path
                        todo.append((number, path))
                elif number in made:
                    path.hardlink_to(made[number])
                else:
                    _make(path, thing, body)
                    made[number] = path
        return {number: path.lstat() for number, path in made.items()}


def _make(path: Path, thing: Thing, body: Body) -> None:
    if thing.sort is Sort.SYMLINK:
        path.symlink_to(thing.target)
    else:
        path.write_bytes(body.data)
        path.chmod(body.mode)
    os.utime(path, ns=(body.mtime_ns, body.mtime_ns), follow_symlinks=False)


def body_of(path: Path, found: os.stat_result) -> Body:
    data = path.read_bytes() if stat.S_ISREG(found.st_mode) else b""
    return Body(bytearray(data), stat.S_IMODE(found.st_mode), found.st_mtime_ns)


def walk(state: State) -> Iterator[Name]:
    """All names that are reached from the root."""
    below: dict[int, list[Name]] = {}
    for name in state.names:
        below.setdefault(name[0], []).append(name)
    todo = [ROOT]
    while todo:
        for name in below.get(todo.pop(), ()):
            yield name
            todo.append(state.names[name])
