"""What every store promises; see `storage.base.Store`."""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from aeorsync.core.hashing import chunk_id, node_id
from aeorsync.errors import CorruptError, StaleError
from aeorsync.storage.base import TOUCH_MS, Change, Commit, Head, Store, StoredChunk
from aeorsync.storage.embedded import EmbeddedStore
from aeorsync.storage.identities import first_head
from aeorsync.storage.memory import MemoryStore
from tests.support.clock import FakeClock

HEAD = first_head(7)
WALL = FakeClock()


@pytest.fixture(params=["embedded", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    makers: dict[str, Callable[[], Store]] = {
        "embedded": lambda: EmbeddedStore(tmp_path, HEAD, WALL),
        "memory": lambda: MemoryStore(HEAD, WALL),
    }
    made = makers[request.param]()
    yield made
    made.close()


def chunk(data: bytes) -> StoredChunk:
    return StoredChunk(chunk_id(data), 0, len(data), data)


def later(head: Head, **changes: object) -> Head:
    return msgspec.structs.replace(head, **{"seq": head.seq + 1, **changes})


def commit_once(store: Store, key: bytes = b"k", root: bytes = b"r" * 32) -> Head:
    before = store.head()
    after = later(before, root=root)
    store.commit(Commit(before, after, changes=[Change(after.seq, key, 0, 2)]))
    return after


def test_a_new_store_has_the_first_head(store: Store) -> None:
    assert store.head() == HEAD
    assert store.changes(0, 10) == []
    assert store.first_seq() == 1
    assert store.seq_of_root(HEAD.root) == 0


def test_chunks_are_readable_as_soon_as_they_are_put(store: Store) -> None:
    a, b = chunk(b"aaa"), chunk(b"bbb")
    store.put_chunks([a, b, a])
    assert [bytes(c.data) for c in store.chunks([b.id, a.id, b.id])] == [b"bbb", b"aaa", b"bbb"]
    assert store.missing([a.id, b"x" * 32]) == {b"x" * 32}


def test_chunks_stay_readable_after_flush_and_commit(store: Store) -> None:
    store.put_chunks([chunk(b"aaa")])
    store.flush()
    store.put_chunks([chunk(b"bbb")])
    commit_once(store)
    assert store.missing([chunk_id(b"aaa"), chunk_id(b"bbb")]) == set()


def test_chunks_do_not_refer_to_the_callers_memory(store: Store) -> None:
    memory = bytearray(b"first")
    store.put_chunks([StoredChunk(chunk_id(b"first"), 0, 5, memoryview(memory))])
    memory[:] = b"other"
    assert bytes(store.chunks([chunk_id(b"first")])[0].data) == b"first"


def test_unknown_chunks_are_left_out(store: Store) -> None:
    store.put_chunks([chunk(b"a")])
    assert [c.id for c in store.chunks([b"x" * 32, chunk_id(b"a")])] == [chunk_id(b"a")]


def test_quarantined_chunks_are_gone_until_they_are_put_again(store: Store) -> None:
    for how in (store.flush, lambda: None):
        store.put_chunks([chunk(b"a"), chunk(b"b")])
        how()
        store.quarantine([chunk_id(b"a"), b"x" * 32])
        assert store.missing([chunk_id(b"a"), chunk_id(b"b")]) == {chunk_id(b"a")}
        store.put_chunks([chunk(b"a")])
        assert [bytes(c.data) for c in store.chunks([chunk_id(b"a")])] == [b"a"]


def test_many_chunks_at_once(store: Store) -> None:
    many = [chunk(b"%d" % i) for i in range(3000)]
    store.put_chunks(many)
    commit_once(store)
    assert store.missing([c.id for c in many]) == set()
    assert [bytes(c.data) for c in store.chunks([c.id for c in many])] == [c.data for c in many]
    assert store.sizes().chunks == 3000


def test_a_commit_publishes_everything_at_once(store: Store) -> None:
    before = store.head()
    body = b"node body"
    after = later(before, root=b"r" * 32, n=9, stamp=77)
    change = Change(1, b"key", 0, 2, 5)
    store.commit(Commit(before, after, {node_id(body): body}, (), [change], {b"key": True}))
    assert store.head() == after
    assert store.node(node_id(body)) == body
    assert store.changes(0, 10) == [change]
    assert store.seq_of_root(b"r" * 32) == 1
    assert store.conflicts(b"", 10) == [b"key"]


def test_a_commit_on_an_old_head_changes_nothing(store: Store) -> None:
    old = store.head()
    new = commit_once(store)
    late = Commit(old, later(old, root=b"s" * 32), {b"n" * 32: b""}, (), [Change(1, b"z", 0, 2)])
    with pytest.raises(StaleError):
        store.commit(late)
    assert store.head() == new
    assert [change.key for change in store.changes(0, 10)] == [b"k"]
    with pytest.raises(CorruptError):
        store.node(b"n" * 32)


def test_dropped_nodes_are_gone(store: Store) -> None:
    before = store.head()
    after = later(before)
    store.commit(Commit(before, after, {b"n" * 32: b"body"}))
    store.commit(msgspec.structs.replace(Commit(after, later(after)), dropped=[b"n" * 32]))
    with pytest.raises(CorruptError):
        store.node(b"n" * 32)


def test_the_feed_is_read_in_pages(store: Store) -> None:
    for number in range(5):
        commit_once(store, b"%d" % number)
    assert [change.seq for change in store.changes(1, 2)] == [2, 3]
    assert [change.key for change in store.changes(3, 10)] == [b"3", b"4"]
    assert store.first_seq() == 1


def test_a_root_names_the_latest_time_it_was_current(store: Store) -> None:
    commit_once(store, root=b"1" * 32)
    commit_once(store, root=b"2" * 32)
    commit_once(store, root=b"1" * 32)
    assert store.seq_of_root(b"1" * 32) == 3
    assert store.seq_of_root(b"9" * 32) is None


def test_conflicts_are_listed_in_order_and_in_pages(store: Store) -> None:
    before = store.head()
    after = later(before)
    store.commit(Commit(before, after, conflicts={b"b": True, b"a": True, b"c": True}))
    store.commit(Commit(after, later(after), conflicts={b"b": False, b"zz": False}))
    assert store.conflicts(b"", 10) == [b"a", b"c"]
    assert store.conflicts(b"a", 10) == [b"c"]
    assert store.conflicts(b"", 1) == [b"a"]


def test_notes_are_kept_by_space_and_name(store: Store) -> None:
    store.set_note("links", "a", b"1")
    store.set_note("links", "b", b"2")
    store.set_note("cursors", "a", b"3")
    store.set_note("links", "b", None)
    store.set_note("links", "nobody", None)
    assert store.note("links", "a") == b"1"
    assert store.note("links", "b") is None
    assert store.notes("links") == {"a": b"1"}
    assert store.notes("none") == {}


NODES = {bytes((at,)) * 32: b"body %d" % at for at in range(1, 6)}


def replace_node(store: Store, old: bytes, new: bytes) -> None:
    before = store.head()
    store.commit(Commit(before, later(before), {new: b"body"}, [old]))


def test_nodes_of_no_head_can_be_put_and_asked_for(store: Store) -> None:
    store.put_nodes(NODES)
    assert store.missing_nodes([*NODES, b"x" * 32]) == {b"x" * 32}
    assert [store.node(name) for name in NODES] == list(NODES.values())
    first, *rest = sorted(NODES)
    assert store.node_names(b"", 10) == [first, *rest]
    assert store.node_names(first, 2) == rest[:2]


def test_nodes_born_until_the_kept_place_outlive_their_heads(store: Store) -> None:
    one, two, three, four = (bytes((at,)) * 32 for at in range(1, 5))
    replace_node(store, b"0" * 32, one)
    store.keep_until(store.head().seq)
    replace_node(store, one, two)
    replace_node(store, two, three)
    assert store.missing_nodes([one, two, three]) == {two}
    store.keep_until(None)
    replace_node(store, three, four)
    assert store.missing_nodes([one, three, four]) == {three}


def test_a_node_made_again_keeps_its_first_birth(store: Store) -> None:
    one, two = b"1" * 32, b"2" * 32
    replace_node(store, b"0" * 32, one)
    store.keep_until(store.head().seq)
    replace_node(store, one, two)
    replace_node(store, two, one)
    replace_node(store, one, two)
    assert store.missing_nodes([one]) == set()


def test_swept_nodes_and_chunks_are_gone_and_the_others_stay(store: Store) -> None:
    store.put_nodes(NODES)
    store.put_chunks([chunk(b"a"), chunk(b"b")])
    store.flush()
    first, *rest = sorted(NODES)
    store.sweep([first], [chunk_id(b"a"), b"x" * 32], WALL.now_ms() + 1)
    assert store.node_names(b"", 10) == rest
    assert [row.id for row in store.chunk_rows(b"", 10)] == [chunk_id(b"b")]
    assert store.missing([chunk_id(b"a"), chunk_id(b"b")]) == {chunk_id(b"a")}


def test_chunks_are_told_of_in_pages(store: Store) -> None:
    began = WALL.now_ms()
    texts = [b"%d" % at * 100 for at in range(5)]
    store.put_chunks([chunk(text) for text in texts])
    store.flush()
    rows = store.chunk_rows(b"", 10)
    assert [row.id for row in rows] == sorted(map(chunk_id, texts))
    assert {(row.stored, row.size) for row in rows} == {(100, 100)}
    assert all(began < row.touched < WALL.now_ms() for row in rows)
    assert store.chunk_rows(rows[1].id, 2) == rows[2:4]


def test_a_chunk_said_to_be_held_is_not_swept_for_a_while(store: Store) -> None:
    store.put_chunks([chunk(b"a"), chunk(b"b")])
    store.flush()
    WALL.now += 2 * TOUCH_MS
    assert store.missing([chunk_id(b"a")]) == set()
    store.sweep([], [chunk_id(b"a"), chunk_id(b"b")], WALL.now_ms() - TOUCH_MS)
    assert store.missing([chunk_id(b"a"), chunk_id(b"b")]) == {chunk_id(b"b")}


def test_peeking_reads_like_reading(store: Store) -> None:
    a, b = chunk(b"aaa"), chunk(b"bbb")
    store.put_chunks([a, b])
    assert [bytes(c.data) for c in store.peek([b.id, b"x" * 32, a.id])] == [b"bbb", b"aaa"]


def test_a_trimmed_feed_goes_on_from_where_it_was_cut(store: Store) -> None:
    for number in range(1, 6):
        commit_once(store, b"%d" % number, root=b"%d" % number * 32)
    store.trim_feed(3)
    assert store.first_seq() == 4
    assert [change.seq for change in store.changes(0, 10)] == [4, 5]
    assert store.seq_of_root(b"2" * 32) is None
    assert store.seq_of_root(b"3" * 32) == 3
    commit_once(store, b"6")
    assert store.changes(5, 10)[0].seq == 6


def test_compacting_loses_nothing_that_is_held(store: Store) -> None:
    many = [chunk(b"%d" % i * 100) for i in range(50)]
    store.put_chunks(many)
    store.flush()
    store.sweep((), [c.id for c in many[10:]], 1 << 60)
    store.compact(0.1, lambda: True)
    assert [bytes(c.data) for c in store.chunks([c.id for c in many])] == [
        c.data for c in many[:10]
    ]


def test_what_was_never_there_is_not_recovered(store: Store) -> None:
    assert store.recover([b"x" * 32]) == set()
