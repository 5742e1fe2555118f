from collections.abc import Iterator

import pytest

from aeorsync.cluster import link as link_module
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


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "HONEYMOON_S", 0.01)
    monkeypatch.setattr(link_module, "BACK_OFF_S", 0.002)
    monkeypatch.setattr(link_module, "FLOOR_S", 0.001)
