"""What takes no part."""

import pytest

from aeorsync.folder.facts import Flaw
from aeorsync.folder.ignore import FILE_NAME, Ignore
from aeorsync.folder.selection import Selection
from tests.support.folders import World


@pytest.fixture(autouse=True)
def tree(world: World) -> None:
    for path in ("a/b/x.log", "a/b/keep.log", "a/x.txt", "build/out", "top.log"):
        (world.path / path).parent.mkdir(parents=True, exist_ok=True)
        (world.path / path).write_text(path)


def test_patterns_hold_for_a_folder_and_below_and_deeper_ones_win(world: World) -> None:
    (world.path / FILE_NAME).write_text("*.log\n/build/\n")
    (world.path / "a/b" / FILE_NAME).write_text("!keep.log\n")
    assert set(world.scan()) == {
        FILE_NAME,
        "a",
        "a/b",
        f"a/b/{FILE_NAME}",
        "a/b/keep.log",
        "a/x.txt",
    }


def test_the_command_line_takes_out_what_files_take_in(world: World) -> None:
    (world.path / FILE_NAME).write_text("!*.log\n")
    world.ignore(exclude=["*.log"])
    assert not [path for path in world.scan() if path.endswith(".log")]


def test_only_what_is_included_takes_part_with_all_that_is_in_it(world: World) -> None:
    world.ignore(include=["a/b", "*.txt"])
    assert set(world.scan()) == {"a/b", "a/b/keep.log", "a/b/x.log", "a/x.txt"}
    world.agree(world.scan())
    assert world.scan() == {}


def test_what_is_ignored_later_is_neither_gone_nor_agreed_any_more(world: World) -> None:
    world.agree(world.scan())
    (world.path / FILE_NAME).write_text("a/\n")
    assert set(world.scan()) == {FILE_NAME}
    assert [path for path, _ in world.ledger.below()] == ["build", "top.log", "build/out"]
    (world.path / "a/x.txt").unlink()
    (world.path / FILE_NAME).unlink()
    found = world.scan()
    assert "a/x.txt" not in found
    assert found["a/b/x.log"].was is None


def test_a_line_that_is_no_pattern_is_told_and_the_others_hold(world: World) -> None:
    (world.path / FILE_NAME).write_text("*.log\n!\n")
    assert "top.log" not in world.scan()
    assert [(one.path, one.flaw) for one in world.troubles] == [(FILE_NAME, Flaw.NAME)]


def test_a_file_of_patterns_that_cannot_be_read_leaves_out_its_folder(world: World) -> None:
    world.agree(world.scan())
    (world.path / "a/b" / FILE_NAME).symlink_to("/etc/passwd")
    assert not [path for path in world.scan() if path.startswith("a/b/")]
    assert [one.path for one in world.troubles] == ["a/b"]


def test_paths_of_the_server_are_told_apart_like_local_ones(world: World) -> None:
    (world.path / FILE_NAME).write_text("*.log\n/build/\n")
    selection = Selection(world.root, Ignore.parse())
    assert selection.takes("new/file.txt", is_folder=False)
    assert not selection.takes("new/file.log", is_folder=False)
    assert not selection.takes("build/new/file.txt", is_folder=False)
    assert not selection.takes("a/.aeorsync-tmp-0123abcd-s-0", is_folder=False)
    only = Selection(world.root, Ignore.parse(include=["a/"]))
    assert only.takes("a/b/c/d", is_folder=False)
    assert not only.takes("c/d", is_folder=False)
    assert not only.takes("c", is_folder=True)


@pytest.mark.parametrize("patterns", ["x" * 60_000, "[[:alpha:]]", "[[:nonsense:]]", "[" * 500])
def test_no_pattern_stops_the_others(world: World, patterns: str) -> None:
    (world.path / FILE_NAME).write_text(f"*.log\n{patterns}\n")
    assert "top.log" not in world.scan()


@pytest.mark.parametrize("data", ["a\n" * 20_000, ("?*" * 400 + "\n") * 1500])
def test_more_patterns_than_can_be_used_leave_out_their_folder(world: World, data: str) -> None:
    world.agree(world.scan())
    (world.path / "a/b" / FILE_NAME).write_text(data)
    assert not [path for path in world.scan() if path.startswith("a/b/")]
    assert [one.path for one in world.troubles] == ["a/b"]
