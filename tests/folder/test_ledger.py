"""The memory of a pair."""

import os
import sqlite3
import subprocess
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from aeorsync.core.versions import Kind
from aeorsync.errors import BusyError, CorruptError
from aeorsync.folder.content import small
from aeorsync.folder.facts import FOLDER, Agreed, Copy, Fingerprint, places
from aeorsync.folder.ledger import Ledger
from aeorsync.folder.ledger_rows import Part
from aeorsync.folder.lock import PairLock

FILE = Fingerprint(Kind.FILE, 5, 7, 9, (1 << 63) - 1, executable=True)


def file(data: bytes = b"bytes") -> Agreed:
    content = small(data)
    return Agreed(FILE, 11, content.hash, content.chunks, '"etag"', "version", is_racy=True)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.sqlite3")


def test_what_is_recorded_is_there_after_a_restart(ledger: Ledger) -> None:
    link = Agreed(Fingerprint(Kind.SYMLINK, 3, 4), 4, b"target", b"", '"e"', "v")
    ledger.record([("a", Agreed(FOLDER)), ("a/file", file()), ("a/link", link)])
    assert ledger.is_new
    ledger.close()
    with Ledger(ledger.path) as again:
        assert not again.is_new
        assert again.agreed("a/file") == file()
        assert again.agreed("a/link") == link
        assert again.agreed("nothing/here") is None
        assert again.children("a") == [("a/file", file()), ("a/link", link)]
        assert [path for path, _ in again.below()] == ["a", "a/file", "a/link"]
        assert again.count() == 3


def test_what_is_below_a_folder_is_not_what_only_begins_like_it(ledger: Ledger) -> None:
    paths = ["a", "a/b", "a/b/c", "a b", "a b/c", "a0", "a0/c", "a-", "a-/c"]
    ledger.record((path, file()) for path in paths)
    assert [path for path, _ in ledger.below("a")] == ["a/b", "a/b/c"]
    ledger.forget_below("a")
    assert [path for path, _ in ledger.below()] == [
        "a b",
        "a-",
        "a0",
        "a b/c",
        "a-/c",
        "a0/c",
    ]
    ledger.close()


def test_equal_contents_are_found_wherever_they_are(ledger: Ledger) -> None:
    ledger.record([("one", file()), ("a/two", file()), ("other", file(b"other"))])
    found = ledger.by_content(small(b"bytes").hash)
    assert sorted(path for path, _ in found) == ["a/two", "one"]
    [place] = places(found[0][1].chunks)
    assert (place.start, place.size) == (0, 5)
    ledger.close()


def test_a_transaction_is_whole_or_nothing(ledger: Ledger) -> None:
    ledger.record([("a/kept", file())])
    with suppress(RuntimeError), ledger.transaction():
        ledger.record([("b/new", file())])
        ledger.note("cursor", "later")
        raise RuntimeError
    assert ledger.agreed("b/new") is None
    assert ledger.noted("cursor") is None
    ledger.record([("b/new", file())])
    assert ledger.agreed("b/new") == file()
    ledger.close()


def test_whatever_changes_a_row_has_its_folder_looked_at_again(ledger: Ledger) -> None:
    ledger.record([("a/file", file())])
    copy = Copy("a/file", "v", '"e"', b"content", FILE)
    for change in (
        partial(ledger.record, [("a/other", file())]),
        partial(ledger.refresh, "a/file", FILE, is_racy=False),
        partial(ledger.forget, ["a/other"]),
        partial(ledger.add_copy, "a/copy", copy),
        partial(ledger.drop_copy, "a/copy"),
    ):
        ledger.see([("a", b"digest")])
        assert ledger.seen("a") == b"digest"
        change()
        assert ledger.seen("a") is None
    ledger.close()


def test_copies_parts_changes_and_notes_are_kept(ledger: Ledger) -> None:
    copy = Copy("a/file", "v", '"e"', b"content", FILE)
    ledger.add_copy("a/file (conflict)", copy)
    assert ledger.copies() == ledger.copies("a") == {"a/file (conflict)": copy}
    assert ledger.copies_of("a/file") == {"a/file (conflict)": copy}
    assert ledger.copies("b") == ledger.copies_of("b") == {}
    part = Part("a/large", ".aeorsync-tmp-x", b"hash", b"chunks")
    ledger.begin_part(part)
    assert ledger.parts() == [part]
    ledger.end_part("a/large")
    assert ledger.parts() == []
    for name in "cab":
        ledger.postpone(name, name.encode())
    assert ledger.pending(limit=2) == [("a", b"a"), ("b", b"b")]
    assert ledger.pending(after="b") == [("c", b"c")]
    ledger.settle("b")
    assert ledger.count_pending() == 2
    assert ledger.has_pending()
    ledger.note("cursor", "1")
    assert ledger.noted("cursor") == "1"
    ledger.note("cursor", None)
    assert ledger.noted("cursor") is None
    ledger.close()


def test_a_damaged_ledger_says_so_and_what_to_do(ledger: Ledger) -> None:
    ledger.record((f"{number}/file", file()) for number in range(200))
    ledger.close()
    data = bytearray(ledger.path.read_bytes())
    data[:100] = os.urandom(100)
    ledger.path.write_bytes(data)
    with pytest.raises(CorruptError, match="move it away"):
        Ledger(ledger.path)


def test_a_ledger_of_a_later_version_is_left_alone(ledger: Ledger) -> None:
    ledger.close()
    with sqlite3.connect(ledger.path) as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(CorruptError, match="newer"):
        Ledger(ledger.path)


def test_two_processes_never_keep_one_pair(tmp_path: Path) -> None:
    lock = PairLock(tmp_path / "lock")
    with pytest.raises(BusyError):
        PairLock(tmp_path / "lock")
    script = (
        "import sys; from pathlib import Path; from aeorsync.folder.lock import PairLock;"
        "PairLock(Path(sys.argv[1]))"
    )
    args = [sys.executable, "-c", script, str(tmp_path / "lock")]
    assert subprocess.run(args, check=False, stderr=subprocess.DEVNULL).returncode == 1
    lock.release()
    assert subprocess.run(args, check=False).returncode == 0
    PairLock(tmp_path / "lock").release()
