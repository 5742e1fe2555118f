"""What a link does about what failed: when it asks again, and how long it waits before."""

import asyncio
import time
from collections.abc import Callable

import httpx
import msgspec
import pytest

from aeorsync.cluster import link as link_module
from aeorsync.runtime.tasks import backoff
from aeorsync.storage.repository import Repository
from tests.cluster.links import make_link, running
from tests.support.cycles import cycle
from tests.support.loops import run, until
from tests.support.peer import FakePeer, answer
from tests.support.repositories import files, put

pytestmark = pytest.mark.usefixtures("short_pauses")


def hold_back(peer: FakePeer, chunk: bytes) -> Callable[[], None]:
    """Let the peer miss a chunk, until the function returned is called."""
    honest = peer.chunk
    peer.chunk = lambda stored: None if stored.id == chunk else honest(stored)

    def give() -> None:
        peer.chunk = honest

    return give


def test_what_failed_is_asked_for_again_also_while_the_peer_always_has_news(
    ours: Repository, peer: FakePeer
) -> None:
    content = put(peer.repository, "/a", b"held back").content
    give = hold_back(peer, content.refs[:32])

    async def main() -> None:
        async with running(make_link(ours, peer, interval=0.1)) as link:
            await until(lambda: link.peer_state().sync_status.total_failures)
            give()
            ends_at = asyncio.get_running_loop().time() + 5
            while "/a" not in files(ours):
                peer.tell()
                await asyncio.sleep(0.02)
                assert asyncio.get_running_loop().time() < ends_at

    run(main())


def askers(peer: FakePeer) -> list[int | None]:
    return [msgspec.json.decode(r.body).get("node_id") for r in peer.asked("/sync/diff")]


def test_echoes_are_asked_for_until_one_whole_cycle_took_everything(
    ours: Repository, peer: FakePeer
) -> None:
    content = put(peer.repository, "/a", b"held back").content
    give = hold_back(peer, content.refs[:32])

    async def main() -> None:
        async with running(make_link(ours, peer, interval=60)) as link:
            await until(lambda: link.peer_state().sync_status.total_failures)
            # A cycle past what failed takes everything, but is not whole.
            put(peer.repository, "/b", b"two")
            peer.tell()
            await until(lambda: "/b" in files(ours))
            assert (await link.pulled()).is_partial
            give()
            assert not (await link.pulled()).is_partial
            assert set(askers(peer)) == {None}
            await link.pulled()
            assert askers(peer)[-1] == 1

    run(main())


class Calling(FakePeer):
    """A peer whose owner hears when it is woken."""

    def _routes(self) -> dict[str, Callable[[bytes], httpx.Response]]:
        def wake(_: bytes) -> httpx.Response:
            self.woken()
            return answer(202, b"{}")

        return {**super()._routes(), "/sync/wake": wake}

    woken: Callable[[], None] = staticmethod(lambda: None)


def test_two_nodes_that_both_fail_do_not_talk_each_other_out_of_waiting(
    ours: Repository, theirs: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "BACK_OFF_S", 0.1)
    sides = (Calling(ours), Calling(theirs))
    for side in sides:
        side.status["/sync/diff"] = (500, b"{}")

    async def main() -> float:
        here, there = make_link(ours, sides[1]), make_link(theirs, sides[0])
        sides[0].woken, sides[1].woken = here.wake, there.wake
        began = time.monotonic()
        async with running(here), running(there):
            await asyncio.sleep(0.9)
            await until(lambda: all(len(side.asked("/sync/diff")) >= 3 for side in sides))
        return time.monotonic() - began

    took = run(main())
    # Pauses of 50, 100, 200, 400 ms; a greeting of each cuts one of the other's.
    assert [len(side.asked("/sync/wake")) for side in sides] == [1, 1]
    assert all(len(side.asked("/sync/diff")) <= 6 + took for side in sides)


def test_calls_of_the_peer_shorten_a_pause_to_its_floor_and_not_the_next(
    ours: Repository, peer: FakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "BACK_OFF_S", 1000)
    monkeypatch.setattr(link_module, "BACK_OFF_CAP_S", 1000)
    monkeypatch.setattr(link_module, "FLOOR_S", 0.1)
    peer.down = True

    async def main() -> None:
        async with running(make_link(ours, peer)) as link:
            began = time.monotonic()
            for _ in range(50):
                link.wake()
                await asyncio.sleep(0.01)
            await until(lambda: link.peer_state().sync_status.total_failures)
            link.wake()
            await until(lambda: link.peer_state().sync_status.total_failures > 1)
            failures = link.peer_state().sync_status.total_failures
            # On a busy machine more time passes meanwhile.
            assert failures <= 2 + (time.monotonic() - began) / 0.1
            await asyncio.sleep(0.2)
            assert link.peer_state().sync_status.total_failures <= failures + 1

    run(main())


def test_only_a_person_or_a_good_cycle_makes_pauses_short_again(
    ours: Repository, peer: FakePeer
) -> None:
    pauses: list[int] = []

    def noted(failures: int, *rest: float) -> float:
        pauses.append(failures)
        return backoff(failures, *rest)

    peer.down = True

    async def main() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(link_module, "backoff", noted)
            async with running(make_link(ours, peer)) as link:
                for count in range(1, 5):
                    await until(lambda count=count: len(pauses) >= count)  # type: ignore[misc]
                    link.wake()
                await until(lambda: len(pauses) >= 5)
                assert pauses[:5] == [1, 2, 3, 4, 5]
                link.hasten()
                await until(lambda: 1 in pauses[5:])
                peer.down = False
                await until(lambda: link.peer_state().last_sync_at and peer.listeners)
                seen = len(pauses)
                peer.hang_up()
                await until(lambda: len(pauses) > seen)
                assert pauses[seen] == 1

    run(main())


def test_after_a_failure_the_peer_is_greeted_once_a_cycle_went_well(
    ours: Repository, peer: FakePeer
) -> None:
    peer.status["/sync/diff"] = (500, b"{}")

    async def main() -> None:
        async with running(make_link(ours, peer)) as link:
            await until(lambda: link.peer_state().sync_status.total_failures >= 4)
            assert len(peer.asked("/sync/wake")) <= 1
            greeted = len(peer.asked("/sync/wake"))
            del peer.status["/sync/diff"]
            await until(lambda: len(peer.asked("/sync/wake")) == greeted + 1)
            assert link.peer_state().sync_status.consecutive_failures == 0

    run(main())


def listings(peer: FakePeer) -> int:
    """How often everything was asked for."""
    bodies = [msgspec.json.decode(request.body) for request in peer.asked("/sync/diff")]
    return sum(body.get("cursor") is None for body in bodies)


def test_what_a_feed_hides_is_found_in_the_trees_once_nothing_moves(
    ours: Repository, peer: FakePeer
) -> None:
    put(peer.repository, "/hidden", b"one")
    peer.items = lambda items: [item for item in items if item[0] != b"hidden"]

    async def main() -> None:
        async with running(make_link(ours, peer, interval=0.03)) as link:
            await until(lambda: link.peer_state().last_sync_at)
            peer.items = lambda items: items
            await until(lambda: files(ours) == {"/hidden": b"one"})
            cycles = link.peer_state().sync_status.total_syncs
            await until(lambda: link.peer_state().sync_status.total_syncs > cycles + 4)

    run(main())
    assert listings(peer) == 1
    assert 2 <= len(peer.asked("/sync/nodes")) <= 3


def test_a_peer_that_does_not_take_from_us_is_asked_to_and_then_left_alone(
    ours: Repository, peer: FakePeer
) -> None:
    put(peer.repository, "/theirs", b"one")
    put(ours, "/ours", b"two")

    async def main() -> None:
        async with running(make_link(ours, peer, interval=0.01)) as link:
            await until(lambda: link.peer_state().sync_status.total_syncs > 10)
            await until(lambda: link.mender.report)
            cycles = link.peer_state().sync_status.total_syncs
            await until(lambda: link.peer_state().sync_status.total_syncs > cycles + 10)

    run(main())
    assert listings(peer) == 1
    wakes = [msgspec.json.decode(request.body) for request in peer.asked("/sync/wake")]
    assert [wake.get("repair", False) for wake in wakes] == [False, True]
    assert len(peer.asked("/sync/nodes")) <= 3


def test_a_peer_that_knows_of_no_tree_nodes_is_listed_instead(
    ours: Repository, peer: FakePeer
) -> None:
    put(peer.repository, "/hidden", b"one")
    peer.items = lambda items: [item for item in items if item[0] != b"hidden"]
    peer.status["/sync/nodes"] = (404, b"{}")

    async def main() -> None:
        async with running(make_link(ours, peer, interval=0.03)) as link:
            await until(lambda: link.peer_state().last_sync_at)
            peer.items = lambda items: items
            await until(lambda: files(ours) == {"/hidden": b"one"})

    run(main())
    assert listings(peer) == 2


@pytest.mark.parametrize("reason", ["same", "filter", "problem"])
def test_a_cursor_is_kept_where_there_is_nothing_to_doubt(
    ours: Repository, peer: FakePeer, reason: str
) -> None:
    put(peer.repository, "/a", b"one")
    filters = ("/a",) if reason == "filter" else None
    cycle(ours, peer, sync_paths=filters)
    if reason != "same":
        put(ours, "/ours", b"two")
    if reason == "problem":
        peer.items = lambda items: [*items, (b"bad", b"\xc1")]

    async def main() -> None:
        link = make_link(ours, peer, interval=0.01, node_id=2)
        await link.amend(sync_paths=filters)
        async with running(link):
            await until(lambda: link.peer_state().sync_status.total_syncs > 8)

    run(main())
    assert peer.asked("/sync/nodes") == []
    assert listings(peer) == 1
