"""A file and a folder of one name: listed while both are there, and not a moment longer."""

from collections.abc import Callable
from functools import partial

import pytest

from aeorsync.core.paths import parse
from aeorsync.storage import settling
from aeorsync.storage.changes import delete, make_folder, rename
from aeorsync.storage.draft import Draft
from aeorsync.storage.repository import Repository
from aeorsync.storage.restoring import restore_path
from aeorsync.storage.verify import verify
from tests.support.cycles import remove
from tests.support.repositories import exchange, memory_repository, put


def listed(repository: Repository) -> list[bytes]:
    """What the index of conflicts has."""
    return repository.store.conflicts(b"", 100)


@pytest.fixture
def both() -> tuple[Repository, Repository]:
    """Two nodes: one made a file of a folder, the other put something into that folder."""
    one, other = memory_repository(node=1), memory_repository(node=2)
    put(one, "/d/x/first", b"1")
    exchange(one, other)
    remove(one, "/d/x/first")
    remove(one, "/d/x")
    put(one, "/d/x", b"a file")
    put(other, "/d/x/y", b"in a folder")
    exchange(one, other)
    for repository in (one, other):
        (found,) = repository.conflicts()
        assert (found.path, found.is_file_and_folder) == ("/d/x", True)
        assert found.sight.losers == ()
        assert listed(repository) == [b"d\0x"]
    return one, other


def drop_the_inside(repository: Repository) -> None:
    remove(repository, "/d/x/y")


def drop_the_file(repository: Repository) -> None:
    remove(repository, "/d/x")


def drop_both(repository: Repository) -> None:
    drop_the_inside(repository)
    drop_the_file(repository)


@pytest.mark.parametrize("settle", [drop_the_inside, drop_the_file, drop_both])
def test_it_is_listed_no_more_once_one_of_them_is_gone(
    both: tuple[Repository, Repository], settle: Callable[[Repository], None]
) -> None:
    one, other = both
    settle(one)
    assert list(one.conflicts()) == []
    assert listed(one) == []
    exchange(one, other)
    assert [listed(one), listed(other)] == [[], []]
    assert [verify(one).findings, verify(other).findings] == [[], []]


def test_it_stays_listed_when_versions_of_the_file_are_settled(
    both: tuple[Repository, Repository],
) -> None:
    one, other = both
    put(one, "/d/x", b"another", base=())
    one.commit(lambda draft: settling.resolve(draft, parse("/d/x"), "winner")).result(timeout=30)
    exchange(one, other)
    for repository in (one, other):
        (found,) = repository.conflicts()
        assert (found.path, found.is_file_and_folder) == ("/d/x", True)
        assert found.sight.losers == ()


def test_it_is_listed_no_more_once_the_file_gave_way_to_a_folder(
    both: tuple[Repository, Repository],
) -> None:
    one, other = both

    def give_way(draft: Draft) -> None:
        delete(draft, parse("/d/x"))
        make_folder(draft, parse("/d/x"))

    one.commit(give_way).result(timeout=30)
    exchange(one, other)
    assert [listed(one), listed(other)] == [[], []]


def test_it_is_listed_where_both_were_moved_to(both: tuple[Repository, Repository]) -> None:
    one, other = both
    one.commit(lambda draft: rename(draft, parse("/d/x"), parse("/e"))).result(timeout=30)
    assert listed(one) == [b"e"]
    exchange(one, other)
    assert [listed(one), listed(other)] == [[b"e"], [b"e"]]
    assert [verify(one).findings, verify(other).findings] == [[], []]


@pytest.mark.parametrize("what", ["/", "/d"])
def test_it_is_listed_when_both_come_back_from_a_snapshot(
    both: tuple[Repository, Repository], what: str
) -> None:
    one, other = both
    with one.view() as before:
        drop_both(one)
        assert listed(one) == []
        trees = (before.head.root, before.head.graves)
        bring = partial(restore_path, one, path=parse(what), trees=trees)
        one.commit(lambda draft: bring(draft=draft), alone=True).result(timeout=30)
    assert listed(one) == [b"d\0x"]
    exchange(one, other)
    assert [listed(one), listed(other)] == [[b"d\0x"], [b"d\0x"]]
