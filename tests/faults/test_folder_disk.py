"""A folder client whose own disk is full or can only be read goes on by itself when it is not."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.test_disk import SmallDisk
from tests.support.folder_clients import FolderProcess
from tests.support.nodes import NodeProcess, wait_until

SIZE = 40_000


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with NodeProcess(tmp_path_factory.mktemp("server") / "a") as made:
        yield made


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    made = SmallDisk(tmp_path / "disk")
    yield made
    made.close()


class Folder:
    """A folder that is kept, and the place on the server it is kept equal to."""

    def __init__(self, node: NodeProcess, work: Path, name: str) -> None:
        self.node = node
        self.top = f"/files/{name}"
        self.process = FolderProcess(work, name, f"{node.url}/{name}", node.key or "")

    def put(self, count: int, size: int = SIZE) -> dict[str, bytes]:
        """Write new files on the server."""
        made = {f"f{size}-{number}": os.urandom(size) for number in range(count)}
        with self.node.client() as client:
            for name, body in made.items():
                client.put(f"{self.top}/{name}", content=body).raise_for_status()
        return made

    def names_there(self) -> set[str]:
        with self.node.client() as client:
            return {item["name"] for item in client.get(self.top).json()["items"]}

    def here(self) -> dict[str, bytes]:
        root = self.process.root
        return {path.name: path.read_bytes() for path in root.iterdir() if path.is_file()}

    def problems(self) -> list[str]:
        return [
            line for line in self.process.log_file.read_text().splitlines() if "refused" in line
        ]


def goes_on(folder: Folder, fill: Callable[[], None], empty: Callable[[], None]) -> None:
    with folder.process:
        old = folder.put(5, 1000)
        folder.process.start()
        wait_until(lambda: folder.here() == old, 60)
        fill()
        new = folder.put(6)
        wait_until(folder.problems, 60)
        # Whole files or none; nothing that was there is gone, on either side.
        here = folder.here()
        assert old.items() <= here.items() <= (old | new).items()
        assert folder.names_there() == {*old, *new}
        empty()
        wait_until(lambda: folder.here() == old | new, 90)
        assert folder.names_there() == {*old, *new}
        assert folder.process.is_running


def test_a_folder_on_a_full_disk_goes_on_by_itself(
    node: NodeProcess, disk: SmallDisk, tmp_path: Path
) -> None:
    place = disk.folder if disk.is_mounted else tmp_path
    folder = Folder(node, place, "full")
    folder.process.state = tmp_path / "state"
    folder.process.environment["XDG_STATE_HOME"] = str(tmp_path / "state")
    process = folder.process
    goes_on(folder, lambda: disk.fill(process), lambda: disk.empty(process))


def test_a_memory_on_a_full_disk_goes_on_by_itself(
    node: NodeProcess, disk: SmallDisk, tmp_path: Path
) -> None:
    folder = Folder(node, tmp_path, "state")
    folder.process.state = disk.folder
    folder.process.environment["XDG_STATE_HOME"] = str(disk.folder)
    process = folder.process
    goes_on(folder, lambda: disk.fill(process), lambda: disk.empty(process))
