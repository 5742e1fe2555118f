"""What is said of a link, and what it then does."""

import asyncio

import pytest

from aeorsync.cluster import link as link_module
from aeorsync.cluster.peers import Direction, LinkBook
from aeorsync.errors import ConflictError
from aeorsync.storage.repository import Repository
from aeorsync.wire.encoding import Encoding
from tests.cluster.links import make_link, running
from tests.support.cycles import cycle, noise
from tests.support.loops import run, until
from tests.support.peer import FakePeer
from tests.support.repositories import files, put

pytestmark = pytest.mark.usefixtures("short_pauses")


def test_what_is_excluded_does_not_come_even_if_the_peer_tells_it(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    # The fake peer knows nothing of filters.
    for path in ("/p/a", "/p/b.tmp", "/q/c"):
        put(theirs, path, path.encode())
    report = cycle(ours, peer, sync_paths=("/p/**",), excludes=("**/*.tmp",))
    assert files(ours) == {"/p/a": b"/p/a"}
    assert (report.problem_count, report.files) == (0, 1)
    assert report.skipped == report.told - 1


def test_a_filter_does_not_hold_up_the_system_namespace(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    key = b".aeordb-system\0api-keys\0x.json"
    put(theirs, "/a", b"one")
    with theirs.view() as view:
        [(_, data)] = view.walk()
    peer.items = lambda items: [*items, (key, data)]
    cycle(ours, peer, sync_paths=("/p/**",), excludes=("/**",))
    with ours.view() as view:
        assert list(dict(view.walk(system=True))) == [key]


def test_wider_filters_bring_what_was_skipped_and_narrower_ones_leave_what_is_there(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    put(theirs, "/p/a", b"1")
    put(theirs, "/p/b", b"2")
    cycle(ours, peer, excludes=("/p/b",))
    assert set(files(ours)) == {"/p/a"}
    asked = len(peer.asked("/sync/chunks"))
    cycle(ours, peer)
    assert set(files(ours)) == {"/p/a", "/p/b"}
    assert len(peer.asked("/sync/chunks")) == asked + 1  # only what was skipped
    cycle(ours, peer, excludes=("/p/**",))
    put(theirs, "/p/c", b"3")
    cycle(ours, peer, excludes=("/p/**",))
    assert set(files(ours)) == {"/p/a", "/p/b"}


def test_nothing_is_pulled_in_the_direction_push_and_who_waits_is_told(
    ours: Repository, peer: FakePeer
) -> None:
    put(peer.repository, "/a", b"one")

    async def main() -> None:
        link = make_link(ours, peer, interval=0.01)
        await link.amend(direction=Direction.PUSH)
        async with running(link):
            await until(lambda: link.is_active and peer.listeners)
            peer.tell()
            with pytest.raises(ConflictError, match="direction push"):
                await link.pulled()
            await asyncio.sleep(0.05)
            assert (files(ours), peer.asked("/sync/diff")) == ({}, [])
            await link.amend(direction=Direction.BOTH)
            await until(lambda: files(ours))

    run(main())


def test_a_burst_of_news_is_few_cycles_and_the_first_waits_for_nothing(
    ours: Repository, peer: FakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "DEBOUNCE_S", 0.2)

    async def main() -> None:
        async with running(make_link(ours, peer)) as link:
            await until(lambda: link.peer_state().last_sync_at and peer.listeners)
            await asyncio.sleep(0.5)
            before = link.peer_state().sync_status.total_syncs
            loop = asyncio.get_running_loop()
            began = loop.time()
            put(peer.repository, "/a", b"1")
            peer.tell()
            await until(lambda: files(ours))
            assert loop.time() - began < 0.15
            for _ in range(500):
                peer.tell()
                await asyncio.sleep(0.001)
            put(peer.repository, "/b", b"2")
            peer.tell()
            await until(lambda: len(files(ours)) == 2)
            took = loop.time() - began
            cycles = link.peer_state().sync_status.total_syncs - before
            assert cycles <= 2 * took / 0.2 + 4

    run(main())


@pytest.mark.parametrize(
    ("compression", "asked"),
    [(Encoding.ZSTD, "zstd"), (Encoding.GZIP, "gzip"), (Encoding.NONE, "identity")],
)
def test_a_peer_is_asked_for_the_compression_that_was_agreed(
    ours: Repository, peer: FakePeer, compression: Encoding, asked: str
) -> None:
    put(peer.repository, "/a", bytes(50_000))

    async def main() -> None:
        link = make_link(ours, peer)
        await link.amend(compression=compression)
        async with running(link):
            await until(lambda: files(ours))

    run(main())
    for path in ("/sync/diff", "/sync/chunks"):
        assert peer.asked(path)[0].headers["accept-encoding"] == asked
    assert peer.asked("/sync/clock")[0].headers["accept-encoding"] == "identity"


def test_a_limit_slows_chunks_and_pages_down_and_probes_not_at_all(
    ours: Repository, peer: FakePeer
) -> None:
    put(peer.repository, "/a", noise(150_000))

    async def main() -> None:
        link = make_link(ours, peer)
        await link.amend(bandwidth_limit=200)
        loop = asyncio.get_running_loop()
        async with running(link):
            await until(lambda: peer.asked("/sync/chunks"))
            began, probes = loop.time(), len(peer.asked("/sync/clock"))
            assert began is not None
            remote = peer.remote()
            remote.throttle = link._throttle
            await remote.clock(1)
            assert loop.time() - began < 0.1
            assert len(peer.asked("/sync/clock")) == probes + 1
            await until(lambda: files(ours))
            assert 0.3 < loop.time() - began < 3

    run(main())


def test_terms_are_remembered(ours: Repository, peer: FakePeer) -> None:
    async def main() -> None:
        link = make_link(ours, peer)
        await link.amend(
            direction=Direction.PULL,
            compression=Encoding.GZIP,
            bandwidth_limit=7,
            excludes=("/x/**",),
        )
        assert LinkBook(ours).links() == [link.record]

    run(main())
