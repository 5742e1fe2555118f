"""How a folder stands is noted no later than anybody is told."""

from pathlib import Path

import pytest

from aeorsync.cli import sync_notes
from aeorsync.cli.sync_notes import Noter
from aeorsync.config.folders import Remote, SyncFolder
from aeorsync.core.paths import parse
from aeorsync.folder.events import Outcome, PassEnded, PassStarted, Problem, Why
from aeorsync.folder.places import Place, State
from aeorsync.folder.session import Status
from tests.support.loops import run

PROBLEM = Problem("a", Why.NAME, "cannot be here")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path / "place")
    place.make()
    return place


def noter(place: Place) -> Noter:
    folder = SyncFolder(Path("/f"), Remote("http://a:1", parse("/")))
    return Noter(place, folder, is_real=True)


def state(place: Place) -> State | None:
    note = place.read()
    return None if note is None else note.state


def test_that_a_folder_stands_otherwise_is_noted_at_once(place: Place) -> None:
    async def scene() -> None:
        keeping = noter(place)
        async with keeping.writing(Status):
            for problems, expected in (
                ((), State.SYNCED),
                ((PROBLEM,), State.PROBLEMS),
                ((), State.SYNCED),
            ):
                keeping.take(PassStarted("start", is_full=True))
                keeping.take(PassEnded(Outcome(problems=problems)))
                assert state(place) is expected

    run(scene())


def test_a_note_never_takes_the_place_of_a_later_one(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync_notes, "_EVERY_S", 0.0)

    async def scene() -> None:
        keeping = noter(place)
        async with keeping.writing(Status):
            for number in range(50):
                problems = (PROBLEM,) if number % 2 else ()
                keeping.take(PassEnded(Outcome(problems=problems)))
                await keeping.write()
                assert state(place) is keeping.note.state

    run(scene())


def test_a_hasty_pass_notes_its_end_only(place: Place) -> None:
    async def scene() -> None:
        keeping = noter(place)
        async with keeping.telling(Status):
            keeping.take(PassEnded(Outcome()))
            assert state(place) is None
        assert state(place) is State.SYNCED

    run(scene())
