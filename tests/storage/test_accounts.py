"""API keys as records that replicate: a revocation stands, whatever happens at the same time."""

import msgspec

from aeorsync.storage.accounts import Accounts, new_root_key
from aeorsync.storage.repository import Repository
from tests.support.repositories import exchange, memory_repository


def with_key(repository: Repository) -> str:
    text, record = new_root_key(1)
    Accounts(repository).save(record).result(timeout=30)
    return text


def is_usable(repository: Repository, text: str) -> bool:
    accounts = Accounts(repository)
    record = accounts.find(text)
    assert record is not None
    assert accounts.by_id(record.key_id) == record
    return record.usable(2)


def test_a_reset_revokes_every_root_key_on_every_node() -> None:
    a, b = memory_repository(1), memory_repository(2)
    texts = [with_key(a), with_key(b)]
    exchange(a, b)
    new, revoked = Accounts(a).reset_root(2)
    assert revoked == 2
    exchange(a, b)
    for node in (a, b):
        assert [is_usable(node, text) for text in (*texts, new)] == [False, False, True]


def test_a_key_revoked_on_one_node_and_changed_on_another_stays_revoked() -> None:
    a, b = memory_repository(1), memory_repository(2)
    text = with_key(a)
    exchange(a, b)
    Accounts(a).reset_root(2)
    record = Accounts(b).find(text)
    assert record is not None
    # Later, so that this version is the one shown.
    for label in ("x", "y", "z"):
        changed = msgspec.structs.replace(record, label=label)
        Accounts(b).save(changed).result(timeout=30)
    exchange(a, b)
    assert not is_usable(a, text)
    assert not is_usable(b, text)


def test_two_resets_at_once_leave_two_keys() -> None:
    a, b = memory_repository(1), memory_repository(2)
    old = with_key(a)
    exchange(a, b)
    new = [Accounts(node).reset_root(2)[0] for node in (a, b)]
    exchange(a, b)
    for node in (a, b):
        assert [is_usable(node, text) for text in (old, *new)] == [False, True, True]
