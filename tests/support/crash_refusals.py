"""The disk refuses one operation, or all from one on; then it works again.

for every k     the story is played, and its k-th operation is refused
told            whoever asked for something gets an error of ours
seen            nothing half-made: what there was before, or a whole commit
goes on         what was refused is asked for again, in the same process, and done; where
                the disk may have lost what it had taken, after a pause or a start
in the end      everything is as it would have been, and sound
"""

import errno
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

from aeorsync.errors import AeorError, UnavailableError
from aeorsync.storage.repository import Repository
from aeorsync.storage.verify import verify
from tests.support import crash_store
from tests.support.crash_folder import FolderStory
from tests.support.crash_store import Seen, Store, StoreStory, see
from tests.support.crashes import record
from tests.support.disk import RecordedDisk
from tests.support.repositories import files

Act = Callable[[int], set[str]]
_ENOUGH = 20
_PAUSE_MS = 600_000
_SYNCS = {"sync", "fsync", "fdatasync"}
_TAKES_ROOM = {"write", "open", "mkdir", "symlink", "link", "rename", "replace", "renameat2"}


class Refusal(Enum):
    """How a disk refuses."""

    FAILS_ONCE = "fails once"
    FAILS = "fails"
    IS_FULL = "is full"


@dataclass
class Refuser:
    """Refuses the operation of a number, and maybe those behind it, until it is mended."""

    at: int
    how: Refusal
    was: set[str] = field(default_factory=set)
    is_mended: bool = False

    def __call__(self, number: int, call: str) -> None:
        """See `disk_notes.Notes.refuses`."""
        if number < self.at or self.is_mended:
            return
        if self.how is Refusal.IS_FULL and call not in _TAKES_ROOM:
            return
        if self.how is Refusal.FAILS_ONCE and self.was:
            return
        self.was.add(call)
        number = errno.ENOSPC if self.how is Refusal.IS_FULL else errno.EIO
        raise OSError(number, "the disk refuses")


class RefusingStore(Store):
    """A store on such a disk; what is refused is tried again once it works."""

    def __init__(self, disk: RecordedDisk, refuser: Refuser) -> None:
        self.refuser = refuser
        self.told: list[Seen] = []
        try:
            super().__init__(disk)
        except (AeorError, OSError):
            assert refuser.was
            refuser.is_mended = True
            super().__init__(disk)

    def note(self, *, is_promised: bool = True) -> None:  # noqa: ARG002 - as its base
        """See `Store.note`."""
        self.told.append(see(self.repository))

    def do(self, act: crash_store.Act) -> None:
        """See `Store.do`."""
        before = see(self.repository)
        self.told = [before]
        try:
            act(self.repository)
        except AeorError as error:
            self._refused(error)
            after = see(self.repository)
            self._again(act, has_moved=not _is_in(after, [before]))
        self.note()

    def _refused(self, error: AeorError) -> None:
        assert self.refuser.was, error
        self.refuser.is_mended = True
        assert _is_in(see(self.repository), self.told), "something half-made is seen"

    def _recover(self, error: AeorError) -> None:
        assert self.refuser.was & _SYNCS, f"{self.refuser.was} has to do with no bytes"
        if "by itself" in error.message:
            self.wall.now += _PAUSE_MS
            return
        assert "restart" in error.message, error
        self.repository.close()
        self.open()

    def _again(self, act: crash_store.Act, *, has_moved: bool) -> None:
        try:
            act(self.repository)
        except UnavailableError as error:
            self._recover(error)
            self._again(act, has_moved=has_moved)
        except AeorError:
            # It had been done, and just that was not told.
            assert has_moved


def _is_in(found: Seen, allowed: Sequence[Seen]) -> bool:
    return any((found.entries, found.notes) == (one.entries, one.notes) for one in allowed)


def refuse(story: StoreStory, folder: Path, at: int, how: Refusal) -> tuple[set[str], object]:
    """Play a story on a disk that refuses an operation.

    Returns:
        What was refused, nothing if the story did not come so far; what is there in the end.
    """
    folder.mkdir()
    refuser = Refuser(at, how)
    with RecordedDisk(folder) as disk:
        disk.refuses = refuser
        store = RefusingStore(disk, refuser)
        story.tell(store)
        refuser.is_mended = True
        assert verify(store.repository).findings == []
        found = summary(store.repository)
        store.close()
        reopened = Store(disk)
        assert summary(reopened.repository) == found
        assert verify(reopened.repository).findings == []
        reopened.close()
    return refuser.was, found


def told(error: Exception) -> str:
    """An error and where it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    where = ", ".join(f"{Path(one.filename).name}:{one.lineno}" for one in frames[-5:])
    return f"{error!r}"[:1500] + f" in {where}"


def summary(repository: Repository) -> object:
    """What is there in the end, however it came there."""
    return files(repository), [conflict.path for conflict in repository.conflicts()]


def refuse_pass(story: FolderStory, folder: Path, at: int, how: Refusal) -> set[str]:
    """Make a pass on a disk that refuses an operation, then others on one that works.

    Returns:
        What was refused, nothing if the pass did not come so far.
    """
    folder.mkdir()
    again = replace(story)
    again.prepare(folder)
    dots = again.server.dots()
    kept = {path: dots[path] for path in story.expected.dots}
    again.expected = replace(story.expected, dots=kept)
    refuser = Refuser(at, how)
    with RecordedDisk(folder) as disk:
        disk.refuses = refuser
        # It is told as a problem, or ends the pass; or what was refused was not needed.
        with suppress(AeorError):
            again.server.sync(folder)
        refuser.is_mended = True
        again.demand_old_or_new(folder / "folder")
        again.make_up(again.server, folder)
    return refuser.was


def each(name: str, how: Refusal, pick: Callable[[int], bool], act: Act) -> list[str]:
    """Refuse each operation that is picked; returns what went wrong.

    Args:
        name: Of the story.
        how: The disk refuses.
        pick: Which numbers of operations.
        act: Plays the story, told which operation is to be refused; returns what was.
    """
    wrong: list[str] = []
    at, was = 0, {"something"}
    while was and len(wrong) < _ENOUGH:
        if pick(at):
            try:
                was = act(at)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is wrong
                wrong.append(f"{name}, {how.value} at {at}: {told(error)}")
        at += 1
    return wrong


def of_store(
    story: StoreStory, folder: Path, how: Refusal, pick: Callable[[int], bool]
) -> list[str]:
    """The same for a store."""
    _, wanted = refuse(story, folder / "whole", 1 << 60, how)

    def act(at: int) -> set[str]:
        was, found = refuse(story, folder / f"{at}", at, how)
        assert found == wanted, (found, wanted)
        return was

    return each(story.name, how, pick, act)


def of_folder(
    story: FolderStory, folder: Path, how: Refusal, pick: Callable[[int], bool]
) -> list[str]:
    """The same for a pass of a folder client."""
    record(story, folder / "whole")
    return each(story.name, how, pick, lambda at: refuse_pass(story, folder / f"{at}", at, how))
