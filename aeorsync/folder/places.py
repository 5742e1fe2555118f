"""What this machine knows of the folders it keeps: one place each, outside of the folder itself.

    $XDG_STATE_HOME/aeorsync/folders/     else ~/.local/state/aeorsync/folders/
        <id>/                             made from folder, server and path
            ledger.sqlite3                what both sides last agreed on (`folder.ledger`)
            note.json                     how it stood last, for ``aeorsync sync status``
            running                       locked as long as a process keeps the folder

The note is what a person asks for while another process holds the ledger: it is written by that
process, and telling costs no look at the disk or the server. It holds no secret. Losing a note
loses a report, losing a ledger makes the next pass compare everything afresh.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import Final

import blake3
import msgspec

from aeorsync.runtime import durable

MAX_LISTED: Final = 1000
_NOTE: Final = "note.json"
_MODE: Final = 0o700


class State(Enum):
    """How a folder stands; the value is its word for programs."""

    NEW = "new"
    SYNCED = "in-sync"
    CONFLICTS = "conflicts"
    PROBLEMS = "problems"
    OFFLINE = "offline"
    STOPPED = "stopped"


class Trouble(msgspec.Struct, frozen=True):
    """A path that could not be made equal, and why."""

    path: str
    why: str
    message: str


class Copies(msgspec.Struct, frozen=True):
    """A path with several versions, and where the others lie beside it."""

    path: str
    copies: list[str]


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """How one folder stood last. Times are milliseconds since the Unix epoch, 0 for never.

    Attributes:
        local: The folder.
        url: The server.
        path: On it.
        profile: Login that was used.
        direction: Which way changes travel.
        state: In one word.
        reason: Of ``offline`` and ``stopped``, for a person.
        exit_code: Of the process that stopped; 0 while it goes on, or ended well.
        last_pass: When a pass ended that reached the server.
        offline_since: When it was first not reached any more; 0 while it is.
        waiting: Paths that are not equal on both sides, as far as known.
        conflict_count: All of them; ``conflicts`` lists at most `MAX_LISTED`.
        problem_count: Likewise of ``problems``.
    """

    local: str
    url: str
    path: str
    profile: str | None = None
    direction: str = "both"
    state: State = State.NEW
    reason: str = ""
    exit_code: int = 0
    last_pass: int = 0
    offline_since: int = 0
    waiting: int = 0
    conflict_count: int = 0
    conflicts: list[Copies] = []
    problem_count: int = 0
    problems: list[Trouble] = []


class Place:
    """Where what is known of one folder is kept."""

    def __init__(self, folder: Path) -> None:
        """Name it; nothing is made yet."""
        self.folder = folder

    @property
    def ledger(self) -> Path:
        """What both sides last agreed on."""
        return self.folder / "ledger.sqlite3"

    def make(self) -> None:
        """Make the folder, for its owner only.

        Raises:
            OSError: The disk refuses.
        """
        durable.make_folders(self.folder, mode=_MODE)

    def read(self) -> Note | None:
        """Return the note, or None where there is none that can be read."""
        try:
            return msgspec.json.decode((self.folder / _NOTE).read_bytes(), type=Note)
        except (OSError, msgspec.DecodeError):
            return None

    def write(self, note: Note) -> None:
        """Replace the note.

        Raises:
            OSError: The disk refuses.
        """
        durable.write_once(self.folder / _NOTE, msgspec.json.encode(note))

    @contextmanager
    def running(self) -> Iterator[None]:
        """Show, as long as this is held, that a process keeps the folder.

        It keeps nobody off: that is for the lock of the ledger.
        """
        handle = os.open(self.folder / "running", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        finally:
            os.close(handle)

    @property
    def is_running(self) -> bool:
        """Whether a process keeps the folder just now."""
        try:
            handle = os.open(self.folder / "running", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(handle)
        return False


class Places:
    """All folders that this user ever kept on this machine."""

    def __init__(self, home: Path) -> None:
        """Take the folder that holds their places; it need not be there."""
        self._home = home / "folders"

    def place(self, local: Path, url: str, path: str) -> Place:
        """Return the place of one folder: the same for the same three."""
        name = "\0".join((str(local), url, path)).encode(errors="surrogateescape")
        return Place(self._home / blake3.blake3(name).hexdigest()[:24])

    def all(self) -> list[tuple[Place, Note]]:
        """Return every place that has a note, ordered by folder."""
        try:
            places = [Place(folder) for folder in self._home.iterdir()]
        except OSError:
            return []
        noted = [(place, note) for place in places if (note := place.read()) is not None]
        return sorted(noted, key=lambda pair: (pair[1].local, pair[1].url, pair[1].path))

    def around(self, path: Path) -> list[tuple[Place, Note]]:
        """Return the places of the folders that a path is, or is in; the innermost first."""
        found = [(place, note) for place, note in self.all() if path.is_relative_to(note.local)]
        return sorted(found, key=lambda pair: -len(Path(pair[1].local).parts))
