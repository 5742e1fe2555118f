"""The ledger remembers every cycle, and never stands in the way of one."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeorsync.storage import ledger as ledger_module
from aeorsync.storage.ledger import DIRECTIONS, KEEP_MS, STATUSES, CycleRow, Direction, Ledger

NOW = 1_700_000_000_000
DAY = 24 * 3600 * 1000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    opened = Ledger(path, NOW)
    yield opened
    opened.close()


def note(ledger: Ledger, peer: int = 1, at: int = NOW, **end: Any) -> int:  # noqa: ANN401 - passed on
    row = ledger.begin(peer, "http://b:1", end.pop("direction", "pull"), at)
    ledger.end(row, **{"now_ms": at + 5, "status": "success", **end})
    return row


def test_a_row_tells_of_a_cycle_from_its_begin_to_its_end(ledger: Ledger) -> None:
    row = ledger.begin(7, "http://b:1", "push", NOW)
    running = CycleRow(row, 7, "http://b:1", "push", NOW, None, 0, 0, 0, "running", None)
    assert ledger.rows() == [running]
    ledger.end(
        row, now_ms=NOW + 250, status="partial", files=3, skipped=4, bytes=500, error="1 not taken"
    )
    ended = CycleRow(row, 7, "http://b:1", "push", NOW, 250, 3, 4, 500, "partial", "1 not taken")
    assert ledger.rows() == [ended]


def test_a_clock_that_went_back_makes_no_negative_duration(ledger: Ledger) -> None:
    note(ledger, now_ms=NOW - 1000)
    assert ledger.rows()[0].duration_ms == 0


def test_rows_outlive_the_process_and_running_ones_have_failed(path: Path) -> None:
    first = Ledger(path, NOW)
    done = note(first)
    stray = first.begin(2, "http://c:1", "pull", NOW)
    # Not closed: the process was killed.
    second = Ledger(path, NOW)
    try:
        rows = second.rows()
        assert [(row.id, row.status, row.error) for row in rows] == [
            (stray, "failed", "the node stopped"),
            (done, "success", None),
        ]
        assert rows[0].duration_ms is None
        assert note(second) > stray
    finally:
        first.close()
        second.close()


def test_numbers_are_never_used_again(path: Path) -> None:
    first = Ledger(path, NOW)
    row = note(first)
    first.close()
    later = Ledger(path, NOW + 2 * KEEP_MS)
    assert later.rows() == []
    assert note(later) > row
    later.close()


@given(
    cycles=st.lists(
        st.tuples(st.integers(1, 3), st.sampled_from(DIRECTIONS), st.sampled_from(STATUSES)),
        max_size=30,
    ),
    peer=st.none() | st.integers(1, 3),
    direction=st.none() | st.sampled_from(DIRECTIONS),
    status=st.none() | st.sampled_from(STATUSES),
    limit=st.integers(1, 7),
)
def test_filters_and_pages_give_exactly_what_fits_newest_first(
    cycles: list[tuple[int, Direction, Any]],
    peer: int | None,
    direction: str | None,
    status: str | None,
    limit: int,
) -> None:
    ledger = Ledger(None)
    ids = [note(ledger, at[0], direction=at[1], status=at[2]) for at in cycles]
    wanted = [
        row
        for row, (p, d, s) in zip(ids, cycles, strict=True)
        if peer in {None, p} and direction in {None, d} and status in {None, s}
    ]
    seen: list[int] = []
    before = None
    while page := ledger.rows(
        peer=peer, direction=direction, status=status, limit=limit, before=before
    ):
        assert len(page) <= limit
        seen += [row.id for row in page]
        before = page[-1].id
    ledger.close()
    assert seen == wanted[::-1]


def test_what_is_older_than_thirty_days_goes_at_the_start_and_once_a_day(path: Path) -> None:
    first = Ledger(path, NOW)
    note(first, at=NOW - 1)
    kept = [note(first, at=NOW + DAY)]
    first.close()
    second = Ledger(path, NOW + KEEP_MS)
    assert [row.id for row in second.rows()] == kept
    kept.append(note(second, at=NOW + KEEP_MS + DAY - 1))
    assert [row.id for row in second.rows()] == kept[::-1]
    kept.append(note(second, at=NOW + KEEP_MS + DAY + 1))
    assert [row.id for row in second.rows()] == kept[:0:-1]
    second.close()


def test_what_is_old_goes_in_batches_and_all_of_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "_BATCH", 10)
    first = Ledger(path, NOW)
    for _ in range(35):
        note(first)
    first.close()
    later = NOW + 2 * KEEP_MS
    second = Ledger(path, later)
    assert len(second.rows()) == 25
    for _ in range(5):
        note(second, at=later)
    assert len(second.rows()) == 5
    second.close()


def test_however_busy_it_is_the_rows_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "MAX_ROWS", 20)
    monkeypatch.setattr(ledger_module, "_EVERY", 10)
    ledger = Ledger(None, NOW)
    ids = [note(ledger) for _ in range(101)]
    rows = [row.id for row in ledger.rows()]
    assert rows == ids[::-1][: len(rows)]
    assert 20 <= len(rows) <= 31
    ledger.close()


def test_a_thousand_small_cycles_take_no_thousand_syncs(path: Path) -> None:
    ledger = Ledger(path, NOW)
    # NORMAL: in WAL mode only checkpoints are synced.
    assert ledger._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert ledger._db.execute("PRAGMA synchronous").fetchone() == (1,)
    began = time.monotonic()
    for _ in range(1000):
        note(ledger)
    assert time.monotonic() - began < 5
    assert len(ledger.rows(limit=2000)) == 1000
    ledger.close()


def test_many_threads_may_write_at_once(ledger: Ledger) -> None:
    def work(peer: int) -> None:
        for _ in range(50):
            note(ledger, peer)

    threads = [threading.Thread(target=work, args=(peer,)) for peer in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ledger.rows(limit=500)) == 200
    assert {row.status for row in ledger.rows()} == {"success"}


def garbage(path: Path) -> None:
    path.write_bytes(b"no database at all" * 1000)


def truncated(path: Path) -> None:
    ledger = Ledger(path, NOW)
    for _ in range(200):
        note(ledger)
    ledger.close()
    path.write_bytes(path.read_bytes()[:3000])


def newer(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=99")
    db.close()


def foreign(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE cycles (something)")
    db.close()


def folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("damage", [garbage, truncated, newer, foreign, folder])
def test_a_file_that_cannot_be_read_is_set_aside_and_a_new_one_begun(
    path: Path, damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    damage(path)
    for _ in range(2):  # a second time, where something was set aside before, too
        ledger = Ledger(path, NOW)
        assert [row.id for row in ledger.rows()] == []
        row = note(ledger)
        ledger.close()
        again = Ledger(path, NOW)
        assert [each.id for each in again.rows()] == [row]
        again.close()
        aside = path.with_name("ledger.sqlite3.damaged")
        assert aside.exists()
        if damage is not folder:
            path.unlink()
            damage(path)
        else:
            break
    assert "ledger: begun anew" in "".join(capsys.readouterr())


def test_damage_that_shows_while_running_loses_rows_and_nothing_else(path: Path) -> None:
    ledger = Ledger(path, NOW)
    for _ in range(300):
        note(ledger, error="x" * 300)
    ledger.close()
    damaged = Ledger(path, NOW)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(b"\xff" * (size - 4096 * 3))
    for _ in range(3):
        note(damaged)
        damaged.rows(status="success")
    row = note(damaged)
    assert damaged.rows()[0].id == row
    assert path.with_name("ledger.sqlite3.damaged").exists()
    damaged.close()


def test_without_a_place_for_the_file_rows_are_kept_in_memory(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "not there" / "ledger.sqlite3", NOW)
    note(ledger)
    assert len(ledger.rows()) == 1
    ledger.close()


def test_a_disk_that_refuses_costs_rows_and_no_error(ledger: Ledger, path: Path) -> None:
    note(ledger)
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        row = ledger.begin(1, "http://b:1", "pull", NOW)
        ledger.end(row, now_ms=NOW, status="success")
        assert row == 0
        other.execute("ROLLBACK")
    other.close()
    assert len(ledger.rows()) == 1
    note(ledger)
    assert len(ledger.rows()) == 2
    assert not path.with_name("ledger.sqlite3.damaged").exists()


def test_a_file_that_somebody_locks_at_the_start_is_left_alone(path: Path) -> None:
    first = Ledger(path, NOW)
    note(first)
    first.close()
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        meanwhile = Ledger(path, NOW)
        note(meanwhile)
        meanwhile.close()
        other.execute("ROLLBACK")
    other.close()
    later = Ledger(path, NOW)
    assert len(later.rows()) == 1
    later.close()
    assert not path.with_name("ledger.sqlite3.damaged").exists()


def test_what_comes_after_the_close_goes_nowhere(path: Path) -> None:
    ledger = Ledger(path, NOW)
    ledger.close()
    assert note(ledger) == 0
    assert ledger.rows() == []


def test_long_errors_are_cut(ledger: Ledger) -> None:
    note(ledger, status="failed", error="x" * 10_000)
    error = ledger.rows()[0].error
    assert error is not None
    assert len(error) == 500
