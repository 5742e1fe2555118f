"""Who belongs to the cluster is known whatever happens to the bytes of the records."""

from collections.abc import Iterator

import pytest

from aeorsync.core.paths import join
from aeorsync.storage.changes import FileState, put_file
from aeorsync.storage.draft import Draft
from aeorsync.storage.members import ACKS, MEMBERS, Members
from aeorsync.storage.repository import Repository
from tests.support.repositories import memory_repository


@pytest.fixture
def repository() -> Iterator[Repository]:
    made = memory_repository()
    yield made
    made.close()


def standing(repository: Repository) -> dict[int, bool]:
    return {node: member.is_removed for node, member in Members(repository).all().items()}


def test_members_are_known_though_their_records_are_damaged(repository: Repository) -> None:
    members = Members(repository)
    members.write([5, 6])
    members.remove(6)
    repository.store.quarantine([row.id for row in repository.store.chunk_rows(b"", 100)])
    assert standing(repository) == {5: False, 6: True}


@pytest.mark.parametrize(
    ("data", "is_removed"),
    [
        (b'{"removed": true, "node_id": 5}', True),
        (b'{"node_id": 5, "why": "?"}', False),
        (b"\xff", False),
        (b"{", False),
    ],
)
def test_a_record_in_other_words_is_read(
    repository: Repository, data: bytes, *, is_removed: bool
) -> None:
    content = repository.store_small(data)
    path = join(MEMBERS, "5.json")
    file = FileState(content, "application/json")
    repository.commit(lambda draft: put_file(draft, path, file)).result(30)
    assert standing(repository) == {5: is_removed}


@pytest.mark.parametrize("odd", ["x.json", "5", "05.json", "-5.json", "\u0665.json", "9" * 40])
def test_what_is_not_called_like_a_record_is_none(repository: Repository, odd: str) -> None:
    content = repository.store_small(b"{}")
    file = FileState(content, "application/json")
    repository.commit(lambda draft: put_file(draft, join(MEMBERS, odd), file)).result(30)
    Members(repository).write([6])
    assert standing(repository) == {6: False}


@pytest.mark.parametrize("data", [b"\x91" * 5000, b"\x94\x05\x01\x90" + b"\x91" * 5000])
def test_an_acknowledgement_that_is_nested_too_deeply_is_none(
    repository: Repository, data: bytes
) -> None:
    content = repository.store_small(data)
    file = FileState(content, "application/msgpack")

    def operation(draft: Draft) -> None:
        for path in (join(ACKS, "5"), join(MEMBERS, "5.json")):
            put_file(draft, path, file)

    repository.commit(operation).result(30)
    with repository.view() as view:
        assert Members(repository).acks(view) == {}
    assert standing(repository) == {5: False}
