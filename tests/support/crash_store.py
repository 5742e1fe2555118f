"""Stories of one node's store; see `crashes`.

What is seen of a store: every entry, of files, of graves and of the system's own, and the notes
that replication and tasks live by. After a cut it is as at one of the marks, whole, every byte of
it can be read, and it goes on: what is written then has a name that nothing ever had.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from aeorsync.core.access import EVERYTHING
from aeorsync.core.paths import parse
from aeorsync.core.refresh import RefreshToken
from aeorsync.core.users import UserRecord
from aeorsync.core.versions import Dot, Vector, decode_entry
from aeorsync.storage import changes, restoring, settling, versions
from aeorsync.storage.accounts import Accounts, new_root_key
from aeorsync.storage.bundles import Bundle, Delete, Folder, Put, run
from aeorsync.storage.changes import FileState
from aeorsync.storage.draft import Draft
from aeorsync.storage.exporting import export
from aeorsync.storage.folder import DataFolder
from aeorsync.storage.forks import ForkLens
from aeorsync.storage.gc import GRACE_MS, Collector
from aeorsync.storage.importing import import_archive
from aeorsync.storage.members import Members
from aeorsync.storage.repository import Repository
from aeorsync.storage.taskbook import CronBook, CronItem, TaskBook
from aeorsync.storage.verify import verify
from tests.support.clock import FakeClock
from tests.support.crashes import Moment
from tests.support.cycles import cycle, noise, put_large, remove
from tests.support.disk import RecordedDisk
from tests.support.peer import FakePeer
from tests.support.repositories import files, get, memory_repository, open_repository, put

Act = Callable[[Repository], object]
NODE = 7
_NOTES = ("links", "cursors", "tasks", "cron", "knowledge")
_PAGES = 12
"""Pages of the write-ahead log after which it is folded into the database."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What is in a store, and under which numbers it was told.

    Attributes:
        entries: By key, as they are kept.
        notes: By space and name.
        place: Epoch and number in the feed.
        dots: Names of the versions.
    """

    entries: dict[bytes, bytes]
    notes: dict[tuple[str, str], bytes]
    place: tuple[int, int]
    dots: frozenset[Dot]


def see(repository: Repository) -> Seen:
    """Everything that must not be lost."""
    with repository.view() as view:
        entries = {**dict(view.walk(system=True)), **dict(view.graves(system=True))}
    notes = {
        (space, name): value for space in _NOTES for name, value in repository.notes(space).items()
    }
    dots = {version.dot for data in entries.values() for version in decode_entry(data).versions}
    return Seen(entries, notes, (repository.epoch, repository.head.seq), frozenset(dots))


class Store:
    """A store on a recorded disk, while a story is played."""

    def __init__(self, disk: RecordedDisk) -> None:
        self.disk = disk
        self.wall = FakeClock()
        self.open()

    def open(self) -> None:
        """Open it, or open it again."""
        folder = DataFolder(self.disk.folder / "data")
        folder.make()
        self.repository = open_repository(folder.path, NODE, self.wall)
        self.keep_log_short()
        self.repository.listen(lambda _: self.note(is_promised=False), first=True)
        below = self.repository.store
        plain = below.set_note

        def set_note(space: str, name: str, value: bytes | None) -> None:
            plain(space, name, value)
            self.note(is_promised=False)

        below.set_note = set_note  # type: ignore[method-assign]
        self.note()

    def keep_log_short(self) -> None:
        """Have the database written to often, not only its log."""
        database = self.repository.store._database  # type: ignore[attr-defined]
        # The writer's thread may be at it, and tell us of it, which takes what we would wait with.
        with database.write_lock:
            database.writer.execute(f"PRAGMA wal_autocheckpoint={_PAGES}")

    def note(self, *, is_promised: bool = True) -> None:
        """Mark what is there by now."""
        self.disk.mark(see(self.repository), is_promised=is_promised)

    def do(self, act: Callable[[Repository], object]) -> None:
        """Do something; what it did is promised at the end."""
        act(self.repository)
        self.note()

    def close(self) -> None:
        self.repository.close()


@dataclass(frozen=True)
class StoreStory:
    """A story of one store.

    Attributes:
        tell: Plays it.
        then: What has to work on what a cut left.
    """

    name: str
    tell: Callable[[Store], None]
    then: Callable[[Repository, Path], None] = lambda _repository, _folder: None

    def prepare(self, folder: Path) -> None:
        """See `crashes.Story`."""

    def play(self, disk: RecordedDisk) -> None:
        """See `crashes.Story`."""
        store = Store(disk)
        self.tell(store)
        store.close()

    def judge(self, moment: Moment) -> None:
        """See `crashes.Story`."""
        data = moment.folder / "data"
        DataFolder(data).make()
        repository = open_repository(data, NODE)
        try:
            found = see(repository)
            assert not moment.past or _is_one_of(found, moment.allowed), _tell_apart(
                found, moment.allowed
            )
            for seen in moment.past:
                assert repository.has_given_out(*seen.place)
            _demand_sound(repository)
            with_all = set().union(*(seen.dots for seen in moment.past))
            version = put(repository, "/after", b"it goes on")
            assert version.dot not in with_all
            assert get(repository, "/after") == b"it goes on"
            _demand_sound(repository)
            _demand_no_litter(moment.folder)
            self.then(repository, moment.folder)
        finally:
            repository.close()


def _is_one_of(found: Seen, allowed: Sequence[Seen]) -> bool:
    return any((found.entries, found.notes) == (one.entries, one.notes) for one in allowed)


def _tell_apart(found: Seen, allowed: Sequence[Seen]) -> str:
    lines = ["what is there is none of what may be there"]
    for one in allowed:
        entries = {k for k, _ in found.entries.items() ^ one.entries.items()}
        notes = {k for k, _ in found.notes.items() ^ one.notes.items()}
        lines.append(f"differs in {sorted(entries)[:5]} {sorted(notes)[:5]}")
    return "; ".join(lines)


def _demand_sound(repository: Repository) -> None:
    assert verify(repository).findings == []


def _demand_no_litter(folder: Path) -> None:
    """Nothing with the name of something whole is in part."""
    for archive in folder.glob("*.archive"):
        target = memory_repository(99)
        import_archive(target, archive)
        target.close()


# The stories


def _commit(operation: Callable[[Draft], object]) -> Act:
    return lambda repository: repository.commit(operation).result(30)


def _put(path: str, data: bytes, base: Vector | None = None) -> Act:
    return lambda repository: put(repository, path, data, base=base)


def _remove(path: str) -> Act:
    return lambda repository: remove(repository, path)


def _files(store: Store) -> None:
    """Small and large ones, put, replaced, moved, copied, deleted, one by one and in bundles."""

    def bundle(repository: Repository) -> None:
        puts = [
            Put(parse(f"/b/{n}"), FileState(repository.store_small(noise(900, n)), "text/plain"))
            for n in range(12)
        ]
        wanted = Bundle(EVERYTHING, [Delete(parse("/d0/f"))], [Folder(parse("/empty"))], puts)
        repository.commit(lambda draft: run(draft, wanted)).result(30)

    for number in range(3):
        store.do(_put(f"/d{number}/f", b"%d" % number * (number * 2000 + 1)))
    store.do(lambda repository: put_large(repository, "/large", noise(700_000)))
    store.do(_put("/d0/f", b"anew"))
    store.do(_remove("/d1/f"))
    store.do(_commit(lambda draft: changes.rename(draft, parse("/d2/f"), parse("/moved"))))
    store.do(_commit(lambda draft: changes.copy(draft, parse("/moved"), parse("/d0"))))
    store.do(bundle)


def _versions(store: Store) -> None:
    """Conflicts, made here and brought by a peer, with the cursors of its feed; and decided."""

    def give_up(repository: Repository) -> None:
        [conflict] = repository.conflicts()
        loser = conflict.sight.losers[0].id
        _commit(lambda draft: settling.give_up(draft, parse("/a"), loser))(repository)

    peer_side = memory_repository(8, FakeClock(store.wall.now + 1000))
    peer = FakePeer(peer_side, page_size=3)
    store.do(_put("/a", b"one", base=()))
    store.do(_put("/a", b"two", base=()))
    put(peer_side, "/a", b"three", base=())
    for number in range(5):
        put(peer_side, f"/p{number}", noise(3000, number))
    store.do(lambda repository: cycle(repository, peer))
    put(peer_side, "/p0", b"again")
    remove(peer_side, "/p1")
    store.do(lambda repository: cycle(repository, peer))
    store.do(give_up)
    store.do(_commit(lambda draft: settling.resolve(draft, parse("/a"), "loser")))
    peer_side.close()


def _export(store: Store) -> Act:
    archive = store.disk.folder / "all.archive"

    def act(repository: Repository) -> None:
        # A disk that fails may keep one that was refused, as whoever asked was told.
        with suppress(OSError):
            archive.unlink()
        export(repository, archive, now_ms=store.wall.now_ms())

    return act


def _alone(operation: Callable[..., object], *args: object) -> Act:
    def act(repository: Repository) -> None:
        versions.commit(repository, lambda draft: operation(repository, draft, *args)).result(30)
        repository.settle_trees().result(30)

    return act


def _past(store: Store) -> None:
    """Snapshots, restores, forks: promoted and abandoned."""

    def write_in_fork(repository: Repository) -> None:
        [fork] = versions.forks(repository)
        put(repository.through(ForkLens(fork)), "/f1", b"in the fork")

    def restore(repository: Repository) -> None:
        [first] = [one for one in versions.snapshots(repository) if one.name == "first"]
        _alone(restoring.restore_tree, first)(repository)

    for number in range(3):
        store.do(_put(f"/f{number}", noise(2000, number)))
    store.do(_alone(versions.make_snapshot, "first", {}))
    store.do(_remove("/f0"))
    store.do(_alone(versions.make_fork, "try", ""))
    store.do(write_in_fork)
    store.do(_alone(versions.promote_fork, "try"))
    store.do(restore)
    store.do(_alone(versions.delete_snapshot, "first"))
    store.do(_alone(versions.make_fork, "other", ""))
    store.do(_alone(versions.abandon_fork, "other"))


def _care(store: Store) -> None:
    """Garbage is collected, packs are made anew, archives are written and read."""
    wall, archive = store.wall, store.disk.folder / "all.archive"
    for number in range(8):
        store.do(_put(f"/f{number % 3}", noise(2500, number)))
    store.do(_export(store))
    store.do(lambda repository: repository.store._packs.seal(1))  # type: ignore[attr-defined]
    for number in range(8, 12):
        store.do(_put(f"/f{number % 3}", noise(2500, number)))
    wall.now += 2 * GRACE_MS
    store.do(lambda repository: Collector(repository, wall).run())
    store.do(_remove("/f0"))
    store.do(lambda repository: import_archive(repository, archive))


def _people(store: Store) -> None:
    """Users, keys, chains of refresh tokens, members, tasks and the timetable."""
    now = store.wall.now_ms()
    _, key = new_root_key(now)
    user = UserRecord(user_id=uuid4(), username="ann", created_at=now, updated_at=now)
    nightly = CronItem(id="nightly", task_type="gc", schedule="0 3 * * *", args={})
    until = now + 10_000_000
    tokens: list[RefreshToken] = []

    def begin(repository: Repository) -> None:
        tokens.append(Accounts(repository).chains.begin(key.key_id, until).result(30))

    store.do(lambda repository: Accounts(repository).save(key).result(30))
    store.do(lambda repository: Accounts(repository).users.add(user).result(30))
    store.do(begin)
    store.do(lambda repository: Accounts(repository).chains.rotate(tokens[-1], until).result(30))
    store.do(lambda repository: Members(repository).write([NODE, 8, 9]))
    store.do(lambda repository: Members(repository).remove(9))
    store.do(lambda repository: TaskBook(repository, now).add("gc", {}, now))
    store.do(lambda repository: CronBook(repository).add(nightly))
    store.do(lambda repository: Accounts(repository).revoke([key.key_id]).result(30))
    store.do(lambda repository: Accounts(repository).reset_root(now))
    store.do(lambda repository: Accounts(repository).remove_user(user.user_id).result(30))


def _small(store: Store) -> None:
    """A little of most of it."""
    for number in range(3):
        store.do(_put("/f", noise(2500, number)))
    store.do(lambda repository: repository.store._packs.seal(1))  # type: ignore[attr-defined]
    store.do(_export(store))
    store.wall.now += 2 * GRACE_MS
    store.do(lambda repository: Collector(repository, store.wall).run())
    store.do(_alone(versions.make_snapshot, "first", {}))


def _gives_back(repository: Repository, folder: Path) -> None:
    """Whatever a cut left behind goes with the next collection, and nothing else."""
    before = files(repository)
    repository.store._packs.seal(repository.store._packs.newest)  # type: ignore[attr-defined]
    Collector(repository, FakeClock(2_000_000_000_000)).run()
    assert files(repository) == before
    _demand_sound(repository)
    size = sum(pack.stat().st_size for pack in (folder / "data/packs").glob("*.pack"))
    # A fifth of a pack at most is garbage; heads, records of the system and a pack's own head.
    assert size < 1.3 * sum(map(len, before.values())) + 2000, size


SMALL = StoreStory("small", _small)
STORIES = (
    StoreStory("files", _files),
    StoreStory("versions", _versions),
    StoreStory("past", _past),
    StoreStory("care", _care, _gives_back),
    StoreStory("people", _people),
)
