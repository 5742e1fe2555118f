"""The tree of a snapshot made elsewhere comes here whole, checked, piece by piece."""

import asyncio
import json

import pytest

from aeorsync.cluster import past as past_module
from aeorsync.cluster.past import Past
from aeorsync.core.hashing import node_id
from aeorsync.core.nodes import Node, encode_node
from aeorsync.core.paths import join
from aeorsync.core.versions import decode_entry
from aeorsync.storage.changes import FileState, delete, put_file
from aeorsync.storage.gc import Collector
from aeorsync.storage.kept_trees import kept_roots
from aeorsync.storage.marking import Marking
from aeorsync.storage.repository import Repository
from aeorsync.storage.verify import verify
from aeorsync.storage.versions import SNAPSHOTS
from tests.support.clock import FakeClock
from tests.support.cycles import cycle, noise, put_large, remove
from tests.support.loops import run, until
from tests.support.peer import FakePeer
from tests.support.repositories import memory_repository, put

RECORD = join(SNAPSHOTS, "ab.json")


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past_module, "PAUSE_S", 0.005)
    monkeypatch.setattr(past_module, "RETRY_S", 0.005)


@pytest.fixture
def root(ours: Repository, theirs: Repository, peer: FakePeer) -> bytes:
    """The peer has moved on since a snapshot, whose record is here and whose tree is not."""
    for at in range(150):
        put(theirs, f"/file{at:03d}", b"old %d" % at)
    put_large(theirs, "/large", noise(600_000))
    theirs._store.keep_until(1 << 40)
    snapshot = theirs.head.root
    for at in range(0, 150, 3):
        put(theirs, f"/file{at:03d}", b"new %d" % at)
    remove(theirs, "/large")
    record = {"id": "ab", "name": "then", "root": snapshot.hex(), "created_at": 1}
    file = FileState(theirs.store_small(json.dumps(record).encode()), "application/json")
    theirs.commit(lambda draft: put_file(draft, RECORD, file)).result(timeout=30)
    cycle(ours, peer)
    assert snapshot in kept_roots(ours)
    assert ours.trees.missing([snapshot])
    return snapshot


def read_tree(repository: Repository, root: bytes) -> dict[bytes, bytes]:
    """All files of a tree of the past."""
    found: dict[bytes, bytes] = {}
    waiting = [root]
    while waiting:
        node = repository.trees.read(waiting.pop())
        if node.level:
            waiting += [ref[:32] for ref in node.values]
            continue
        for key, data in zip(node.keys, node.values, strict=True):
            content = decode_entry(data).versions[0].content
            found[key] = b"".join(repository.read(content))
    return found


def past(ours: Repository, *peers: FakePeer) -> Past:
    return Past(ours, lambda: [peer.remote() for peer in peers])


def test_a_tree_comes_with_all_its_files(
    ours: Repository, theirs: Repository, peer: FakePeer, root: bytes
) -> None:
    assert run(past(ours, peer).complete())
    tree = read_tree(ours, root)
    assert tree == read_tree(theirs, root)
    assert tree[b"file003"] == b"old 3"
    assert tree[b"large"] == noise(600_000)
    asked = len(peer.requests)
    assert run(past(ours, peer).complete())
    assert len(peer.requests) == asked


def test_what_was_cut_off_goes_on_where_it_was(
    ours: Repository, peer: FakePeer, root: bytes
) -> None:
    honest, left = peer.frames, 2

    def some(name: str, frames: list[bytes]) -> list[bytes]:
        nonlocal left
        left -= name == "nodes"
        return [] if name == "nodes" and left < 0 else honest(name, frames)

    peer.frames = some
    assert not run(past(ours, peer).complete())
    peer.frames = honest
    before = len(peer.asked("/sync/nodes"))
    assert run(past(ours, peer).complete())
    names = b"".join(request.body for request in peer.asked("/sync/nodes")[before:])
    assert root not in names
    assert len(read_tree(ours, root)) == 151


@pytest.mark.parametrize("nodes", range(4))
def test_what_has_not_come_yet_is_no_damage_and_what_was_here_and_is_not_is(
    ours: Repository, peer: FakePeer, root: bytes, nodes: int
) -> None:
    honest, left = peer.frames, nodes

    def some(name: str, frames: list[bytes]) -> list[bytes]:
        nonlocal left
        left -= name == "nodes"
        return [] if name == "nodes" and left < 0 else honest(name, frames)

    peer.frames, peer.chunk, chunk = some, lambda _: None, peer.chunk
    assert not run(past(ours, peer).complete())
    found = verify(ours)
    assert (found.findings, found.awaited) == ([], ["snapshot then"])
    peer.frames, peer.chunk = honest, chunk
    assert run(past(ours, peer).complete())
    found = verify(ours)
    assert (found.findings, found.awaited) == ([], [])
    ours.store.sweep([root], (), 0)
    found = verify(ours)
    assert {finding.kind for finding in found.findings} == {"snapshot"}
    assert found.awaited == []
    # It is fetched again; what it was is not forgotten meanwhile.
    ours.doubt_tree(root)
    assert verify(ours).findings == found.findings
    assert run(past(ours, peer).complete())
    assert verify(ours).findings == []


def test_a_peer_without_it_is_passed_over_and_a_liar_is_not_believed(
    ours: Repository, theirs: Repository, peer: FakePeer, root: bytes
) -> None:
    empty = FakePeer(memory_repository(node=9))
    liar = FakePeer(theirs, node=lambda body: body + b"\0")
    down = FakePeer(theirs, down=True)
    assert not run(past(ours, empty, liar, down).complete())
    assert ours.trees.missing([root])
    assert run(past(ours, empty, liar, down, peer).complete())
    assert len(read_tree(ours, root)) == 151


def test_a_file_that_nobody_has_leaves_the_tree_incomplete(
    ours: Repository, peer: FakePeer, root: bytes
) -> None:
    honest = peer.chunk
    peer.chunk = lambda _: None
    assert not run(past(ours, peer).complete())
    peer.chunk = honest
    assert run(past(ours, peer).complete())
    assert len(read_tree(ours, root)) == 151


def test_it_is_done_in_the_background_once_somebody_can_help(
    ours: Repository, peer: FakePeer, root: bytes
) -> None:
    peer.down = True

    async def main() -> None:
        task = asyncio.create_task(past(ours, peer).run())
        await asyncio.sleep(0.05)
        assert not task.done()
        peer.down = False
        await until(lambda: ours.notes("past trees"))
        task.cancel()

    run(main())
    assert len(read_tree(ours, root)) == 151


def test_a_tree_nobody_names_any_more_is_forgotten(
    ours: Repository, peer: FakePeer, root: bytes
) -> None:
    assert run(past(ours, peer).complete())
    assert list(ours.notes("past trees")) == [root.hex()]
    ours.commit(lambda draft: delete(draft, RECORD)).result(timeout=30)
    assert run(past(ours, peer).complete())
    assert ours.notes("past trees") == {}


@pytest.mark.parametrize("is_gone", [True, False])
@pytest.mark.parametrize("is_root", [True, False])
def test_a_tree_that_was_whole_and_is_damaged_is_fetched_again(
    ours: Repository,
    theirs: Repository,
    peer: FakePeer,
    root: bytes,
    *,
    is_gone: bool,
    is_root: bool,
) -> None:
    assert run(past(ours, peer).complete())
    store = ours.store
    shared = Marking(store, 1, lambda: None)
    shared.add_head_tree(ours.head.root)
    whole = Marking(store, 1, lambda: None)
    whole.add_head_tree(root)
    lost = root if is_root else min(whole.nodes - shared.nodes - {root})
    store.sweep([lost], (), 0)
    if not is_gone:
        store.put_nodes({lost: b"damaged"})
    ours._cache.clear()
    assert Collector(ours, FakeClock()).run().held_back is not None
    assert run(past(ours, peer).complete())
    assert read_tree(ours, root) == read_tree(theirs, root)
    assert Collector(ours, FakeClock()).run().held_back is None


@pytest.mark.parametrize(
    "key", [b"..\0x", b"a\0..\0b", b"", b"a/b", b"a\0", b"\xff", b"a\0\0b", b"."]
)
def test_a_tree_whose_names_lead_out_of_a_folder_never_becomes_whole(
    ours: Repository, theirs: Repository, peer: FakePeer, root: bytes, key: bytes
) -> None:
    leaf = theirs.trees.read(theirs.head.root)
    while leaf.level:
        leaf = theirs.trees.read(leaf.values[0][:32])
    body = encode_node(Node(0, [key], leaf.values[:1]))
    hostile = node_id(body)
    theirs.trees.put({hostile: body})
    record = {"id": "cd", "name": "bad", "root": hostile.hex(), "created_at": 1}
    file = FileState(theirs.store_small(json.dumps(record).encode()), "application/json")
    path = join(SNAPSHOTS, "cd.json")
    theirs.commit(lambda draft: put_file(draft, path, file)).result(timeout=30)
    cycle(ours, peer)
    assert not run(past(ours, peer).complete())
    assert list(ours.notes("past trees")) == [root.hex()]


def test_who_could_ask_nobody_asks_as_soon_as_somebody_can_be_asked(
    ours: Repository, peer: FakePeer, root: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(past_module, "RETRY_S", 600)
    peers: list[FakePeer] = []

    async def scenario() -> None:
        task = asyncio.create_task(Past(ours, lambda: [one.remote() for one in peers]).run())
        await asyncio.sleep(0.1)
        peers.append(peer)
        await until(lambda: not ours.trees.missing([root]) and ours.has_trees((root, root)))
        task.cancel()

    run(scenario())
