"""Users: names that can be told apart, and what holds when two nodes change one at once."""

from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeorsync.core import users
from aeorsync.core.apikeys import KeyRule
from aeorsync.core.users import UserRecord
from aeorsync.errors import BadRequestError

ADA = UserRecord(user_id=UUID(int=1), username="ada", created_at=1, updated_at=1)
A, B = KeyRule("/a/**", "-r--l---"), KeyRule("/b/**", "-r--l---")


@pytest.mark.parametrize(
    "name", ["ada", "Ada.Lovelace", "a", "ada@example.org", "Åsa", "太郎", "7"]
)
def test_names_are_letters_digits_and_a_few_marks(name: str) -> None:
    assert users.check_username(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ada",
        "a b",
        "a/b",
        "a\n",
        "-a",
        "@a",
        "x" * 65,
        "root",
        "ROOT",
        "r\u043e\u043et\u202e",
        "\uff52\uff4f\uff4f\uff54",
        str(UUID(int=1)),
        UUID(int=1).hex,
    ],
)
def test_names_that_mislead_are_refused(name: str) -> None:
    with pytest.raises(BadRequestError):
        users.check_username(name)


def test_a_name_has_one_spelling() -> None:
    assert users.check_username("A\u030asa") == "Åsa"
    assert users.fold("ADA") == users.fold("ada")
    assert users.fold("\uff41da") == users.fold("ada")


@pytest.mark.parametrize("email", ["ada@example.org", "a+b@x"])
def test_addresses_are_shaped_like_one(email: str) -> None:
    assert users.check_email(email) == email


@pytest.mark.parametrize("email", ["", "ada", "@x", "ada@", "a b@x", "a@x\n", "a" * 254 + "@x"])
def test_what_is_no_address_is_refused(email: str) -> None:
    with pytest.raises(BadRequestError):
        users.check_email(email)


def test_tags_are_kept_once_each() -> None:
    assert users.check_tags(["b", "a", "b"]) == ("b", "a")
    for bad in ([""], [" "], ["x" * 65], ["a\n"], [str(n) for n in range(33)]):
        with pytest.raises(BadRequestError):
            users.check_tags(bad)


def test_the_older_of_two_with_one_name_has_it() -> None:
    other = msgspec.structs.replace(ADA, user_id=UUID(int=2), username="ADA", created_at=2)
    assert users.duplicates([other, ADA]) == {other.user_id}
    same_time = msgspec.structs.replace(other, created_at=1)
    assert users.duplicates([same_time, ADA]) == {other.user_id}


def test_inactive_wins() -> None:
    off = msgspec.structs.replace(ADA, is_active=False)
    renamed = msgspec.structs.replace(ADA, username="countess")
    for versions in ([off, renamed], [renamed, off]):
        assert not users.join_records(versions).is_active


def test_rules_set_on_two_nodes_at_once_both_bind() -> None:
    one, two = (msgspec.structs.replace(ADA, rules=(rule,)) for rule in (A, B))
    assert set(users.join_records([one, two]).limits) == {(A,), (B,)}
    assert users.join_records([one, two, one]).limits == ((A,), (B,))


def test_who_lost_all_rules_on_one_node_has_none_but_stays_bound_by_the_others() -> None:
    ruled = msgspec.structs.replace(ADA, rules=(A,), bounds=((B,),))
    for versions in ([ruled, ADA], [ADA, ruled]):
        joined = users.join_records(versions)
        assert joined.rules == ()
        assert joined.bounds == ((A,), (B,))


@given(st.permutations([ADA, msgspec.structs.replace(ADA, rules=(A,), is_active=False)]))
def test_a_record_comes_back_as_it_was_written(records: list[UserRecord]) -> None:
    for record in records:
        assert UserRecord.from_json(record.to_json()) == record


@given(st.binary())
def test_any_bytes_are_refused_as_a_record(body: bytes) -> None:
    with pytest.raises(BadRequestError):
        UserRecord.from_json(body)
