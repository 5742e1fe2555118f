"""A folder and a path on a server, kept equal: once, or for as long as somebody watches.

async with FolderSync(root, client, "/notes", options, ledger) as sync:
    outcome = await sync.run_once(report)
    await sync.watch(report)                       # until it is cancelled
"""

from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from aeorsync.errors import AeorError
from aeorsync.folder.events import Outcome, Problem, Report, silent
from aeorsync.folder.options import Options
from aeorsync.folder.server import Server


class MassDeletionError(AeorError):
    """A pass would delete more than it may; nothing was changed."""


@dataclass(frozen=True, slots=True)
class ConflictCopies:
    """A path with several versions, and where the others lie beside it."""

    path: str
    copies: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """How a folder stands, by its ledger alone: no disk and no server is asked.

    Attributes:
        entries: Files, links and folders that both sides agreed on.
        conflicts: Paths with several versions.
        problems: Of the last whole pass.
        waiting: Changes of the server that were not taken over, whatever the reason.
        last_pass: When the last pass ended that reached the server, in milliseconds since the
            Unix epoch; 0 for never.
    """

    entries: int = 0
    conflicts: tuple[ConflictCopies, ...] = field(default=())
    problems: tuple[Problem, ...] = field(default=())
    waiting: int = 0
    last_pass: int = 0


class FolderSync:
    """Keeps one folder equal to one path on a server. Belongs to one event loop."""

    def __init__(
        self, root: Path, client: Server, remote_path: str, options: Options, ledger: Path
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            root: The folder; it must be there.
            client: The way to the server; the caller closes it.
            remote_path: The path on the server, ``/`` for all of it.
            options: How to go about it.
            ledger: File of the ledger, outside of the folder; made when it is not there.
        """
        self.root = root
        self.client = client
        self.remote_path = remote_path
        self.options = options
        self.ledger = ledger

    async def __aenter__(self) -> Self:
        """Open the folder and its ledger.

        Raises:
            StartupError: Another process keeps this folder, or the folder is not there.
        """
        raise NotImplementedError

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close both."""
        raise NotImplementedError

    async def run_once(self, report: Report = silent) -> Outcome:
        """Make both sides equal, once.

        Raises:
            MassDeletionError: It would delete more than `Options.max_delete`; nothing was changed.
            RootGoneError: The folder is gone or empty as never before; nothing was changed.
            AeorError: The server refused us, or cannot be reached. What was done is recorded.
        """
        raise NotImplementedError

    async def watch(self, report: Report = silent) -> None:
        """Keep both sides equal until cancelled; a server that cannot be reached is waited for.

        Raises:
            MassDeletionError: As in `run_once`.
            RootGoneError: Likewise.
            AeorError: The server does not know our key (any more), or refuses us for good.
        """
        raise NotImplementedError

    def status(self) -> Status:
        """How the folder stands by its ledger."""
        raise NotImplementedError
