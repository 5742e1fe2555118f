"""What a scan tells."""

import os

from aeorsync.core.hashing import content_hash
from aeorsync.core.versions import Kind
from aeorsync.folder.facts import Flaw
from tests.support.folders import World


def test_everything_is_new_at_first_and_nothing_once_agreed(world: World) -> None:
    (world.path / "a/b").mkdir(parents=True)
    (world.path / "a/one.txt").write_text("one")
    (world.path / "a/b/two.txt").write_text("two")
    (world.path / "link").symlink_to("a/one.txt")
    found = world.scan()
    assert {path: one.fingerprint and one.fingerprint.kind for path, one in found.items()} == {
        "a": Kind.DIRECTORY,
        "a/b": Kind.DIRECTORY,
        "a/one.txt": Kind.FILE,
        "a/b/two.txt": Kind.FILE,
        "link": Kind.SYMLINK,
    }
    content = found["a/one.txt"].content
    assert content is not None
    assert content.hash == content_hash(b"one")
    assert found["link"].target == "a/one.txt"
    world.agree(found)
    assert world.scan() == {}
    assert world.ledger.seen("a/b") is not None
    assert world.scan() == {}


def test_an_edit_is_found_though_size_and_mtime_stay(world: World) -> None:
    file = world.path / "file"
    file.write_text("one")
    world.agree(world.scan())
    assert world.scan() == {}
    before = file.stat()
    file.write_text("two")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    found = world.scan()
    assert found["file"].content is not None
    assert found["file"].content.hash == content_hash(b"two")
    assert found["file"].was is not None


def test_what_is_gone_is_told_with_all_that_was_in_it(world: World) -> None:
    (world.path / "a/b").mkdir(parents=True)
    (world.path / "a/b/c").write_text("c")
    world.agree(world.scan())
    (world.path / "a/b/c").unlink()
    (world.path / "a/b").rmdir()
    (world.path / "a").rmdir()
    found = world.scan()
    assert list(found) == ["a", "a/b", "a/b/c"]
    assert all(one.fingerprint is None and one.was is not None for one in found.values())
    assert list(world.scan("a/b/c")) == ["a", "a/b", "a/b/c"]


def test_special_files_and_bad_names_are_left_out_and_the_rest_goes_on(world: World) -> None:
    os.mkfifo(world.path / "pipe")
    (world.path / "bad\nname").write_text("x")
    os.close(os.open(os.fsencode(world.path) + b"/\xff", os.O_CREAT | os.O_WRONLY))
    (world.path / "good").write_text("good")
    assert list(world.scan()) == ["good"]
    assert {(one.path, one.flaw) for one in world.troubles} == {
        ("pipe", Flaw.SPECIAL),
        ("bad\\nname", Flaw.NAME),
        ("\\udcff", Flaw.NAME),
    }
