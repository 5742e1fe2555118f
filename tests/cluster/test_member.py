"""The links of a node: added, removed, remembered, woken, and asked all at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import msgspec
import pytest

from aeorsync.cluster import asked, manners
from aeorsync.cluster.member import Member
from aeorsync.cluster.peers import LinkBook, PeerState
from aeorsync.errors import BadRequestError, ConflictError, NotFoundError
from aeorsync.remote.calls import Remote
from aeorsync.remote.connection import Connection, Mint
from aeorsync.storage.repository import Repository
from aeorsync.wire.terms import PeerTerms
from tests.support.clock import FakeClock
from tests.support.loops import run, until
from tests.support.peer import FakePeer
from tests.support.repositories import files, memory_repository, put

NOW = 1_700_000_000_000


@dataclass
class Network:
    """Who answers at which address."""

    peers: dict[str, FakePeer] = field(default_factory=dict)
    dialed: list[str] = field(default_factory=list)

    def dial(self, address: str, mint: Mint | None) -> Remote:
        self.dialed.append(address)
        nobody = httpx.MockTransport(self._refuse)
        return Remote(Connection(address, mint, self.peers.get(address, nobody)))

    def _refuse(self, _: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("nobody is there")

    def member(self, repository: Repository) -> Member:
        return Member(
            repository,
            lambda: "token",
            FakeClock(),
            sync_interval_s=60,
            own_url="http://me:1",
            dial=self.dial,
            jitter=lambda: 0.0,
        )


@pytest.fixture
def network(peer: FakePeer) -> Network:
    return Network({"http://b:1": peer, "http://localhost:1": peer})


@asynccontextmanager
async def started(member: Member) -> AsyncIterator[Member]:
    await member.start()
    try:
        yield member
    finally:
        await member.stop()


def terms(label: str | None, globs: list[str] | None = None) -> PeerTerms:
    return PeerTerms(label=label, sync_paths=globs)


def state(member: Member) -> PeerState:
    [only] = member.peers()
    return only


def test_a_peer_that_is_added_is_pulled_from(
    ours: Repository, peer: FakePeer, network: Network
) -> None:
    put(peer.repository, "/a", b"one")

    async def main() -> None:
        async with started(network.member(ours)) as member:
            added = await member.add_peer("http://B:1/", terms("west", ["/a"]))
            assert (added.node_id, added.address, added.label) == (2, "http://b:1", "west")
            assert (added.state, added.sync_paths) == ("disconnected", ("/a",))
            await until(lambda: files(ours))
            await until(lambda: state(member).state == "active")

    run(main())


def test_links_are_remembered_and_run_again_after_a_restart(
    ours: Repository, peer: FakePeer, network: Network
) -> None:
    async def main() -> None:
        async with started(network.member(ours)) as member:
            await member.add_peer("http://b:1", terms("west"), node_id=2)
        assert peer.listeners == []
        put(peer.repository, "/a", b"one")
        async with started(network.member(ours)) as member:
            assert state(member).label == "west"
            await until(lambda: files(ours))

    run(main())


def test_a_peer_that_is_away_can_be_added_and_is_learned_later(
    ours: Repository, peer: FakePeer, network: Network
) -> None:
    async def main() -> None:
        member = network.member(ours)
        stand_in = await member.add_peer("http://later:1")
        network.peers["http://later:1"] = peer
        async with started(member):
            await until(lambda: state(member).node_id == 2)
            # By either number it can be meant; the first is what somebody was once told.
            assert (await member.remove_peer(stand_in.node_id)).node_id == 2

    run(main())


def test_adding_a_peer_twice_is_adding_it_once(ours: Repository, network: Network) -> None:
    async def main() -> None:
        async with started(network.member(ours)) as member:
            first = await member.add_peer("http://b:1", terms("west", ["/a/**"]))
            again = await member.add_peer("http://B:1/")
            assert (again.node_id, again.label) == (first.node_id, "west")
            changed = await member.add_peer("http://b:1", terms("east", ["/b/**"]))
            assert len(member.peers()) == 1
            assert (changed.label, changed.sync_paths) == ("east", ("/b/**",))
            await until(lambda: state(member).state == "active")
        [record] = LinkBook(ours).links()
        assert (record.label, record.sync_paths) == ("east", ("/b/**",))

    run(main())


def test_one_node_under_two_addresses_is_refused(ours: Repository, network: Network) -> None:
    async def main() -> None:
        async with started(network.member(ours)) as member:
            await member.add_peer("http://b:1")
            with pytest.raises(ConflictError, match="is a peer already, at http://b:1"):
                await member.add_peer("http://localhost:1")
            with pytest.raises(ConflictError):
                await member.add_peer("http://elsewhere:1", node_id=2)
            assert state(member).address == "http://b:1"

    run(main())


def test_one_node_under_two_addresses_is_noticed_when_it_answers(
    ours: Repository, peer: FakePeer, network: Network
) -> None:
    async def main() -> None:
        member = network.member(ours)
        await member.add_peer("http://b:1")
        await member.add_peer("http://alias:1")
        network.peers["http://alias:1"] = peer
        async with started(member):
            await until(lambda: member.peers()[0].state == "active")
            await until(lambda: member.peers()[1].sync_status.total_failures)
            second = member.peers()[1]
            assert second.state == "disconnected"
            assert "is a peer already, at http://b:1" in (second.reason or "")

    run(main())


def test_this_node_is_no_peer_of_its_own(
    ours: Repository, peer: FakePeer, network: Network
) -> None:
    async def main() -> None:
        member = network.member(ours)
        with pytest.raises(ConflictError, match="this node itself"):
            await member.add_peer("http://me:1/")
        with pytest.raises(ConflictError, match="this node itself"):
            await member.add_peer("http://elsewhere:1", node_id=1)
        peer.node_id = 1
        with pytest.raises(ConflictError, match="this node itself"):
            await member.add_peer("http://b:1")
        assert member.peers() == []

    run(main())


@pytest.mark.parametrize(
    ("address", "label", "globs"),
    [("b:1", None, None), ("http://b:1", "a\nb", None), ("http://b:1", None, ["["])],
)
def test_nonsense_is_refused_before_anybody_is_asked(
    ours: Repository, network: Network, address: str, label: str | None, globs: list[str] | None
) -> None:
    async def main() -> None:
        member = network.member(ours)
        with pytest.raises(BadRequestError):
            await member.add_peer(address, terms(label, globs))
        assert member.peers() == []
        assert network.dialed == []

    run(main())


def test_a_peer_that_hangs_does_not_hold_up_the_one_who_adds_it(
    ours: Repository, peer: FakePeer, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manners, "INTRODUCE_S", 0.01)
    peer.hang.add("/sync/clock")

    async def main() -> None:
        member = network.member(ours)
        added = await member.add_peer("http://b:1")
        assert added.state == "disconnected"

    run(main())


def test_a_removed_peer_is_forgotten(ours: Repository, peer: FakePeer, network: Network) -> None:
    put(peer.repository, "/a", b"one")

    async def main() -> None:
        async with started(network.member(ours)) as member:
            await member.add_peer("http://b:1")
            await until(lambda: state(member).last_sync_at)
            assert (await member.remove_peer(2)).peer_told
            with pytest.raises(NotFoundError):
                await member.remove_peer(2)
            assert member.peers() == []
            assert peer.listeners == []
            assert LinkBook(ours).links() == []
            assert ours.notes("cursors") == {}
            await member.add_peer("http://b:1")
            await until(lambda: state(member).last_sync_at)

    run(main())
    cursors = [msgspec.json.decode(r.body).get("cursor") for r in peer.asked("/sync/diff")]
    assert cursors.count(None) == 2


def test_a_paused_link_moves_nothing_and_stays_paused_over_a_restart(
    ours: Repository, peer: FakePeer, network: Network
) -> None:
    async def main() -> None:
        async with started(network.member(ours)) as member:
            await member.add_peer("http://b:1")
            await until(lambda: state(member).state == "active")
            paused = await member.change_peer(2, PeerTerms(enabled=False))
            assert (paused.state, paused.reason) == ("disconnected", "paused")
            assert peer.listeners == []
        put(peer.repository, "/a", b"one")
        asked = len(peer.requests)
        async with started(network.member(ours)) as member:
            member.wake(2)
            report = await member.trigger(force_activate=True)
            assert [skipped.reason for skipped in report.skipped] == ["paused"]
            assert (report.results, report.forced_active) == ((), ())
            assert len(peer.requests) == asked
            await member.change_peer(2, PeerTerms(enabled=True))
            await until(lambda: files(ours))
            with pytest.raises(NotFoundError):
                await member.change_peer(99, PeerTerms(enabled=True))

    run(main())


def test_a_trigger_pulls_from_every_active_peer_and_tells_how_it_went(
    ours: Repository, peer: FakePeer, network: Network
) -> None:
    third = memory_repository(node=3)
    broken = network.peers["http://c:1"] = FakePeer(third)
    broken.status["/sync/diff"] = (500, b'{"error":"sorry"}')

    async def main() -> None:
        async with started(network.member(ours)) as member:
            await member.add_peer("http://b:1")
            await until(lambda: state(member).last_sync_at)
            await member.add_peer("http://away:1")
            put(peer.repository, "/a", b"one")
            report = await member.trigger()
            assert (report.peers_synced, report.peers_failed, report.peers_skipped) == (1, 0, 1)
            [result] = report.results
            assert (result.node_id, result.ok, result.changes_applied) == (2, True, True)
            assert (result.operations_applied, result.conflicts_detected) == (1, 0)
            [skipped] = report.skipped
            assert (skipped.state, skipped.reason) == ("disconnected", skipped.reason)
            assert files(ours) == {"/a": b"one"}

            broken.status.clear()
            await member.add_peer("http://c:1")
            await until(lambda: member.peers()[2].last_sync_at)
            broken.status["/sync/diff"] = (500, b'{"error":"sorry"}')
            report = await member.trigger()
            assert (report.peers_synced, report.peers_failed) == (1, 1)
            failed = report.results[1]
            assert not failed.ok
            assert "sorry" in str(failed.error)
            shown = msgspec.json.decode(msgspec.json.encode(report))
            assert set(shown["results"][0]) == {
                "node_id",
                "ok",
                "changes_applied",
                "operations_applied",
                "conflicts_detected",
            }
            assert set(shown["results"][1]) == {"node_id", "ok", "error"}

    run(main())
    third.close()


def test_a_trigger_by_force_activates_whatever_answers(
    ours: Repository, peer: FakePeer, network: Network
) -> None:
    peer.clock_ms = lambda: NOW + 3_600_000
    put(peer.repository, "/a", b"one")

    async def main() -> None:
        async with started(network.member(ours)) as member:
            await member.add_peer("http://b:1")
            await member.add_peer("http://away:1")
            await until(lambda: member.peers()[0].state == "honeymoon")
            assert (await member.trigger()).peers_skipped == 2
            assert files(ours) == {}
            report = await member.trigger(force_activate=True)
            assert (report.peers_synced, report.peers_failed, report.peers_skipped) == (1, 1, 0)
            assert report.forced_active == (2,)
            assert files(ours) == {"/a": b"one"}

    run(main())


def test_a_trigger_does_not_wait_for_ever(
    ours: Repository, peer: FakePeer, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asked, "TRIGGER_S", 0.05)

    async def main() -> None:
        async with started(network.member(ours)) as member:
            await member.add_peer("http://b:1")
            await until(lambda: state(member).last_sync_at)
            peer.hang.add("/sync/diff")
            [result] = (await member.trigger()).results
            assert (result.ok, result.error) == (False, "no end after 0.05 s")

    run(main())


def test_a_hung_peer_delays_nobody_else(
    ours: Repository, peer: FakePeer, network: Network
) -> None:
    third = memory_repository(node=3)
    hung = network.peers["http://c:1"] = FakePeer(third)
    hung.hang.update({"/sync/clock", "/sync/diff", "/sync/events"})

    async def main() -> None:
        async with started(network.member(ours)) as member:
            await member.add_peer("http://c:1", node_id=3)
            await member.add_peer("http://b:1")
            put(peer.repository, "/a", b"one")
            await until(lambda: files(ours))

    run(main())
    third.close()


def test_a_wake_up_call_reaches_the_peer_and_those_who_may_be_it(
    ours: Repository, peer: FakePeer, network: Network
) -> None:
    async def main() -> None:
        async with started(network.member(ours)) as member:
            await member.add_peer("http://b:1")
            await until(lambda: state(member).last_sync_at)
            put(peer.repository, "/a", b"one")
            member.wake(99)
            await asyncio.sleep(0.01)
            assert files(ours) == {}
            member.wake(2)
            await until(lambda: files(ours))
            await member.add_peer("http://later:1")
            await until(lambda: member.peers()[1].sync_status.total_failures)
            failures = member.peers()[1].sync_status.total_failures
            member.wake(44)
            await until(lambda: member.peers()[1].sync_status.total_failures > failures)

    run(main())


def test_two_members_that_link_to_each_other_end_up_equal(ours: Repository) -> None:
    other = memory_repository(node=2)
    network = Network({"http://a:1": FakePeer(ours), "http://b:1": FakePeer(other)})
    put(ours, "/ours", b"ours")
    put(other, "/theirs", b"theirs")
    put(ours, "/both", b"1")
    put(other, "/both", b"2")

    async def main() -> None:
        async with started(network.member(ours)) as a, started(network.member(other)) as b:
            await a.add_peer("http://b:1")
            await b.add_peer("http://a:1")
            await until(lambda: state(a).last_sync_at and state(b).last_sync_at)
            await a.trigger()
            await b.trigger()
            assert ours.head.root == other.head.root

    run(main())
    assert len(list(ours.conflicts())) == 1
    other.close()
