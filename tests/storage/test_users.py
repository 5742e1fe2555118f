"""Users and chains as records that replicate: what was taken away stays taken away."""

from functools import partial
from uuid import UUID, uuid4

import msgspec
import pytest

from aeorsync.core.apikeys import KeyRule
from aeorsync.core.paths import from_key, to_key
from aeorsync.core.refresh import RefreshToken
from aeorsync.core.users import UserRecord
from aeorsync.errors import ConflictError, NotFoundError
from aeorsync.storage import chains, registers, users
from aeorsync.storage.accounts import Accounts, new_root_key
from aeorsync.storage.changes import FileState, put_file
from aeorsync.storage.repository import Repository
from tests.support.repositories import exchange, memory_repository

YEAR = 10**12 + 10**11
READ = (KeyRule("/docs/**", "-r--l---"),)
WRITE = (KeyRule("/docs/**", "crudl---"),)


def ada(**changes: object) -> UserRecord:
    record = UserRecord(user_id=uuid4(), username="ada", created_at=1, updated_at=1)
    return msgspec.structs.replace(record, **changes)


def pair() -> tuple[Repository, Repository, UserRecord]:
    a, b = memory_repository(1), memory_repository(2)
    user = ada(rules=READ)
    Accounts(a).users.add(user).result(30)
    exchange(a, b)
    return a, b, user


def change(repository: Repository, user: UserRecord, **changes: object) -> None:
    def changed(old: UserRecord) -> UserRecord:
        return msgspec.structs.replace(old, **changes)

    Accounts(repository).users.change(user.user_id, changed).result(30)


def test_inactive_wins_whatever_the_other_node_did() -> None:
    a, b, user = pair()
    change(a, user, is_active=False)
    for name in ("x", "y", "z"):
        change(b, user, username=name)
    exchange(a, b)
    for node in (a, b):
        found = Accounts(node).users.get(user.user_id)
        assert found is not None
        assert (found.username, found.is_active) == ("z", False)
    # What is changed later starts from what holds.
    change(b, user, email="ada@example.org")
    exchange(a, b)
    assert not Accounts(a).users.all()[0].is_active
    change(b, user, is_active=True)
    exchange(a, b)
    assert Accounts(a).users.all()[0].is_active


def test_a_deletion_wins_and_is_not_undone_by_a_later_change() -> None:
    a, b, user = pair()
    Accounts(a).remove_user(user.user_id).result(30)
    change(b, user, username="z")
    exchange(a, b)
    for node in (a, b):
        assert Accounts(node).users.get(user.user_id) is None
        assert Accounts(node).users.all() == []
        with pytest.raises(NotFoundError):
            change(node, user, username="again")


def test_a_key_made_for_a_user_while_they_were_deleted_does_not_work() -> None:
    a, b, user = pair()
    Accounts(a).remove_user(user.user_id).result(30)
    text, record = new_root_key(1)
    Accounts(b).add(msgspec.structs.replace(record, user_id=user.user_id)).result(30)
    exchange(a, b)
    for node in (a, b):
        found = Accounts(node).find(text)
        assert found is not None
        assert Accounts(node).access(found) is None
        assert not Accounts(node).has_user(found)


def test_a_key_is_bound_by_what_its_maker_may_when_it_is_written() -> None:
    accounts = Accounts(memory_repository(1))
    _, maker = new_root_key(2 * 10**12)
    accounts.save(maker).result(30)
    # Meanwhile, between the request and the commit, the maker is limited.
    accounts.change(maker.key_id, lambda old: msgspec.structs.replace(old, rules=READ)).result(30)
    made = accounts.add(new_root_key(2 * 10**12)[1], maker.key_id).result(30)
    assert made.bounds == (READ,)
    assert accounts.by_id(made.key_id) == made
    accounts.revoke([maker.key_id]).result(30)
    with pytest.raises(NotFoundError):
        accounts.add(new_root_key(2 * 10**12)[1], maker.key_id).result(30)


def test_rules_set_on_two_nodes_at_once_both_bind() -> None:
    a, b, user = pair()
    change(a, user, rules=READ)
    change(a, user, rules=(KeyRule("/docs/public/**", "-r--l---"),))
    change(b, user, rules=WRITE)
    exchange(a, b)
    text, record = new_root_key(1)
    Accounts(a).save(msgspec.structs.replace(record, user_id=user.user_id)).result(30)
    access = Accounts(a).access(Accounts(a).find(text) or record)
    assert access is not None
    assert access.flags("/docs/public/x") == "-r--l---"
    assert access.flags("/docs/x") == "--------"


def test_two_users_of_one_name_are_both_kept() -> None:
    a, b = memory_repository(1), memory_repository(2)
    for node in (a, b):
        Accounts(node).users.add(ada()).result(30)
        with pytest.raises(ConflictError):
            Accounts(node).users.add(ada(username="ADA")).result(30)
    exchange(a, b)
    assert len(Accounts(a).users.all()) == 2
    assert Accounts(a).users.all() == Accounts(b).users.all()


def with_chain(repository: Repository) -> tuple[UUID, RefreshToken]:
    _, record = new_root_key(1)
    accounts = Accounts(repository)
    accounts.save(record).result(30)
    return record.key_id, accounts.chains.begin(record.key_id, 10**15).result(30)


def rotate(repository: Repository, token: RefreshToken) -> RefreshToken | None:
    return Accounts(repository).chains.rotate(token, 10**15).result(30)


def test_a_chain_goes_on_on_any_node() -> None:
    a, b = memory_repository(1), memory_repository(2)
    _, token = with_chain(a)
    for node, other in ((a, b), (b, a), (a, b)):
        exchange(node, other)
        following = rotate(node, token)
        assert following is not None
        token = following


def test_one_token_used_on_two_nodes_ends_the_chain_when_they_meet() -> None:
    a, b = memory_repository(1), memory_repository(2)
    _, token = with_chain(a)
    exchange(a, b)
    here, there = rotate(a, token), rotate(b, token)
    assert here is not None
    assert there is not None
    exchange(a, b)
    for node in (a, b):
        assert rotate(node, here) is None
        assert rotate(node, there) is None


def test_a_reuse_seen_by_one_node_ends_the_chain_on_all() -> None:
    a, b = memory_repository(1), memory_repository(2)
    _, first = with_chain(a)
    second = rotate(a, first)
    assert second is not None
    third = rotate(a, second)
    assert third is not None
    exchange(a, b)
    assert rotate(b, first) is None
    # Meanwhile, on the other node, its owner goes on.
    fourth = rotate(a, third)
    assert fourth is not None
    exchange(a, b)
    for node in (a, b):
        assert rotate(node, fourth) is None


def test_a_chain_that_one_node_dropped_ends_whatever_the_other_did() -> None:
    a, b = memory_repository(1), memory_repository(2)
    key_id, token = with_chain(a)
    exchange(a, b)
    Accounts(a).revoke([key_id]).result(30)
    following = rotate(b, token)
    assert following is not None
    exchange(a, b)
    for node in (a, b):
        assert rotate(node, following) is None


def test_keys_that_begin_alike_keep_their_own_chains() -> None:
    a = memory_repository(1)
    accounts = Accounts(a)
    ids = [UUID(int=(7 << 64) + n) for n in (1, 2)]
    tokens = [accounts.chains.begin(key_id, 10**15).result(30) for key_id in ids]
    accounts.revoke([ids[0]]).result(30)
    assert rotate(a, tokens[0]) is None
    assert rotate(a, tokens[1]) is not None


@pytest.mark.parametrize("shape", [users.SHAPE, chains.SHAPE])
def test_what_is_no_record_is_as_if_it_were_not_there(shape: registers.Shape[UserRecord]) -> None:
    a = memory_repository(1)
    bad = [b"", b"nonsense", b"[" * 10_000, b" " * (shape.limit + 1), b"{}"]
    for number, data in enumerate(bad):
        file = FileState(a.store_small(data), "application/json")
        a.commit(partial(put_file, path=shape.at(str(number)), file=file)).result(30)
    register = registers.Register(a, shape)
    assert list(register.all()) == []
    assert register.get("1") is None


def test_a_folder_among_the_records_is_left_out() -> None:
    a = memory_repository(1)
    Accounts(a).users.add(ada()).result(30)
    content = a.store_small(b"{}")
    inside = from_key(to_key(users.SHAPE.path) + b"\0folder\0x.json")
    a.commit(lambda draft: put_file(draft, inside, FileState(content, "application/json"))).result(
        30
    )
    assert [one.username for one in Accounts(a).users.all()] == ["ada"]
    with pytest.raises(ConflictError):
        Accounts(a).users.add(ada()).result(30)
