"""Where news of changes come from: the kernel, or where it has no inotify, a library.

A feed runs in a thread of its own and delivers lists of `News`. The first says whether everything
is watched; from then on nothing is missed but what the feed says it missed (`News.EVERYTHING`).

Folders are walked on held descriptors, so the kernel never watches anything outside through a
link. The library (`LibraryFeed`) would follow links on Linux, and loses count without a word; on
other systems it does neither.
"""

import os
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from aeorsync.folder import facts, temps
from aeorsync.folder.root import SafeRoot
from aeorsync.runtime import inotify
from aeorsync.runtime.inotify import Event, Mask

_MASK: Final = (
    Mask.MODIFY
    | Mask.ATTRIB
    | Mask.CLOSE_WRITE
    | Mask.MOVED_FROM
    | Mask.MOVED_TO
    | Mask.CREATE
    | Mask.DELETE
    | Mask.DELETE_SELF
    | Mask.MOVE_SELF
    | Mask.ONLY_FOLDER
    | Mask.NO_UNLINKED
)
_SELF: Final = Mask.DELETE_SELF | Mask.MOVE_SELF | Mask.UNMOUNT
_LIBRARY_MS: Final = 50
_GATHER_MS: Final = 10


class News(Enum):
    """What happened to a path."""

    WATCHING = "everything is watched from now on"
    LIMITED = "not everything can be watched"
    CHANGED = "it changed, or what is in it"
    WRITING = "somebody is writing to it"
    EVERYTHING = "anything may have changed"


Piece: TypeAlias = tuple[News, str]
Deliver: TypeAlias = Callable[[list[Piece]], None]
Skip: TypeAlias = Callable[[str], bool]


class Feed(Protocol):
    """Something that delivers news."""

    def run(self, deliver: Deliver) -> None:
        """Deliver news until stopped; blocking."""

    def stop(self) -> None:
        """End `run` soon; from any thread."""

    def close(self) -> None:
        """Let go of everything, once `run` has ended."""


class KernelFeed:
    """News from inotify."""

    def __init__(self, root: SafeRoot, skip: Skip) -> None:
        """Prepare.

        Args:
            root: The folder.
            skip: Whether a folder takes no part; asked in the thread of `run`.

        Raises:
            OSError: The user has too many queues of events.
        """
        self._root = root
        self._skip = skip
        self._queue = inotify.open_queue()
        self._wake, self._waker = os.pipe()
        self._paths: dict[int, str] = {}
        self._numbers: dict[str, int] = {}
        self._is_limited = False

    def stop(self) -> None:
        """End `run` soon; from any thread."""
        os.write(self._waker, b"x")

    def close(self) -> None:
        """Let go of everything, once `run` has ended."""
        for handle in (self._queue, self._wake, self._waker):
            os.close(handle)

    def run(self, deliver: Deliver) -> None:
        """Deliver news until stopped; blocking."""
        self._add("")
        deliver([(News.LIMITED if self._is_limited else News.WATCHING, "")])
        stopped, happened = select.poll(), select.poll()
        stopped.register(self._wake, select.POLLIN)
        for handle in (self._queue, self._wake):
            happened.register(handle, select.POLLIN)
        while True:
            happened.poll()
            # Waking up for every single event would take the interpreter away from the others.
            if stopped.poll(_GATHER_MS):
                return
            if news := list(self._read()):
                deliver(news)

    def _read(self) -> Iterator[Piece]:
        was_limited = self._is_limited
        for event in inotify.read(self._queue):
            yield from self._news(event)
        if self._is_limited and not was_limited:
            yield News.LIMITED, ""

    def _news(self, event: Event) -> Iterator[Piece]:
        mask = event.mask
        if mask & Mask.OVERFLOW:
            # Folders that were made meanwhile are not watched yet.
            self._add("")
            yield News.EVERYTHING, ""
            return
        folder = self._paths.get(event.watch)
        if folder is None or temps.is_temp(event.name):
            return
        if mask & Mask.IGNORED:
            self._drop_number(event.watch)
        elif not event.name:
            # Of a folder below the root its own folder tells as well.
            if mask & _SELF and not folder:
                yield News.EVERYTHING, ""
        else:
            yield self._entry(facts.join(folder, event.name), mask)

    def _entry(self, path: str, mask: Mask) -> Piece:
        if mask & Mask.IS_FOLDER:
            if mask & Mask.MOVED_FROM:
                self._drop(path)
            if mask & (Mask.MOVED_TO | Mask.CREATE):
                self._add(path)
        return (News.WRITING if mask & Mask.MODIFY else News.CHANGED), path

    def _add(self, path: str) -> None:
        """Watch a folder and all below; each is watched before it is listed."""
        left = [path]
        while left:
            path = left.pop()
            if path and self._skip(path):
                continue
            with suppress(OSError):
                handle = self._root.walk(path)
                try:
                    left += [facts.join(path, name) for name in self._add_one(handle, path)]
                finally:
                    os.close(handle)

    def _add_one(self, handle: int, path: str) -> list[str]:
        """Watch one folder; the names of the folders in it."""
        if os.fstat(handle).st_dev != self._root.owner.device:
            return []
        try:
            number = inotify.watch(self._queue, handle, _MASK)
        except OSError:
            self._is_limited = True
            return []
        self._drop_number(number)
        self._paths[number] = path
        self._numbers[path] = number
        with os.scandir(handle) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]

    def _drop(self, path: str) -> None:
        """Watch a folder no more, nor what is below."""
        gone = [below for below in self._numbers if facts.is_inside(below, path)]
        for below in gone:
            number = self._numbers[below]
            self._drop_number(number)
            inotify.unwatch(self._queue, number)

    def _drop_number(self, number: int) -> None:
        path = self._paths.pop(number, None)
        if path is not None and self._numbers.get(path) == number:
            del self._numbers[path]


class LibraryFeed:
    """News from watchfiles, for systems without inotify."""

    def __init__(self, path: Path) -> None:
        """Prepare.

        Args:
            path: Of the folder.
        """
        self._path = path.resolve()
        self._stop = threading.Event()

    def stop(self) -> None:
        """End `run` soon; from any thread."""
        self._stop.set()

    def close(self) -> None:
        """Nothing is held."""

    def run(self, deliver: Deliver) -> None:
        """Deliver news until stopped; blocking."""
        import watchfiles  # noqa: PLC0415  # takes a while, and is seldom needed

        told = False
        for changes in watchfiles.watch(
            self._path,
            watch_filter=None,
            debounce=_LIBRARY_MS,
            step=_LIBRARY_MS // 2,
            stop_event=self._stop,
            rust_timeout=_LIBRARY_MS,
            yield_on_timeout=True,
            raise_interrupt=False,
            ignore_permission_denied=True,
        ):
            news = list(self._pieces({path for _, path in changes}))
            if not told:
                news.insert(0, (News.WATCHING, ""))
                told = True
            if news:
                deliver(news)

    def _pieces(self, found: set[str]) -> Iterator[Piece]:
        for text in sorted(found):
            path = Path(text).relative_to(self._path).as_posix()
            if path == ".":
                yield News.EVERYTHING, ""
            elif not temps.is_temp(facts.name(path)):
                yield News.CHANGED, path
