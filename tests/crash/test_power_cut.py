"""The power goes at every step of a workload; what was acknowledged is there afterwards.

Steps are the writes and fsyncs of the packs and the transactions of the database. Bytes that were
written but not synced are gone after the cut.
"""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from aeorsync.errors import AeorError
from aeorsync.runtime.durable import sync_file
from aeorsync.storage import packs
from aeorsync.storage.database import Database
from aeorsync.storage.repository import Repository
from tests.support.repositories import files, open_repository, put

CONTENTS = {f"/d{i % 3}/f{i}": (b"%d " % i) * (i * 700 + 1) for i in range(6)}


class PowerCutError(Exception):
    """The machine went away."""


class Plug:
    """Counts steps and cuts the power at one of them; remembers what was synced by then."""

    def __init__(self, cut_at: int) -> None:
        self.left = cut_at
        self.is_off = False
        self.synced: dict[str, int] = {}

    def step(self) -> None:
        if self.is_off or self.left == 0:
            self.is_off = True
            raise PowerCutError
        self.left -= 1


@pytest.fixture
def plug(monkeypatch: pytest.MonkeyPatch) -> Plug:
    plug = Plug(cut_at=-1)
    write_all = packs._write_all
    transaction = Database.transaction

    def writing(handle: int, buffers: list[bytes | memoryview], at: int) -> None:
        plug.step()
        write_all(handle, buffers, at)

    def syncing(handle: int) -> None:
        plug.step()
        sync_file(handle)
        path = Path(f"/proc/self/fd/{handle}").resolve()
        plug.synced[path.name] = path.stat().st_size

    @contextmanager
    def committing(self: Database) -> Iterator[sqlite3.Connection]:
        plug.step()
        with transaction(self) as connection:
            yield connection
            plug.step()
        plug.step()

    monkeypatch.setattr(packs, "_write_all", writing)
    monkeypatch.setattr(packs, "sync_file", syncing)
    monkeypatch.setattr(Database, "transaction", committing)
    return plug


def workload(repository: Repository, acknowledged: dict[str, bytes]) -> None:
    for path, data in CONTENTS.items():
        put(repository, path, data)
        acknowledged[path] = data


def after_the_cut(folder: Path, plug: Plug, copy: Path) -> None:
    """What the disk holds when the machine comes back."""
    shutil.copytree(folder, copy)
    for pack in (copy / "packs").glob("*.pack"):
        pack.write_bytes(pack.read_bytes()[: plug.synced.get(pack.name, 0)])


def run_until_cut(tmp_path: Path, plug: Plug, cut_at: int) -> tuple[dict[str, bytes], bool]:
    acknowledged: dict[str, bytes] = {}
    folder = tmp_path / f"cut{cut_at}"
    plug.left, plug.is_off, plug.synced = -1, False, {}
    repository = open_repository(folder)
    plug.left = cut_at
    with suppress(PowerCutError, AeorError):
        workload(repository, acknowledged)
    was_cut = plug.is_off
    after_the_cut(folder, plug, tmp_path / f"after{cut_at}")
    plug.left, plug.is_off = -1, False
    repository.close()
    return acknowledged, was_cut


def test_every_acknowledged_write_survives_a_cut_at_every_step(tmp_path: Path, plug: Plug) -> None:
    cut_at, was_cut = 0, True
    while was_cut:
        acknowledged, was_cut = run_until_cut(tmp_path, plug, cut_at)
        reopened = open_repository(tmp_path / f"after{cut_at}")
        found = files(reopened)
        assert acknowledged.items() <= found.items()
        # At most the write under way is there too, whole.
        assert all(CONTENTS[path] == data for path, data in found.items())
        assert len(found) <= len(acknowledged) + 1
        put(reopened, "/after", b"it goes on")
        assert files(reopened)["/after"] == b"it goes on"
        reopened.close()
        cut_at += 1
    assert cut_at > 5 * len(CONTENTS)
