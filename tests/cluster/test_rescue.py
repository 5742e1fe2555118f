"""A chunk that is damaged here comes back from whichever peer holds it, and from nobody's lie."""

import asyncio
from pathlib import Path

import pytest

from aeorsync.cluster import rescue as rescue_module
from aeorsync.cluster.rescue import Rescue
from aeorsync.core.hashing import chunk_id
from aeorsync.storage.base import LOST, StoredChunk
from aeorsync.storage.repository import Repository
from aeorsync.wire.framing import Codec, encode_chunk
from tests.support.clock import FakeClock
from tests.support.cycles import cycle
from tests.support.loops import run, until
from tests.support.peer import FakePeer
from tests.support.repositories import files, memory_repository, open_repository, put

NAME = chunk_id(b"precious")


def damaged(repository: Repository) -> Repository:
    put(repository, "/a", b"precious")
    repository._store.quarantine([NAME])
    return repository


def rescue(ours: Repository, *peers: FakePeer) -> Rescue:
    return Rescue(ours, lambda: [peer.remote() for peer in peers])


def test_the_first_peer_that_holds_a_chunk_gives_it(ours: Repository) -> None:
    damaged(ours)
    empty, down, holder = (FakePeer(memory_repository(node=n)) for n in (5, 6, 8))
    down.down = True
    put(holder.repository, "/other", b"precious")
    assert run(rescue(ours, empty, down, holder).fetch([NAME]))
    assert files(ours) == {"/a": b"precious"}
    assert holder.asked("/sync/chunks")[0].headers["x-aeorsync-chunks"] == "held"


def test_a_peer_that_lies_is_passed_over(ours: Repository, theirs: Repository) -> None:
    damaged(ours)
    put(theirs, "/a", b"precious")
    liar, honest = FakePeer(theirs), FakePeer(theirs)
    liar.chunk = lambda chunk: encode_chunk(chunk.id, Codec.RAW, 4, b"lies")
    assert not run(rescue(ours, liar).fetch([NAME]))
    assert ours.missing([NAME]) == {NAME}
    assert run(rescue(ours, liar, honest).fetch([NAME]))


def test_a_reader_does_not_wait_for_ever(
    ours: Repository, peer: FakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rescue_module, "DEADLINE_S", 0.05)
    damaged(ours)
    peer.hang.add("/sync/chunks")
    assert not run(rescue(ours, peer).fetch([NAME]))
    assert not run(rescue(ours).fetch([NAME]))


def test_what_was_found_damaged_is_brought_back_in_the_background_also_after_a_restart(
    theirs: Repository, peer: FakePeer, tmp_path: Path
) -> None:
    damaged(open_repository(tmp_path / "ours")).close()
    ours = open_repository(tmp_path / "ours")
    assert ours.damage.lost(10) == [NAME]
    put(theirs, "/a", b"precious")

    async def main() -> None:
        task = asyncio.create_task(rescue(ours, peer).run())
        await until(lambda: not ours.missing([NAME]))
        task.cancel()

    run(main())
    assert ours.damage.lost(10) == []
    assert ours.notes(LOST) == {}
    ours.close()
    ours = open_repository(tmp_path / "ours")
    assert files(ours) == {"/a": b"precious"}
    ours.close()


def test_what_nobody_has_is_asked_for_less_and_less_often_and_then_forgotten(
    peer: FakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rescue_module, "PAUSE_S", 0.01)
    clock = FakeClock()
    ours = damaged(memory_repository(node=1, wall=clock))

    async def main() -> None:
        task = asyncio.create_task(rescue(ours, peer).run())
        await asyncio.sleep(0.5)
        task.cancel()

    run(main())
    assert 2 <= len(peer.asked("/sync/chunks")) <= 7
    clock.now += 8 * 24 * 3_600_000
    assert ours.damage.lost(10) == []
    assert ours.notes(LOST) == {}


def test_a_peer_that_sent_a_damaged_chunk_is_asked_to_look_at_it(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    put(theirs, "/a", b"precious")
    honest = peer.chunk

    def damaged_until_looked_at(chunk: StoredChunk) -> bytes | None:
        has_looked = peer.requests[-1].headers.get("x-aeorsync-chunks") == "checked"
        return honest(chunk) if has_looked else encode_chunk(chunk.id, Codec.RAW, 3, b"bad")

    peer.chunk = damaged_until_looked_at
    report = cycle(ours, peer)
    assert report.problem_count == 0
    assert files(ours) == {"/a": b"precious"}
