"""What whom rules bind is told in place of roots, cursors and numbers of the feed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeorsync.api.places import Place, Places
from aeorsync.core.access import EVERYTHING, Access
from aeorsync.core.cursors import Cursor, Phase

SECRET = b"s" * 32
RULES = Access.of([[("/a/**", "-r--l---")]])
OTHER = Access.of([[("/a/**", "-r------")]])
ROOT = "ab" * 32
MINE = Places(SECRET, RULES)
PLACES = st.builds(
    Place,
    st.builds(
        Cursor,
        st.integers(0, 2**63 - 1),
        st.integers(0, 2**63 - 1),
        st.sampled_from(Phase),
        st.binary(max_size=4096),
    ),
    st.booleans(),
)


@given(PLACES)
def test_what_is_sealed_is_opened_under_the_same_rules_and_no_others(place: Place) -> None:
    text = MINE.seal_place(place)
    assert MINE.open_place(text) == place
    assert Places(SECRET, RULES).seal_place(place) == text
    assert Places(SECRET, OTHER).open_place(text) is None
    assert Places(b"t" * 32, RULES).open_place(text) is None
    assert MINE.open_row(text) is None


@given(PLACES, st.integers(0, 10_000), st.integers(1, 255))
def test_a_seal_that_was_tampered_with_opens_nothing(place: Place, at: int, flip: int) -> None:
    sealed = bytearray.fromhex(MINE.seal_place(place))
    sealed[at % len(sealed)] ^= flip
    assert MINE.open_place(sealed.hex()) is None


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1))
def test_a_row_of_the_feed_is_sealed_likewise(seq: int, epoch: int) -> None:
    text = MINE.seal_row(seq, epoch)
    assert MINE.open_row(text) == (seq, epoch)
    assert Places(SECRET, OTHER).open_row(text) is None


@given(st.binary(min_size=1, max_size=300), st.binary(min_size=1, max_size=300))
def test_its_length_tells_no_length_of_a_path(one: bytes, other: bytes) -> None:
    texts = [
        MINE.seal_place(Place(Cursor(1, 2, Phase.LIVE, key), exact=False)) for key in (one, other)
    ]
    assert len(texts[0]) == len(texts[1])


@pytest.mark.parametrize("text", ["", "zz", "ab", "ab" * 40, "é", "00" * 20_000, " "])
def test_any_other_text_opens_nothing(text: str) -> None:
    assert MINE.open_place(text) is None
    assert MINE.open_row(text) is None


def test_a_root_goes_by_another_name_for_whom_rules_bind() -> None:
    assert Places(SECRET, EVERYTHING).root(ROOT) == ROOT
    named = MINE.root(ROOT)
    assert len(named) == 64
    assert named != ROOT
    assert MINE.root(ROOT) == named
    assert MINE.root("cd" * 32) != named
    assert Places(SECRET, OTHER).root(ROOT) != named
