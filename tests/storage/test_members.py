"""Who belongs to the cluster is known whatever happens to the bytes of the records."""

from collections.abc import Iterator

import pytest

from aeorsync.core.paths import join
from aeorsync.storage.changes import FileState, put_file
from aeorsync.storage.members import MEMBERS, Members
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
