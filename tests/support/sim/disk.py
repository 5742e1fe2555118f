"""A store that dies when it is told to, and has afterwards what was durable.

Every change is an operation of the disk. A *fuse* is how many of them go well; at its end the
disk dies, either before that operation did anything or after all of it was done but before
anybody heard of it. From then on every operation, and every commit, raises `CrashedError`.
"""

from collections.abc import Callable, Sequence
from typing import Any, Self

from aeorsync.runtime.clock import WallClock
from aeorsync.storage.base import Commit, Head, StoredChunk
from aeorsync.storage.memory import MemoryStore

_DICTS = ("_chunks", "_touched", "_nodes", "_births", "_roots")


class CrashedError(BaseException):
    """The machine under a node is gone; nothing of it may catch this."""

    def __init__(self, disk: "Disk") -> None:
        super().__init__("crashed")
        self.disk = disk


class Disk(MemoryStore):
    """See the module.

    Attributes:
        heard: Called with each commit, as soon as it is durable.
        operations: Changes made so far.
        fuse: Operations that still go well; below 0 it lives for ever.
        dies_after: Whether the last one is done.
        is_dead: It does nothing any more.
    """

    def __init__(
        self, head: Head, wall: WallClock, heard: Callable[[Commit], None] = lambda _: None
    ) -> None:
        super().__init__(head, wall)
        self.heard = heard
        self.operations = 0
        self.fuse = -1
        self.dies_after = False
        self.is_dead = False
        self.died: Callable[[], None] = lambda: None
        self._volatile: set[bytes] = set()

    def set_fuse(self, operations: int, *, dies_after: bool) -> None:
        """Die at one of the next operations."""
        self.fuse, self.dies_after = operations, dies_after

    def belong_to(self, wall: WallClock, heard: Callable[[Commit], None]) -> None:
        """Go by another clock, and tell somebody else."""
        self._wall, self.heard = wall, heard

    def die(self) -> None:
        """Die now."""
        self.is_dead = True

    def after_crash(self) -> Self:
        """The same disk as the next process finds it; this one stays dead."""
        self.is_dead = True
        return self.durable()

    def durable(self) -> Self:
        """A copy of what would survive now."""
        other = self.copy()
        for name in self._volatile:
            other._chunks.pop(name, None)
            other._touched.pop(name, None)
        return other

    def copy(self) -> Self:
        """Another disk with what is on this one."""
        other = type(self)(self._head, self._wall, self.heard)
        for name in _DICTS:
            setattr(other, name, dict(getattr(self, name)))
        other._feed = list(self._feed)
        other._conflicts = set(self._conflicts)
        other._kept = self._kept
        other._notes = {space: dict(notes) for space, notes in self._notes.items()}
        return other

    # What changes something

    def _put(self, chunks: Sequence[StoredChunk], *, are_missing: bool = False) -> None:
        del are_missing
        held = self._chunks
        self._volatile.update(chunk.id for chunk in chunks if chunk.id not in held)
        MemoryStore.put_chunks(self, chunks)

    def _publish(self, commit: Commit) -> None:
        MemoryStore.commit(self, commit)
        self._volatile.clear()
        self.heard(commit)

    def _settle(self) -> None:
        self._volatile.clear()


def _mortal(real: Callable[..., Any]) -> Callable[..., Any]:
    def operation(self: Disk, *args: object, **named: object) -> object:
        if self.is_dead:
            raise CrashedError(self)
        self.operations += 1
        if self.fuse >= 0:
            self.fuse -= 1
            if self.fuse < 0:
                if self.dies_after:
                    real(self, *args, **named)
                self.is_dead = True
                self.died()
                raise CrashedError(self)
        return real(self, *args, **named)

    return operation


_MORTAL: dict[str, Callable[..., Any]] = {
    "put_chunks": Disk._put,
    "commit": Disk._publish,
    "flush": Disk._settle,
    "put_nodes": MemoryStore.put_nodes,
    "quarantine": MemoryStore.quarantine,
    "keep_until": MemoryStore.keep_until,
    "sweep": MemoryStore.sweep,
    "trim_feed": MemoryStore.trim_feed,
    "set_note": MemoryStore.set_note,
}
for _name, _real in _MORTAL.items():
    setattr(Disk, _name, _mortal(_real))
