"""What every store promises; see `storage.base.Store`."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from aeorsync.core.hashing import chunk_id, node_id
from aeorsync.errors import CorruptError, StaleError
from aeorsync.storage.base import Change, Commit, Head, Store, StoredChunk
from aeorsync.storage.embedded import EmbeddedStore
from aeorsync.storage.memory import MemoryStore
from aeorsync.storage.repository import first_head

HEAD = first_head(7)


@pytest.fixture(params=["embedded", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    makers: dict[str, Callable[[], Store]] = {
        "embedded": lambda: EmbeddedStore(tmp_path, HEAD),
        "memory": lambda: MemoryStore(HEAD),
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
    store.commit(replace(Commit(after, later(after)), dropped=[b"n" * 32]))
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
