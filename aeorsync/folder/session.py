"""A folder and a path on a server, kept equal: once, or for as long as somebody watches.

    async with FolderSync(root, client, "/notes", options, ledger) as sync:
        outcome = await sync.run_once(report)
        await sync.watch(report)                       # until it is cancelled

While watching, three things start a pass: a burst of local changes has ended (only those paths are
looked at, and sent), the server has news (only those are fetched), and time (everything). After
much was sent, what is edited here goes before what the server tells of that. A server that cannot
be reached is waited for, longer each time; what changed meanwhile is not forgotten.
"""

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import msgspec

from aeorsync.core.hashing import content_hash
from aeorsync.errors import AeorError, StartupError, UntrustedError
from aeorsync.folder import facts
from aeorsync.folder.events import Offline, Online, Outcome, Problem, Report, Why, silent
from aeorsync.folder.ledger import Ledger
from aeorsync.folder.lock import PairLock
from aeorsync.folder.options import Options
from aeorsync.folder.passes import ROOT, Engine, Look
from aeorsync.folder.root import RootGoneError, RootId, SafeRoot
from aeorsync.folder.server import Server
from aeorsync.folder.told import Scope
from aeorsync.folder.work import CONFLICT
from aeorsync.runtime import bridge, chance
from aeorsync.runtime.clock import SystemClock, WallClock
from aeorsync.runtime.pauses import backoff

if TYPE_CHECKING:
    from aeorsync.folder.waking import Wake

BASE_S: Final = 0.5
CAP_S: Final = 60.0
ENDED: Final = "ended"
PROBLEMS: Final = "problems"
_NOTED_PROBLEMS: Final = 1000


class ConflictCopies(msgspec.Struct, frozen=True):
    """A path with several versions, and where the others lie beside it."""

    path: str
    copies: tuple[str, ...]


class Status(msgspec.Struct, frozen=True):
    """How a folder stands, by its ledger alone: no disk and no server is asked.

    Attributes:
        conflicts: Paths with several versions.
        problems: Of the last whole pass, and of those since where they looked.
        waiting: Changes of the server that were not taken over, whatever the reason.
        last_pass: When the last pass ended that reached the server, in milliseconds since the
            Unix epoch; 0 for never.
    """

    conflicts: tuple[ConflictCopies, ...] = ()
    problems: tuple[Problem, ...] = ()
    waiting: int = 0
    last_pass: int = 0


class FolderSync:
    """Keeps one folder equal to one path on a server. Belongs to one event loop."""

    def __init__(
        self,
        root: Path,
        client: Server,
        remote_path: str,
        options: Options,
        ledger: Path,
        *,
        clock: WallClock | None = None,
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            root: The folder; it must be there.
            client: The way to the server; the caller closes it.
            remote_path: The path on the server, ``/`` for all of it.
            options: How to go about it.
            ledger: File of the ledger, outside of the folder; made when it is not there.
            clock: What time it is; None for the clock of this machine.
        """
        self.root = root
        self.client = client
        self.remote_path = remote_path
        self.options = options
        self.ledger = ledger
        self._clock = SystemClock() if clock is None else clock
        self._engine: Engine | None = None
        self._lock: PairLock | None = None

    async def __aenter__(self) -> Self:
        """Open the folder and its ledger.

        Raises:
            RootGoneError: The folder is not there, or is another one than before.
            BusyError: Another process keeps this folder.
            CorruptError: The ledger is damaged.
        """
        await bridge.run(self._open)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close both."""
        await bridge.run(self._close)

    async def run_once(self, report: Report = silent) -> Outcome:
        """Make both sides equal, once.

        Raises:
            MassDeletionError: It would delete more than `Options.max_delete`; nothing was changed.
            RootGoneError: The folder is gone or empty as never before; nothing was changed.
            AeorError: The server refused us, or cannot be reached. What was done is recorded.
        """
        return await self._pass(Look(), report)

    async def watch(self, report: Report = silent) -> None:
        """Keep both sides equal until cancelled; a server that cannot be reached is waited for.

        Raises:
            MassDeletionError: As in `run_once`.
            RootGoneError: Likewise.
            AeorError: The server does not know our key (any more), or refuses us for good.
        """
        # Imported here, as a single pass never needs it.
        import asyncio  # noqa: PLC0415

        from aeorsync.folder.waking import Wake, hear_folder, hear_server  # noqa: PLC0415

        wake, root = Wake(), self._opened.root
        self._opened.leaves_echo = True
        tasks = [
            asyncio.create_task(hear_folder(root, self.options, wake, report)),
            asyncio.create_task(hear_server(self.client, Scope.of(self.remote_path), wake)),
        ]
        keeping = asyncio.create_task(self._keep(wake, report))
        tasks.append(keeping)
        try:
            # None of them ends by itself: whichever does has failed.
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def status(self) -> Status:
        """How the folder stands by its ledger."""
        if self._engine is not None:
            return read_status(self._engine.ledger)
        with Ledger(self.ledger) as ledger:
            return read_status(ledger)

    # Passes

    async def _keep(self, wake: "Wake", report: Report) -> None:
        import asyncio  # noqa: PLC0415  # likewise

        from aeorsync.folder.waking import Refused  # noqa: PLC0415

        failures = 0
        look, refused = Look(), Refused()
        while True:
            try:
                outcome = await self._pass(look, report)
            except AeorError as error:
                if not error.retry or isinstance(error, RootGoneError | UntrustedError):
                    raise
                failures += 1
                pause = backoff(failures, BASE_S, CAP_S, chance.fraction())
                report(Offline(error.message, pause))
                wake.put_back(look)
                await asyncio.sleep(pause)
            else:
                if failures:
                    report(Online())
                failures = 0
                refused.note(look, outcome.problems)
                if self._opened.has_echo:
                    wake.echo()
            look = await wake.next(is_retry=failures > 0, refused=refused)

    async def _pass(self, look: Look, report: Report) -> Outcome:
        engine = self._opened
        outcome = await engine.run(look, report)
        if not self.options.dry_run:
            await bridge.run(self._note, engine, outcome, look)
        return outcome

    def _note(self, engine: Engine, outcome: Outcome, look: Look) -> None:
        ledger = engine.ledger
        problems = [
            (problem.path, problem.why.value, problem.message) for problem in outcome.problems
        ]
        if look.paths is not None:
            # Of what was not looked at, the last pass that did so is right.
            looked, told = engine.solved | look.paths, {path for path, _, _ in problems}
            problems += [
                noted
                for noted in _noted(ledger)
                if noted[0] not in told and looked.isdisjoint(facts.ways(noted[0]))
            ]
        text = msgspec.json.encode(sorted(problems)[:_NOTED_PROBLEMS]).decode()
        with ledger.transaction():
            if look.paths is None or text != ledger.noted(PROBLEMS):
                ledger.note(PROBLEMS, text)
            if look.paths is None:
                ledger.note(ENDED, str(self._clock.now_ms()))

    # Opening

    @property
    def _opened(self) -> Engine:
        if self._engine is None:
            raise StartupError("the folder is not open", 1)
        return self._engine

    def _open(self) -> None:
        lock = PairLock(self.ledger.with_name(self.ledger.name + ".lock"))
        try:
            ledger = Ledger(self.ledger)
            try:
                self._engine = self._make(ledger)
            except BaseException:
                ledger.close()
                raise
        except BaseException:
            lock.release()
            raise
        self._lock = lock

    def _make(self, ledger: Ledger) -> Engine:
        known = ledger.noted(ROOT)
        pair = f"{self.root.resolve()}\0{self.remote_path}\0{self.ledger.name}"
        tag = content_hash(pair.encode()).hex()[:8]
        root = SafeRoot(self.root, tag, None if known is None else RootId.parse(known))
        scope = Scope.of(self.remote_path)
        return Engine(root, ledger, self.client, scope, self.options, self._clock)

    def _close(self) -> None:
        if self._engine is not None:
            self._engine.root.close()
            self._engine.ledger.close()
            self._engine = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def read_status(ledger: Ledger) -> Status:
    """How a folder stands by its ledger."""
    copies: dict[str, list[str]] = {
        name.removeprefix(CONFLICT): [] for name in ledger.notes(CONFLICT)
    }
    for path, copy in ledger.copies().items():
        copies.setdefault(copy.path, []).append(path)
    return Status(
        conflicts=tuple(
            ConflictCopies(path, tuple(sorted(beside))) for path, beside in sorted(copies.items())
        ),
        problems=tuple(Problem(path, Why(why), message) for path, why, message in _noted(ledger)),
        waiting=ledger.count_pending(),
        last_pass=int(ledger.noted(ENDED) or 0),
    )


def _noted(ledger: Ledger) -> list[tuple[str, str, str]]:
    """The problems of the last passes: paths, words, messages."""
    return msgspec.json.decode(ledger.noted(PROBLEMS) or "[]", type=list[tuple[str, str, str]])
