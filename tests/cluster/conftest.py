from collections.abc import Iterator

import pytest

from aeorsync.storage.repository import Repository
from tests.support.peer import FakePeer
from tests.support.repositories import memory_repository


@pytest.fixture
def ours() -> Iterator[Repository]:
    repository = memory_repository(node=1)
    yield repository
    repository.close()


@pytest.fixture
def theirs() -> Iterator[Repository]:
    repository = memory_repository(node=2)
    yield repository
    repository.close()


@pytest.fixture
def peer(theirs: Repository) -> FakePeer:
    return FakePeer(theirs)
