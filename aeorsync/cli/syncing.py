"""Keeping folders: what ``aeorsync sync`` does once it is known which and how.

Each folder has a `Keeper`; they run side by side in one event loop and do not disturb each other:
one that has to stop says so, the others go on.

    keep     open server, folder and ledger, make passes, turn every end into an exit code
    ask      a mass deletion needs somebody at a terminal; without one it stops
    note     how the folder stands goes to its place, at most once a second, for ``sync status``

*Ctrl-C* and *SIGTERM* cancel the keepers; what is being written is finished, the rest is found by
the next run. A second Ctrl-C does not wait.
"""

import asyncio
import signal
import sqlite3
import sys
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Final

import uvloop

from aeorsync.cli.hasty import code_of
from aeorsync.cli.hints import REFUSED_HINT
from aeorsync.cli.sync_flags import How
from aeorsync.cli.sync_notes import Noter
from aeorsync.cli.sync_plain import Screen, screen_for
from aeorsync.client.keeping import FolderClient
from aeorsync.config import Exit, target
from aeorsync.config.folders import SyncFolder
from aeorsync.config.state import state_folder
from aeorsync.errors import (
    AeorError,
    BusyError,
    CorruptError,
    DeniedError,
    StartupError,
    UnauthorizedError,
    UnavailableError,
)
from aeorsync.folder import events
from aeorsync.folder.brake import MassDeletionError
from aeorsync.folder.events import Event
from aeorsync.folder.options import DeleteLimit
from aeorsync.folder.places import Places, State
from aeorsync.folder.root import RootGoneError
from aeorsync.folder.session import FolderSync
from aeorsync.runtime import bridge
from aeorsync.runtime.clock import SystemClock
from aeorsync.runtime.memory import keep_spare, share_arenas

NO_LIMIT: Final = DeleteLimit(100)
# The first that fits: some are kinds of others.
_CODES: Final[tuple[tuple[type[AeorError], Exit], ...]] = (
    (MassDeletionError, Exit.MASS_DELETION),
    (RootGoneError, Exit.FOLDER_GONE),
    (BusyError, Exit.DATA_LOCKED),
    (CorruptError, Exit.DAMAGED),
    (UnavailableError, Exit.NODE_UNREACHABLE),
    (UnauthorizedError, Exit.NODE_REFUSED),
    (DeniedError, Exit.NODE_REFUSED),
)
_WORST_FIRST: Final = (
    Exit.FAILED,
    Exit.CONFIG,
    Exit.DAMAGED,
    Exit.DATA_UNUSABLE,
    Exit.DATA_LOCKED,
    Exit.FOLDER_GONE,
    Exit.MASS_DELETION,
    Exit.NODE_REFUSED,
    Exit.NODE_UNREACHABLE,
    Exit.PROBLEMS,
    Exit.CONFLICTS,
    Exit.OK,
)


def run(folders: Sequence[SyncFolder], how: How, told: Sequence[Event] = ()) -> int:
    """Keep folders until that is done or somebody stops it.

    Args:
        folders: At least one.
        how: For all of them.
        told: What was done to the first of them by now (`cli.hasty`), and not told yet.

    Returns:
        The exit code of the process; of several folders, that of the one that stands worst.
    """
    screen = screen_for(as_json=how.as_json, quiet=how.quiet, names=len(folders))
    places = Places(state_folder())
    keepers = [Keeper(folder, how, places, screen) for folder in folders]
    with screen:
        share_arenas()
        keep_spare()
        keepers[0].tell(told)
        return uvloop.run(_run(keepers, how))


def worst(codes: Sequence[int]) -> int:
    """Return the exit code that says most."""
    return min(codes, key=lambda code: (code not in _WORST_FIRST, _rank(code)))


def _rank(code: int) -> int:
    return _WORST_FIRST.index(Exit(code)) if code in _WORST_FIRST else 0


async def _run(keepers: "Sequence[Keeper]", how: How) -> int:
    stopped: list[signal.Signals] = []
    tasks = [asyncio.create_task(keeper.keep()) for keeper in keepers]
    loop = asyncio.get_running_loop()

    def stop(number: signal.Signals) -> None:
        stopped.append(number)
        # Whoever asks twice does not want to wait; nothing is lost by that either.
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_DFL)
        for task in tasks:
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    bugs = [result for result in results if isinstance(result, Exception)]
    if bugs:
        raise bugs[0]
    if stopped:
        # A service manager that stops a watcher got what it wanted.
        is_service = how.watch and stopped[0] is signal.SIGTERM
        return Exit.OK if is_service else Exit.INTERRUPTED
    return worst([result for result in results if isinstance(result, int)])


class Keeper:
    """Keeps one folder, tells a screen what happens, and notes how it stands."""

    def __init__(self, folder: SyncFolder, how: How, places: Places, screen: Screen) -> None:
        """Prepare; nothing is opened yet."""
        self._folder = folder
        self._how = how
        self._screen = screen
        self._name = str(folder.local)
        self._place = places.place(folder.local, folder.remote.url, folder.remote.path)
        self._noter = Noter(self._place, folder, is_real=not how.dry_run)
        self._done = 0

    def tell(self, some: Iterable[Event]) -> None:
        """Take what happened before."""
        for event in some:
            self._report(event)

    async def keep(self) -> int:
        """Keep the folder until that is done; return the exit code it comes to.

        Raises:
            CancelledError: Somebody stopped it; what was being written is written.
        """
        try:
            code = await self._keep()
        except asyncio.CancelledError:
            if not self._how.watch:
                text = f"after {self._done} changes; the next run goes on from there"
                self._screen.ended(self._name, "stopped", Exit.INTERRUPTED, text)
            raise
        except AeorError as error:
            code, reason = exit_code(error), error.message
            if isinstance(error, UnauthorizedError | DeniedError):
                reason += REFUSED_HINT
            is_offline = code == Exit.NODE_UNREACHABLE
            await self._stopped(State.OFFLINE if is_offline else State.STOPPED, reason, code)
            self._screen.ended(self._name, "stopped", code, reason)
        else:
            self._screen.ended(self._name, self._noter.note.state.value, code, "")
        return code

    async def _keep(self) -> int:
        node = target(self._folder.remote.url, self._how.key, profile=self._folder.profile)
        async with AsyncExitStack() as stack:
            root, ledger = self._folder.local, self._place.ledger
            if self._how.dry_run:
                from tempfile import TemporaryDirectory  # noqa: PLC0415  # likewise

                scratch = stack.enter_context(TemporaryDirectory(prefix="aeorsync-plan-"))
                root, ledger = await bridge.run(stand_in, root, ledger, Path(scratch))
            else:
                self._prepare()
                stack.enter_context(self._place.running())
            client = FolderClient(node.url, node.key, authorities=node.cluster_ca)
            await stack.enter_async_context(client)

            def sync(limit: DeleteLimit) -> FolderSync:
                path = self._folder.remote.path
                options = self._folder.options(limit, dry_run=self._how.dry_run)
                return FolderSync(root, client, path, options, ledger)

            while True:
                try:
                    is_once = self._how.dry_run or not self._how.watch
                    return await self._passes(sync(self._folder.max_delete), is_once=is_once)
                except MassDeletionError as error:
                    if not await self._agrees(error):
                        raise
                code = await self._passes(sync(NO_LIMIT), is_once=True)
                if not self._how.watch:
                    return code

    async def _passes(self, sync: FolderSync, *, is_once: bool) -> int:
        async with sync, self._noter.writing(sync.status):
            if not is_once:
                await sync.watch(self._report)
            outcome = await sync.run_once(self._report)
            return code_of(outcome, sync.status().conflicts)

    def _prepare(self) -> None:
        """Make what is missing at the first time.

        Raises:
            StartupError: The disk refuses.
        """
        try:
            self._place.make()
            if not self._place.ledger.exists():
                # A folder that is known and not there any more is a disk that is not mounted.
                self._folder.local.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            text = f"cannot make {error.filename or self._folder.local}: {error.strerror}"
            raise StartupError(text, Exit.DATA_UNUSABLE) from error

    def _report(self, event: Event) -> None:
        # Whoever is told asks how it stands.
        self._noter.take(event)
        self._screen.event(self._name, event)
        match event:
            case events.Uploaded() | events.Downloaded() | events.Deleted() | events.Moved():
                self._done += 1
            case events.PassEnded(outcome):
                is_idle = self._how.watch and not outcome.changes and not outcome.problems
                if not is_idle:
                    count = self._noter.note.conflict_count
                    self._screen.summary(self._name, outcome, count)
            case _:
                pass

    async def _agrees(self, error: MassDeletionError) -> bool:
        """Whether somebody at a terminal lets a mass deletion happen."""
        if self._how.as_json or not is_somebody_there():
            return False
        import typer  # noqa: PLC0415  # takes a while, and is seldom needed

        question = f"{self._name}: {error.message}\nDelete them all the same?"
        with self._screen.paused():
            return await bridge.run(typer.confirm, question, err=True)

    async def _stopped(self, state: State, reason: str, code: int) -> None:
        since = self._noter.note.offline_since or SystemClock().now_ms()
        is_offline = state is State.OFFLINE
        self._noter.set(
            state=state,
            reason=reason,
            exit_code=code,
            offline_since=since if is_offline else 0,
        )
        await self._noter.write()


def stand_in(root: Path, ledger: Path, scratch: Path) -> tuple[Path, Path]:
    """Return a folder and a ledger that a plan can be made with, so that nothing is changed.

    Args:
        root: The folder; an empty one stands in where it is not there yet.
        ledger: A copy of it stands in, so that a plan can be made while another process keeps
            the folder.
        scratch: Where both may be made.
    """
    if ledger.exists():
        with (
            closing(sqlite3.connect(ledger)) as old,
            closing(sqlite3.connect(scratch / ledger.name)) as new,
        ):
            old.backup(new)
    elif not root.exists():
        root = scratch / "empty"
        root.mkdir()
    return root, scratch / ledger.name


def is_somebody_there() -> bool:
    """Whether a person can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def exit_code(error: AeorError) -> int:
    """Return the exit code that an error of a folder comes to."""
    if isinstance(error, StartupError):
        return error.exit_code
    return next((code for kind, code in _CODES if isinstance(error, kind)), Exit.FAILED)
