"""What starts a pass while a folder is watched.

local     paths that changed, collected until a burst ends; all of them when there were too many
remote    the server told that something changed, or that we may have missed something
interval  it is time to look at everything
retry     the last pass failed: whatever it looked at is looked at again; or the disk refused
          something a while ago, most likely for want of room, and there may be some now
"""

import asyncio
from collections.abc import Iterable
from contextlib import aclosing
from typing import Final

from aeorsync.errors import AeorError
from aeorsync.folder.events import Problem, Report, Why
from aeorsync.folder.facts import Trouble
from aeorsync.folder.ignore import Ignore
from aeorsync.folder.options import Options
from aeorsync.folder.passes import Look
from aeorsync.folder.root import SafeRoot
from aeorsync.folder.selection import Selection
from aeorsync.folder.server import Server
from aeorsync.folder.told import Scope
from aeorsync.folder.watch import Pace, Watch

MAX_PATHS: Final = 5000
"""More paths than these in one burst mean that everything is looked at."""
KINDS: Final = (
    "connected",
    "entries_created",
    "entries_deleted",
    "conflicts_created",
    "versions_restored",
    "reset",
)
_ECHO_S: Final = 0.3
_MAX_ECHO_S: Final = 3.0
"""So long nothing may change here before we hear what the server tells of much that we did, and so
long that waits at most."""
_RETRY_S: Final = 5.0
_REFUSED_S: Final = 5.0
_MAX_REFUSED_S: Final = 300.0
"""Between two tries of what the disk refused, at first and at most."""


class Refused:
    """What the disk refused, and when to try again. Belongs to one event loop.

    Attributes:
        paths: Where.
    """

    def __init__(self) -> None:
        self.paths: set[str] = set()
        self._pause = 0.0
        self._again_at: float | None = None

    @property
    def again_at(self) -> float | None:
        """When to try again, by the clock of the loop; None while nothing is refused."""
        return self._again_at

    def note(self, look: Look, problems: Iterable[Problem]) -> None:
        """Take what came of a pass."""
        refused = {problem.path for problem in problems if problem.why is Why.DISK}
        was_retry = look.reason == "retry" or look.paths is None
        self.paths = refused if was_retry else self.paths | refused
        if not self.paths:
            self._pause, self._again_at = 0.0, None
        elif was_retry or self._again_at is None:
            self._pause = min(max(self._pause * 2, _REFUSED_S), _MAX_REFUSED_S)
            self._again_at = asyncio.get_running_loop().time() + self._pause


class Wake:
    """Collects reasons for a pass. Belongs to one event loop."""

    def __init__(self) -> None:
        self._paths: set[str] = set()
        self._is_full = False
        self._remote = False
        self._rung = asyncio.Event()
        self._echo_at = self._echo_end = 0.0

    def local(self, paths: Iterable[str] | None) -> None:
        """Something changed on the disk; None for "anything may have"."""
        if paths is None:
            self._is_full = True
        else:
            self._paths.update(paths)
        if len(self._paths) > MAX_PATHS:
            self._is_full = True
        self._rung.set()

    def remote(self) -> None:
        """Something changed on the server."""
        self._remote = True
        self._rung.set()

    def put_back(self, look: Look) -> None:
        """What a pass was to look at is still to be looked at."""
        self._remote = self._remote or look.remote
        if look.paths is None:
            self._is_full = True
        else:
            self._paths |= look.paths

    def echo(self) -> None:
        """The server has much to tell of what we did ourselves: what changes here goes first."""
        now = asyncio.get_running_loop().time()
        self._remote = True
        self._echo_at, self._echo_end = now + _ECHO_S, now + _MAX_ECHO_S

    async def next(self, *, is_retry: bool, refused: Refused | None = None) -> Look:
        """Wait for a reason, and return what to look at.

        Args:
            is_retry: The last pass failed: that is reason enough.
            refused: What the disk refused; to try that again is a reason when it is time.
        """
        if not is_retry and await self._wait(refused.again_at if refused else None):
            is_retry = True
            self._paths |= refused.paths if refused else set()
        self._rung.clear()
        paths, is_full, remote = frozenset(self._paths), self._is_full, self._remote
        self._paths, self._is_full = set(), False
        if paths and not (is_full or is_retry) and self._is_early():
            now = asyncio.get_running_loop().time()
            self._echo_at = min(now + _ECHO_S, self._echo_end)
            return Look("local", paths, remote=False)
        self._remote, self._echo_at = False, 0.0
        if is_full:
            return Look("retry" if is_retry else "interval", None)
        reason = "local" if paths else "remote"
        word = "retry" if is_retry else reason
        return Look(word, paths, remote=remote, waiting=is_retry)

    async def _wait(self, again_at: float | None) -> bool:
        """Wait for a reason; True when there is none but that it is ``again_at``."""
        while not self._rung.is_set() or self._is_only_early():
            self._rung.clear()
            ends = [at for at in (again_at, self._echo_at or None) if at is not None]
            try:
                async with asyncio.timeout_at(min(ends, default=None)):
                    await self._rung.wait()
            except TimeoutError:
                if again_at is not None and asyncio.get_running_loop().time() >= again_at:
                    return True
                self._rung.set()
        return False

    def _is_only_early(self) -> bool:
        """Whether there is no other reason than what the server tells of what we did."""
        return not (self._paths or self._is_full) and self._is_early()

    def _is_early(self) -> bool:
        return asyncio.get_running_loop().time() < self._echo_at


async def hear_server(server: Server, scope: Scope, wake: Wake) -> None:
    """Tell of what happens on the server, until cancelled."""
    prefix = scope.prefix or None
    while True:
        try:
            async with aclosing(server.events(KINDS, prefix=prefix)) as events:
                async for _ in events:
                    wake.remote()
        except AeorError:
            # The pass says what is wrong; this only has to be there when it is well again.
            await asyncio.sleep(_RETRY_S)


async def hear_folder(root: SafeRoot, options: Options, wake: Wake, report: Report) -> None:
    """Tell of what happens in the folder, until cancelled."""
    rules = Ignore.parse(options.include, options.exclude)
    selection = Selection(root, rules)

    def skip(path: str) -> bool:
        return not selection.takes(path, is_folder=True)

    def tell(trouble: Trouble) -> None:
        report(Problem(trouble.path, Why(trouble.flaw.value), trouble.message))

    pace = Pace(quiet=options.debounce_s, rescan=options.rescan_s)
    async with Watch(root, skip, tell, pace) as watch:
        while True:
            changed = await watch.changed()
            wake.local(None if changed.is_everything else changed.paths)
