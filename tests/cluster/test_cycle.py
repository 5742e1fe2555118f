"""One replication cycle with an honest peer."""

from functools import partial
from pathlib import Path

import msgspec
import pytest

from aeorsync.cluster import fetch
from aeorsync.cluster.cycle import run_cycle
from aeorsync.cluster.peers import LinkBook
from aeorsync.cluster.plan import make_plan
from aeorsync.core.paths import parse
from aeorsync.core.versions import Entry, encode_entry
from aeorsync.errors import BadRequestError, UnavailableError
from aeorsync.storage.accounts import KEYS
from aeorsync.storage.changes import rename
from aeorsync.storage.repository import Repository
from aeorsync.wire import framing
from aeorsync.wire.brief import Same, mark
from aeorsync.wire.protocol import DiffEnd, pack
from tests.support.cycles import cycle, noise, peering, put_large, remove
from tests.support.loops import run
from tests.support.peer import FakePeer
from tests.support.repositories import entry_at, files, get, open_repository, put

MIB = 1 << 20


def ids_asked(peer: FakePeer) -> list[int]:
    """How many chunks each request asked for."""
    return [len(request.body) // 32 for request in peer.asked("/sync/chunks")]


def test_everything_a_peer_has_arrives_page_by_page(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    wanted = {f"/d{i % 7}/f{i:03}": noise(i + 1, i) for i in range(250)}
    for path, data in wanted.items():
        put(theirs, path, data)
    peer.page_size = 100
    report = cycle(ours, peer)
    assert files(ours) == wanted
    assert ours.head.root == theirs.head.root
    assert ours.head.graves == theirs.head.graves
    assert (report.told, report.changed, report.chunks) == (257, 257, 250)
    assert not report.is_partial
    assert len(peer.asked("/sync/diff")) == 3
    assert len(peer.asked("/sync/chunks")) == 3


def test_a_report_counts_files_bytes_and_what_was_no_news(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    body = noise(5000)
    put(theirs, "/d/a", body)
    put(theirs, "/d/b", bytes(100_000))
    report = cycle(ours, peer)
    assert (report.told, report.changed, report.files, report.skipped) == (3, 3, 2, 0)
    assert len(body) < report.bytes < len(body) + 1000  # as sent: zeros shrink
    remove(theirs, "/d/a")
    report = cycle(ours, peer)
    assert (report.changed, report.files, report.bytes) == (1, 1, 0)
    LinkBook(ours).remove(peering(ours, peer).link)
    put(theirs, "/d/c", b"c")
    report = cycle(ours, peer)
    assert (report.told, report.changed, report.files, report.skipped) == (4, 1, 1, 3)


def test_what_was_refused_is_not_counted_as_skipped(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    put(theirs, "/a", b"a")
    put(theirs, "/b", b"b")
    peer.chunk = lambda _: None
    report = cycle(ours, peer)
    assert (report.told, report.problem_count, report.skipped) == (2, 2, 0)
    assert (report.files, report.chunks, report.bytes) == (0, 0, 0)


def test_a_second_cycle_asks_one_question_and_changes_nothing(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    put(theirs, "/a", b"one")
    cycle(ours, peer)
    seq, asked = ours.head.seq, len(peer.requests)
    report = cycle(ours, peer)
    assert (report.told, report.changed) == (0, 0)
    assert ours.head.seq == seq
    assert len(peer.requests) == asked + 1


def test_what_we_hold_already_costs_no_chunks_and_makes_no_feed(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    for i in range(20):
        put(theirs, f"/f{i}", bytes([i]))
    cycle(ours, peer)
    seq, asked = ours.head.seq, len(peer.asked("/sync/chunks"))
    LinkBook(ours).remove(peering(ours, peer).link)
    report = cycle(ours, peer)
    assert (report.told, report.changed) == (20, 0)
    assert ours.head.seq == seq
    assert len(peer.asked("/sync/chunks")) == asked


def test_what_we_know_to_be_old_costs_no_chunks(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    put(theirs, "/a", b"one")
    cycle(ours, peer)
    asked = len(peer.asked("/sync/chunks"))
    put(ours, "/a", b"two")
    remove(theirs, "/a")
    put(theirs, "/a", b"three")
    cycle(theirs, FakePeer(ours))
    put(ours, "/a", b"four")
    report = cycle(ours, peer)
    assert report.changed == 1
    assert len(peer.asked("/sync/chunks")) == asked + 1
    LinkBook(ours).remove(peering(ours, peer).link)
    put(ours, "/a", b"resolved")
    assert cycle(ours, peer).changed == 0
    assert len(peer.asked("/sync/chunks")) == asked + 1


def test_a_file_of_many_chunks_arrives_in_bounded_batches(tmp_path: Path) -> None:
    source, target = open_repository(tmp_path / "a", 1), open_repository(tmp_path / "b", 2)
    peer = FakePeer(source)
    data = noise(64 * MIB)
    put_large(source, "/big", data)
    report = cycle(target, peer)
    assert get(target, "/big") == data
    assert report.changed == 1
    assert sum(ids_asked(peer)) == report.chunks
    assert len(ids_asked(peer)) >= 64 * MIB // fetch.BATCH_BYTES
    sizes = [c.size for c in source.stored_chunks(list(source_ids(source, "/big")))]
    assert max(ids_asked(peer)) * min(sizes[:-1]) <= fetch.BATCH_BYTES

    put_large(source, "/big", b"!" + data)
    again = cycle(target, peer)
    assert get(target, "/big") == b"!" + data
    assert again.chunks <= 6
    assert source.head.root == target.head.root
    source.close()
    target.close()


def source_ids(repository: Repository, path: str) -> list[bytes]:
    entry = entry_at(repository, path)
    assert entry is not None
    return [name for _, name, _ in repository.references(entry.versions[0].content)]


def test_a_batch_never_holds_too_many_chunks(
    ours: Repository, theirs: Repository, peer: FakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "BATCH_IDS", 10)
    for i in range(35):
        put(theirs, f"/f{i}", bytes([i]))
    cycle(ours, peer)
    assert sorted(ids_asked(peer)) == [5, 10, 10, 10]


def test_a_delete_arrives_and_stays(ours: Repository, theirs: Repository, peer: FakePeer) -> None:
    put(theirs, "/a", b"one")
    cycle(ours, peer)
    remove(theirs, "/a")
    assert cycle(ours, peer).changed == 1
    assert files(ours) == {}
    assert ours.head.graves == theirs.head.graves
    cycle(theirs, FakePeer(ours))
    assert files(theirs) == {}


def test_concurrent_edits_are_a_conflict_on_both_sides_and_nothing_is_lost(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    put(theirs, "/a", b"base")
    cycle(ours, peer)
    put(ours, "/a", b"ours")
    put(theirs, "/a", b"theirs")
    assert cycle(ours, peer).conflicts == 1
    assert cycle(theirs, FakePeer(ours)).conflicts == 1
    assert ours.head.root == theirs.head.root
    for repository in (ours, theirs):
        [conflict] = repository.conflicts()
        contents = [b"".join(repository.read(v.content)) for v in conflict.entry.versions]
        assert sorted(contents) == [b"ours", b"theirs"]


def test_a_part_of_what_we_know_is_no_news(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    put(theirs, "/a", b"theirs")
    put(ours, "/a", b"ours")
    cycle(ours, peer)
    with theirs.view() as view:
        plan = make_plan(ours, [msgspec.msgpack.encode(list(view.walk()))])
    assert (plan.told, plan.news, plan.problems) == (1, [], [])


def test_two_files_under_one_dot_are_both_kept(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    # Only a copied database makes such: the same version number for two contents.
    put(theirs, "/a", b"one")
    cycle(ours, peer)
    entry = entry_at(theirs, "/a")
    assert entry is not None
    clone = msgspec.structs.replace(entry.versions[0], content=theirs.store_small(b"two"))
    peer.items = lambda _: [(b"a", encode_entry(Entry((clone,))))]
    LinkBook(ours).remove(peering(ours, peer).link)
    assert cycle(ours, peer).changed == 1
    [conflict] = ours.conflicts()
    contents = [b"".join(ours.read(v.content)) for v in conflict.entry.versions]
    assert sorted(contents) == [b"one", b"two"]


def test_an_echo_changes_nothing(ours: Repository, theirs: Repository, peer: FakePeer) -> None:
    back = FakePeer(ours)
    put(theirs, "/a", b"one")
    cycle(ours, peer)
    seq = theirs.head.seq
    # The first time we are asked for everything, from then on only for what is not theirs.
    assert cycle(theirs, back).changed == 0
    put(theirs, "/a", b"two")
    cycle(ours, peer)
    report = cycle(theirs, back)
    assert (report.told, report.changed) == (0, 0)
    assert theirs.head.seq == seq + 1
    assert back.asked("/sync/chunks") == []


def test_times_alone_move_no_bytes_and_read_none(
    ours: Repository, theirs: Repository, peer: FakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(theirs, "/a", noise(100_000), mtime=1)
    cycle(ours, peer)
    asked = len(peer.asked("/sync/chunks"))
    monkeypatch.setattr(ours, "check_content", lambda _: 1 / 0)
    put(theirs, "/a", noise(100_000), mtime=2)
    assert cycle(ours, peer).changed == 1
    assert len(peer.asked("/sync/chunks")) == asked
    assert ours.head.root == theirs.head.root


def test_a_move_moves_no_bytes_and_reads_none(
    ours: Repository, theirs: Repository, peer: FakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(theirs, "/a", noise(100_000))
    put_large(theirs, "/big", noise(MIB))
    cycle(ours, peer)
    asked = len(peer.asked("/sync/chunks"))
    for name in ("/a", "/big"):
        path, to = parse(name), parse(f"/to{name}")
        theirs.commit(partial(rename, path=path, to=to)).result(timeout=30)
    monkeypatch.setattr(ours, "check_content", lambda _: 1 / 0)
    assert cycle(ours, peer).changed == 5
    assert files(ours) == {"/to/a": noise(100_000), "/to/big": noise(MIB)}
    assert len(peer.asked("/sync/chunks")) == asked


def test_what_a_moved_file_lost_here_comes_again(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    put_large(theirs, "/big", noise(MIB))
    cycle(ours, peer)
    asked = len(peer.asked("/sync/chunks"))
    entry = entry_at(ours, "/big")
    assert entry is not None
    lost = next(ours.references(entry.versions[0].content))[1]
    ours._store.quarantine([lost])
    theirs.commit(partial(rename, path=parse("/big"), to=parse("/moved"))).result(timeout=30)
    assert cycle(ours, peer).chunks == 1
    assert files(ours) == {"/moved": noise(MIB)}
    assert len(peer.asked("/sync/chunks")) == asked + 1


def test_a_chunk_that_two_files_share_is_fetched_once(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    for name in ("/a", "/b", "/c"):
        put(theirs, name, b"same")
    assert cycle(ours, peer).chunks == 1
    assert len(files(ours)) == 3


def test_an_empty_file_needs_nothing(ours: Repository, theirs: Repository, peer: FakePeer) -> None:
    put(theirs, "/empty", b"")
    assert cycle(ours, peer).changed == 1
    assert files(ours) == {"/empty": b""}
    assert peer.asked("/sync/chunks") == []


def test_the_system_namespace_comes_along(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    key = b".aeordb-system\0api-keys\0x.json"
    assert f"/{key.decode()}".replace("\0", "/").startswith(KEYS)
    put(theirs, "/a", b"one")
    with theirs.view() as view:
        [(_, data)] = view.walk()
    peer.items = lambda items: [*items, (key, data)]
    report = cycle(ours, peer)
    assert not report.is_partial
    with ours.view() as view:
        assert key in dict(view.walk(system=True))


def test_the_cursor_is_recorded_last(
    ours: Repository, theirs: Repository, peer: FakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(theirs, "/a", b"one")
    peer.status["/sync/chunks"] = (503, b"")
    with pytest.raises(UnavailableError):
        cycle(ours, peer)
    assert LinkBook(ours).cursor(peering(ours, peer).link) is None
    del peer.status["/sync/chunks"]
    monkeypatch.setattr(ours, "apply", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cycle(ours, peer)
    assert LinkBook(ours).cursor(peering(ours, peer).link) is None
    monkeypatch.undo()
    cycle(ours, peer)
    mark = LinkBook(ours).cursor(peering(ours, peer).link)
    assert mark is not None
    assert (mark.node_id, mark.synced_at) == (2, 5)


def cursors_sent(peer: FakePeer) -> list[object]:
    return [msgspec.json.decode(r.body).get("cursor") for r in peer.asked("/sync/diff")]


@pytest.mark.parametrize("change", ["filter", "node", "database"])
def test_another_filter_node_or_database_is_followed_afresh(
    ours: Repository, theirs: Repository, peer: FakePeer, change: str
) -> None:
    put(theirs, "/a", b"one")
    cycle(ours, peer)
    cycle(ours, peer)
    assert cursors_sent(peer)[-1] is not None
    filters = ("/a",) if change == "filter" else None
    if change == "node":
        peer.node_id = 3
    if change == "database":
        theirs.database_id += 1
    cycle(ours, peer, sync_paths=filters)
    assert cursors_sent(peer)[-1] is None
    [request] = peer.asked("/sync/diff")[-1:]
    assert msgspec.json.decode(request.body).get("paths") == (None if filters is None else ["/a"])


def test_another_node_at_the_address_is_noticed(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    put(theirs, "/a", b"one")
    sides = peering(ours, peer)
    peer.node_id = 99
    with pytest.raises(UnavailableError, match="another node answers"):
        run(run_cycle(sides))
    assert files(ours) == {}


def test_a_cursor_that_leads_nowhere_ends_the_cycle(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    for i in range(5):
        put(theirs, f"/f{i}", b"x")
    peer.page_size = 1
    first = peer._diff({})
    peer.frames = lambda _, __: first
    with pytest.raises(BadRequestError, match="leads nowhere"):
        cycle(ours, peer)


def test_a_cycle_ahead_of_the_cursor_records_nothing(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    put(theirs, "/a", b"one")
    put(theirs, "/b", b"two")
    report = cycle(ours, peer, ahead="feed:1:0")
    assert files(ours) == {"/b": b"two"}
    assert report.reached == "feed:2:0"
    assert LinkBook(ours).cursor(peering(ours, peer).link) is None


def test_what_a_peer_told_last_is_named_with_the_cursor_it_told(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    put(theirs, "/a", b"one")
    root, knowledge = theirs.head.root.hex(), ((theirs.head.incarnation, theirs.head.n),)

    def knowing(name: str, frames: list[bytes]) -> list[bytes]:
        if name != "diff":
            return frames
        (last,) = framing.Decoder().feed(frames[-1])
        end = msgspec.msgpack.decode(last.payload, type=DiffEnd)
        told = msgspec.structs.replace(end, knowledge=knowledge)
        return [*frames[:-1], framing.encode(framing.Kind.END, pack(told))]

    peer.frames = knowing
    sides = msgspec.structs.replace(peering(ours, peer), asks_knowledge=True)
    run(run_cycle(sides))
    assert list(sides.heard.values()) == [mark(root, knowledge)]
    word = Same(peer.node_id, theirs.database_id, same=True)
    peer.frames = lambda _, __: [framing.encode(framing.Kind.END, pack(word))]
    report = run(run_cycle(sides))
    assert (report.told, report.root, report.is_partial) == (0, root, False)
    other = Same(peer.node_id + 1, theirs.database_id, same=True)
    peer.frames = lambda _, __: [framing.encode(framing.Kind.END, pack(other))]
    with pytest.raises(UnavailableError, match="another node"):
        run(run_cycle(sides))


def test_a_word_is_no_answer_to_who_has_heard_nothing(
    ours: Repository, theirs: Repository, peer: FakePeer
) -> None:
    word = Same(peer.node_id, theirs.database_id, same=True)
    peer.frames = lambda _, __: [framing.encode(framing.Kind.END, pack(word))]
    with pytest.raises(BadRequestError, match="without a header"):
        cycle(ours, peer)
