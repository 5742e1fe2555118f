"""What a node tells another of what it knows, and to whom it tells it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aeorsync.cluster import pages
from aeorsync.cluster.roster import Roster
from aeorsync.storage.repository import Repository
from aeorsync.wire.headers import FROM_HEADER, RUN_HEADER
from aeorsync.wire.protocol import FRAMES_TYPE
from tests.api.conftest import Running, running
from tests.api.readers import read_frames
from tests.support.loops import run
from tests.support.repositories import put

FRAMES = {"Accept": FRAMES_TYPE}


async def knowledge(node: Running, *, is_peer: bool = True, **body: Any) -> Any:  # noqa: ANN401
    async with node.peer() if is_peer else node.client() as client:
        reply = await client.post("/sync/diff", json={"knowledge": True, **body}, headers=FRAMES)
    return read_frames(reply.content)[2].knowledge


def test_a_peer_that_asks_is_told_what_the_node_knows(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as made:
            put(made.node.repository, "/a", b"1")
            told = await knowledge(made)
            assert dict(told) == made.node.repository.known()
            assert told
            assert await knowledge(made, knowledge=False) is None

    run(main())


def test_who_is_told_a_part_only_is_not_told_what_the_whole_is_worth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with running(tmp_path) as made:
            for name in "abc":
                put(made.node.repository, f"/{name}", b"1")
            assert await knowledge(made, paths=["/a"]) is None
            assert await knowledge(made, is_peer=False) is None
            monkeypatch.setattr(pages, "PAGE_ITEMS", 2)
            assert await knowledge(made) is None

    run(main())


class WithRoster(SimpleNamespace):
    """A member of which nothing is asked but the roster."""

    def __init__(self, repository: Repository) -> None:
        super().__init__(roster=Roster(repository))


def test_who_asks_for_changes_is_written_down_first_and_a_removed_node_gets_nothing(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        async with running(tmp_path) as made:
            repository = made.node.repository
            object.__setattr__(made.node, "member", WithRoster(repository))
            roster = made.node.member.roster
            async with made.peer() as client:
                calling = {**FRAMES, FROM_HEADER: "42"}
                reply = await client.post("/sync/diff", json={}, headers=calling)
                _, items, _ = read_frames(reply.content)
                assert any(key.endswith(b"members\x0042.json") for key, _ in items)
                assert (await roster.members()).keys() == {42, repository.head.node}
                await roster.remove(42)
                for path in ("/sync/diff", "/sync/clock", "/sync/wake"):
                    refused = await client.post(
                        path, json={"t0": 1, "node_id": 42}, headers=calling
                    )
                    assert (refused.status_code, refused.json()["code"]) == (403, "REMOVED")
                put(repository, "/x", b"1")
                other = {**FRAMES, FROM_HEADER: "43"}
                assert (await client.post("/sync/diff", json={}, headers=other)).status_code == 200

    run(main())


def test_a_copy_of_a_node_that_runs_beside_it_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with running(tmp_path) as made:
            object.__setattr__(made.node, "member", WithRoster(made.node.repository))
            monkeypatch.setattr("aeorsync.cluster.twins.TWIN_S", -1.0)
            async with made.peer() as client:

                async def call(run_id: str) -> Any:  # noqa: ANN401 - an answer
                    fields = {**FRAMES, FROM_HEADER: "42", RUN_HEADER: run_id}
                    return await client.post("/sync/diff", json={}, headers=fields)

                assert [(await call(one)).status_code for one in ("a1", "b2", "a1")] == [200] * 3
                refused = await call("b2")
                assert (refused.status_code, refused.json()["code"]) == (403, "TWIN")
                assert (await call("a1")).status_code == 200
                for broken in ("", "x", "-1", "A1", "1" * 17, "0x1"):
                    assert (await call(broken)).status_code == 400

    run(main())
