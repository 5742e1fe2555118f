"""What callers can do to a path, and what is refused without changing anything."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from aeorsync.core.hashing import content_hash
from aeorsync.core.merge import see
from aeorsync.core.paths import TreePath, parse
from aeorsync.core.versions import Content, Kind
from aeorsync.errors import (
    AeorError,
    BadRequestError,
    ConflictError,
    NotFoundError,
    PreconditionError,
)
from aeorsync.storage.changes import (
    Conditions,
    FileState,
    LinkState,
    copy,
    delete,
    make_folder,
    put_file,
    put_link,
    rename,
    restore,
)
from aeorsync.storage.draft import MAX_OPEN_VERSIONS
from aeorsync.storage.repository import Repository
from aeorsync.storage.settling import resolve
from tests.support.clock import FakeClock
from tests.support.repositories import (
    entry_at,
    exchange,
    files,
    get,
    memory_repository,
    open_repository,
    put,
)


@pytest.fixture
def repository() -> Iterator[Repository]:
    made = memory_repository()
    yield made
    made.close()


def do(repository: Repository, operation: object, *args: object, **kwargs: object) -> object:
    paths = [parse(arg) if isinstance(arg, str) and arg.startswith("/") else arg for arg in args]
    return repository.commit(
        lambda draft: operation(draft, *paths, **kwargs)  # type: ignore[operator]
    ).result(timeout=30)


def link(repository: Repository, path: str, target: str) -> None:
    content = Content(content_hash(target.encode()), len(target))
    do(repository, put_link, path, LinkState(target, content))


def names(repository: Repository, folder: str) -> list[str]:
    with repository.view() as view:
        return [child.path for child in view.children(parse(folder))]


def test_a_file_is_read_back_and_its_folders_exist(repository: Repository) -> None:
    put(repository, "/a/b/c.txt", b"hello")
    assert get(repository, "/a/b/c.txt") == b"hello"
    assert names(repository, "/") == ["/a"]
    assert names(repository, "/a") == ["/a/b"]
    with repository.view() as view:
        sight = view.sight(parse("/a/b"))
    assert sight is not None
    assert sight.winner.kind == Kind.DIRECTORY


def test_a_listing_skips_what_lies_deeper(repository: Repository) -> None:
    for path in ("/a", "/a.txt", "/b/x/y", "/b!", "/b/z", "/c"):
        put(repository, path, b"")
    assert names(repository, "/") == ["/a", "/a.txt", "/b", "/b!", "/c"]
    assert names(repository, "/b") == ["/b/x", "/b/z"]


def test_putting_the_same_again_changes_nothing(repository: Repository) -> None:
    first = put(repository, "/a", b"x")
    head = repository.head
    assert put(repository, "/a", b"x") == first
    assert repository.head == head


def test_an_overwrite_keeps_the_creation_time_and_the_mode(repository: Repository) -> None:
    first = put(repository, "/a", b"x", executable=True, mtime=5)
    second = put(repository, "/a", b"y")
    assert (second.created, second.executable) == (first.created, True)
    assert second.mtime != 5
    assert second.base == content_hash(b"x")


def test_a_deleted_file_is_gone_and_can_be_restored(repository: Repository) -> None:
    put(repository, "/d/a", b"x", executable=True)
    do(repository, delete, "/d/a")
    assert get(repository, "/d/a") is None
    assert names(repository, "/d") == []
    do(repository, restore, "/d/a")
    assert get(repository, "/d/a") == b"x"


def test_deleting_and_making_again_leaves_one_version(repository: Repository) -> None:
    put(repository, "/a", b"x")
    do(repository, delete, "/a")
    put(repository, "/a", b"x")
    entry = entry_at(repository, "/a")
    assert entry is not None
    assert len(entry.versions) == 1


def test_a_folder_stays_when_its_last_file_goes(repository: Repository) -> None:
    put(repository, "/d/a", b"x")
    do(repository, delete, "/d/a")
    assert names(repository, "/") == ["/d"]
    do(repository, delete, "/d")
    assert names(repository, "/") == []


def test_a_folder_is_deleted_with_all_in_it_only_when_asked(repository: Repository) -> None:
    put(repository, "/d/e/a", b"x")
    with pytest.raises(BadRequestError, match="not empty"):
        do(repository, delete, "/d")
    do(repository, delete, "/d", recursive=True)
    assert files(repository) == {}
    assert names(repository, "/") == []


def test_a_renamed_folder_takes_everything_along(repository: Repository) -> None:
    for name in ("/d/a", "/d/e/b", "/d!", "/dd"):
        put(repository, name, name.encode())
    do(repository, rename, "/d", "/new/place")
    assert files(repository) == {
        "/d!": b"/d!",
        "/dd": b"/dd",
        "/new/place/a": b"/d/a",
        "/new/place/e/b": b"/d/e/b",
    }
    assert "/d" not in names(repository, "/")


def test_a_rename_keeps_times_and_mode(repository: Repository) -> None:
    before = put(repository, "/a", b"x", executable=True, mtime=42)
    do(repository, rename, "/a", "/b")
    with repository.view() as view:
        sight = view.sight(parse("/b"))
    assert sight is not None
    after = sight.winner
    assert (after.created, after.mtime, after.executable) == (before.created, 42, True)


def test_a_rename_takes_a_conflict_along(repository: Repository) -> None:
    first = put(repository, "/a", b"base")
    put(repository, "/a", b"mine")
    base = ((first.incarnation, first.n),)
    put(repository, "/a", b"yours", base=base)
    do(repository, rename, "/a", "/b")
    conflict = repository.conflict(parse("/b"))
    assert conflict is not None
    both = (conflict.sight.winner, *conflict.sight.losers)
    assert {b"".join(repository.read(version.content)) for version in both} == {b"mine", b"yours"}
    assert get(repository, "/b") == b"yours"


def test_a_copy_leaves_the_original(repository: Repository) -> None:
    put(repository, "/d/a", b"1")
    link(repository, "/d/l", "a")
    assert do(repository, copy, "/d", "/to") == ["/to/d", "/to/d/a", "/to/d/l"]
    assert files(repository) == {"/d/a": b"1", "/to/d/a": b"1"}
    assert names(repository, "/to/d") == ["/to/d/a", "/to/d/l"]


REFUSED = {
    "file where a folder is": (put_file, ("/d",), ConflictError),
    "file below a file": (put_file, ("/d/a/b",), ConflictError),
    "file at the root": (put_file, ("/",), BadRequestError),
    "folder where a file is": (make_folder, ("/d/a",), ConflictError),
    "folder at the root": (make_folder, ("/",), BadRequestError),
    "delete of nothing": (delete, ("/none",), NotFoundError),
    "delete of the root": (delete, ("/",), BadRequestError),
    "rename of nothing": (rename, ("/none", "/x"), NotFoundError),
    "rename onto a file": (rename, ("/d", "/other"), ConflictError),
    "rename onto a folder": (rename, ("/other", "/d"), ConflictError),
    "rename into itself": (rename, ("/d", "/d/x"), BadRequestError),
    "rename onto itself": (rename, ("/d", "/d"), BadRequestError),
    "rename below a file": (rename, ("/d", "/other/x"), ConflictError),
    "copy of nothing": (copy, ("/none", "/d"), NotFoundError),
    "copy into itself": (copy, ("/d", "/d"), BadRequestError),
    "restore of nothing": (restore, ("/none",), NotFoundError),
    "restore of what is live": (restore, ("/other",), ConflictError),
    "resolve of nothing": (resolve, ("/none", "winner"), NotFoundError),
    "resolve without conflict": (resolve, ("/other", "winner"), NotFoundError),
    "resolve of a folder": (resolve, ("/d", "winner"), NotFoundError),
}


@pytest.mark.parametrize(("operation", "args", "error"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused_and_changes_nothing(
    repository: Repository, operation: object, args: tuple[str, ...], error: type[AeorError]
) -> None:
    put(repository, "/d/a", b"x")
    put(repository, "/other", b"y")
    head = repository.head
    extra = (FileState(repository.store_small(b"z"), ""),) if operation is put_file else ()
    with pytest.raises(error):
        do(repository, operation, *args, *extra)
    assert repository.head == head


def test_conditions_are_checked_before_anything_is_written(repository: Repository) -> None:
    put(repository, "/a", b"x")
    entry = entry_at(repository, "/a")
    assert entry is not None
    current = entry.context
    head = repository.head
    file = FileState(repository.store_small(b"new"), "text/plain")
    for conditions in (
        Conditions(if_match=(None,)),
        Conditions(if_match=(((1, 1),),)),
        Conditions(if_none_match="*"),
        Conditions(if_none_match=(current,)),
    ):
        with pytest.raises(PreconditionError):
            do(repository, put_file, "/a", file, conditions)
    with pytest.raises(PreconditionError):
        do(repository, put_file, "/none", file, Conditions(if_match="*"))
    with pytest.raises(PreconditionError):
        do(repository, delete, "/a", conditions=Conditions(if_match=(None,)))
    assert repository.head == head
    do(repository, put_file, "/a", file, Conditions(if_match=(None, current)))
    do(repository, put_file, "/b", file, Conditions(if_none_match="*"))
    assert files(repository) == {"/a": b"new", "/b": b"new"}


def test_a_write_from_an_older_base_becomes_a_conflict(repository: Repository) -> None:
    first = put(repository, "/a", b"base")
    put(repository, "/a", b"mine")
    put(repository, "/a", b"yours", base=((first.incarnation, first.n),))
    conflict = repository.conflict(parse("/a"))
    assert conflict is not None
    assert conflict.sight.conflict_type == "ConcurrentModify"
    assert get(repository, "/a") == b"yours"
    assert b"".join(repository.read(conflict.sight.losers[0].content)) == b"mine"


@pytest.mark.parametrize(
    ("pick", "content"), [("winner", b"yours"), ("loser", b"mine"), ("id", b"mine")]
)
def test_a_conflict_is_resolved_by_one_call(
    repository: Repository, pick: str, content: bytes
) -> None:
    first = put(repository, "/a", b"base")
    mine = put(repository, "/a", b"mine")
    put(repository, "/a", b"yours", base=((first.incarnation, first.n),))
    do(repository, resolve, "/a", mine.id if pick == "id" else pick)
    assert get(repository, "/a") == content
    assert repository.conflict(parse("/a")) is None
    assert list(repository.conflicts()) == []


def test_resolving_to_the_deletion_deletes(repository: Repository) -> None:
    other = memory_repository(8)
    put(repository, "/a", b"base")
    exchange(repository, other)
    do(repository, delete, "/a")
    put(other, "/a", b"edited")
    exchange(repository, other)
    assert [conflict.sight.conflict_type for conflict in repository.conflicts()] == [
        "ModifyDelete"
    ]
    do(repository, resolve, "/a", "loser")
    exchange(repository, other)
    assert get(repository, "/a") is get(other, "/a") is None
    assert list(other.conflicts()) == []
    other.close()


def test_resolving_to_an_unknown_version_is_refused(repository: Repository) -> None:
    first = put(repository, "/a", b"base")
    put(repository, "/a", b"mine")
    put(repository, "/a", b"yours", base=((first.incarnation, first.n),))
    with pytest.raises(NotFoundError, match="no version"):
        do(repository, resolve, "/a", "1-1")


def test_versions_of_one_path_cannot_be_piled_up_without_end(repository: Repository) -> None:
    for number in range(MAX_OPEN_VERSIONS):
        put(repository, "/a", b"%d" % number, base=())
    with pytest.raises(ConflictError, match="resolve them first"):
        put(repository, "/a", b"one more", base=())


def test_an_operation_that_fails_does_not_hurt_its_neighbours(repository: Repository) -> None:
    content = repository.store_small(b"x")
    futures = [
        repository.commit(
            lambda draft, i=i: put_file(  # type: ignore[misc]
                draft, TreePath(f"/{i}") if i % 2 else TreePath("/"), FileState(content, "")
            )
        )
        for i in range(20)
    ]
    assert [future.exception(timeout=30) is None for future in futures] == [False, True] * 10
    assert len(files(repository)) == 10


def test_stamps_go_up_even_when_the_clock_goes_back() -> None:
    class Backwards:
        now = 1_700_000_000_000

        def now_ms(self) -> int:
            self.now -= 1000
            return self.now

        def now_ns(self) -> int:
            return self.now * 1_000_000

        def monotonic(self) -> float:
            return 0.0

    repository = memory_repository(wall=Backwards())
    stamps = [put(repository, "/a", b"%d" % number).stamp for number in range(5)]
    assert stamps == sorted(set(stamps))
    repository.close()


def test_moving_to_a_path_that_is_too_long_is_refused_whole(repository: Repository) -> None:
    deep = "/".join(["x" * 200] * 15)
    put(repository, f"/src/{deep}", b"x")
    put(repository, "/src/short", b"y")
    head = repository.head
    for operation in (rename, copy):
        with pytest.raises(BadRequestError, match="longer than"):
            do(repository, operation, "/src", "/" + "/".join(["y" * 200] * 15))
    assert repository.head == head


def test_a_clock_that_was_wrong_for_once_does_not_mute_the_node() -> None:
    wall = FakeClock()
    repository = memory_repository(wall=wall)
    good = wall.now
    wall.now += 365 * 86_400_000
    put(repository, "/during", b"x")
    wall.now = good
    after = put(repository, "/after", b"x")
    assert abs(after.updated - good) < 60_000
    repository.close()


def test_no_dot_is_minted_twice_whatever_copy_was_put_back(tmp_path: Path) -> None:
    first = open_repository(tmp_path / "a")
    put(first, "/f", b"one")
    first.close()
    shutil.copytree(tmp_path / "a", tmp_path / "backup")
    again = open_repository(tmp_path / "a")
    later = put(again, "/f", b"two")
    peer = memory_repository(8)
    exchange(again, peer)
    again.close()
    restored = open_repository(tmp_path / "backup")
    mine = put(restored, "/f", b"after the restore")
    assert mine.dot != later.dot
    exchange(restored, peer)
    conflict = restored.conflict(parse("/f"))
    assert conflict is not None
    both = {version.dot for version in conflict.entry.versions}
    assert both == {mine.dot, later.dot}
    assert restored.head.root == peer.head.root
    restored.close()
    peer.close()


def test_what_is_deleted_stays_sighted_as_a_grave(repository: Repository) -> None:
    put(repository, "/a", b"x")
    do(repository, delete, "/a")
    entry = entry_at(repository, "/a")
    assert entry is not None
    assert not see(entry).is_live
    with repository.view() as view:
        assert [key for key, _ in view.graves()] == [b"a"]
        assert list(view.walk()) == []
