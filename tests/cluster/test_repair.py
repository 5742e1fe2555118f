"""Trees that differ for whatever reason become equal, in few exchanges; no lie is stored."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from aeorsync.cluster import mending
from aeorsync.cluster.cycle import apply
from aeorsync.cluster.mending import Mender
from aeorsync.cluster.repair import RepairReport, run_repair
from aeorsync.core.hashing import node_id
from aeorsync.core.nodes import MAX_LEVEL, Node, encode_node
from aeorsync.core.paths import parse, to_key
from aeorsync.core.tree import edit
from aeorsync.errors import AeorError, BadRequestError, CorruptError, UnavailableError
from aeorsync.storage.base import Commit
from aeorsync.storage.changes import FileState, put_file
from aeorsync.storage.draft import Draft
from aeorsync.storage.embedded import EmbeddedStore
from aeorsync.storage.identities import first_head
from aeorsync.storage.repository import Repository
from aeorsync.wire.framing import Kind, encode
from tests.cluster.links import make_link, running
from tests.support.cycles import noise, peering, put_large, remove
from tests.support.loops import run, until
from tests.support.peer import FakePeer
from tests.support.repositories import files, memory_repository, open_repository, pull, put


def repair(ours: Repository, peer: FakePeer, **link: object) -> RepairReport:
    return run(run_repair(peering(ours, peer, **link), is_gentle=False))


def put_many(repository: Repository, names: list[str], text: bytes = b"x") -> None:
    content = repository.store_small(text)

    def operation(draft: Draft) -> None:
        for name in names:
            put_file(draft, parse(name), FileState(content, "text/plain"))

    repository.commit(operation).result(timeout=60)


def lose(repository: Repository, *paths: str) -> None:
    """Forget entries behind the node's back: no deletion, no row in the feed."""
    head = repository.head
    edited = edit(head.root, repository.trees.read, {to_key(parse(path)): None for path in paths})
    after = msgspec.structs.replace(head, root=edited.root)
    repository._store.commit(Commit(head, after, nodes=edited.made))


def trees(repository: Repository) -> tuple[bytes, bytes]:
    head = repository.head
    return head.root, head.graves


def test_equal_trees_are_seen_to_be_equal_in_one_exchange(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    put(theirs, "/a", b"one")
    remove(theirs, "/a")
    put(theirs, "/b", b"two")
    pull(ours, theirs)
    report = repair(ours, peer)
    assert (report.round_trips, report.nodes, report.changed) == (1, 0, 0)
    assert report.is_equal
    assert peer.asked("/sync/wake") == []


def test_whatever_the_peer_has_and_we_lack_comes_here(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    put(theirs, "/kept", b"kept")
    put(theirs, "/gone", b"gone")
    pull(ours, theirs)
    put(theirs, "/new", b"new")
    put_large(theirs, "/large", noise(700_000))
    put(theirs, "/kept", b"changed")
    remove(theirs, "/gone")
    report = repair(ours, peer)
    assert report.changed == 4
    assert report.is_equal
    assert trees(ours) == trees(theirs)
    assert (
        files(ours)
        == files(theirs)
        == {
            "/kept": b"changed",
            "/new": b"new",
            "/large": noise(700_000),
        }
    )
    assert repair(ours, peer).round_trips == 1


def test_what_only_we_have_is_kept_and_the_peer_is_asked_to_fetch_it(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    put(theirs, "/both", b"both")
    pull(ours, theirs)
    put(ours, "/ours", b"ours")
    report = repair(ours, peer)
    assert (report.changed, report.is_equal, report.asked_peer) == (0, False, True)
    (wake,) = peer.asked("/sync/wake")
    assert msgspec.json.decode(wake.body) == {"node_id": ours.head.node, "repair": True}
    assert files(ours) == {"/both": b"both", "/ours": b"ours"}
    run(run_repair(peering(ours, peer), asks_peer=False))
    assert len(peer.asked("/sync/wake")) == 1


def test_edits_on_both_sides_become_a_conflict_as_in_a_cycle(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    put(theirs, "/both", b"base")
    pull(ours, theirs)
    put(ours, "/both", b"ours")
    put(theirs, "/both", b"theirs")
    report = repair(ours, peer)
    assert (report.changed, report.conflicts) == (1, 1)
    assert [conflict.path for conflict in ours.conflicts()] == ["/both"]


def test_few_differences_among_many_cost_few_exchanges_and_bytes() -> None:
    source = memory_repository(node=2)
    target = memory_repository(node=1)
    names = [f"/folder{i % 40}/file{i:05d}" for i in range(20_000)]
    put_many(source, names)
    pull(target, source)
    lose(target, *names[7::2000])
    assert len(files(target)) == 19_990
    peer = FakePeer(source)
    report = repair(target, peer)
    assert report.changed == 10
    assert report.is_equal
    assert report.round_trips <= 7
    assert len(peer.requests) <= 12
    assert report.bytes < 400_000
    assert report.compared < 200
    source.close()
    target.close()


def test_both_sides_are_healed_when_each_repairs_from_the_other(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    names = [f"/file{i:03d}" for i in range(300)]
    put_many(theirs, names)
    pull(ours, theirs)
    lose(ours, *names[::50])
    lose(theirs, *names[5::70])
    assert repair(ours, peer).changed == 6
    assert repair(theirs, FakePeer(ours)).changed == 5
    assert trees(ours) == trees(theirs)
    assert len(files(ours)) == 300


def test_a_filtered_link_takes_what_matches_and_nothing_else(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    put(theirs, "/in/a", b"a")
    put(theirs, "/out/b", b"b")
    report = repair(ours, peer, sync_paths=("/in/**",))
    assert report.changed >= 1
    assert files(ours) == {"/in/a": b"a"}
    put(ours, "/out/c", b"c")
    assert not repair(ours, peer, sync_paths=("/in/**",)).asked_peer


def test_nodes_that_a_commit_dropped_meanwhile_are_looked_for_in_the_new_tree(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    put_many(theirs, [f"/file{i:03d}" for i in range(300)])
    writes = iter(range(2))

    def write_before(name: str, frames: list[bytes]) -> list[bytes]:
        if name == "nodes" and (number := next(writes, None)) is not None:
            put_many(theirs, [f"/file{i:03d}" for i in range(300)], b"moved %d" % number)
        return frames

    peer.frames = write_before
    report = repair(ours, peer)
    assert report.is_equal
    assert report.round_trips > 4
    assert set(files(ours).values()) == {b"moved 1"}


def test_a_peer_that_never_stands_still_is_given_up_for_now(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    put(theirs, "/a", b"a")
    peer.root = bytes(32)
    report = repair(ours, peer)
    assert "faster" in (report.complaint or "")
    assert not report.is_equal
    assert len(peer.asked("/sync/nodes")) == 10


# Lies


def lying_node(body: bytes) -> bytes:
    return body + b"\0"


def claim(*nodes: Node) -> Callable[[FakePeer], None]:
    """Let the peer claim the first of these for its root, and have them all."""

    def prepare(peer: FakePeer) -> None:
        bodies = {node_id(encode_node(node)): encode_node(node) for node in nodes}
        peer.repository.trees.put(bodies)
        peer.root = next(iter(bodies))

    return prepare


def bad_bytes(peer: FakePeer) -> None:
    peer.node = lying_node


def one_more(peer: FakePeer) -> None:
    def frames(name: str, made: list[bytes]) -> list[bytes]:
        extra = encode(Kind.ENTRIES, msgspec.msgpack.encode([b"unasked"]))
        return [made[0], extra, *made[1:]] if name == "nodes" else made

    peer.frames = frames


def tower(height: int) -> list[Node]:
    """One node above the other, without end or leaf."""
    nodes = [Node(0, [b"a", b"b"], [b"x", b"y"])]
    for level in range(1, height):
        ref = node_id(encode_node(nodes[-1])) + (2).to_bytes(8)
        nodes.append(Node(level, [b"b"], [ref]))
    return nodes[::-1]


LEAF = Node(0, [b"a", b"b"], [b"x", b"y"])
REF = node_id(encode_node(LEAF)) + (2).to_bytes(8)
LIES: dict[str, Callable[[FakePeer], None]] = {
    "bytes of another name": bad_bytes,
    "a node nobody asked for": one_more,
    "a tower of single children": claim(*tower(MAX_LEVEL)),
    "a level that is not below": claim(Node(3, [b"b", b"c"], [REF, REF]), LEAF),
    "the same child twice": claim(Node(1, [b"b", b"c"], [REF, REF]), LEAF),
    "more items than there are": claim(
        Node(1, [b"b", b"c"], [REF[:32] + (1 << 40).to_bytes(8), bytes(31) + b"\1" * 9]), LEAF
    ),
    "keys that come back": claim(Node(0, [b"b", b"a"], [b"x", b"y"])),
    "no node": lambda peer: setattr(peer, "node", lambda _: b"\xc1"),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_lie_about_a_tree_ends_the_repair_and_nothing_is_stored(
    ours: Repository, theirs: Repository, peer: FakePeer, lie: Callable[[FakePeer], None]
) -> None:
    put(theirs, "/a", b"a")
    lie(peer)
    before = ours.head
    with pytest.raises(BadRequestError):
        repair(ours, peer)
    assert ours.head == before
    assert files(ours) == {}


def test_a_bad_entry_in_a_sound_tree_is_a_problem_and_the_rest_is_taken(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    put(theirs, "/good", b"good")
    with theirs.view() as view:
        items = dict(view.walk(system=True))
    items[b"bad"] = b"\xc1"
    items = dict(sorted(items.items()))
    node = Node(0, list(items), list(items.values()))
    claim(node)(peer)
    report = repair(ours, peer)
    assert files(ours) == {"/good": b"good"}
    assert report.problem_count == 1
    assert report.complaint is not None
    assert "/bad" in report.complaint


def test_a_liar_is_named_on_the_link(ours: Repository, theirs: Repository, peer: FakePeer) -> None:
    put(theirs, "/a", b"a")

    async def main() -> None:
        async with running(make_link(ours, peer)) as link:
            await until(lambda: files(ours))
            put(ours, "/b", b"b")
            peer.node = lying_node
            with pytest.raises(AeorError, match="nobody asked for"):
                await link.mender.repaired()
            await until(lambda: link.peer_state().sync_status.last_error)
            state = link.peer_state()
            assert "nobody asked for" in (state.sync_status.last_error or "")

    run(main())


# Our own tree


def test_a_node_missing_from_our_own_tree_is_fetched(
    theirs: Repository, peer: FakePeer, tmp_path: Path
) -> None:
    put_many(theirs, [f"/file{i:03d}" for i in range(300)])
    ours = open_repository(tmp_path / "ours", node=1)
    pull(ours, theirs)
    root = ours.trees.read(ours.head.root)
    lost = [ref[:32] for ref in root.values][:3]
    ours.close()
    ours = open_repository(tmp_path / "ours", node=1)
    ours._store.sweep(lost, [], 0)
    put_many(theirs, ["/more"])
    report = repair(ours, peer)
    assert report.regained >= 1
    assert "/more" in files(ours)
    assert len(files(ours)) == 301
    ours.close()


def test_a_node_that_nobody_has_is_an_error_that_says_so(
    theirs: Repository,
    peer: FakePeer,
    tmp_path: Path,
) -> None:
    ours = open_repository(tmp_path / "ours", node=1)
    put(ours, "/only/here", b"x")
    root = ours.head.root
    ours.close()
    store = EmbeddedStore(tmp_path / "ours", first_head(1))
    store.sweep([root], [], 0)
    store.close()
    ours = open_repository(tmp_path / "ours", node=1)
    put(theirs, "/theirs", b"y")
    with pytest.raises(CorruptError, match="does not hold it"):
        repair(ours, peer)
    ours.close()


# When


def test_a_repair_runs_when_a_peer_asks_and_does_not_ask_back(
    ours: Repository, peer: FakePeer
) -> None:
    put(ours, "/ours", b"x")

    async def main() -> None:
        async with running(make_link(ours, peer)) as link:
            link.mender.ask()
            await until(lambda: link.mender.report)
            assert link.mender.report is not None
            assert link.mender.report.is_ahead
            assert not link.mender.report.asked_peer

    run(main())


def test_doubt_that_cannot_be_settled_runs_once_in_a_while(
    ours: Repository, peer: FakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mending, "PAUSE_S", 0.01)
    mender = Mender(lambda _: None)

    async def main() -> None:
        task = asyncio.create_task(mender.run(lambda: peering(ours, peer)))
        for _ in range(300):
            mender.doubt()
            mender.ask()
            await asyncio.sleep(0.001)
        task.cancel()

    monkeypatch.setattr(mending, "ASKED_PAUSE_S", 0.01)
    run(main())
    # After 10, 20, 40, 80, ... ms; every 10 ms it would be over 30.
    assert 2 <= len(peer.asked("/sync/nodes")) <= 7


def test_a_repair_that_fails_again_and_again_takes_the_connection_with_it_ever_less_often(
    ours: Repository, theirs: Repository, peer: FakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mending, "ASKED_PAUSE_S", 0.01)
    put(theirs, "/a", b"a")
    peer.node = lying_node
    mender = Mender(lambda _: None)
    failures = 0

    async def connections() -> None:
        nonlocal failures
        while True:
            with suppress(BadRequestError):
                await mender.run(lambda: peering(ours, peer))
            failures += 1

    async def main() -> None:
        mender.ask()
        task = asyncio.create_task(connections())
        await asyncio.sleep(0.3)
        task.cancel()

    run(main())
    # After 0, 20, 60, 140 ms; every 10 ms it would be over 20.
    assert 2 <= failures <= 6


def test_a_filtered_link_repairs_when_it_is_asked_to_and_not_by_itself(
    ours: Repository, peer: FakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mending, "INTERVAL_S", 0.005)
    put(peer.repository, "/in/a", b"one")
    mender = Mender(lambda _: None)

    async def main() -> None:
        filtered = peering(ours, peer, sync_paths=("/in/**",))
        task = asyncio.create_task(mender.run(lambda: filtered))
        await asyncio.sleep(0.05)
        assert peer.asked("/sync/nodes") == []
        assert (await mender.repaired()).changed >= 1
        task.cancel()

    run(main())
    assert files(ours) == {"/in/a": b"one"}


def test_a_peer_that_cannot_be_told_does_not_undo_a_repair(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    put(theirs, "/theirs", b"t")
    put(ours, "/ours", b"o")
    peer.status["/sync/wake"] = (503, b"{}")
    report = repair(ours, peer)
    assert (report.changed, report.is_ahead, report.asked_peer) == (1, True, False)


def test_trees_are_compared_now_and_then_without_any_reason(
    ours: Repository, peer: FakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mending, "INTERVAL_S", 0.01)
    put(peer.repository, "/a", b"one")

    async def main() -> None:
        task = asyncio.create_task(Mender(lambda _: None).run(lambda: peering(ours, peer)))
        await until(lambda: files(ours))
        task.cancel()

    run(main())


def test_who_waits_for_a_repair_hears_when_the_link_is_lost(
    ours: Repository, peer: FakePeer
) -> None:
    peer.hang.add("/sync/nodes")

    async def main() -> None:
        async with running(make_link(ours, peer)) as link:
            await until(lambda: link.is_active)
            waiting = asyncio.create_task(link.mender.repaired())
            await until(lambda: peer.asked("/sync/nodes"))
            peer.hang_up()
            with pytest.raises(UnavailableError):
                await waiting

    run(main())


def test_applying_twice_changes_nothing(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    put(theirs, "/a", b"a")
    assert repair(ours, peer).changed == 1
    before = ours.head
    assert repair(ours, peer).changed == 0
    assert run(apply(peering(ours, peer), [])).changed == 0
    assert ours.head == before
