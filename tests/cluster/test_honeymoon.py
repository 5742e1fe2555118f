"""When data may flow over a link, when it may no longer, and what a person may say against it."""

import asyncio
import time
from functools import partial

import pytest

from aeorsync.cluster import link as link_module
from aeorsync.core.links import LinkState
from aeorsync.storage.repository import Repository
from aeorsync.wire.peer_events import ClockTold, Heartbeat
from tests.cluster.links import make_link, running
from tests.support.loops import run, until
from tests.support.peer import FakePeer
from tests.support.repositories import files, put

pytestmark = pytest.mark.usefixtures("short_pauses")

NOW = 1_700_000_000_000
BEAT = Heartbeat(ClockTold(1, 2, 2))


class Clock:
    """A peer's clock that can be set.

    Attributes:
        ahead_ms: How far it is ahead.
    """

    def __init__(self, peer: FakePeer) -> None:
        self.ahead_ms = 0
        peer.clock_ms = lambda: NOW + self.ahead_ms


def has_probed(peer: FakePeer, times: int) -> bool:
    return len(peer.asked("/sync/clock")) >= times


def test_a_good_link_settles_in_far_less_than_two_seconds(
    ours: Repository, peer: FakePeer
) -> None:
    async def main() -> None:
        began = time.monotonic()
        async with running(make_link(ours, peer)) as link:
            await until(lambda: link.is_active)
            assert time.monotonic() - began < 1
            state = link.peer_state()
            assert (state.samples, state.reason, state.forced) == (5, None, False)

    run(main())


def test_each_new_connection_begins_with_a_honeymoon(ours: Repository, peer: FakePeer) -> None:
    async def main() -> None:
        async with running(make_link(ours, peer)) as link:
            for _ in range(3):
                await until(lambda: link.is_active and peer.listeners)
                asked = [request.path for request in peer.requests]
                assert asked[:5] == ["/sync/clock"] * 5
                assert "/sync/diff" not in asked[:5]
                peer.down = True
                peer.hang_up()
                await until(lambda: not link.is_active)
                peer.requests.clear()
                peer.down = False

    run(main())


def test_a_probe_that_fails_in_the_honeymoon_prolongs_it_and_is_told(
    ours: Repository, peer: FakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "HONEYMOON_S", 0.1)

    def second_to_none() -> int:
        if len(peer.asked("/sync/clock")) == 2:
            peer.status["/sync/clock"] = (503, b'{"error":"busy"}')
        return NOW

    peer.clock_ms = second_to_none

    async def main() -> None:
        async with running(make_link(ours, peer)) as link:
            await until(lambda: "probe failed" in (link.peer_state().reason or ""))
            assert link.standing.state is LinkState.HONEYMOON
            assert "busy" in (link.peer_state().reason or "")
            assert peer.asked("/sync/diff") == []
            peer.status.clear()
            await until(lambda: link.is_active)
            assert link.peer_state().sync_status.total_failures == 0

    run(main())


def test_an_uneven_way_keeps_a_link_in_its_honeymoon(
    ours: Repository, peer: FakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aeorsync.core.links.MAX_JITTER_MS", -1)

    async def main() -> None:
        async with running(make_link(ours, peer)) as link:
            await until(lambda: "round trips differ" in (link.peer_state().reason or ""))
            assert link.standing.state is LinkState.HONEYMOON
            assert peer.asked("/sync/diff") == []
            monkeypatch.setattr("aeorsync.core.links.MAX_JITTER_MS", 1000)
            await until(lambda: link.is_active)

    run(main())


def test_a_clock_that_cannot_be_asked_for_three_heartbeats_sends_the_link_back(
    ours: Repository, peer: FakePeer
) -> None:
    async def main() -> None:
        async with running(make_link(ours, peer)) as link:
            await until(lambda: link.is_active and peer.listeners)
            peer.status["/sync/clock"] = (503, b'{"error":"busy"}')
            for beats in range(1, 4):
                assert link.is_active
                peer.tell("heartbeat", BEAT)
                await until(partial(has_probed, peer, 5 + beats))
            await until(lambda: not link.is_active)
            peer.status.clear()
            await until(lambda: link.is_active and peer.listeners)

    run(main())


def test_a_forced_link_says_so_and_what_was_overruled(ours: Repository, peer: FakePeer) -> None:
    clock = Clock(peer)
    clock.ahead_ms = 3_600_000
    put(peer.repository, "/a", b"one")

    async def main() -> None:
        async with running(make_link(ours, peer)) as link:
            await until(lambda: link.peer_state().samples)
            assert not link.peer_state().forced
            link.force()
            await until(lambda: files(ours) and peer.listeners)
            state = link.peer_state()
            assert (state.state, state.forced) == ("active", True)
            assert "3600.0 s ahead" in (state.reason or "")
            # The override ends when there is nothing to overrule any more.
            clock.ahead_ms = 0
            while link.peer_state().forced:
                peer.tell("heartbeat", BEAT)
                await asyncio.sleep(0.001)
            assert link.is_active
            assert link.peer_state().reason is None
            clock.ahead_ms = 3_600_000
            while link.is_active:
                peer.tell("heartbeat", BEAT)
                await asyncio.sleep(0.001)

    run(main())


def test_force_on_a_peer_whose_clock_is_right_overrules_nothing(
    ours: Repository, peer: FakePeer
) -> None:
    async def main() -> None:
        link = make_link(ours, peer)
        link.force()
        async with running(link):
            await until(lambda: link.is_active)
            assert not link.peer_state().forced

    run(main())
