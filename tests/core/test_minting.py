"""Whatever chain of keys is made, none is wider than the one it was made with, or lives longer."""

import itertools
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeorsync.core import minting
from aeorsync.core.access import Op
from aeorsync.core.apikeys import KeyRecord, KeyRule, access_of, join_records
from aeorsync.core.tokens import ROOT
from aeorsync.errors import BadRequestError, DeniedError

ADA = UUID(int=77)
PATHS = ["/", "/a", "/a/b", "/a/b/c.txt", "/b", "/b/c", "/x.txt"]
GLOBS = ["**", "/a", "/a/**", "/a/b/**", "/b/**", "**/*.txt", "!/a/**", "/{a,b}/*"]
FLAGS = ["--------", "-r--l---", "crudl---", "c-------", "---d----", "crudlify"]

rules = st.lists(
    st.builds(KeyRule, st.sampled_from(GLOBS), st.sampled_from(FLAGS)), max_size=3
).map(tuple)
steps = st.lists(st.tuples(rules, st.integers(1, 5000)), min_size=1, max_size=5)


def key(number: int, **changes: object) -> KeyRecord:
    record = KeyRecord(
        key_id=UUID(int=number), key_hash="0" * 64, user_id=ROOT, created_at=0, expires_at=10_000
    )
    return msgspec.structs.replace(record, **changes)


def opened(record: KeyRecord, granted: tuple[tuple[KeyRule, ...], ...] = ()) -> set[object]:
    """All that a key may do, in a small world."""
    access = access_of(record, granted)
    entered = {(path, "enter") for path in PATHS if access.may_enter(path)}
    return {(path, op) for path in PATHS for op in Op if access.may(path, op)} | entered


def chain(first: KeyRecord, made: list[tuple[tuple[KeyRule, ...], int]]) -> list[KeyRecord]:
    keys = [first]
    for number, (own, expires_at) in enumerate(made, 2):
        wanted = key(number, user_id=first.user_id, rules=own, expires_at=expires_at)
        keys.append(minting.inherit(wanted, keys[-1]))
    return keys


@given(rules, steps)
def test_keys_of_root_only_become_narrower(
    own: tuple[KeyRule, ...], made: list[tuple[tuple[KeyRule, ...], int]]
) -> None:
    keys = chain(key(1, rules=own), made)
    for maker, child in itertools.pairwise(keys):
        assert opened(child) <= opened(maker)
        assert not maker.is_limited or child.expires_at <= maker.expires_at
        assert child.made_by == maker.key_id


@given(rules, rules, rules, steps)
def test_keys_of_a_user_only_become_narrower_whatever_becomes_of_the_user(
    own: tuple[KeyRule, ...],
    then: tuple[KeyRule, ...],
    later: tuple[KeyRule, ...],
    made: list[tuple[tuple[KeyRule, ...], int]],
) -> None:
    keys = chain(key(1, user_id=ADA, rules=own), made)
    for granted in (then, later, ()):
        for maker, child in itertools.pairwise(keys):
            assert opened(child, (granted,)) <= opened(maker, (granted,))


@given(rules.filter(bool), rules, rules)
def test_root_with_rules_passes_on_no_more_to_a_user(
    own: tuple[KeyRule, ...], asked: tuple[KeyRule, ...], granted: tuple[KeyRule, ...]
) -> None:
    maker = key(1, rules=own)
    child = minting.inherit(key(2, user_id=ADA, rules=asked), maker)
    assert opened(child, (granted,)) <= opened(maker)


def test_a_user_without_anything_cannot_grant_it_to_themselves() -> None:
    everything = (KeyRule("**", "crudlify"),)
    child = minting.inherit(key(2, user_id=ADA, rules=everything), key(1, user_id=ADA))
    assert access_of(child).is_nobody
    assert opened(child, (everything,))
    grandchild = minting.inherit(key(3, user_id=ADA, rules=everything), child)
    assert access_of(grandchild).is_nobody


def test_a_chain_through_too_many_hands_ends() -> None:
    maker = key(1, rules=(KeyRule("/0/**", "crudlify"),))
    for number in range(2, 2 + minting.MAX_BOUNDS):
        own = (KeyRule(f"/{number}/**", "crudlify"),)
        maker = minting.inherit(key(number, rules=own), maker)
    assert len(maker.bounds) == minting.MAX_BOUNDS
    with pytest.raises(DeniedError):
        minting.inherit(key(99), maker)


def test_the_same_rules_again_are_no_further_bound() -> None:
    own = (KeyRule("/a/**", "crudlify"),)
    maker = key(1, rules=own)
    for number in range(2, 100):
        maker = minting.inherit(key(number, rules=own), maker)
    assert maker.bounds == (own,)


def test_descendants_are_found_through_all_hands() -> None:
    made = {1: None, 2: 1, 3: 2, 4: 1, 5: None, 6: 5}
    records = [
        key(number, made_by=None if maker is None else UUID(int=maker))
        for number, maker in made.items()
    ]
    found = minting.descendants(records, UUID(int=1))
    assert {one.int for one in found} == {2, 3, 4}


def test_records_that_claim_to_have_made_each_other_end_the_search() -> None:
    records = [key(1, made_by=UUID(int=2)), key(2, made_by=UUID(int=1))]
    assert minting.descendants(records, UUID(int=1)) == {UUID(int=2)}


@pytest.mark.parametrize(
    ("days", "lives"), [(None, 730), (0, 1), (-5, 1), (1, 1), (3650, 3650), (10**9, 3650)]
)
def test_the_life_of_a_key_is_brought_into_range(days: int | None, lives: int) -> None:
    assert minting.end_ms(1000, days) == 1000 + lives * 86_400_000


def test_labels_are_one_line() -> None:
    assert minting.check_label("Ada's laptop") == "Ada's laptop"
    assert minting.check_label(None) is None
    for bad in ("a\nb", "x" * 129, "\x1b[31m"):
        with pytest.raises(BadRequestError):
            minting.check_label(bad)


@given(st.lists(st.tuples(rules, st.integers(1, 99), st.booleans()), min_size=1, max_size=4))
def test_what_two_nodes_made_of_a_key_is_no_wider_than_either(
    versions: list[tuple[tuple[KeyRule, ...], int, bool]],
) -> None:
    records = [
        key(1, rules=own, expires_at=end, is_revoked=revoked) for own, end, revoked in versions
    ]
    joined = join_records(records)
    assert joined.is_revoked == any(record.is_revoked for record in records)
    assert all(joined.expires_at <= record.expires_at for record in records)
    assert all(opened(joined) <= opened(record) for record in records)
