"""When a link pushes, and when it does not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from aeorsync.cluster import pusher
from aeorsync.cluster.link import Link
from aeorsync.cluster.offers import Offer, Stance
from aeorsync.cluster.peers import Direction
from aeorsync.errors import ConflictError, UnavailableError
from aeorsync.runtime.bus import Bus
from aeorsync.storage.repository import Repository
from aeorsync.storage.views import is_system_key
from aeorsync.storage.writer import Committed
from aeorsync.wire.offers import OfferReply
from tests.cluster.links import make_link, running
from tests.support.cycles import cycle
from tests.support.loops import run, until
from tests.support.peer import FakePeer
from tests.support.repositories import files, put

pytestmark = pytest.mark.usefixtures("short_pauses", "short_grace")


@pytest.fixture
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pusher, "GRACE_S", 0.02)
    monkeypatch.setattr(pusher, "DEBOUNCE_S", 0.001)
    monkeypatch.setattr(pusher, "BACK_OFF_S", 0.02)


@pytest.fixture
def peer(theirs: Repository) -> FakePeer:
    return FakePeer(theirs, stance=Stance())


@asynccontextmanager
async def linked(
    ours: Repository,
    peer: FakePeer,
    interval: float = 60,
    direction: Direction = Direction.BOTH,
) -> AsyncIterator[Link]:
    """An active link that hears of our commits."""
    commits: Bus[Committed] = Bus()
    ours.listen(commits.publish_threadsafe)
    link = make_link(ours, peer, interval=interval, commits=commits, direction=direction)
    async with running(link):
        await until(lambda: link.is_active)
        yield link
    commits.close()


def offers(peer: FakePeer) -> int:
    return len(peer.asked("/sync/offer"))


def test_what_is_here_and_what_comes_is_pushed_at_once(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    async def main() -> None:
        put(ours, "/before", b"1")
        async with linked(ours, peer) as link:
            await until(lambda: "/before" in files(theirs))
            put(ours, "/after", b"2")
            await until(lambda: "/after" in files(theirs))
            await until(lambda: link.peer_state().last_push_at is not None)
            assert link.peer_state().push_error is None

    run(main())


def test_a_peer_that_pulls_by_itself_is_asked_now_and_then_and_sent_nothing(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    peer.stance = Stance(is_linked=True)

    async def main() -> None:
        async with linked(ours, peer, interval=0.05) as link:
            for i in range(20):
                put(ours, f"/f{i}", b"x")
                await asyncio.sleep(0.01)
            assert link.peer_state().last_push_at is None
            assert 1 <= offers(peer) <= 8
            assert files(theirs) == {}
            # It lost its way to us: from the next question on we bring it everything.
            peer.stance = Stance()
            await until(lambda: len(files(theirs)) == 20)

    run(main())


def test_what_was_pulled_from_a_peer_is_no_news_to_it(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    async def main() -> None:
        async with linked(ours, peer):
            await until(lambda: offers(peer) == 1)
            put(theirs, "/a", b"theirs")
            peer.tell()
            await until(lambda: "/a" in files(ours))
            await asyncio.sleep(0.05)
            assert offers(peer) == 1

    run(main())


def test_after_each_connection_a_peer_is_offered_its_own_files_once(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    put(theirs, "/a", b"theirs")
    cycle(ours, peer)
    told: list[tuple[str, ...]] = []
    take = peer.offers.take

    async def taking(repository: Repository, offer: Offer, stance: Stance) -> OfferReply:
        items = [item for part in offer.parts for item in msgspec.msgpack.decode(part)]
        told.append(tuple(key.decode() for key, _ in items if not is_system_key(key)))
        return await take(repository, offer, stance)

    peer.offers.take = taking  # type: ignore[method-assign]

    async def main() -> None:
        async with linked(ours, peer):
            await until(lambda: len(told) == 1)
            put(theirs, "/b", b"theirs")
            peer.tell()
            await until(lambda: "/b" in files(ours))
            put(ours, "/c", b"ours")
            await until(lambda: "/c" in files(theirs))
            assert set(told[1:]) == {("c",)}
            put(theirs, "/d", b"theirs")
            peer.tell()
            await until(lambda: "/d" in files(ours))
        async with linked(ours, peer):
            await until(lambda: ("d",) in told)

    run(main())


def test_a_link_that_only_pulls_never_pushes(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    async def main() -> None:
        put(theirs, "/theirs", b"x")
        async with linked(ours, peer, interval=0.03, direction=Direction.PULL) as link:
            put(ours, "/ours", b"x")
            await until(lambda: "/theirs" in files(ours))
            with pytest.raises(ConflictError):
                await link.pusher.pushed()
            await asyncio.sleep(0.1)
            assert offers(peer) == 0

    run(main())


def test_a_link_that_only_pushes_never_pulls(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    async def main() -> None:
        put(theirs, "/theirs", b"x")
        async with linked(ours, peer, direction=Direction.PUSH):
            put(ours, "/ours", b"x")
            await until(lambda: "/ours" in files(theirs))
            assert peer.asked("/sync/diff") == []

    run(main())


def test_who_waits_for_a_push_gets_a_whole_one_or_the_reason(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    peer.stance = Stance(is_linked=True)

    async def main() -> None:
        async with linked(ours, peer) as link:
            put(ours, "/a", b"x")
            report = await link.pusher.pushed()
            assert (report.changed, files(theirs)) == (1, {"/a": b"x"})
            peer.status["/sync/offer"] = (503, b'{"error": "the disk is full"}')
            with pytest.raises(UnavailableError, match="disk is full"):
                await link.pusher.pushed()
            peer.hang.add("/sync/offer")
            waiting = asyncio.create_task(link.pusher.pushed())
            await asyncio.sleep(0.02)
            peer.hang_up()
            with pytest.raises(UnavailableError):
                await waiting

    run(main())


def test_a_push_that_fails_is_told_tried_again_and_holds_up_no_pull(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    peer.status["/sync/offer"] = (503, b'{"error": "the disk is full"}')

    async def main() -> None:
        put(ours, "/ours", b"x")
        async with linked(ours, peer) as link:
            await until(lambda: link.peer_state().push_error)
            assert "the disk is full" in (link.peer_state().push_error or "")
            put(theirs, "/theirs", b"x")
            peer.tell()
            await until(lambda: "/theirs" in files(ours))
            assert link.is_active
            del peer.status["/sync/offer"]
            await until(lambda: "/ours" in files(theirs))
            await until(lambda: link.peer_state().push_error is None)

    run(main())


def test_news_does_not_shorten_the_pause_after_a_failure(
    ours: Repository, peer: FakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pusher, "BACK_OFF_S", 60)
    peer.status["/sync/offer"] = (404, b"{}")

    async def main() -> None:
        async with linked(ours, peer) as link:
            await until(lambda: link.peer_state().push_error)
            for i in range(10):
                put(ours, f"/f{i}", b"x")
                await asyncio.sleep(0.005)
            assert offers(peer) == 1

    run(main())


def test_what_the_peer_refuses_is_offered_again_only_when_it_is_due(
    ours: Repository,
    theirs: Repository,
    peer: FakePeer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(theirs, "is_too_far_ahead", lambda entry: entry.versions[0].n == 1)

    async def main() -> None:
        put(ours, "/refused", b"1")
        async with linked(ours, peer) as link:
            await until(lambda: link.peer_state().push_error)
            for i in range(3):
                put(ours, f"/f{i}", b"%d" % i)
                await until(lambda i=i: f"/f{i}" in files(theirs))  # type: ignore[misc]
            told = [request for request in peer.asked("/sync/offer") if b"refused" in request.body]
            assert len(told) == 1
            assert "/refused" in (link.peer_state().push_error or "")
            monkeypatch.undo()
            await link.pusher.pushed()
            assert files(theirs) == files(ours)
            assert link.peer_state().push_error is None

    run(main())


def test_two_nodes_that_pull_from_each_other_do_not_push(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    peer.stance = Stance(is_linked=True)

    async def main() -> None:
        async with linked(ours, peer):
            put(ours, "/a", b"x")
            await asyncio.sleep(0.05)

    run(main())
    assert cycle(theirs, FakePeer(ours)).changed == 1
    assert peer.asked("/sync/offer/chunks") == []
