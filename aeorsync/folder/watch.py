"""Wakes up when something in the folder changed.

    told                           comes as
    ----                           --------
    an entry was made, moved,      its path; a folder stands for all that is in it
    deleted, or written and closed
    a file is written and stays    its path, once nothing was written to it for a second
    open
    very much at once              the whole folder
    the kernel lost count          the whole folder
    some time went by              the whole folder

A burst is collected until it is quiet for a moment, for less of one as long as it is a few paths:
one save of one program tells all at once. Our own writes come back as well: the scan
finds them to be as agreed. What a watcher misses, the next look at the whole folder finds; where
it cannot watch everything (the system allows only so many watches), it says so, and looks at the
whole folder much more often.
"""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from aeorsync.folder.facts import Flaw, Trouble
from aeorsync.folder.feeds import Feed, KernelFeed, LibraryFeed, News, Piece, Skip
from aeorsync.folder.root import SafeRoot
from aeorsync.runtime import bridge, inotify

MAX_PATHS: Final = 4096
"""So many changed paths are told one by one; more are the whole folder."""
FEW: Final = 8
_STILL_S: Final = 1.0
_LONGEST: Final = 10
"""A burst is told after so many times the quiet moment, even if it goes on."""
_LIMITED: Final = (
    "not every folder can be watched; all are looked at every {poll:g} s instead, which is slower."
    " Nothing is missed. To watch all, allow more: sysctl fs.inotify.max_user_watches"
)


@dataclass(frozen=True, slots=True)
class Changed:
    """What may have changed.

    Attributes:
        paths: Paths; of folders, with all that is in them.
        is_everything: Whether it may be anything.
    """

    paths: frozenset[str] = frozenset()
    is_everything: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How patient a watcher is, in seconds.

    Attributes:
        quiet: A burst is over when nothing happened for so long.
        few: The same of one of at most `FEW` paths, if that is less. More than what a feed
            gathers before it tells: a burst that goes on is told of meanwhile.
        rescan: The whole folder is looked at so often.
        poll: Likewise, where not everything can be watched.
    """

    quiet: float = 0.03
    few: float = 0.015
    rescan: float = 300.0
    poll: float = 10.0


class Watch:
    """Watches one folder, while the block of ``async with`` lasts; belongs to one loop."""

    def __init__(
        self,
        root: SafeRoot,
        skip: Skip,
        tell: Callable[[Trouble], None],
        pace: Pace | None = None,
    ) -> None:
        """Prepare.

        Args:
            root: The folder.
            skip: Whether a folder takes no part; asked in another thread.
            tell: Takes what cannot be watched, in the loop.
            pace: How patient it is.
        """
        self._root = root
        self._skip = skip
        self._tell = tell
        self._pace = pace or Pace()
        self._woken = asyncio.Event()
        self._ready = asyncio.Event()
        self._failure: Exception | None = None
        self._is_limited = False
        self._is_everything = False
        self._paths: set[str] = set()
        self._writing: dict[str, float] = {}
        self._began = self._last = self._looked = 0.0

    async def __aenter__(self) -> Self:
        """Begin: what changes from here on is told.

        Raises:
            UnavailableError: The folder cannot be watched at all.
        """
        self._loop = asyncio.get_running_loop()
        self._looked = self._loop.time()
        self._feed: Feed | None = self._open()
        self._thread = threading.Thread(target=self._run, name="aeorsync-watch", daemon=True)
        self._thread.start()
        await self._ready.wait()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End."""
        if self._feed is not None:
            self._feed.stop()
        await bridge.run(self._thread.join)
        if self._feed is not None:
            self._feed.close()

    async def changed(self) -> Changed:
        """Wait for the next burst, and say what may have changed; nothing is lost by a cancel."""
        while True:
            now = self._loop.time()
            self._settle(now)
            if now >= self._due(now):
                return self._take(now)
            await self._wait(now)

    def _open(self) -> Feed | None:
        if not inotify.available():
            return LibraryFeed(self._root.path)
        try:
            return KernelFeed(self._root, self._skip)
        except OSError:
            return None

    def _run(self) -> None:
        """The thread."""
        if self._feed is None:
            self._deliver([(News.LIMITED, "")])
            return
        try:
            self._feed.run(self._deliver)
        except Exception:  # noqa: BLE001 - whatever it is, looking at everything finds the changes
            self._deliver([(News.LIMITED, "")])

    def _deliver(self, news: list[Piece]) -> None:
        self._loop.call_soon_threadsafe(self._note, news)

    def _note(self, news: list[Piece]) -> None:
        """Take news, in the loop."""
        now = self._loop.time()
        for kind, path in news:
            match kind:
                case News.WATCHING:
                    self._ready.set()
                case News.LIMITED:
                    self._limit()
                case News.CHANGED:
                    self._writing.pop(path, None)
                    self._change(path, now)
                case News.WRITING:
                    self._writing[path] = now + _STILL_S
                case News.EVERYTHING:
                    self._change("", now)
        self._woken.set()

    def _limit(self) -> None:
        if not self._is_limited:
            self._is_limited = True
            text = _LIMITED.format(poll=self._pace.poll)
            self._tell(Trouble("", Flaw.DISK, text))
        self._ready.set()

    def _change(self, path: str, now: float) -> None:
        if not self._paths and not self._is_everything:
            self._began = now
        self._last = now
        self._paths.add(path)
        if not path or len(self._paths) > MAX_PATHS:
            self._is_everything = True
            self._paths.clear()
        if self._is_everything:
            self._paths.clear()

    def _settle(self, now: float) -> None:
        """What was being written and is not any more, has changed."""
        for path in [path for path, until in self._writing.items() if until <= now]:
            del self._writing[path]
            self._change(path, now)

    def _due(self, now: float) -> float:
        """When something is to be told."""
        rest = self._pace.poll if self._is_limited else self._pace.rescan
        due = self._looked + rest
        if self._paths or self._is_everything:
            quiet = self._pace.quiet
            is_few = len(self._paths) <= FEW and not self._is_everything
            wait = min(self._pace.few, quiet) if is_few else quiet
            due = min(due, self._last + wait, self._began + _LONGEST * quiet)
        return max(now, due)

    async def _wait(self, now: float) -> None:
        until = min([self._due(now), *self._writing.values()])
        self._woken.clear()
        try:
            async with asyncio.timeout(max(0.0, until - now)):
                await self._woken.wait()
        except TimeoutError:
            return

    def _take(self, now: float) -> Changed:
        everything = self._is_everything or not self._paths
        changed = Changed(frozenset(self._paths), is_everything=everything)
        if everything:
            self._looked = now
        self._paths, self._is_everything = set(), False
        return changed
