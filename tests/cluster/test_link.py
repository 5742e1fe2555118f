"""The running part of one link, against a peer that comes, goes, and tells the wrong time."""

import asyncio
from functools import partial

import msgspec
import pytest

from aeorsync.cluster import link as link_module
from aeorsync.cluster.cycle import run_cycle
from aeorsync.cluster.peers import LinkBook
from aeorsync.core.links import LinkState
from aeorsync.errors import AeorError, UnavailableError
from aeorsync.storage.repository import Repository
from aeorsync.wire.peer_events import ClockTold, Heartbeat
from tests.cluster.links import make_link, running
from tests.support.cycles import peering, remove
from tests.support.loops import run, until
from tests.support.peer import FakePeer
from tests.support.repositories import files, memory_repository, put

pytestmark = pytest.mark.usefixtures("short_pauses")

NOW = 1_700_000_000_000
BEAT = Heartbeat(ClockTold(1, 2, 2))


def has_probed_since(peer: FakePeer, probes: int) -> bool:
    return len(peer.asked("/sync/clock")) > probes


def test_a_link_settles_and_pulls_at_once(ours: Repository, peer: FakePeer) -> None:
    put(peer.repository, "/a", b"one")

    async def main() -> None:
        async with running(make_link(ours, peer)) as link:
            await until(lambda: files(ours) == {"/a": b"one"})
            await until(lambda: link.peer_state().last_sync_at)
            state = link.peer_state()
            assert state.state == "active"
            assert state.reason is None
            assert (state.node_id, state.samples) == (2, 5)
            assert state.clock_offset_ms is not None
            assert abs(state.clock_offset_ms) < 10_000
            assert state.sync_status.total_syncs >= 1
            assert state.sync_status.last_error is None

    run(main())
    assert LinkBook(ours).links()[0].node_id == 2


def test_no_data_moves_before_the_clocks_agree(ours: Repository, peer: FakePeer) -> None:
    put(peer.repository, "/a", b"one")
    peer.clock_ms = lambda: NOW + 45_000

    async def main() -> None:
        async with running(make_link(ours, peer)) as link:
            await until(lambda: len(peer.asked("/sync/clock")) > 12)
            state = link.peer_state()
            assert state.state == "honeymoon"
            assert state.reason is not None
            assert "ahead of ours" in state.reason
            assert state.clock_offset_ms == pytest.approx(45_000, abs=1000)
            assert peer.asked("/sync/diff") == []
            peer.clock_ms = lambda: NOW
            await until(lambda: files(ours))
            assert link.is_active

    run(main())


def test_a_clock_that_goes_off_stops_the_data_and_one_that_comes_back_lets_it_flow(
    ours: Repository, peer: FakePeer
) -> None:
    async def main() -> None:
        async with running(make_link(ours, peer)) as link:
            await until(lambda: link.is_active and peer.listeners)
            peer.clock_ms = lambda: NOW - 90_000
            while link.is_active:
                peer.tell("heartbeat", BEAT)
                await asyncio.sleep(0.001)
            assert link.standing.state is LinkState.HONEYMOON
            put(peer.repository, "/a", b"one")
            await until(lambda: not peer.listeners)
            assert files(ours) == {}
            peer.clock_ms = lambda: NOW
            await until(lambda: files(ours))

    run(main())


def test_heartbeats_compare_the_clocks_again(ours: Repository, peer: FakePeer) -> None:
    async def main() -> None:
        async with running(make_link(ours, peer)) as link:
            await until(lambda: peer.listeners)
            peer.tell("heartbeat", BEAT)
            await until(lambda: link.peer_state().samples == 6)
            # A probe that fails is no loss while the event stream lives.
            peer.status["/sync/clock"] = (503, b"")
            peer.tell("heartbeat", BEAT)
            await until(lambda: len(peer.asked("/sync/clock")) == 7)
            put(peer.repository, "/a", b"one")
            peer.tell()
            await until(lambda: files(ours))
            assert link.is_active

    run(main())


def test_each_root_is_pulled_and_one_that_comes_during_a_cycle_is_not_lost(
    ours: Repository, peer: FakePeer
) -> None:
    async def main() -> None:
        async with running(make_link(ours, peer)) as link:
            await until(lambda: link.peer_state().last_sync_at and peer.listeners)
            for i in range(10):
                put(peer.repository, f"/f{i}", bytes([i]))
                peer.tell()
                peer.tell()
                await asyncio.sleep(0)
            await until(lambda: len(files(ours)) == 10)
            remove(peer.repository, "/f3")
            peer.tell()
            await until(lambda: len(files(ours)) == 9)

    run(main())


def test_there_are_never_two_cycles_at_once(
    ours: Repository, peer: FakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    cycles, most = 0, 0

    async def counted(*args: object) -> object:
        nonlocal cycles, most
        cycles += 1
        most = max(most, cycles)
        try:
            await asyncio.sleep(0.002)
            return await run_cycle(*args)  # type: ignore[arg-type]
        finally:
            cycles -= 1

    monkeypatch.setattr(link_module, "run_cycle", counted)

    async def main() -> None:
        async with running(make_link(ours, peer)) as link:
            await until(lambda: peer.listeners)
            for _ in range(10):
                peer.tell()
                link.wake()
                await asyncio.sleep(0.001)
            await asyncio.gather(*(link.pulled() for _ in range(5)))

    run(main())
    assert most == 1


def test_a_peer_that_tells_nothing_is_asked_now_and_then(ours: Repository, peer: FakePeer) -> None:
    async def main() -> None:
        async with running(make_link(ours, peer, interval=0.01)) as link:
            await until(lambda: link.peer_state().last_sync_at)
            put(peer.repository, "/a", b"one")
            await until(lambda: files(ours))

    run(main())


def test_a_peer_that_is_down_is_tried_again_and_the_reason_is_told(
    ours: Repository, peer: FakePeer
) -> None:
    peer.down = True
    put(peer.repository, "/a", b"one")

    async def main() -> None:
        async with running(make_link(ours, peer)) as link:
            await until(lambda: link.peer_state().sync_status.total_failures >= 3)
            state = link.peer_state()
            assert state.state == "disconnected"
            assert state.reason is not None
            assert "connection refused" in state.reason
            assert state.sync_status.last_error == state.reason
            peer.down = False
            await until(lambda: files(ours))
            await until(lambda: link.peer_state().sync_status.consecutive_failures == 0)

    run(main())


def test_a_long_pause_ends_when_the_peer_wakes_us(
    ours: Repository, peer: FakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "BACK_OFF_S", 1000)
    monkeypatch.setattr(link_module, "BACK_OFF_CAP_S", 1000)
    peer.down = True
    put(peer.repository, "/a", b"one")

    async def main() -> None:
        async with running(make_link(ours, peer)) as link:
            await until(lambda: link.peer_state().sync_status.total_failures == 1)
            peer.down = False
            await asyncio.sleep(0.02)
            assert files(ours) == {}
            link.wake()
            await until(lambda: files(ours))

    run(main())


def test_a_peer_that_wakes_us_is_pulled_at_once_though_its_stream_is_silent(
    ours: Repository, peer: FakePeer
) -> None:
    async def main() -> None:
        async with running(make_link(ours, peer, interval=3600)) as link:
            await until(lambda: link.peer_state().last_sync_at)
            # Nobody tells of it: `FakePeer.tell` is not called.
            put(peer.repository, "/a", b"one")
            link.wake()
            await until(lambda: files(ours) == {"/a": b"one"})

    run(main())


@pytest.mark.parametrize("fault", ["stream ends", "other node", "other database", "refused"])
def test_a_link_that_breaks_begins_again(ours: Repository, peer: FakePeer, fault: str) -> None:
    async def main() -> None:
        async with running(make_link(ours, peer)) as link:
            await until(lambda: link.is_active and peer.listeners)
            probes = len(peer.asked("/sync/clock"))
            if fault == "stream ends":
                peer.hang_up()
            if fault == "other node":
                peer.node_id = 33
                peer.tell()
            if fault == "other database":
                peer.repository.database_id += 1
                peer.tell()
            if fault == "refused":
                peer.status["/sync/diff"] = (401, b"")
                peer.tell()
                await until(lambda: not link.is_active)
                peer.status.clear()
            await until(lambda: len(peer.asked("/sync/clock")) >= probes + 5)
            await until(lambda: link.is_active)
            put(peer.repository, "/a", b"one")
            await until(lambda: peer.listeners)
            peer.tell()
            await until(lambda: files(ours))
            assert link.record.peer_id == peer.node_id

    run(main())


def test_a_peer_is_told_that_we_are_there(ours: Repository, peer: FakePeer) -> None:
    async def main() -> None:
        async with running(make_link(ours, peer)):
            await until(lambda: peer.asked("/sync/wake"))

    run(main())
    assert msgspec.json.decode(peer.asked("/sync/wake")[0].body) == {"node_id": 1}


def test_talking_to_ourselves_is_refused_with_a_reason(ours: Repository, peer: FakePeer) -> None:
    peer.node_id = ours.head.node

    async def main() -> None:
        async with running(make_link(ours, peer, node_id=ours.head.node)) as link:
            await until(lambda: link.peer_state().sync_status.total_failures)
            state = link.peer_state()
            assert state.state == "disconnected"
            assert state.reason is not None
            assert "this node itself" in state.reason

    run(main())
    assert peer.asked("/sync/diff") == []


def test_an_impossible_node_id_is_refused(ours: Repository, peer: FakePeer) -> None:
    peer.node_id = -5

    async def main() -> None:
        async with running(make_link(ours, peer)) as link:
            await until(lambda: link.peer_state().sync_status.total_failures)
            assert "impossible node id" in (link.peer_state().reason or "")

    run(main())


@pytest.mark.parametrize("database", [0, -1, 1 << 63, 10**30])
def test_an_impossible_database_is_refused(
    ours: Repository, peer: FakePeer, database: int
) -> None:
    peer.repository.database_id = database
    with_reason(ours, peer, "impossible node id or database")


@pytest.mark.parametrize("now", [0, -1, 10**400])
def test_an_impossible_time_is_refused(ours: Repository, peer: FakePeer, now: int) -> None:
    body = b'{"t0":1,"t1":%d,"t2":%d,"node_id":2,"database":1}' % (now, now)
    peer.status["/sync/clock"] = (200, body)
    with_reason(ours, peer, "")


def with_reason(ours: Repository, peer: FakePeer, reason: str) -> None:
    """The link fails for this reason, and tries again."""

    async def main() -> None:
        async with running(make_link(ours, peer)) as link:
            await until(lambda: link.peer_state().sync_status.total_failures > 1)
            assert reason in (link.peer_state().reason or "")

    run(main())
    assert peer.asked("/sync/diff") == []


def test_force_overrules_the_clock_until_the_link_breaks(ours: Repository, peer: FakePeer) -> None:
    peer.clock_ms = lambda: NOW + 3_600_000
    put(peer.repository, "/a", b"one")

    async def main() -> None:
        async with running(make_link(ours, peer)) as link:
            await until(lambda: link.standing.state is LinkState.HONEYMOON)
            link.force()
            await until(lambda: files(ours) and peer.listeners)
            for _ in range(2):
                probes = len(peer.asked("/sync/clock"))
                peer.tell("heartbeat", BEAT)
                await until(partial(has_probed_since, peer, probes))
            assert link.is_active
            peer.hang_up()
            await until(lambda: link.standing.state is LinkState.HONEYMOON)

    run(main())


def test_who_waits_for_a_cycle_hears_how_it_went(ours: Repository, peer: FakePeer) -> None:
    put(peer.repository, "/a", b"one")

    async def main() -> None:
        async with running(make_link(ours, peer)) as link:
            report = await link.pulled()
            assert report.changed == 1
            put(peer.repository, "/b", b"two")
            # Two who wait are served by one cycle, which began after both asked.
            reports = await asyncio.gather(link.pulled(), link.pulled())
            assert [report.changed for report in reports] == [1, 1]
            peer.status["/sync/diff"] = (500, b'{"error":"sorry"}')
            with pytest.raises(UnavailableError, match="sorry"):
                await link.pulled()

    run(main())


def test_who_waits_hears_when_the_peer_cannot_be_reached_or_the_link_is_stopped(
    ours: Repository, peer: FakePeer
) -> None:
    peer.down = True

    async def main() -> None:
        link = make_link(ours, peer)
        waiting = asyncio.create_task(link.pulled())
        await asyncio.sleep(0)
        async with running(link):
            with pytest.raises(UnavailableError, match="refused"):
                await waiting
        peer.down = False
        peer.hang.add("/sync/diff")
        waiting = asyncio.create_task(link.pulled())
        async with running(link):
            await until(lambda: peer.asked("/sync/diff"))
        with pytest.raises(AeorError):
            await waiting

    run(main())


def test_a_partial_cycle_is_told_and_does_not_hold_up_what_comes_after(
    ours: Repository, peer: FakePeer
) -> None:
    put(peer.repository, "/a", b"one")
    bad = (b"bad", b"\xc1")
    peer.items = lambda items: [*items, bad] if any(key == b"a" for key, _ in items) else items

    async def main() -> None:
        async with running(make_link(ours, peer)) as link:
            await until(lambda: files(ours))
            await until(lambda: link.peer_state().sync_status.last_error)
            state = link.peer_state()
            assert state.state == "active"
            assert "1 not taken, first /bad" in (state.sync_status.last_error or "")
            assert state.last_sync_at is None
            await until(lambda: peer.listeners)
            before = len(peer.asked("/sync/diff"))
            put(peer.repository, "/b", b"two")
            peer.tell()
            await until(lambda: len(files(ours)) == 2)
            cursors = [msgspec.json.decode(r.body).get("cursor") for r in peer.asked("/sync/diff")]
            assert cursors[before:] == ["feed:1:0"]
            assert link.peer_state().last_sync_at is None
            # Whoever asks for a cycle gets one from the recorded cursor.
            peer.items = lambda items: items
            report = await link.pulled()
            assert (report.told, report.problem_count) == (2, 0)
            assert link.peer_state().last_sync_at is not None
            assert link.peer_state().sync_status.last_error is None

    run(main())


def test_another_filter_begins_anew_also_after_a_partial_cycle(
    ours: Repository, peer: FakePeer
) -> None:
    put(peer.repository, "/a", b"one")
    bad = (b"bad", b"\xc1")
    peer.items = lambda items: [*items, bad]

    async def main() -> None:
        async with running(make_link(ours, peer)) as link:
            await until(lambda: link.peer_state().sync_status.last_error and peer.listeners)
            await link.amend(sync_paths=("/a",))
            asked = len(peer.asked("/sync/diff"))
            peer.tell()
            await until(lambda: len(peer.asked("/sync/diff")) > asked)
            body = msgspec.json.decode(peer.asked("/sync/diff")[asked].body)
            assert (body.get("cursor"), body["paths"]) == (None, ["/a"])

    run(main())


def test_a_node_put_back_from_an_older_copy_gets_back_what_it_wrote_since(
    ours: Repository, peer: FakePeer
) -> None:
    put(peer.repository, "/a", b"one")
    before = memory_repository(node=1)

    async def main() -> None:
        async with running(make_link(ours, peer)) as link:
            await until(lambda: link.peer_state().last_sync_at)
        put(before, "/written-since", b"two")
        await run_cycle(peering(peer.repository, FakePeer(before)))
        async with running(make_link(ours, peer, node_id=2)) as link:
            await until(lambda: "/written-since" in files(ours))
            # From the second cycle on echoes are left out.
            await link.pulled()
            body = msgspec.json.decode(peer.asked("/sync/diff")[-1].body)
            assert body["node_id"] == 1

    run(main())
    before.close()


def test_when_it_was_last_up_to_date_is_remembered_over_restarts(
    ours: Repository, peer: FakePeer
) -> None:
    put(peer.repository, "/a", b"one")

    async def main() -> None:
        async with running(make_link(ours, peer)) as link:
            await until(lambda: link.peer_state().last_sync_at)
        peer.down = True
        async with running(make_link(ours, peer)) as link:
            await until(lambda: link.peer_state().sync_status.total_failures)
            assert link.peer_state().last_sync_at is not None

    run(main())
