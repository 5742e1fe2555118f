"""Changes to the folder, many at once.

All contents are written under names of ours first, made durable side by side, and only then take
their places; each folder that was touched is made durable once. So a file is never seen half, and
ten thousand small ones do not wait for the disk ten thousand times.

A change that cannot be made is told (`Refused`), and the others go on. What is returned as `Done`
is durable.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final, TypeAlias

from aeorsync.errors import AeorError, StaleError
from aeorsync.folder import facts
from aeorsync.folder.facts import FOLDER, Fingerprint
from aeorsync.folder.held import HeldFolder
from aeorsync.folder.root import LostError, SafeRoot, told
from aeorsync.folder.staging import Staged
from aeorsync.runtime.clock import WallClock

_AT_ONCE: Final = 128
"""Files that are open at once; a process may open 1024."""
_syncers: Final = ThreadPoolExecutor(4, thread_name_prefix="aeorsync-sync")


class NotEmptyError(StaleError):
    """A folder cannot go, for something is in it."""


@dataclass(frozen=True, slots=True)
class Write:
    """Put a file in its place.

    Attributes:
        path: Where.
        data: All of it; for a large one see `arrival.Arrival`.
        mtime_ns: When its content changed.
        executable: Whether it may be run.
        expected: What is there; None for nothing.
    """

    path: str
    data: bytes | bytearray | memoryview
    mtime_ns: int
    executable: bool
    expected: Fingerprint | None


@dataclass(frozen=True, slots=True)
class Link:
    """Put a symbolic link in its place; nobody follows it."""

    path: str
    target: str
    mtime_ns: int
    expected: Fingerprint | None


@dataclass(frozen=True, slots=True)
class Touch:
    """Set times and executable bit of a file whose content stays."""

    path: str
    mtime_ns: int
    executable: bool
    expected: Fingerprint


@dataclass(frozen=True, slots=True)
class MakeFolder:
    """Make a folder; harmless where one is."""

    path: str


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete a file or a link."""

    path: str
    expected: Fingerprint


@dataclass(frozen=True, slots=True)
class RemoveFolder:
    """Delete an empty folder; one that is not empty, or gone, is left like that."""

    path: str


@dataclass(frozen=True, slots=True)
class Move:
    """Give something another name that is free, in a folder that is there."""

    source: str
    path: str
    expected: Fingerprint


Change: TypeAlias = Write | Link | Touch | MakeFolder | Remove | RemoveFolder | Move


@dataclass(frozen=True, slots=True)
class Done:
    """A change that was made, durably.

    Attributes:
        path: Where.
        fingerprint: How it looks now; None when nothing is there.
        is_racy: Whether what is recorded of it has to be `Agreed.is_racy`.
    """

    path: str
    fingerprint: Fingerprint | None
    is_racy: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """A change that was not made; what was there is kept.

    Attributes:
        path: Where.
        error: `ChangedError` and `LostError` for what the next scan finds out about,
            `NotEmptyError`, `DiskError`.
    """

    path: str
    error: AeorError


Result: TypeAlias = Done | Refused


def apply(root: SafeRoot, changes: Iterable[Change], clock: WallClock) -> Iterator[Result]:
    """Make changes, in their order as far as one depends on another; results in that order.

    Raises:
        RootGoneError: The folder is gone; nothing more was changed.
    """
    rest = iter(changes)
    while some := list(islice(rest, _AT_ONCE)):
        root.check()
        batch = _Batch(root, clock)
        try:
            yield from batch.run(some)
        finally:
            batch.close()


class _Batch:
    """Changes that become durable together."""

    def __init__(self, root: SafeRoot, clock: WallClock) -> None:
        self._root = root
        self._clock = clock
        self._folders: dict[str, HeldFolder] = {}
        self._touched: set[str] = set()
        self._staged: dict[int, tuple[Write | Link, Staged, Future[None] | None]] = {}

    def run(self, changes: list[Change]) -> list[Result]:
        """Make all of them."""
        results = [
            self._attempt(change.path, partial(self._begin, number, change))
            for number, change in enumerate(changes)
        ]
        for number, (change, staged, synced) in self._staged.items():
            put = partial(self._put, change, staged, synced)
            results[number] = self._attempt(change.path, put)
        lost = self._sync()
        return [self._durable(result, lost) for result in results]

    def close(self) -> None:
        """Let go of everything; what has no place is deleted."""
        for _, staged, synced in self._staged.values():
            if synced is not None:
                wait([synced])
            staged.close()
        for folder in self._folders.values():
            os.close(folder.handle)

    def _attempt(self, path: str, call: Callable[[], Fingerprint | None]) -> Result:
        try:
            with told(path):
                placed = call()
        except AeorError as error:
            return Refused(path, error)
        racy = placed is not None and placed.mtime_ns > self._clock.now_ns() - facts.SURE_NS
        return Done(path, placed, racy)

    def _begin(self, number: int, change: Change) -> Fingerprint | None:
        """Make a change, or write what a later step puts in its place."""
        if isinstance(change, Write | Link):
            self._stage(number, change)
            return None
        folder = self._folder(facts.parent(change.path))
        name = facts.name(change.path)
        match change:
            case Touch(_, mtime_ns, executable, expected):
                return folder.touch(name, expected, mtime_ns, executable=executable)
            case MakeFolder():
                folder.make_folder(name)
                return FOLDER
            case Remove(_, expected):
                folder.remove(name, expected)
            case RemoveFolder():
                self._remove_folder(folder, name)
            case Move(source, _, expected):
                origin = self._folder(facts.parent(source))
                origin.move(facts.name(source), folder, name, expected)
                return folder.look(name)
        return None

    def _stage(self, number: int, change: Write | Link) -> None:
        folder = self._folder(facts.parent(change.path))
        if isinstance(change, Link):
            staged = folder.stage_link(change.target, change.mtime_ns)
            self._staged[number] = change, staged, None
            return
        staged = folder.stage()
        try:
            staged.write(change.data)
            mode = folder.mode(facts.name(change.path)) if change.expected else None
            staged.finish(change.mtime_ns, executable=change.executable, mode=mode)
        except BaseException:
            staged.close()
            raise
        self._staged[number] = change, staged, _syncers.submit(staged.sync)

    def _put(
        self, change: Write | Link, staged: Staged, synced: Future[None] | None
    ) -> Fingerprint:
        if synced is not None:
            synced.result()
        path = facts.parent(change.path)
        folder = self._folders[path]
        if not self._root.leads_to(folder):
            raise LostError(f"{facts.printable(path)} was moved away; nothing was changed")
        return folder.place(staged, facts.name(change.path), change.expected)

    def _remove_folder(self, folder: HeldFolder, name: str) -> None:
        self._drop(facts.join(folder.path, name))
        if not folder.remove_folder(name):
            shown = facts.printable(facts.join(folder.path, name))
            raise NotEmptyError(f"{shown} is not empty; it is kept with what is in it")

    def _folder(self, path: str) -> HeldFolder:
        """A folder that something is changed in, held open until the end."""
        self._touched.add(path)
        folder = self._folders.get(path)
        if folder is None:
            handle = self._root.walk(path)
            folder = self._folders[path] = HeldFolder(self._root.owner, handle, path)
        return folder

    def _drop(self, path: str) -> None:
        """Do not hold a folder that goes."""
        folder = self._folders.pop(path, None)
        self._touched.discard(path)
        if folder is not None:
            os.close(folder.handle)

    def _sync(self) -> dict[str, AeorError]:
        """Make the names durable; the folders where that failed."""
        lost: dict[str, AeorError] = {}
        syncing = {path: _syncers.submit(self._folders[path].sync) for path in self._touched}
        for path, synced in syncing.items():
            try:
                with told(path):
                    synced.result()
            except AeorError as error:
                lost[path] = error
        return lost

    def _durable(self, result: Result, lost: dict[str, AeorError]) -> Result:
        error = lost.get(facts.parent(result.path))
        return result if error is None else Refused(result.path, error)
