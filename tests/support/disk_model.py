"""What a disk may hold after a power cut: operations that were seen, and the states they allow.

    operation              survives the cut
    ---------              ----------------
    write, cut, mode,      once its file was synced; until then all of it, none of it, or any of
    times                  its sectors, in any order
    link, unlink           once its folder was synced
    move, swap             as a whole or not at all, surely once both folders were synced
    anything               once the whole file system was synced

Syncing a file makes no name durable, syncing a folder no byte of its files. A file may be as long
as it was made while the bytes are zeros. What happened to one name is kept in order; everything
else may be reordered. No real file system is allowed more.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from random import Random

SECTORS = (512, 4096)
"""Bytes that a disk writes at once, if it has so much sense; both are tried."""
ROOT = 0
Name = tuple[int, str]


class Sort(Enum):
    """What something on a disk is."""

    FILE = "file"
    FOLDER = "folder"
    SYMLINK = "symlink"


@dataclass(frozen=True, slots=True)
class Thing:
    """Something on a disk, whatever its names.

    Attributes:
        number: Never used again.
        inode: What the system called it.
        target: Of a symlink.
    """

    number: int
    sort: Sort
    inode: int
    target: str = ""


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes that were written to a file."""

    thing: int
    at: int
    data: bytes
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Cut:
    """A file got another size."""

    thing: int
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Mode:
    """Somebody set permission bits."""

    thing: int
    mode: int


@dataclass(frozen=True, slots=True)
class Times:
    """Somebody set a time of change."""

    thing: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Names:
    """Names that stand for other things from now on, all of them at once.

    Attributes:
        now: What each name stands for; None for nothing.
    """

    now: tuple[tuple[Name, int | None], ...]

    @property
    def folders(self) -> set[int]:
        """The folders whose entries changed."""
        return {folder for (folder, _), _ in self.now}


@dataclass(frozen=True, slots=True)
class Sync:
    """A file or folder was synced.

    Attributes:
        is_full: Mode and times as well, which nobody needs to read the bytes.
    """

    thing: int
    is_full: bool = True


@dataclass(frozen=True, slots=True)
class SyncAll:
    """The whole file system was synced."""


Inside = Write | Cut | Mode | Times
Operation = Inside | Names | Sync | SyncAll


@dataclass(slots=True)
class Body:
    """What is inside of a thing."""

    data: bytearray = field(default_factory=bytearray)
    mode: int = 0
    mtime_ns: int = 0

    def copy(self) -> "Body":
        """A copy that lives on its own."""
        return Body(bytearray(self.data), self.mode, self.mtime_ns)

    def take(self, operation: Inside) -> None:
        """Let an operation happen."""
        match operation:
            case Write(_, at, data, mtime_ns):
                if at > len(self.data):
                    self.data.extend(bytes(at - len(self.data)))
                self.data[at : at + len(data)] = data
                self.mtime_ns = mtime_ns
            case Cut(_, size, mtime_ns):
                del self.data[size:]
                self.data.extend(bytes(size - len(self.data)))
                self.mtime_ns = mtime_ns
            case Mode(_, mode):
                self.mode = mode
            case Times(_, mtime_ns):
                self.mtime_ns = mtime_ns


@dataclass(slots=True)
class State:
    """All that a disk holds: things by number, and the names that lead to them."""

    bodies: dict[int, Body] = field(default_factory=dict)
    names: dict[Name, int] = field(default_factory=dict)

    def copy(self, touched: set[int]) -> "State":
        """A copy, in which only the things in ``touched`` may be changed."""
        bodies = {n: body.copy() if n in touched else body for n, body in self.bodies.items()}
        return State(bodies, dict(self.names))

    def take(self, operation: Inside | Names) -> None:
        """Let an operation happen."""
        if not isinstance(operation, Names):
            self.bodies.setdefault(operation.thing, Body()).take(operation)
            return
        for name, thing in operation.now:
            if thing is None:
                self.names.pop(name, None)
            else:
                self.names[name] = thing


class Way(Enum):
    """How much of what was not synced is there after the cut."""

    ALL = "all"
    NONE = "none"
    NAMES = "names"
    NAMES_AND_ZEROS = "zeros"
    BYTES = "bytes"
    TORN = "torn"
    ANY = "any"


_KEPT = {
    True: {Way.ALL, Way.NAMES, Way.NAMES_AND_ZEROS},
    False: {Way.ALL, Way.BYTES, Way.NAMES_AND_ZEROS},
}
"""Ways in which a name is there as it was changed, and in which other things are."""


class Cutter:
    """Goes through what happened, and tells at each place what a cut there may leave.

    Attributes:
        at: Operations that had happened.
    """

    def __init__(self, base: State, operations: Sequence[Operation]) -> None:
        """Begin with what was surely on the disk before all operations."""
        self.at = 0
        self._operations = operations
        self._durable = base.copy(set(base.bodies))
        self._waiting: list[Inside | Names] = []
        self._half: dict[int, set[int]] = {}

    def go_on(self, to: int) -> None:
        """Let operations happen, up to a place."""
        while self.at < to:
            operation = self._operations[self.at]
            self.at += 1
            match operation:
                case Sync(thing, is_full):
                    self._sync(thing, is_full=is_full)
                case SyncAll():
                    for waiting in self._waiting:
                        self._durable.take(waiting)
                    self._waiting.clear()
                    self._half.clear()
                case _:
                    self._waiting.append(operation)

    def state(self, way: Way, pick: Random) -> State:
        """One state of the disk after a cut at this place."""
        return self._with(list(self._chosen(way, pick)))

    def _chosen(self, way: Way, pick: Random) -> Iterator[Inside | Names]:
        sector = pick.choice(SECTORS)
        if way is Way.TORN:
            last = pick.randrange(len(self._waiting) + 1)
            yield from self._waiting[:last]
            for operation in self._waiting[last : last + 1]:
                yield from _first_sectors(operation, sector, pick)
            return
        for operation in self._waiting:
            if way is Way.ANY:
                yield from _any_sectors(operation, sector, pick)
            else:
                yield from _whole(operation, way)

    def _with(self, chosen: list[Inside | Names]) -> State:
        touched = {op.thing for op in chosen if not isinstance(op, Names)}
        state = self._durable.copy(touched)
        for operation in chosen:
            state.take(operation)
        return state

    def _sync(self, thing: int, *, is_full: bool) -> None:
        left: list[Inside | Names] = []
        blocked: set[Name] = set()
        for operation in self._waiting:
            if not isinstance(operation, Names):
                if operation.thing == thing and (is_full or isinstance(operation, Write | Cut)):
                    self._durable.take(operation)
                else:
                    left.append(operation)
                continue
            done = self._half.setdefault(id(operation), set())
            if thing in operation.folders:
                done.add(thing)
            names = {name for name, _ in operation.now}
            if operation.folders <= done and not names & blocked:
                self._durable.take(operation)
                del self._half[id(operation)]
            else:
                # What happens to one name happens in order.
                blocked |= names
                left.append(operation)
        self._waiting = left


def _whole(operation: Inside | Names, way: Way) -> Iterator[Inside | Names]:
    """An operation, where all of one sort are there or not."""
    if way is Way.NAMES_AND_ZEROS and isinstance(operation, Write):
        yield replace(operation, data=bytes(len(operation.data)))
    elif way in _KEPT[isinstance(operation, Names)]:
        yield operation


def _first_sectors(
    operation: Inside | Names, sector: int, pick: Random
) -> Iterator[Inside | Names]:
    if not isinstance(operation, Write):
        return
    sectors = _sectors(operation, sector)
    yield from sectors[: pick.randrange(len(sectors) + 1)]


def _any_sectors(operation: Inside | Names, sector: int, pick: Random) -> Iterator[Inside | Names]:
    fate = pick.randrange(3)
    if fate == 0:
        yield operation
    elif fate == 1 and isinstance(operation, Write):
        yield from (one for one in _sectors(operation, sector) if pick.random() < 0.5)


def _sectors(operation: Write, sector: int) -> list[Write]:
    """A write, cut where the sectors of the file end."""
    at, data = operation.at, operation.data
    ends = [*range(at - at % sector + sector, at + len(data), sector), at + len(data)]
    starts = [at, *ends]
    return [
        replace(operation, at=start, data=data[start - at : end - at])
        for start, end in zip(starts, ends, strict=False)
    ]
