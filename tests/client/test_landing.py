"""What `aeorsync get` and `Client.get` leave on a disk, whatever a server tells and others do."""

import os
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from aeorsync.cli.fetching import State, _Run
from aeorsync.cli.landing import Landing
from aeorsync.client.getting import TEMP_PREFIX, Partial
from aeorsync.client.model import Entry
from aeorsync.core.hashing import content_hash
from aeorsync.errors import AeorError, BadRequestError, ConflictError, CorruptError
from tests.support.bad_names import NAMES, Verdict
from tests.support.loops import run

BODY = b"theirs"


def entry(**changed: object) -> Entry:
    plain: dict[str, Any] = {
        "path": "/a",
        "size": len(BODY),
        "content_hash": content_hash(BODY).hex(),
        "etag": '"e"',
        "mtime_ns": 1,
    }
    return Entry(**{**plain, **changed})


def fetch(to: Path, told: Entry, body: bytes = BODY, *, overwrite: bool = True) -> None:
    with Partial(to, told, overwrite=overwrite) as part:
        at = part.begin()
        part.add([body[at:]])
        part.finish()


def staged_name(to: Path) -> Path:
    """The name under which a file lies until it is whole."""
    with Partial(to, entry(), overwrite=True):
        [name] = [one for one in to.parent.iterdir() if one.name.startswith(TEMP_PREFIX)]
    return name


@pytest.fixture
def sentinel(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    made = tmp_path / "outside/secret"
    made.write_text("sentinel")
    return made


def test_a_file_of_somebody_else_under_the_name_of_ours_is_not_written_to(
    tmp_path: Path, sentinel: Path
) -> None:
    """Class A: a hard link, or a link, that waits where a download will be written."""
    to = tmp_path / "a"
    staged = staged_name(to)
    os.link(sentinel, staged)
    fetch(to, entry())
    assert to.read_bytes() == BODY
    to.unlink()
    staged.symlink_to(sentinel)
    with pytest.raises(OSError, match="symbolic links"):
        fetch(to, entry())
    staged.unlink()
    os.mkfifo(staged)
    with pytest.raises(ConflictError):
        fetch(to, entry())
    assert sentinel.read_text() == "sentinel"
    assert not to.exists()


def test_a_link_at_the_goal_is_replaced_and_not_followed(tmp_path: Path, sentinel: Path) -> None:
    """Class A: rsync CVE-2024-12747."""
    to = tmp_path / "a"
    to.symlink_to(sentinel)
    with pytest.raises(ConflictError):
        fetch(to, entry(), overwrite=False)
    fetch(to, entry())
    assert to.read_bytes() == BODY
    assert sentinel.read_text() == "sentinel"


def test_more_bytes_than_were_told_are_not_written(tmp_path: Path) -> None:
    """Class E, F: a body without end."""
    to = tmp_path / "a"
    with Partial(to, entry(), overwrite=False) as part:
        part.begin()
        with pytest.raises(CorruptError):
            part.add([bytes(1 << 20)] * 100)
    assert sum(one.stat().st_size for one in tmp_path.iterdir()) < 2 << 20
    with pytest.raises(CorruptError):
        fetch(to, entry(), b"THEIRS")
    assert not to.exists()


@pytest.mark.parametrize("number", [1 << 62, 1 << 63, -(1 << 63) - 1, 1 << 80])
def test_a_time_that_cannot_be_is_not_set(tmp_path: Path, number: int) -> None:
    """Class E: numbers that no disk can hold."""
    fetch(tmp_path / "a", entry(mtime_ns=number))
    assert abs((tmp_path / "a").stat().st_mtime - time.time()) < 600


@pytest.mark.parametrize("target", ["", "a\0b", "x" * 5000])
def test_a_link_that_no_disk_can_hold_is_told(tmp_path: Path, target: str) -> None:
    """Class G: targets."""
    with Landing(tmp_path) as landing, pytest.raises((AeorError, OSError)):
        landing.link(["l"], target)


@dataclass
class Teller:
    """A server that tells of a folder whatever a test says."""

    entries: list[Entry]

    async def walk(self, *_: object, **__: object) -> AsyncIterator[Entry]:
        for one in self.entries:
            yield one


def walked(*entries: Entry) -> list[list[str]]:
    maker = _Run(State(), cast("Any", None), cast("Any", None), force=False)

    async def all_of() -> list[list[str]]:
        client = cast("Any", Teller([*entries]))
        return [names async for _, names in maker._walk(client, "/d")]

    return run(all_of())


def test_no_name_that_a_server_tells_leads_out_of_the_folder() -> None:
    """Class B: tarfile CVE-2007-4559, Actual Sync CVE-2026-3089."""
    bad = [one.text for one in NAMES if one.verdict in {Verdict.REFUSED, Verdict.TIDIED}]
    for text in [*bad, "../../etc/passwd", ""]:
        with pytest.raises(AeorError):
            walked(entry(path=f"/d/{text}"))
    for path in ("/etc/passwd", "/d", "/dd/x", "d/x", "", "/", "/d/../x"):
        with pytest.raises(BadRequestError):
            walked(entry(path=path))
    kept = [one.text for one in NAMES if one.verdict is Verdict.KEPT]
    good = [text for text in kept if "/" not in text]
    assert walked(*(entry(path=f"/d/{text}") for text in good)) == [[text] for text in good]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc", "a\0b"])
def test_landing_takes_one_name_at_a_time(tmp_path: Path, name: str) -> None:
    """Class B: the last one to look at a name before the disk does."""
    with Landing(tmp_path / "in") as landing:
        with pytest.raises(BadRequestError):
            landing.make([name])
        with pytest.raises((BadRequestError, OSError)):
            landing.link([name], "x")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["in"]


def test_nothing_lands_behind_a_link_that_is_swapped_in(tmp_path: Path, sentinel: Path) -> None:
    """Class A: rsync CVE-2026-53795: a parent that changes between the look and the act."""
    root, away = tmp_path / "in", tmp_path / "away"
    (root / "d").mkdir(parents=True)
    done = threading.Event()

    def swap() -> None:
        place = root / "d"
        while not done.is_set():
            try:
                place.rename(away)
                place.symlink_to(sentinel.parent)
                time.sleep(0.0002)
                place.unlink()
                away.rename(place)
            except OSError:
                continue

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        end = time.monotonic() + 2
        with Landing(root) as landing:
            while time.monotonic() < end:
                try:
                    with landing.folder(["d"]) as folder:
                        fetch(folder / "secret", entry())
                    landing.link(["d", "link"], "x")
                    landing.make(["d", "made"])
                except (AeorError, OSError):
                    continue
    finally:
        done.set()
        thread.join()
    assert sentinel.read_text() == "sentinel"
    assert [one.name for one in sentinel.parent.iterdir()] == ["secret"]
