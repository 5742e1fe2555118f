"""Links that are changed while they run, and links that end on both sides."""

import asyncio

import msgspec
import pytest

from aeorsync.cluster import manners
from aeorsync.cluster.peers import Direction, LinkBook
from aeorsync.errors import BadRequestError, ConflictError
from aeorsync.storage.repository import Repository
from aeorsync.wire.terms import PeerPatch, PeerTerms
from tests.cluster.test_member import Network, started, state
from tests.support.loops import run, until
from tests.support.peer import FakePeer
from tests.support.repositories import files, memory_repository, put


@pytest.fixture
def network(peer: FakePeer) -> Network:
    return Network({"http://b:1": peer, "http://b:2": peer})


def test_what_needs_no_new_connection_leaves_it_alone(
    ours: Repository, peer: FakePeer, network: Network
) -> None:
    put(peer.repository, "/p/a", b"1")
    put(peer.repository, "/q/b", b"2")

    async def main() -> None:
        async with started(network.member(ours)) as member:
            await member.add_peer("http://b:1", PeerTerms(sync_paths=["/p/**"]))
            await until(lambda: state(member).last_sync_at and peer.listeners)
            stream = peer.listeners[0]
            terms = PeerTerms(sync_paths=None, label="b", bandwidth_limit=9999, compression="none")
            changed = await member.change_peer(2, terms)
            assert (changed.label, changed.sync_paths, changed.bandwidth_limit) == (
                "b",
                None,
                9999,
            )
            await until(lambda: set(files(ours)) == {"/p/a", "/q/b"})
            assert peer.listeners == [stream]
        [record] = LinkBook(ours).links()
        assert (record.label, record.bandwidth_limit) == ("b", 9999)

    run(main())


def test_one_bad_term_and_nothing_is_changed(ours: Repository, network: Network) -> None:
    async def main() -> None:
        async with started(network.member(ours)) as member:
            before = await member.add_peer("http://b:1")
            with pytest.raises(BadRequestError):
                await member.change_peer(2, PeerTerms(label="new", direction="sideways"))
            assert state(member).label is before.label
            assert LinkBook(ours).links()[0].label is None

    run(main())


def test_a_peer_may_move_to_another_address_and_is_followed_where_it_was(
    ours: Repository, peer: FakePeer, network: Network
) -> None:
    put(peer.repository, "/a", b"1")

    async def main() -> None:
        async with started(network.member(ours)) as member:
            await member.add_peer("http://b:1")
            await until(lambda: state(member).last_sync_at)
            asked = len(peer.asked("/sync/diff"))
            await member.change_peer(2, PeerPatch(address="http://b:2"))
            assert state(member).address == "http://b:2"
            put(peer.repository, "/b", b"2")
            await until(lambda: len(files(ours)) == 2)
            first = msgspec.json.decode(peer.asked("/sync/diff")[asked].body)
            assert first["cursor"]

    run(main())


def test_an_address_that_leads_to_this_node_or_to_another_peer_is_refused(
    ours: Repository, network: Network
) -> None:
    third, mirror = memory_repository(node=3), FakePeer(ours)
    network.peers.update({"http://c:1": FakePeer(third), "http://c:2": FakePeer(third)})
    network.peers["http://mirror:1"] = mirror

    async def main() -> None:
        async with started(network.member(ours)) as member:
            await member.add_peer("http://b:1")
            await member.add_peer("http://c:1")
            for address in ("http://me:1", "http://mirror:1", "http://c:1", "http://c:2"):
                with pytest.raises(ConflictError):
                    await member.change_peer(2, PeerPatch(address=address))
            assert [peer.address for peer in member.peers()] == ["http://b:1", "http://c:1"]

    run(main())
    third.close()


def test_adding_a_peer_again_changes_only_what_is_given(
    ours: Repository, network: Network
) -> None:
    async def main() -> None:
        async with started(network.member(ours)) as member:
            await member.add_peer("http://b:1", PeerTerms(direction="pull", enabled=False))
            again = await member.add_peer("http://b:1", PeerTerms(label="west"))
            assert (again.direction, again.enabled, again.label) == (
                Direction.PULL,
                False,
                "west",
            )
            assert (again.state, again.reason) == ("disconnected", "paused")
            again = await member.add_peer("http://b:1", PeerTerms(enabled=True))
            await until(lambda: state(member).state == "active")

    run(main())


def test_a_trigger_asks_no_peer_from_which_nothing_is_pulled(
    ours: Repository, peer: FakePeer, network: Network
) -> None:
    async def main() -> None:
        async with started(network.member(ours)) as member:
            await member.add_peer("http://b:1", PeerTerms(direction="push"))
            await until(lambda: state(member).state == "active")
            report = await member.trigger(force_activate=True)
            assert [one.reason for one in report.skipped] == [
                "nothing is pulled: its direction is push"
            ]
            assert (report.results, peer.asked("/sync/diff")) == ((), [])

    run(main())


def test_a_peer_is_told_that_the_link_to_it_is_gone(
    ours: Repository, peer: FakePeer, network: Network
) -> None:
    async def main() -> None:
        async with started(network.member(ours)) as member:
            await member.add_peer("http://b:1")
            await until(lambda: state(member).last_sync_at)
            removal = await member.remove_peer(2)
            assert (removal.node_id, removal.peer_told, removal.reason) == (2, True, None)

    run(main())
    [told] = peer.asked("/sync/leave")
    assert msgspec.json.decode(told.body) == {"node_id": 1, "told": 2}


@pytest.mark.parametrize("fault", ["down", "hangs", "refuses"])
def test_a_peer_that_cannot_be_told_does_not_keep_the_link(
    ours: Repository,
    peer: FakePeer,
    network: Network,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
) -> None:
    monkeypatch.setattr(manners, "LEAVE_S", 0.05)

    async def main() -> None:
        async with started(network.member(ours)) as member:
            await member.add_peer("http://b:1")
            await until(lambda: state(member).last_sync_at)
            peer.down = fault == "down"
            if fault == "hangs":
                peer.hang.add("/sync/leave")
            if fault == "refuses":
                peer.status["/sync/leave"] = (404, b'{"error":"what?"}')
            removing = asyncio.create_task(member.remove_peer(2))
            await until(lambda: not member.peers())
            # Nobody waits for the one who is being told.
            await member.add_peer("http://later:1")
            removal = await removing
            assert not removal.peer_told
            assert removal.reason

    run(main())


def test_who_is_left_forgets_the_link_and_tells_nobody(
    ours: Repository, peer: FakePeer, network: Network
) -> None:
    async def main() -> None:
        async with started(network.member(ours)) as member:
            await member.add_peer("http://b:1")
            await until(lambda: state(member).last_sync_at)
            record = await member.forget_peer(2)
            assert record is not None
            assert (record.address, member.peers()) == ("http://b:1", [])
            assert await member.forget_peer(2) is None
            assert peer.asked("/sync/leave") == []
        assert LinkBook(ours).links() == []

    run(main())
