"""Which chunks rules let be read, and who brought which."""

import random
from collections.abc import Iterator
from functools import partial
from unittest.mock import patch

import pytest

from aeorsync.core.access import EVERYTHING, NOTHING, Access, Op
from aeorsync.core.hashing import chunk_id
from aeorsync.core.merge import see
from aeorsync.core.paths import TreePath, from_key, parse
from aeorsync.core.versions import decode_entry
from aeorsync.storage import readable
from aeorsync.storage.brought import DAY_MS, SPACE, Brought
from aeorsync.storage.changes import delete, rename
from aeorsync.storage.idsets import IdSet
from aeorsync.storage.readable import Readable
from aeorsync.storage.repository import Repository
from aeorsync.storage.views import View
from tests.support.clock import FakeClock
from tests.support.repositories import memory_repository, put

ACCESS = Access.of([[("/open/**", "-r------"), ("/single", "-r------")]])
WALL = FakeClock()


@pytest.fixture
def repository() -> Iterator[Repository]:
    made = memory_repository(wall=WALL)
    yield made
    made.close()


def expected(repository: Repository, access: Access) -> set[bytes]:
    """The same, by looking at everything."""
    found: set[bytes] = set()
    with repository.view() as view:
        for key, data in view.walk():
            if access.may(from_key(key), Op.READ):
                sight = see(decode_entry(data))
                for version in (sight.winner, *sight.losers):
                    if not version.deleted:
                        found |= {name for _, name, _ in repository.references(version.content)}
    return found


@pytest.mark.parametrize("behind", [100_000, 3])
def test_it_follows_every_change_as_looking_at_everything_would(
    repository: Repository, behind: int
) -> None:
    draw = random.Random(7)
    found = Readable(repository, ACCESS, WALL)
    paths = ["/single", "/open/a", "/open/d/b", "/hidden/a", "/hidden/b", "/open/d/c"]
    texts = [b"text %d" % number for number in range(8)]
    names = [chunk_id(text) for text in texts]
    with patch.object(readable, "_MAX_BEHIND", behind):
        for _ in range(150):
            path, text = draw.choice(paths), draw.choice(texts)
            with repository.view() as view:
                is_there = view.sight(parse(path)) is not None
                free = [other for other in paths if view.sight(parse(other)) is None]
            if is_there and draw.random() < 0.3:
                repository.commit(partial(delete, path=parse(path))).result(30)
            elif is_there and free and draw.random() < 0.5:
                to = draw.choice(free)
                moving = partial(rename, path=parse(path), to=parse(to))
                repository.commit(moving).result(30)
            else:
                put(repository, path, text, base=() if draw.random() < 0.3 else None)
            if draw.random() < 0.4:
                assert found.find(names) == expected(repository, ACCESS) & set(names)


def test_only_what_rules_can_reach_is_walked(repository: Repository) -> None:
    put(repository, "/open/a", b"a")
    put(repository, "/hidden/b", b"b")
    asked: list[TreePath] = []
    walk = View.walk

    def noting(self: View, folder: TreePath) -> Iterator[tuple[bytes, bytes]]:
        asked.append(folder)
        return walk(self, folder)

    with patch.object(View, "walk", noting):
        found = Readable(repository, ACCESS, WALL).find([chunk_id(b"a"), chunk_id(b"b")])
    assert found == {chunk_id(b"a")}
    assert asked == ["/open", "/single"]


def test_what_nobody_may_read_is_not_looked_for(repository: Repository) -> None:
    put(repository, "/open/a", b"a")
    with patch.object(repository, "view", side_effect=AssertionError):
        assert Readable(repository, NOTHING, WALL).find([chunk_id(b"a")]) == set()


def test_bounds_hold_all_that_is_allowed() -> None:
    assert EVERYTHING.bounds(Op.READ) == ["/"]
    assert NOTHING.bounds(Op.READ) == []
    assert ACCESS.bounds(Op.READ) == ["/open", "/single"]
    assert Access.of([[("/a/**", "-r------"), ("/a/b/*", "-r------")]]).bounds(Op.READ) == ["/a"]
    assert Access.of([[("!/a/**", "-r------")]]).bounds(Op.READ) == ["/"]
    assert Access.of([[("**/x", "-r------"), ("/a/**", "-r------")]]).bounds(Op.READ) == ["/"]
    assert Access.of([[("/a/**", "c-------")]]).bounds(Op.READ) == []
    both = Access.of([[("**", "-r------")], [("/a/**", "-r------")]])
    assert both.bounds(Op.READ) == ["/a"]


def test_who_brought_what_is_remembered_by_owner_for_a_day(repository: Repository) -> None:
    ids = [chunk_id(b"%d" % number) for number in range(1000)]
    ann, bob = b"a" * 16, b"b" * 16
    brought = Brought(repository.store, WALL)
    brought.note(ann, ids[:600])
    brought.note(bob, ids[500:])
    again = Brought(repository.store, WALL)
    for known in (brought, again):
        assert known.held(ann, ids) == set(ids[:600])
        assert known.held(bob, ids) == set(ids[500:])
        assert known.held(b"c" * 16, ids) == set()
    WALL.now += DAY_MS
    assert brought.held(ann, ids) == set()
    brought.note(ann, ids[:1])
    assert brought.held(ann, ids) == set(ids[:1])
    assert len(repository.notes(SPACE)) == 1


def test_the_eldest_are_forgotten_when_there_are_too_many(repository: Repository) -> None:
    brought = Brought(repository.store, WALL, limit=100)
    ids = [chunk_id(b"%d" % number) for number in range(150)]
    for at in range(0, 150, 30):
        brought.note(b"a" * 16, ids[at : at + 30])
    assert brought.held(b"a" * 16, ids) == set(ids[60:])
    assert len(repository.notes(SPACE)) == 3
    assert Brought(repository.store, WALL).held(b"a" * 16, ids) == set(ids[60:])


def test_a_set_of_ids_is_asked_by_time() -> None:
    ids = IdSet()
    ids.add([b"a", b"b"], 10)
    ids.add([b"b", b"c"], 20)
    assert ids.found([b"a", b"b", b"c", b"d"]) == {b"a", b"b", b"c"}
    assert ids.found([b"a", b"b", b"c"], 11) == {b"b", b"c"}
    ids.forget(11)
    assert len(ids) == 2
