"""A real node and an AeorDB node stay equal, whoever writes, and nothing is lost on ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.aeordb import AeorDB, serving
from tests.support.nodes import NodeProcess, is_active, wait_until

SOON = ("--sync-interval", "1")


class Two:
    """One of ours and one of theirs."""

    def __init__(self, ours: NodeProcess, theirs: AeorDB) -> None:
        self.ours = ours
        self.theirs = theirs
        self.client = ours.client()

    def put(self, path: str, data: bytes) -> None:
        self.client.put(f"/files{path}", content=data).raise_for_status()

    def read(self, path: str) -> bytes | None:
        answer = self.client.get(f"/files{path}")
        return answer.content if answer.status_code == 200 else None

    def files(self) -> dict[str, bytes | str]:
        items = self.client.get("/files/?depth=-1&limit=1000").json()["items"]
        found: dict[str, bytes | str] = {}
        for item in items:
            if item["entry_type"] == 8:
                found[item["path"]] = item["target"]
            elif item["entry_type"] == 2:
                found[item["path"]] = self.read(item["path"]) or b""
        return found

    def conflicts(self) -> list[str]:
        items = self.client.get("/sync/conflicts").json()["items"]
        return [item["path"] for item in items]

    def seq(self) -> int:
        seq: int = self.client.get("/sync/status").json()["seq"]
        return seq

    def look(self) -> None:
        """Let ours pull from theirs."""
        answer = self.client.post("/sync/trigger").raise_for_status().json()
        assert answer["peers_failed"] == 0, answer

    def settle(self) -> None:
        """Let both pull until they are equal."""

        def is_equal() -> bool:
            self.look()
            self.theirs.tick()
            return self.files() == self.theirs.files()

        wait_until(is_equal)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    with joined(tmp_path_factory.mktemp("aeordb")) as made:
        yield made


@contextmanager
def joined(folder: Path) -> Iterator[Two]:
    """An AeorDB node that joined one of ours, and was activated."""
    with NodeProcess(folder / "a", *SOON) as ours, serving(AeorDB()) as theirs:
        theirs.join(ours.url, ours.key or "", theirs.url)
        theirs.peers[0].state = "active"
        wait_until(lambda: is_active(ours))
        two = Two(ours, theirs)
        with two.client:
            yield two


def test_files_of_either_are_on_the_other(two: Two) -> None:
    two.put("/from/us.txt", b"us")
    two.theirs.put("/from/them.txt", b"them")
    two.settle()
    assert two.read("/from/them.txt") == b"them"
    assert two.theirs.read("/from/us.txt") == b"us"
