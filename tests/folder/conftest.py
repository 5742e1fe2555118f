"""A folder with its ledger for the tests of the disk side, a real node for the engine's."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aeorsync.folder.options import DeleteLimit, Options
from tests.support.folders import World
from tests.support.nodes import NodeProcess
from tests.support.people import Synced

ALL = DeleteLimit.parse("100%")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A folder and its ledger, without a server."""
    world = World(tmp_path)
    yield world
    world.close()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """One for all tests of a module."""
    with NodeProcess(tmp_path_factory.mktemp("engine") / "node") as process:
        yield process


@pytest.fixture
def person(
    node: NodeProcess, tmp_path: Path, request: pytest.FixtureRequest
) -> Callable[..., Synced]:
    """Makes folders that are kept equal to a path of this test's own."""
    name = "".join(char if char.isalnum() else "-" for char in request.node.name)

    def make(who: str, options: Options | None = None) -> Synced:
        chosen = Options(max_delete=ALL) if options is None else options
        return Synced(tmp_path / who, node, f"/{name}", chosen)

    return make
