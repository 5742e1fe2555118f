"""What a folder client tells while it works, as values, and what a pass came to.

A reporter is a function that takes one of these. It is called in the event loop, in the order
things happened, and must return at once. Paths are relative to the folder, without a leading
slash; bytes are those of files, not of what travelled, unless said otherwise.

    PassStarted  Progress*  Uploaded* Downloaded* Deleted* Moved* ...  PassEnded
    Offline ... Online          between and instead of passes, while watching
"""

from collections.abc import Callable
from enum import Enum
from typing import TypeAlias

import msgspec


class Side(Enum):
    """Where something happened or is."""

    LOCAL = "local"
    REMOTE = "remote"


class Phase(Enum):
    """What a pass is busy with."""

    SCAN = "scan"
    LISTING = "listing"
    PULL = "pull"
    PUSH = "push"


class Why(Enum):
    """Why a path is not equal on both sides after a pass; the value is its word for programs.

    The last three are as the options want it; the others are worth a person's attention.
    """

    UNREADABLE = "unreadable"
    CHANGING = "changing"
    SPECIAL = "special"
    NAME = "name"
    CLASH = "clash"
    REFUSED = "refused"
    DISK = "disk"
    MISSING_CONTENT = "missing-content"
    LOCAL_CHANGE = "local-change"
    REMOTE_CHANGE = "remote-change"
    NOT_EMPTY = "not-empty"


AS_WANTED = frozenset({Why.LOCAL_CHANGE, Why.REMOTE_CHANGE, Why.NOT_EMPTY})


class PassStarted(msgspec.Struct, frozen=True):
    """A pass begins.

    Attributes:
        reason: ``start``, ``local``, ``remote``, ``interval`` or ``retry``.
        is_full: Whether the whole folder is looked at.
    """

    reason: str
    is_full: bool


class Progress(msgspec.Struct, frozen=True):
    """How far a phase is; totals grow while they are found out, and are 0 while unknown."""

    phase: Phase
    files_done: int
    files_total: int
    bytes_done: int = 0
    bytes_total: int = 0


class Uploaded(msgspec.Struct, frozen=True):
    """A file, link or folder is on the server, durably."""

    path: str
    size: int
    is_new: bool


class Downloaded(msgspec.Struct, frozen=True):
    """A file, link or folder of the server is in the folder, durably."""

    path: str
    size: int
    is_new: bool


class Deleted(msgspec.Struct, frozen=True):
    """A path is gone from ``side``, because the other one deleted it."""

    path: str
    side: Side


class Moved(msgspec.Struct, frozen=True):
    """What was at ``source`` is at ``path`` on ``side`` now; its content did not travel."""

    source: str
    path: str
    side: Side


class Conflicted(msgspec.Struct, frozen=True):
    """A path has several versions; the shown one is in its place.

    Attributes:
        path: The path.
        copies: Where the other versions are, beside it; a deletion has no copy.
    """

    path: str
    copies: tuple[str, ...]


class Settled(msgspec.Struct, frozen=True):
    """A conflict is resolved; its copies are gone."""

    path: str


class Problem(msgspec.Struct, frozen=True):
    """A path that could not be made equal; everything else went on.

    Attributes:
        path: Which; empty for the folder as a whole.
        why: Kind.
        message: What happened, what was kept, what to do.
    """

    path: str
    why: Why
    message: str


class Act(Enum):
    """What a pass would do to a path; the value is its word for programs."""

    UPLOAD = "upload"
    DOWNLOAD = "download"
    DELETE_LOCAL = "delete-local"
    DELETE_REMOTE = "delete-remote"
    CONFLICT = "conflict"


class Planned(msgspec.Struct, frozen=True):
    """What a dry run would have done."""

    path: str
    act: Act
    size: int = 0


class Outcome(msgspec.Struct, frozen=True):
    """What a pass came to.

    Attributes:
        uploaded: Files, links and folders that went to the server.
        downloaded: Likewise that came from it.
        deleted_local: Paths deleted in the folder.
        deleted_remote: Paths deleted on the server.
        moved: Paths of all these whose content did not travel.
        conflicts: Paths that have several versions now.
        problems: What could not be made equal.
        bytes_sent: Bytes of chunks that travelled to the server, compressed.
        bytes_received: Likewise from it.
        seconds: How long it took.
        is_dry: Whether nothing was changed; then the counts are what would have been done.
    """

    uploaded: int = 0
    downloaded: int = 0
    deleted_local: int = 0
    deleted_remote: int = 0
    moved: int = 0
    conflicts: int = 0
    problems: tuple[Problem, ...] = ()
    bytes_sent: int = 0
    bytes_received: int = 0
    seconds: float = 0.0
    is_dry: bool = False

    @property
    def changes(self) -> int:
        """Everything that was done to either side."""
        return self.uploaded + self.downloaded + self.deleted_local + self.deleted_remote

    @property
    def failures(self) -> tuple[Problem, ...]:
        """The problems that are not as the options want it."""
        return tuple(problem for problem in self.problems if problem.why not in AS_WANTED)


class PassEnded(msgspec.Struct, frozen=True):
    """A pass is over; everything that could be made equal is."""

    outcome: Outcome


class Offline(msgspec.Struct, frozen=True):
    """The server cannot be reached; it is tried again."""

    reason: str
    retry_in_s: float


class Online(msgspec.Struct, frozen=True):
    """The server answers again."""


Event: TypeAlias = (
    PassStarted
    | Progress
    | Uploaded
    | Downloaded
    | Deleted
    | Moved
    | Conflicted
    | Settled
    | Problem
    | Planned
    | PassEnded
    | Offline
    | Online
)
Report: TypeAlias = Callable[[Event], None]


def silent(_event: Event) -> None:
    """Take an event and say nothing."""
