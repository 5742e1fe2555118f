"""A story is played once on a recorded disk; then the power goes at every operation of it.

    play      the real code does something; marks say what is promised, and what is merely possible
    cut       after k operations, for every k; what was not synced is there in some way
    judge     the real code opens what is left, and must find what was promised

What may be found is what was promised last before the cut, or anything that was marked after it,
up to the first mark behind the cut: that is what was under way.
"""

import hashlib
import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Protocol

from tests.support.disk import RecordedDisk
from tests.support.disk_model import Cutter, State, Way
from tests.support.disk_recording import Recording, walk

_MEMORY = Path("/dev/shm")  # noqa: S108 - where there is memory to write to, it is quicker
_SHOWN = 6


Looks = dict[tuple[int, int], tuple[int, int, int]]
"""By device and inode: ctime in nanoseconds; the inode and the ctime of before the cut."""


@dataclass(frozen=True)
class Moment:
    """What a cut left, and what is known of it.

    Attributes:
        folder: What is on the disk.
        allowed: What may be found, in the words of the story.
        past: All that was marked before the cut.
        reached: What others than the disk had come to: what was marked last before the cut, or
            right where it was.
        looks: What the system says of what is there, and the inode and the ctime that it had.
    """

    folder: Path
    allowed: Sequence[Any]
    past: Sequence[Any]
    reached: Any
    looks: Looks


class Story(Protocol):
    """Something that happens, and how to tell whether it was lost."""

    @property
    def name(self) -> str:
        """In one word."""

    def prepare(self, folder: Path) -> None:
        """Fill the folder with what is on the disk, durably, before it happens."""

    def play(self, disk: RecordedDisk) -> None:
        """Let it happen in ``disk.folder``."""

    def judge(self, moment: Moment) -> None:
        """Open what is left.

        Raises:
            AssertionError: It is not what it must be.
        """


@dataclass
class Tally:
    """What was tried.

    Attributes:
        operations: Of the story: places at which the power went.
        states: Different states of the disk that were opened.
        wrong: What went wrong.
    """

    operations: int = 0
    states: int = 0
    wrong: list[str] = field(default_factory=list)


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that is gone afterwards, in memory if there is any to be had."""
    where = _MEMORY if _MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="aeorsync-crash-", dir=where) as folder:
        yield Path(folder)


def record(story: Story, folder: Path) -> Recording:
    """Play a story on a new disk; then the folder is free again."""
    folder.mkdir()
    story.prepare(folder)
    with RecordedDisk(folder) as disk:
        story.play(disk)
        demand_complete(disk)
    # Not removed, so that no inode is used again.
    folder.rename(folder.with_name(f"{folder.name}, played"))
    return disk.recording


def demand_complete(disk: RecordedDisk) -> None:
    """See that doing again all that was noted leads to what is really there."""
    told, found = disk.recording.end, disk.found()
    assert {name: told.names[name] for name in walk(told)} == found.names
    for number, body in found.bodies.items():
        assert told.bodies[number] == body, f"{disk.recording.things[number]} was changed unseen"


def cut_everywhere(
    story: Story,
    recording: Recording,
    folder: Path,
    seed: int,
    ways: Callable[[Random], Sequence[Way]],
    tell: Callable[[Tally], None] = lambda _: None,
) -> Tally:
    """Cut the power after each operation of a story.

    Args:
        story: Which.
        recording: Of it.
        folder: Where to build what is left, as it may tell by its path: where it was played.
        seed: Of all choices.
        ways: Which ways to try at a place.
        tell: Is told how it goes.
    """
    cutter, tally = Cutter(recording.base, recording.operations), Tally()
    known: set[bytes] = set()
    ctimes: dict[int, int] = {}
    for at in range(len(recording.operations) + 1):
        cutter.go_on(at)
        ctimes.update({thing: time for place, thing, time in recording.ctimes if place == at})
        pick = Random(f"{seed}:{at}")
        for number, way in enumerate(ways(pick)):
            state = cutter.state(way, Random(f"{seed}:{at}:{number}"))
            marks = _marks(recording, at, pick)
            digest = _digest(state, marks)
            if digest in known:
                continue
            known.add(digest)
            tally.states += 1
            looks = {
                (look.st_dev, look.st_ino): (
                    look.st_ctime_ns,
                    recording.things[thing].inode,
                    ctimes[thing],
                )
                for thing, look in recording.build(state, folder).items()
            }
            try:
                story.judge(Moment(folder, *marks, looks))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is wrong
                tally.wrong.append(_report(story, recording, at, way, error))
            shutil.rmtree(folder)
        tally.operations = at
        tell(tally)
    return tally


def _marks(recording: Recording, at: int, pick: Random) -> tuple[list[Any], list[Any], Any]:
    """What is allowed, what is past, what was reached."""
    marks = recording.marks
    past = [mark for mark in marks if mark.at <= at]
    ahead = [mark for mark in marks if mark.at > at][:1]
    since = max((n for n, mark in enumerate(past) if mark.is_promised), default=0)
    before = [mark for mark in past if mark.at < at][-1:]
    reached = pick.choice(
        [*before, *(mark for mark in past if mark.at == at), *(ahead if not past else [])]
    )
    return (
        [mark.value for mark in past[since:] + ahead],
        [mark.value for mark in past],
        reached.value,
    )


def _digest(state: State, marks: tuple[list[Any], list[Any], Any]) -> bytes:
    allowed, _, reached = marks
    whole = hashlib.blake2b(repr([id(value) for value in (*allowed, reached)]).encode())
    for name in sorted(walk(state)):
        number = state.names[name]
        body = state.bodies.get(number)
        whole.update(repr((name, number)).encode())
        if body is not None:
            whole.update(repr((len(body.data), body.mode, body.mtime_ns)).encode())
            whole.update(body.data)
    return whole.digest()


def _report(story: Story, recording: Recording, at: int, way: Way, error: Exception) -> str:
    names = {number: name for (_, name), number in recording.end.names.items()}
    last = [
        repr(operation)[:100] + f" [{names.get(getattr(operation, 'thing', -1), '')}]"
        for operation in recording.operations[max(0, at - _SHOWN) : at]
    ]
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(frame.filename).name}:{frame.lineno} {frame.line}"
    text = f"{type(error).__name__}: {error}"[:1500] + f" in {where}"
    return f"{story.name}, cut after {at}, {way.value}: {text}\n  " + "\n  ".join(last)
