"""Nothing in use is ever collected, and everything else is; while writers and readers go on."""

import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aeorsync.core.hashing import chunk_id
from aeorsync.core.paths import join, parse
from aeorsync.errors import BusyError, CorruptError, UnavailableError
from aeorsync.storage import gc, version_records
from aeorsync.storage.base import StoredChunk
from aeorsync.storage.changes import FileState, delete, put_file, rename, restore
from aeorsync.storage.content import LostChunkError
from aeorsync.storage.forks import ForkLens
from aeorsync.storage.gc import DAY_MS, GRACE_MS, Collected, Collector
from aeorsync.storage.holdings import Holdings
from aeorsync.storage.marking import Marking
from aeorsync.storage.repository import Repository
from aeorsync.storage.versions import SNAPSHOTS, Snapshot, abandon_fork, make_fork
from tests.support.clock import FakeClock
from tests.support.cycles import noise, put_large, remove
from tests.support.repositories import files, get, memory_repository, open_repository, pull, put


@pytest.fixture
def wall() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["embedded", "memory"])
def repository(
    request: pytest.FixtureRequest, tmp_path: Path, wall: FakeClock
) -> Iterator[Repository]:
    is_memory = request.param == "memory"
    made = memory_repository(wall=wall) if is_memory else open_repository(tmp_path, wall=wall)
    yield made
    made.close()


def collect(repository: Repository, wall: FakeClock, *, dry_run: bool = False) -> Collected:
    """Collect long after everything that happened so far."""
    wall.now += GRACE_MS + 1
    return Collector(repository, wall).run(dry_run=dry_run)


def held(repository: Repository) -> set[bytes]:
    return {row.id for row in repository.store.chunk_rows(b"", 10**6)}


def nodes(repository: Repository) -> set[bytes]:
    return set(repository.store.node_names(b"", 10**6))


def in_head(repository: Repository) -> set[bytes]:
    marking = Marking(repository.store, 1, lambda: None)
    marking.add_head_tree(repository.head.root)
    return marking.nodes


def take_snapshot(repository: Repository, name: str) -> bytes:
    """As the endpoint does: keep the nodes of the current tree, and note its root."""
    head = repository.head
    repository.store.keep_until(head.seq)
    root, graves = head.root.hex(), head.graves.hex()
    record = Snapshot(id=name, name=name, root=root, graves=graves, created_at=1, node=head.node)
    content = repository.store_small(msgspec.json.encode(record))
    path = join(SNAPSHOTS, f"{name}.json")
    file = FileState(content, "application/json")
    repository.commit(lambda draft: put_file(draft, path, file)).result(30)
    return head.root


def drop_snapshot(repository: Repository, name: str) -> None:
    path = join(SNAPSHOTS, f"{name}.json")
    repository.commit(lambda draft: delete(draft, path)).result(30)


def test_what_was_overwritten_goes_and_what_is_there_stays(
    repository: Repository, wall: FakeClock
) -> None:
    put(repository, "/a", b"old" * 100)
    put(repository, "/a", b"new" * 100)
    repository.store.flush()
    report = collect(repository, wall)
    assert (report.chunks, report.live_entries, report.held_back) == (1, 1, None)
    assert report.chunk_bytes > 0
    assert held(repository) == {chunk_id(b"new" * 100)}
    assert get(repository, "/a") == b"new" * 100
    assert collect(repository, wall).chunks == 0


def test_large_files_stay_with_their_manifests(repository: Repository, wall: FakeClock) -> None:
    data = noise(12_000_000)
    put_large(repository, "/big", data)
    put_large(repository, "/big2", data[:5_000_000])
    put_large(repository, "/big2", b"small")
    report = collect(repository, wall)
    assert report.chunks in {0, 1}  # the last chunk of the shorter file is in no other
    assert get(repository, "/big") == data


def test_chunks_stay_for_a_day_after_they_were_put(
    repository: Repository, wall: FakeClock
) -> None:
    repository.store_small(b"nobody refers to me")
    repository.store.flush()
    wall.now += DAY_MS
    assert Collector(repository, wall).run().chunks == 0
    wall.now += DAY_MS
    assert Collector(repository, wall).run().chunks == 1


def test_chunks_stay_for_a_day_after_somebody_was_told_that_we_have_them(
    repository: Repository, wall: FakeClock
) -> None:
    repository.store_small(b"garbage so far")
    repository.store.flush()
    wall.now += 10 * DAY_MS
    assert repository.missing([chunk_id(b"garbage so far")]) == set()
    wall.now += DAY_MS
    assert Collector(repository, wall).run().chunks == 0
    put(repository, "/a", b"garbage so far")
    assert get(repository, "/a") == b"garbage so far"


def test_a_dry_run_tells_the_same_and_changes_nothing(
    repository: Repository, wall: FakeClock
) -> None:
    for number in range(50):
        put(repository, f"/d{number % 3}/f{number}", b"%d" % number * 50)
    take_snapshot(repository, "s")
    for number in range(50):
        put(repository, f"/d{number % 3}/f{number}", b"%d" % number * 60)
    drop_snapshot(repository, "s")
    before = held(repository), nodes(repository), repository.head
    told = collect(repository, wall, dry_run=True)
    assert (held(repository), nodes(repository), repository.head) == before
    assert told.chunks == 50
    assert told.nodes > 0
    done = Collector(repository, wall).run()
    assert (done.chunks, done.nodes, done.chunk_bytes) == (50, told.nodes, told.chunk_bytes)


def test_a_snapshot_keeps_its_files_until_it_is_deleted(
    repository: Repository, wall: FakeClock
) -> None:
    put(repository, "/a", b"of the past")
    root = take_snapshot(repository, "s")
    put(repository, "/a", b"of today")
    collect(repository, wall)
    assert chunk_id(b"of the past") in held(repository)
    assert root in nodes(repository)
    drop_snapshot(repository, "s")
    collect(repository, wall)
    assert chunk_id(b"of the past") not in held(repository)
    assert root not in nodes(repository)
    assert get(repository, "/a") == b"of today"


def test_a_fork_keeps_the_tree_it_began_with(repository: Repository, wall: FakeClock) -> None:
    put(repository, "/a", b"of the past")
    fork = repository.commit(
        lambda draft: make_fork(repository, draft, "f", ""), alone=True
    ).result(30)
    put(repository, "/a", b"of today")
    collect(repository, wall)
    assert get(repository.through(ForkLens(fork)), "/a") == b"of the past"
    repository.commit(lambda draft: abandon_fork(repository, draft, "f")).result(30)
    collect(repository, wall)
    assert chunk_id(b"of the past") not in held(repository)


def test_what_was_deleted_can_still_be_brought_back(
    repository: Repository, wall: FakeClock
) -> None:
    put(repository, "/a", b"deleted")
    remove(repository, "/a")
    collect(repository, wall)
    repository.commit(lambda draft: restore(draft, parse("/a"))).result(30)
    assert get(repository, "/a") == b"deleted"


def test_the_losers_of_a_conflict_stay(repository: Repository, wall: FakeClock) -> None:
    put(repository, "/a", b"one", base=())
    put(repository, "/a", b"two", base=())
    collect(repository, wall)
    conflict = next(repository.conflicts())
    kept = [b"".join(repository.read(v.content)) for v in conflict.entry.versions]
    assert sorted(kept) == [b"one", b"two"]


def test_nothing_is_swept_while_a_file_is_damaged(repository: Repository, wall: FakeClock) -> None:
    put_large(repository, "/big", noise(9_000_000))
    put(repository, "/a", b"old" * 100)
    put(repository, "/a", b"new" * 100)
    with repository.view() as view:
        sight = view.sight(parse("/big"))
    assert sight is not None
    piece = sight.winner.content.refs[:32]
    assert sight.winner.content.depth == 1
    repository.store.quarantine([piece])
    report = collect(repository, wall)
    assert report.chunks == 0
    assert "damaged" in (report.held_back or "")
    assert chunk_id(b"old" * 100) in held(repository)


def test_nothing_is_swept_when_the_tree_cannot_be_read(
    repository: Repository, wall: FakeClock
) -> None:
    for number in range(300):
        put(repository, f"/f{number}", b"%d" % number * 20)
    put(repository, "/a", b"old" * 100)
    put(repository, "/a", b"new" * 100)
    leaf = min(in_head(repository) - {repository.head.root})
    body = repository.store.node(leaf)
    repository.store.sweep([leaf], (), 0)
    before = held(repository)
    with pytest.raises(CorruptError):
        collect(repository, wall)
    assert held(repository) == before
    repository.store.put_nodes({leaf: body})
    assert collect(repository, wall).chunks == 1


def test_nothing_is_swept_while_a_snapshot_is_on_its_way_here(
    repository: Repository, wall: FakeClock
) -> None:
    for number in range(300):
        put(repository, f"/f{number}", b"%d" % number * 20)
    root = take_snapshot(repository, "s")
    put(repository, "/f0", b"other")
    node = repository.store.node(root)
    gone = nodes(repository) - in_head(repository)
    children = [name for name in gone if name in node]
    repository.store.sweep(children[:1], (), 0)
    report = collect(repository, wall)
    assert report.held_back is not None
    assert "snapshot s" in report.held_back
    assert (report.chunks, report.nodes) == (0, 0)


def test_nothing_is_swept_while_the_record_of_a_snapshot_is_damaged(
    repository: Repository, wall: FakeClock
) -> None:
    put(repository, "/a", b"old" * 100)
    snapshot = take_snapshot(repository, "s")
    put(repository, "/a", b"new" * 100)
    with repository.view() as view:
        (record,) = view.children(SNAPSHOTS, system=True)
    assert record.version is not None
    (name,) = [name for _, name, _ in repository.references(record.version.content)]
    (chunk,) = repository.store.peek([name])
    repository.store.quarantine([name])
    version_records._parsed.clear()
    repository.settle_trees().result(30)
    put(repository, "/a", b"newer" * 100)
    with pytest.raises(CorruptError, match="record"):
        collect(repository, wall)
    # A peer had it still.
    repository.receive([chunk])
    assert collect(repository, wall).held_back is None
    assert repository.trees.missing([snapshot]) == set()
    assert chunk_id(b"old" * 100) in held(repository)


def test_only_one_collection_runs_at_a_time(repository: Repository, wall: FakeClock) -> None:
    collector = Collector(repository, wall)
    inner: list[type[Exception]] = []

    def progress(*_: object) -> None:
        try:
            collector.run()
        except BusyError:
            inner.append(BusyError)

    collector.run(progress=progress)
    assert inner


def test_a_node_that_stops_ends_its_collection(repository: Repository, wall: FakeClock) -> None:
    put(repository, "/a", b"1")
    collector = Collector(repository, wall)
    collector.stop()
    with pytest.raises(UnavailableError, match="shutting down"):
        collector.run()


def test_the_feed_is_trimmed_and_what_is_left_is_whole(
    repository: Repository, wall: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gc, "FEED_ROWS", 10)
    root = None
    for number in range(30):
        put(repository, f"/f{number}", b"x")
        root = repository.head.root if number == 5 else root
    collect(repository, wall)
    assert repository.store.first_seq() == 21
    assert not repository.reaches_back_to(19)
    assert repository.reaches_back_to(20)
    assert [change.seq for change in repository.changes(20, 100)] == list(range(21, 31))
    assert root is not None
    assert repository.seq_of_root(root) is None


# While others write


class Interrupted:
    """A store that lets somebody in at a chosen moment of a collection."""

    def __init__(
        self,
        repository: Repository,
        method: str,
        action: Callable[[], object],
        applies: Callable[..., bool] = lambda *_: True,
    ) -> None:
        self.applies = applies
        self.method = getattr(repository.store, method)
        self.action = action
        self.is_done = False
        setattr(repository.store, method, self)

    def __call__(self, *arguments: object, **named: object) -> object:
        if not self.is_done and self.applies(*arguments):
            self.is_done = True
            self.action()
        return self.method(*arguments, **named)


def test_an_upload_that_was_told_a_chunk_is_held_and_commits_after_it_was_swept_is_refused(
    repository: Repository, wall: FakeClock
) -> None:
    repository.store_small(b"garbage" * 9)
    repository.store.flush()
    wall.now += 10 * GRACE_MS
    upload = repository.upload()
    upload.feed(b"garbage" * 9)
    content = upload.finish()
    wall.now += 2 * GRACE_MS
    assert Collector(repository, wall).run().chunks == 1
    file = FileState(content, "text/plain")
    future = repository.commit(lambda draft: put_file(draft, parse("/a"), file))
    with pytest.raises(UnavailableError, match="send them again"):
        future.result(30)
    assert get(repository, "/a") is None
    put(repository, "/a", b"garbage" * 9)
    assert get(repository, "/a") == b"garbage" * 9


def test_an_upload_that_is_told_a_chunk_is_held_while_it_is_swept_is_refused(
    repository: Repository, wall: FakeClock
) -> None:
    repository.store_small(b"garbage" * 9)
    repository.store.flush()
    wall.now += 2 * GRACE_MS
    begun: list[FileState] = []

    def nothing_missing(ids: Collection[bytes]) -> set[bytes]:
        del ids
        return set()

    def upload() -> None:
        # The answer is out, and no touch of it is noted yet.
        real = repository.store.missing
        repository.store.missing = nothing_missing  # type: ignore[method-assign]
        begun.append(FileState(repository.store_small(b"garbage" * 9), ""))
        repository.store.missing = real  # type: ignore[method-assign]

    interrupted = Interrupted(repository, "sweep", upload, lambda _, chunks, __: bool(chunks))
    assert Collector(repository, wall).run().chunks == 1
    assert interrupted.is_done
    future = repository.commit(lambda draft: put_file(draft, parse("/a"), begun[0]))
    with pytest.raises(UnavailableError, match="send them again"):
        future.result(30)


def test_uploads_after_a_collection_are_taken_at_their_word(
    repository: Repository, wall: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    collect(repository, wall)
    content = repository.store_small(b"fresh" * 9)
    asked: list[object] = []
    monkeypatch.setattr(Holdings, "_lacks", lambda _, contents: asked.append(contents))
    file = FileState(content, "")
    repository.commit(lambda draft: put_file(draft, parse("/a"), file)).result(30)
    assert asked == []
    collect(repository, wall)
    repository.commit(lambda draft: put_file(draft, parse("/b"), file)).result(30)
    assert asked == [{content}]


def test_a_peers_entry_whose_chunks_were_swept_before_it_was_applied_is_refused(
    repository: Repository, wall: FakeClock
) -> None:
    peer = memory_repository(9, wall)
    put(peer, "/a", b"from the peer" * 9)
    repository.store_small(b"from the peer" * 9)
    repository.store.flush()
    with peer.view() as view:
        entry = view.entry(b"a")
    assert entry is not None
    assert collect(repository, wall).chunks == 1
    with pytest.raises(UnavailableError):
        repository.apply([(b"a", entry)], 9).result(30)
    pull(repository, peer)
    assert get(repository, "/a") == b"from the peer" * 9


def test_what_is_committed_between_marking_and_sweeping_is_not_taken(
    repository: Repository, wall: FakeClock
) -> None:
    repository.store_small(b"garbage" * 9)
    repository.store.flush()
    wall.now += 10 * GRACE_MS
    # The store's own memory of touches is no help: the collection knows this one as garbage.
    Interrupted(repository, "node_names", lambda: put(repository, "/a", b"garbage" * 9))
    report = Collector(repository, FakeClock(wall.now + 10 * GRACE_MS)).run()
    assert report.chunks == 0
    assert get(repository, "/a") == b"garbage" * 9


def test_a_damaged_file_can_be_renamed_after_a_collection(
    repository: Repository, wall: FakeClock
) -> None:
    put(repository, "/a", b"will be damaged")
    collect(repository, wall)
    repository.store.quarantine([chunk_id(b"will be damaged")])
    repository.commit(lambda draft: rename(draft, parse("/a"), parse("/b"))).result(30)
    with pytest.raises(CorruptError):
        get(repository, "/b")


def test_nothing_is_swept_while_somebody_reads_a_state_from_before(
    repository: Repository, wall: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gc, "_OLD_READERS_S", 0)
    put(repository, "/a", b"old" * 100)
    with repository.view() as view:
        put(repository, "/a", b"new" * 100)
        report = collect(repository, wall)
        assert report.chunks == report.nodes == 0
        assert "being read" in (report.held_back or "")
        sight = view.sight(parse("/a"))
        assert sight is not None
        assert b"".join(repository.read(sight.winner.content)) == b"old" * 100
    assert Collector(repository, wall).run().chunks == 1


def test_writers_and_readers_meet_no_failure_while_collections_run(
    tmp_path: Path, wall: FakeClock
) -> None:
    repository = open_repository(tmp_path, wall=wall)
    pool_bodies = [noise(3000, seed) for seed in range(12)]
    stop = threading.Event()

    def write(who: int) -> int:
        done = 0
        while not stop.is_set():
            body = pool_bodies[(done * 7 + who) % len(pool_bodies)]
            try:
                put(repository, f"/w{who}/f{done % 5}", body)
            except UnavailableError as error:
                assert "send them again" in error.message  # noqa: PT017
            done += 1
        return done

    def read(who: int) -> int:
        done = 0
        while not stop.is_set():
            # Two days pass with each collection here: who reads on from before it finds nothing.
            with suppress(LostChunkError):
                for path, body in files(repository).items():
                    assert body in pool_bodies, path
                done += 1
        return done + who

    with ThreadPoolExecutor(4) as pool:
        work = [pool.submit(write, 0), pool.submit(write, 1), pool.submit(read, 0)]
        collector = Collector(repository, wall)
        swept = 0
        for _ in range(15):
            wall.now += 2 * GRACE_MS  # so that every chunk is old at once
            swept += collector.run().chunks
        stop.set()
        assert all(future.result(60) for future in work)
    assert swept > 0
    assert all(body in pool_bodies for body in files(repository).values())
    repository.close()


steps = st.lists(
    st.tuples(
        st.sampled_from(["begin", "begin", "commit", "delete", "snapshot", "drop", "gc", "wait"]),
        st.integers(0, 2),
        st.integers(0, 3),
    ),
    max_size=30,
)
BODIES = [b"%d" % number * 40 for number in range(4)]


class World:
    """A repository, and what must be true of it."""

    def __init__(self) -> None:
        self.wall = FakeClock()
        self.repository = memory_repository(wall=self.wall)
        self.begun: list[tuple[str, bytes, FileState]] = []
        self.expected: dict[str, bytes] = {}
        self.kept: dict[int, dict[str, bytes]] = {}

    def begin(self, path: str, number: int) -> None:
        content = self.repository.store_small(BODIES[number])
        self.begun.append((path, BODIES[number], FileState(content, "")))

    def commit(self, _: str, number: int) -> None:
        if not self.begun:
            return
        path, body, file = self.begun.pop(number % len(self.begun))
        future = self.repository.commit(lambda draft: put_file(draft, parse(path), file))
        with suppress(UnavailableError):
            future.result(30)
            self.expected[path] = body

    def delete(self, path: str, _: int) -> None:
        if self.expected.pop(path, None) is not None:
            remove(self.repository, path)

    def snapshot(self, _: str, number: int) -> None:
        if number not in self.kept:
            take_snapshot(self.repository, str(number))
            self.kept[number] = dict(self.expected)

    def drop(self, _: str, number: int) -> None:
        if self.kept.pop(number, None) is not None:
            drop_snapshot(self.repository, str(number))

    def gc(self, _path: str, _number: int) -> None:
        Collector(self.repository, self.wall).run()

    def wait(self, _path: str, _number: int) -> None:
        self.wall.now += GRACE_MS

    def wanted(self) -> set[bytes]:
        """Bodies that something refers to: files, snapshots, what can be undeleted."""
        with self.repository.view() as view:
            graves = b"".join(data for _, data in view.graves())
        found = {body for body in BODIES if chunk_id(body) in graves}
        return found.union(self.expected.values(), *(k.values() for k in self.kept.values()))


@settings(max_examples=60, deadline=None)
@given(steps)
def test_whatever_happens_acknowledged_content_is_readable_and_garbage_goes(
    history: list[tuple[str, int, int]],
) -> None:
    world = World()
    for word, path, number in history:
        getattr(world, word)(f"/f{path}", number)
        assert files(world.repository) == world.expected
    collect(world.repository, world.wall)
    assert files(world.repository) == world.expected
    left = {body for body in BODIES if chunk_id(body) in held(world.repository)}
    assert left == world.wanted()
    world.repository.close()


def test_chunks_swept_can_be_put_again(repository: Repository, wall: FakeClock) -> None:
    chunk = StoredChunk(chunk_id(b"x"), 0, 1, b"x")
    repository.store.put_chunks([chunk])
    repository.store.flush()
    assert collect(repository, wall).chunks == 1
    repository.store.put_chunks([chunk])
    assert repository.missing([chunk.id]) == set()
