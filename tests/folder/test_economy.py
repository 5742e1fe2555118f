"""What a pass spends: files opened, bytes read, requests made, syncs waited for."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aeorsync.client.syncing import SyncCalls
from aeorsync.folder import batches, pull, sending
from aeorsync.folder.facts import NOWHERE, Agreed
from aeorsync.folder.held import HeldFolder
from aeorsync.folder.ledger import Ledger
from aeorsync.folder.placing import Done
from aeorsync.folder.root import SafeRoot
from tests.support.cycles import noise
from tests.support.people import Synced

Make = Callable[..., Synced]
BIG = 20_000_000


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were opened for reading; there is no file of patterns."""
    names: list[str] = []
    whole = HeldFolder.open

    def count(folder: HeldFolder, name: str) -> int:
        handle = whole(folder, name)
        names.append(name)
        return handle

    monkeypatch.setattr(HeldFolder, "open", count)
    return names


def counted(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> list[object]:
    """What each call of a method was given."""
    calls: list[object] = []
    whole = getattr(owner, name)

    def count(self: object, *given: object, **more: object) -> object:
        calls.append(given[0] if given else None)
        return whole(self, *given, **more)

    monkeypatch.setattr(owner, name, count)
    return calls


def test_a_new_file_is_opened_once(person: Make, opened: list[str]) -> None:
    a = person("a")
    for number in range(20):
        a.write(f"folder/{number}", f"text {number}" * 50)
    assert a.sync().uploaded == 21
    assert sorted(opened) == sorted(map(str, range(20)))
    opened.clear()
    assert a.sync().changes == 0


def test_a_large_file_is_read_once(person: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    read = 0
    whole = os.pread

    def count(handle: int, size: int, at: int) -> bytes:
        nonlocal read
        data = whole(handle, size, at)
        read += len(data)
        return data

    a = person("a")
    (a.path / "big").write_bytes(noise(BIG))
    monkeypatch.setattr(os, "pread", count)
    assert a.sync().bytes_sent == BIG
    assert read == BIG


def test_of_a_large_file_that_was_edited_only_what_is_new_is_sent(
    person: Make, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = person("a"), person("b")
    body = noise(BIG)
    (a.path / "big").write_bytes(body)
    a.sync()
    opened.clear()
    asked = counted(monkeypatch, SyncCalls, "check")
    (a.path / "big").write_bytes(b"!" + body)
    assert a.sync().bytes_sent < BIG // 20
    # As a whole, and once more where the new chunks lie.
    assert opened == ["big", "big"]
    assert len(asked) == 1
    b.sync()
    assert (b.path / "big").read_bytes() == b"!" + body


def test_a_large_file_that_was_moved_is_named_and_not_asked_about(
    person: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = person("a"), person("b")
    (a.path / "big").write_bytes(noise(BIG))
    a.sync()
    b.sync()
    asked = counted(monkeypatch, SyncCalls, "check")
    (a.path / "big").rename(a.path / "moved")
    outcome = a.sync()
    assert (outcome.moved, outcome.bytes_sent, asked) == (1, 0, [])
    got = b.sync()
    assert (got.moved, got.bytes_received) == (1, 0)
    assert (b.path / "moved").stat().st_size == BIG


def test_a_large_file_that_changes_while_it_is_sent_is_not_sent_half(
    person: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = person("a"), person("b")
    big = a.path / "big"
    big.write_bytes(noise(BIG)[::-1])
    whole = SyncCalls.send_chunks
    is_first = True

    async def edit_meanwhile(client: SyncCalls, chunks: list[object], **how: bool) -> None:
        nonlocal is_first
        if is_first:
            is_first = False
            with big.open("r+b") as file:
                file.write(b"edited")
        await whole(client, chunks, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(SyncCalls, "send_chunks", edit_meanwhile)
    outcome = a.sync()
    assert outcome.failures == ()
    b.sync()
    assert (b.path / "big").read_bytes() == big.read_bytes()
    assert big.read_bytes().startswith(b"edited")


def test_a_folder_that_was_moved_there_costs_each_file_once_here(
    person: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = person("a"), person("b")
    for number in range(200):
        a.write(f"before/f{number}", f"text {number}")
    a.sync()
    b.sync()
    (a.path / "before").rename(a.path / "after")
    a.sync()
    gathered = counted(monkeypatch, Done, "paths")
    assert b.sync().moved == 200
    assert len(gathered) < 5


def test_what_the_server_lost_before_the_commit_is_sent_again_and_kept_at_once(
    person: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "UNSYNCED", 2 * sending.WINDOW)
    a, b = person("a"), person("b")
    body = os.urandom(BIG)  # other tests have left their noise there
    (a.path / "big").write_bytes(body)
    whole, at_once = SyncCalls.send_chunks, 0

    async def lose(client: SyncCalls, chunks: list[Any], *, volatile: bool = False) -> None:
        nonlocal at_once
        if not volatile:
            at_once += sum(len(chunk.stored) for chunk in chunks)
            await whole(client, chunks)

    monkeypatch.setattr(SyncCalls, "send_chunks", lose)
    assert a.sync().failures == ()
    # All of it after the refusal, and about every second window before.
    assert 1.3 * BIG < at_once < 1.8 * BIG
    b.sync()
    assert (b.path / "big").read_bytes() == body


def test_batches_that_come_one_after_the_other_share_their_syncs(
    person: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull, "MAX_FILES", 10)
    a, b = person("a"), person("b")
    for number in range(60):
        a.write(f"f{number}", f"text {number}")
    a.sync()
    synced = counted(monkeypatch, SafeRoot, "sync")
    assert b.sync().downloaded == 60
    # One for each of six batches, and one for the names of the last.
    assert len(synced) == 7
    assert b.sync().changes == 0


def test_a_commit_waits_for_the_ledger_once(person: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    a = person("a")
    a.write("file", "text")
    a.sync()
    lasting = 0
    whole = Ledger.transaction

    def count(ledger: Ledger, *, lasts: bool = True) -> object:
        nonlocal lasting
        lasting += lasts and not ledger._db.in_transaction
        return whole(ledger, lasts=lasts)

    monkeypatch.setattr(Ledger, "transaction", count)
    monkeypatch.setattr(batches, "MAX_CHANGES", 10)
    spent = []
    for commits in (2, 7):
        before = lasting
        for number in range(10 * commits):
            a.write(f"new{commits}-{number}", "text")
        assert a.sync().uploaded == 10 * commits
        spent.append(lasting - before)
    # The name of each; what it came to goes along with the next one's.
    assert spent[1] - spent[0] == 5


def test_of_what_was_sent_nothing_is_asked_unless_others_did_something(
    person: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = person("a"), person("b")
    for who in (a, b):
        who.sync()
    asked = counted(monkeypatch, SyncCalls, "diff")
    monkeypatch.setattr(batches, "MAX_CHANGES", 10)
    for number in range(40):
        a.write(f"file{number}", "text")
    assert (a.sync().uploaded, len(asked)) == (40, 1)
    assert (a.sync().changes, len(asked)) == (0, 2)
    (a.path / "file1").unlink()
    a.write("file2", "edited")
    assert (a.sync().changes, len(asked)) == (2, 3)
    whole = SyncCalls.commit

    async def after_another(client: SyncCalls, *given: object) -> object:
        monkeypatch.setattr(SyncCalls, "commit", whole)
        b.write("of b", "text")
        (b.path / "file3").unlink()
        await asyncio.to_thread(b.sync)
        return await whole(client, *given)  # type: ignore[arg-type]

    b.sync()
    monkeypatch.setattr(SyncCalls, "commit", after_another)
    a.write("of a", "text")
    outcome = a.sync()
    assert (outcome.uploaded, outcome.downloaded, outcome.deleted_local) == (1, 1, 1)
    assert b.sync().downloaded == 1
    assert a.names == b.names


def break_off(ledger: Ledger) -> None:
    with ledger.transaction(lasts=False):
        ledger.record([("b", Agreed(NOWHERE))])
        raise ZeroDivisionError


def test_what_lasts_later_is_all_or_nothing_and_what_lasts_takes_it_along(
    tmp_path: Path,
) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        with ledger.transaction(lasts=False):
            ledger.record([("a", Agreed(NOWHERE))])
        with pytest.raises(ZeroDivisionError):
            break_off(ledger)
        assert ledger._db.execute("PRAGMA synchronous").fetchone() == (1,)
        ledger.note("name", "value")
        assert ledger._db.execute("PRAGMA synchronous").fetchone() == (2,)
        assert ledger.agreed("a") is not None
        assert ledger.agreed("b") is None
