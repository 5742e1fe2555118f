"""The power goes at every step of a collection; all that is in use is there afterwards."""

import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from aeorsync.errors import AeorError
from aeorsync.storage.gc import GRACE_MS, Collector
from aeorsync.storage.packs import Packs
from aeorsync.storage.repository import Repository
from aeorsync.storage.verify import verify
from tests.crash.test_power_cut import Plug, PowerCutError, after_the_cut, plug
from tests.support.clock import FakeClock
from tests.support.cycles import noise
from tests.support.repositories import files, open_repository, put

__all__ = ["plug"]


def fill(repository: Repository) -> dict[str, bytes]:
    """Packs of which much is garbage, one of them all."""
    for number in range(12):
        put(repository, f"/f{number % 4}", noise(4000, number))
    repository.store._packs.seal(1)  # type: ignore[attr-defined]
    for number in range(20, 28):
        put(repository, f"/f{number % 4}", noise(4000, number))
    return files(repository)


def cut_once(tmp_path: Path, plug: Plug, cut_at: int) -> bool:
    folder, after = tmp_path / f"cut{cut_at}", tmp_path / f"after{cut_at}"
    plug.left, plug.is_off, plug.synced = -1, False, {}
    wall = FakeClock()
    repository = open_repository(folder, wall=wall)
    wanted = fill(repository)
    wall.now += 2 * GRACE_MS
    plug.left = cut_at
    with suppress(PowerCutError, AeorError):
        Collector(repository, wall).run()
    was_cut = plug.is_off
    after_the_cut(folder, plug, after)
    plug.left, plug.is_off = -1, False
    repository.close()

    reopened = open_repository(after, wall=wall)
    assert files(reopened) == wanted
    assert verify(reopened).findings == []
    put(reopened, "/new", b"it goes on")
    wall.now += 2 * GRACE_MS
    Collector(reopened, wall).run()
    assert files(reopened) == {**wanted, "/new": b"it goes on"}
    assert verify(reopened).findings == []
    size = sum(pack.stat().st_size for pack in (after / "packs").glob("*.pack"))
    # Whatever the cut left behind has been given back: a fifth at most is garbage.
    assert size < 1.3 * 4 * 4100
    reopened.close()
    shutil.rmtree(folder)
    shutil.rmtree(after)
    return was_cut


def test_what_is_in_use_survives_a_cut_at_every_step_of_a_collection(
    tmp_path: Path, plug: Plug, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = Packs.remove

    def removing(self: Packs, number: int) -> None:
        plug.step()
        remove(self, number)
        plug.step()

    monkeypatch.setattr(Packs, "remove", removing)
    cut_at = 0
    while cut_once(tmp_path, plug, cut_at):
        cut_at += 1
    assert cut_at > 12
