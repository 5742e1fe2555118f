"""Joining is a semilattice; what readers see follows the table in `core.merge`."""

from functools import reduce
from itertools import permutations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeorsync.core.merge import join, see
from aeorsync.core.versions import Entry, Kind, Version, covers, encode_entry, parse_entry
from tests.core.strategies import histories, version


def entry(*versions: Version) -> Entry:
    return Entry(tuple(sorted(versions, key=lambda v: v.dot)))


@given(histories(), st.data())
def test_the_order_of_joining_does_not_matter(states: list[Entry], data: st.DataObject) -> None:
    some = data.draw(st.lists(st.sampled_from(states), min_size=1, max_size=4))
    results = {encode_entry(reduce(join, order)) for order in permutations(some)}
    assert len(results) == 1


@given(histories())
def test_joining_twice_is_joining_once(states: list[Entry]) -> None:
    for a in states:
        assert join(a, a) is a
        for b in states:
            both = join(a, b)
            assert join(both, b) is both
            assert join(b, both) is (both if both != b else b)
            assert join(both, a) is both


@given(histories())
def test_no_version_is_lost(states: list[Entry]) -> None:
    everything = reduce(join, states)
    for state in states:
        for one in state.versions:
            assert one in everything.versions or covers(everything.context, one.dot)


@given(histories())
def test_what_remains_are_the_maximal_versions(states: list[Entry]) -> None:
    everything = reduce(join, states)
    for one in everything.versions:
        assert not any(covers(other.vector, one.dot) for other in everything.versions)
    assert parse_entry(encode_entry(everything)) == everything


@given(histories())
def test_a_delete_never_hides_an_edit_it_had_not_seen(states: list[Entry]) -> None:
    everything = reduce(join, states)
    sight = see(everything)
    if sight.winner.deleted:
        hashes = {v.base for v in everything.versions if v.deleted}
        live = [v for v in everything.versions if not v.deleted]
        # Whatever live version is hidden, a deletion was made from its very content.
        for one in live:
            assert one.content.hash in hashes or any(one.content.hash == v.base for v in live)


@given(histories())
def test_seeing_picks_the_same_winner_on_every_node(states: list[Entry]) -> None:
    everything = reduce(join, states)
    sight = see(everything)
    assert sight.winner in everything.versions
    assert set(sight.losers) <= set(everything.versions)
    assert sight.winner not in sight.losers


X, Y = b"x-content", b"y-content"
TABLE = {
    "a descendant replaces its ancestor": (
        version(1, 1, body=X),
        version(2, 1, body=Y, vector=((1, 1),)),
        (2, None),
    ),
    "two edits at once: the later stamp wins, the other is kept": (
        version(1, 1, body=X, wall_ms=5),
        version(2, 1, body=Y, wall_ms=9),
        (2, "ConcurrentCreate"),
    ),
    "two edits of one base": (
        version(1, 1, body=X, wall_ms=5, base=b"b"),
        version(2, 1, body=Y, wall_ms=9, base=b"b"),
        (2, "ConcurrentModify"),
    ),
    "equal stamps: the higher node wins": (
        version(1, 1, body=X, node=8),
        version(2, 1, body=Y, node=7),
        (1, "ConcurrentCreate"),
    ),
    "the same edit on both sides is no conflict": (
        version(1, 1, body=X, wall_ms=5),
        version(2, 1, body=X, wall_ms=9),
        (2, None),
    ),
    "an edit beats a later delete, and is a conflict": (
        version(1, 1, body=X, wall_ms=5, base=b"b"),
        version(2, 1, body=b"b", wall_ms=9, deleted=True, base=b"b"),
        (1, "ModifyDelete"),
    ),
    "two deletes agree": (
        version(1, 1, body=X, deleted=True),
        version(2, 1, body=Y, deleted=True, wall_ms=2000),
        (2, None),
    ),
    "a later edit of exactly that content is linear": (
        version(1, 1, body=X, wall_ms=5),
        version(2, 1, body=Y, wall_ms=9, base=X),
        (2, None),
    ),
    "an earlier one is not": (
        version(1, 1, body=X, wall_ms=9),
        version(2, 1, body=Y, wall_ms=5, base=X),
        (1, "ConcurrentCreate"),
    ),
    "a delete of exactly that content is linear": (
        version(1, 1, body=X, wall_ms=5),
        version(2, 1, body=X, wall_ms=9, base=X, deleted=True),
        (2, None),
    ),
    "a delete of that content with another mode is not": (
        msgspec.structs.replace(version(1, 1, body=X, wall_ms=5), executable=True),
        version(2, 1, body=X, wall_ms=9, base=X, deleted=True),
        (1, "ModifyDelete"),
    ),
    "a new file after a deletion of something else": (
        version(1, 1, body=X, wall_ms=5, deleted=True, base=X, vector=((9, 1),)),
        version(2, 2, body=Y, wall_ms=9, base=b"b", vector=((2, 1),)),
        (2, None),
    ),
    "a new file before it": (
        version(1, 1, body=X, wall_ms=9, deleted=True, base=X, vector=((9, 1),)),
        version(2, 1, body=Y, wall_ms=5),
        (2, "ModifyDelete"),
    ),
    "an edit, after it, of what was deleted": (
        version(1, 1, body=b"b", wall_ms=5, deleted=True, base=b"b", vector=((9, 2),)),
        version(2, 1, body=Y, wall_ms=9, base=b"b", vector=((9, 1),)),
        (2, "ModifyDelete"),
    ),
    "such an edit by somebody whose history was lost": (
        version(1, 1, body=X, wall_ms=5, deleted=True, base=X, vector=((9, 1),)),
        version(2, 1, body=Y, wall_ms=9, base=X),
        (2, "ModifyDelete"),
    ),
    "file against symlink": (
        version(1, 1, body=X, wall_ms=5),
        version(2, 1, body=X, wall_ms=9, kind=Kind.SYMLINK),
        (2, "ConcurrentCreate"),
    ),
    "a folder made on both sides": (
        version(1, 1, kind=Kind.DIRECTORY, wall_ms=5),
        version(2, 1, kind=Kind.DIRECTORY, wall_ms=9),
        (2, None),
    ),
}


@pytest.mark.parametrize(("a", "b", "expected"), TABLE.values(), ids=TABLE)
def test_the_table(a: Version, b: Version, expected: tuple[int, str | None]) -> None:
    for one, other in ((a, b), (b, a)):
        sight = see(join(entry(one), entry(other)))
        assert (sight.winner.incarnation, sight.conflict_type) == expected


def test_writes_from_one_old_base_through_one_node_do_not_hide_each_other() -> None:
    base = entry(version(1, 1, body=b"base"))
    first = entry(version(1, 2, body=X, vector=base.context))
    second = entry(version(1, 3, body=Y, vector=base.context))
    assert len(join(join(base, first), second).versions) == 2


def test_a_resolution_settles_it_for_everybody() -> None:
    torn = join(entry(version(1, 1, body=X)), entry(version(2, 1, body=Y)))
    resolved = entry(version(3, 1, body=Y, vector=torn.context))
    assert join(torn, resolved) == resolved
    assert join(resolved, entry(version(1, 1, body=X))) is resolved
