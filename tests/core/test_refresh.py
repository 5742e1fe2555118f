"""Refresh tokens: one use each, and what a second use means."""

import itertools
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeorsync.core import refresh
from aeorsync.core.refresh import Chain, RefreshToken, Standing
from aeorsync.errors import BadRequestError, UnauthorizedError

KEY = UUID("660e8400-e29b-41d4-a716-446655440000")
NOW = 1_000_000_000_000
YEAR = 365 * 86_400_000


def token(n: int) -> RefreshToken:
    return refresh.following(refresh.first(KEY, bytes(24)), n.to_bytes(16))


def chain_of(*numbers: int, at: int = NOW) -> Chain:
    """The chain in which the tokens of these numbers were given, one for the other."""
    chain = refresh.begin(token(numbers[0]), KEY, at, at + YEAR)
    for old, new in itertools.pairwise(numbers):
        chain = refresh.rotate(chain, token(old), token(new), at, at + YEAR)
    return chain


def test_a_token_has_the_form_of_the_wire() -> None:
    first = refresh.first(KEY, bytes(range(24)))
    assert first.text == "aeor_r_" + "660e8400e29b41d4" + bytes(range(24)).hex()
    assert len(first.text) == len("aeor_r_") + 64
    assert RefreshToken.parse(first.text) == first
    assert first.text[40:] not in repr(first)


@pytest.mark.parametrize(
    "text", ["", "aeor_r_", "aeor_k_" + "0" * 64, "aeor_r_" + "0" * 63, "aeor_r_" + "G" * 64]
)
def test_what_is_no_token_is_refused_as_any_bad_one(text: str) -> None:
    with pytest.raises(UnauthorizedError, match=refresh.refusal().message):
        RefreshToken.parse(text)


@given(st.text())
def test_any_text_is_a_token_or_refused(text: str) -> None:
    try:
        RefreshToken.parse(text)
    except UnauthorizedError:
        return
    raise AssertionError(text)


def test_the_record_does_not_hold_the_token() -> None:
    body = chain_of(1, 2).to_json().decode()
    assert token(2).text[-32:] not in body
    assert token(1).text[-32:] not in body


def test_the_one_given_last_is_good() -> None:
    assert refresh.standing(chain_of(1, 2), token(2), NOW + YEAR // 100) is Standing.GOOD


def test_the_one_before_is_good_for_a_minute_while_the_next_is_unused() -> None:
    chain = chain_of(1, 2)
    assert refresh.standing(chain, token(1), NOW + 60_000) is Standing.GOOD
    assert refresh.standing(chain, token(1), NOW + 60_001) is Standing.REUSED
    assert refresh.standing(chain_of(1, 2, 3), token(1), NOW) is Standing.REUSED


def test_who_gets_another_makes_the_one_that_was_given_first_a_used_one() -> None:
    chain = refresh.rotate(chain_of(1, 2), token(1), token(3), NOW, NOW + YEAR)
    assert refresh.standing(chain, token(3), NOW) is Standing.GOOD
    assert refresh.standing(chain, token(2), NOW) is Standing.REUSED


def test_to_use_the_one_before_again_gives_it_no_more_time() -> None:
    later = NOW + 59_000
    chain = refresh.rotate(chain_of(1, 2), token(1), token(3), later, NOW + YEAR)
    assert refresh.standing(chain, token(1), NOW + 60_000) is Standing.GOOD
    assert refresh.standing(chain, token(1), NOW + 60_001) is Standing.REUSED
    assert refresh.standing(chain, token(3), NOW + refresh.LIFE_MS) is Standing.GOOD


def test_any_other_token_of_the_chain_is_a_used_one() -> None:
    assert refresh.standing(chain_of(1), token(9), NOW) is Standing.REUSED


def test_a_chain_ends_in_30_days_without_use_and_never_outlives_its_key() -> None:
    chain = chain_of(1)
    assert refresh.standing(chain, token(1), NOW + refresh.LIFE_MS - 1) is Standing.GOOD
    assert refresh.standing(chain, token(1), NOW + refresh.LIFE_MS) is Standing.OVER
    short = refresh.begin(token(1), KEY, NOW, NOW + 5)
    assert refresh.standing(short, token(1), NOW + 5) is Standing.OVER


def test_a_revoked_chain_has_no_good_token() -> None:
    chain = msgspec.structs.replace(chain_of(1, 2), is_revoked=True)
    assert {refresh.standing(chain, token(n), NOW) for n in (1, 2, 3)} == {Standing.OVER}


def test_one_token_used_on_two_nodes_ends_the_chain() -> None:
    here, there = (
        refresh.rotate(chain_of(1), token(1), token(n), NOW, NOW + YEAR) for n in (2, 3)
    )
    assert refresh.join_records([here, there]).is_revoked
    assert refresh.join_records([there, here]).is_revoked
    assert not refresh.join_records([here]).is_revoked
    assert not refresh.join_records([here, here]).is_revoked


def test_a_record_comes_back_as_it_was_written() -> None:
    chain = chain_of(1, 2)
    assert Chain.from_json(chain.to_json()) == chain


@given(st.binary())
def test_any_bytes_are_refused_as_a_record(body: bytes) -> None:
    with pytest.raises(BadRequestError):
        Chain.from_json(body)
