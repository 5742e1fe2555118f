"""Changes to the folder, many at once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from aeorsync.folder.apply import (
    Done,
    Link,
    MakeFolder,
    Move,
    Refused,
    Remove,
    RemoveFolder,
    Touch,
    Write,
    apply,
)
from aeorsync.folder.arrival import arriving
from aeorsync.folder.content import small
from aeorsync.folder.facts import FOLDER, Fingerprint
from aeorsync.folder.root import SafeRoot
from aeorsync.runtime.clock import SystemClock

CLOCK = SystemClock()


@pytest.fixture
def root(tmp_path: Path) -> Iterator[SafeRoot]:
    (tmp_path / "folder").mkdir()
    with SafeRoot(tmp_path / "folder", "0123abcd") as root:
        yield root


def seen(root: SafeRoot, path: str) -> Fingerprint:
    found = root.look(path)
    assert found is not None
    return found


def test_a_tree_is_made_and_unmade(root: SafeRoot) -> None:
    made = list(
        apply(
            root,
            [
                MakeFolder("a"),
                MakeFolder("a/b"),
                Write("a/b/file", b"bytes", 5, executable=True, expected=None),
                Link("a/link", "b/file", 7, None),
            ],
            CLOCK,
        )
    )
    assert made == [
        Done("a", FOLDER),
        Done("a/b", FOLDER),
        Done("a/b/file", seen(root, "a/b/file")),
        Done("a/link", seen(root, "a/link")),
    ]
    file = root.path / "a/b/file"
    assert file.read_bytes() == b"bytes"
    assert (root.path / "a/link").read_bytes() == b"bytes"
    assert file.stat().st_mode & 0o111
    assert seen(root, "a/b/file").mtime_ns == 5
    assert seen(root, "a/link").mtime_ns == 7
    touch = Touch("a/b/file", 9, executable=False, expected=seen(root, "a/b/file"))
    [touched] = apply(root, [touch], CLOCK)
    assert touched == Done("a/b/file", seen(root, "a/b/file"))
    assert seen(root, "a/b/file").mtime_ns == 9
    [moved] = apply(root, [Move("a/b/file", "moved", seen(root, "a/b/file"))], CLOCK)
    assert moved == Done("moved", seen(root, "moved"))
    gone = apply(
        root,
        [
            Remove("a/link", seen(root, "a/link")),
            RemoveFolder("a/b"),
            RemoveFolder("a"),
            Remove("moved", seen(root, "moved")),
        ],
        CLOCK,
    )
    assert [type(one) for one in gone] == [Done] * 4
    assert list(root.path.iterdir()) == []


def test_a_folder_that_is_not_empty_stays(root: SafeRoot) -> None:
    (root.path / "a").mkdir()
    (root.path / "a/mine").write_text("mine")
    [kept] = apply(root, [RemoveFolder("a")], CLOCK)
    assert isinstance(kept, Refused)
    assert (root.path / "a/mine").read_text() == "mine"


def test_permissions_of_a_file_that_is_replaced_are_kept(root: SafeRoot) -> None:
    (root.path / "secret").write_text("old")
    (root.path / "secret").chmod(0o4640)
    change = Write("secret", b"new", 5, executable=False, expected=seen(root, "secret"))
    [done] = apply(root, [change], CLOCK)
    assert isinstance(done, Done)
    assert (root.path / "secret").stat().st_mode & 0o7777 == 0o640


def test_a_large_file_goes_on_where_it_was_interrupted(root: SafeRoot) -> None:
    pieces = [bytes([number]) * 1000 for number in range(4)]
    chunks = b"".join(small(piece).chunks for piece in pieces)
    with arriving(root, "large") as arrival:
        arrival.write(pieces[0] + pieces[1] + pieces[2][:500])
        arrival.keep()
    with arriving(root, "large", arrival.temp) as again:
        again.resume(chunks)
        assert (again.done, again.size) == (2, 2000)
        again.write(pieces[2] + pieces[3])
        again.finish(5, None, executable=False)
    assert (root.path / "large").read_bytes() == b"".join(pieces)
    assert [path.name for path in root.path.iterdir()] == ["large"]
