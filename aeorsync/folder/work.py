"""What the parts of a pass share: where things are, and what was done so far."""

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from aeorsync.folder.events import Outcome, Phase, Problem, Progress, Report, Why
from aeorsync.folder.facts import Agreed
from aeorsync.folder.ledger import Ledger
from aeorsync.folder.plan import Settled
from aeorsync.folder.root import SafeRoot
from aeorsync.folder.server import Server
from aeorsync.folder.told import Scope

if TYPE_CHECKING:
    from aeorsync.folder.sent import Sent

_MAX_PROBLEMS: Final = 10_000
MADE: Final = "made "
"""What the names of notes about paths begin with that we changed since the cursor: see `Made`."""

CONFLICT: Final = "conflict "
"""Likewise of paths with several versions."""
CURSOR: Final = "cursor"
"""The note of where on the server's way through its changes we stand."""


class Made(Enum):
    """What we did there; the value is that of the note."""

    NEW = ""
    EDITED = "edited"
    DELETED = "deleted"


class Tally(msgspec.Struct):
    """What a pass did so far; see `events.Outcome`.

    Attributes:
        again: Paths that changed while we worked: they are looked at once more.
        retried: Paths that the server refused once.
        is_stale: Whether the server has more to tell about what we did.
        rescans: Whether everything has to be looked at again.
        solved: Paths at which both sides are equal now.
    """

    uploaded: int = 0
    downloaded: int = 0
    deleted_local: int = 0
    deleted_remote: int = 0
    moved: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    problems: dict[str, Problem] = msgspec.field(default_factory=dict)
    again: set[str] = msgspec.field(default_factory=set)
    retried: set[str] = msgspec.field(default_factory=set)
    is_stale: bool = False
    rescans: bool = False
    solved: set[str] = msgspec.field(default_factory=set)

    def outcome(self, seconds: float, conflicts: int, *, is_dry: bool) -> Outcome:
        """What the pass came to."""
        return Outcome(
            self.uploaded,
            self.downloaded,
            self.deleted_local,
            self.deleted_remote,
            self.moved,
            conflicts,
            tuple(sorted(self.problems.values(), key=lambda problem: problem.path)),
            self.bytes_sent,
            self.bytes_received,
            seconds,
            is_dry,
        )


class Gauge(msgspec.Struct):
    """How far a phase is, told at most every so many steps."""

    phase: Phase
    report: Report
    files_total: int = 0
    bytes_total: int = 0
    files: int = 0
    bytes: int = 0

    def add(self, files: int = 0, size: int = 0) -> None:
        """So much more is done."""
        self.files += files
        self.bytes += size
        self.report(
            Progress(self.phase, self.files, self.files_total, self.bytes, self.bytes_total)
        )


class Work(msgspec.Struct):
    """One pass.

    Attributes:
        root: The folder.
        ledger: Its memory.
        server: The other side.
        scope: Where on the server.
        report: Takes events.
        began_ns: When the pass began to look at the disk, by the wall clock.
        tally: What was done so far.
        shows: Paths whose conflict copies are seen to last: what was told of them is kept so long.
        reborn: Paths that were gone on both sides, and are there again on the server.
        sent: What we sent and heard no answer of, by its path (`sent.Sent`).
        recognised: Paths where one of those was seen after all, maybe after they were scanned.
        undone: Paths of our edits that the server tells nothing of, though it should.
    """

    root: SafeRoot
    ledger: Ledger
    server: Server
    scope: Scope
    report: Report
    began_ns: int
    tally: Tally = msgspec.field(default_factory=Tally)
    shows: set[str] = msgspec.field(default_factory=set)
    reborn: set[str] = msgspec.field(default_factory=set)
    sent: dict[str, list["Sent"]] = msgspec.field(default_factory=dict)
    recognised: set[str] = msgspec.field(default_factory=set)
    undone: set[str] = msgspec.field(default_factory=set)

    def trouble(self, path: str, why: Why, message: str) -> None:
        """List a path that could not be made equal."""
        problem = Problem(path, why, message)
        if len(self.tally.problems) < _MAX_PROBLEMS and self.tally.problems.get(path) != problem:
            self.tally.problems[path] = problem
            self.report(problem)

    def seen(self, agreed: Agreed) -> Agreed:
        """The same, with whether the next scan has to read it again, as it was scanned now."""
        is_racy = agreed.is_racy or agreed.fingerprint.is_racy(self.began_ns)
        return replace(agreed, is_racy=is_racy)

    def settle_seen(self, settled: Iterable[Settled]) -> None:
        """The same for what was only looked at. Blocking."""
        self.settle(
            Settled(path, None if agreed is None else self.seen(agreed))
            for path, agreed in settled
        )

    def settle_made(
        self,
        settled: Iterable[Settled],
        made: Mapping[str, Made],
        note: str,
        cursor: str | None = None,
    ) -> None:
        """The same for what was committed. Blocking.

        Args:
            settled: What is agreed on.
            made: What the server has to tell of.
            note: Name of the note that it was sent; goes.
            cursor: Where we stand now, if that is known.
        """
        known = list(settled)
        # Where this is lost, the next pass asks what became of the commit.
        with self.ledger.transaction(lasts=False):
            self.settle(known)
            # What the server had already it need not tell of.
            told = {path: made.get(path) for path, _ in known}
            notes = {MADE + path: what and what.value for path, what in told.items()}
            if cursor is not None:
                notes[CURSOR] = cursor
            self.ledger.note_all({**notes, **self._come_and_gone(told), note: None})

    def _come_and_gone(self, told: Mapping[str, Made | None]) -> dict[str, None]:
        """Notes of what we made since the cursor and delete now: nothing is told of that."""
        gone = (MADE + path for path, what in told.items() if what is Made.DELETED)
        return {name: None for name in gone if self.ledger.noted(name) == Made.NEW.value}

    def settle(self, settled: Iterable[Settled]) -> None:
        """Write down what both sides have now, in one transaction. Blocking.

        It lasts from the end of the pass on, or the next commit: where it is lost, equal contents
        are found to be equal again.
        """
        with self.ledger.transaction(lasts=False):
            # What is told last of a path counts: a folder may have gone for a file.
            last: dict[str, Agreed | None] = {}
            for path, agreed in settled:
                last[path] = agreed
                self.tally.solved.add(path)
                self.tally.problems.pop(path, None)
            self.ledger.settle(*(path for path in last if path not in self.shows))
            self.ledger.forget(path for path, agreed in last.items() if agreed is None)
            self.ledger.record(
                (path, agreed) for path, agreed in last.items() if agreed is not None
            )


def placed(agreed: Agreed, now_ns: int) -> Agreed:
    """What is agreed about a file that we put there ourselves just now.

    Whoever writes to it moves its mtime, so only that one can be too young to tell.
    """
    return replace(agreed, is_racy=agreed.fingerprint.is_racy_when_placed(now_ns))


def conflicted(ledger: Ledger) -> set[str]:
    """Paths that are known to be in conflict. Blocking."""
    notes = ledger.notes(CONFLICT)
    copies = {copy.path for copy in ledger.copies().values()}
    return copies | {name.removeprefix(CONFLICT) for name in notes}
