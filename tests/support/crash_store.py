"""Stories of one node's store; see `crashes`.

What is seen of a store: every entry, of files, of graves and of the system's own, and the notes
that replication and tasks live by. After a cut it is as at one of the marks, whole, every byte of
it can be read, and it goes on: what is written then has a name that nothing ever had.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from aeorsync.core.access import EVERYTHING
from aeorsync.core.paths import parse
from aeorsync.core.users import UserRecord
from aeorsync.core.versions import Dot, decode_entry
from aeorsync.storage import changes, restoring, settling, versions
from aeorsync.storage.accounts import Accounts, new_root_key
from aeorsync.storage.bundles import Bundle, Delete, Folder, Put, run
from aeorsync.storage.changes import FileState
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
from tests.support.repositories import get, memory_repository, open_repository, put

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
        folder = DataFolder(disk.folder / "data")
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
        writer = self.repository.store._database.writer  # type: ignore[attr-defined]
        writer.execute(f"PRAGMA wal_autocheckpoint={_PAGES}")

    def note(self, *, is_promised: bool = True) -> None:
        """Mark what is there by now."""
        self.disk.mark(see(self.repository), is_promised=is_promised)

    @contextmanager
    def step(self) -> Iterator[Repository]:
        """Do something; what it did is promised at the end."""
        yield self.repository
        self.note()

    def close(self) -> None:
        self.repository.close()


@dataclass(frozen=True)
class StoreStory:
    """A story of one store."""

    name: str
    tell: Callable[[Store], None]

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


def _files(store: Store) -> None:
    """Small and large ones, put, replaced, moved, copied, deleted, one by one and in bundles."""
    for number in range(3):
        with store.step() as repository:
            put(repository, f"/d{number}/f", b"%d" % number * (number * 2000 + 1))
    with store.step() as repository:
        put_large(repository, "/large", noise(700_000))
    with store.step() as repository:
        put(repository, "/d0/f", b"anew")
    with store.step() as repository:
        remove(repository, "/d1/f")
    with store.step() as repository:
        repository.commit(
            lambda draft: changes.rename(draft, parse("/d2/f"), parse("/moved"))
        ).result(30)
    with store.step() as repository:
        repository.commit(lambda draft: changes.copy(draft, parse("/moved"), parse("/d0"))).result(
            30
        )
    with store.step() as repository:
        puts = [
            Put(parse(f"/b/{n}"), FileState(repository.store_small(noise(900, n)), "text/plain"))
            for n in range(12)
        ]
        bundle = Bundle(
            EVERYTHING, [Delete(parse("/d0/f"))], [Folder(parse("/empty"))], puts, refuses=False
        )
        repository.commit(lambda draft: run(draft, bundle)).result(30)


def _versions(store: Store) -> None:
    """Conflicts, made here and brought by a peer, with the cursors of its feed; and decided."""
    peer_side = memory_repository(8, FakeClock(store.wall.now + 1000))
    peer = FakePeer(peer_side, page_size=3)
    with store.step() as repository:
        put(repository, "/a", b"one", base=())
    with store.step() as repository:
        put(repository, "/a", b"two", base=())
    put(peer_side, "/a", b"three", base=())
    for number in range(5):
        put(peer_side, f"/p{number}", noise(3000, number))
    with store.step() as repository:
        cycle(repository, peer)
    put(peer_side, "/p0", b"again")
    remove(peer_side, "/p1")
    with store.step() as repository:
        cycle(repository, peer)
    with store.step() as repository:
        [conflict] = repository.conflicts()
        loser = conflict.sight.losers[0].id
        repository.commit(lambda draft: settling.give_up(draft, parse("/a"), loser)).result(30)
    with store.step() as repository:
        repository.commit(lambda draft: settling.resolve(draft, parse("/a"), "loser")).result(30)
    peer_side.close()


def _past(store: Store) -> None:
    """Snapshots, restores, forks: promoted and abandoned."""
    repository = store.repository

    def alone(operation: Callable[..., object], *args: object) -> None:
        with store.step():
            versions.commit(repository, lambda draft: operation(repository, draft, *args)).result(
                30
            )
            repository.settle_trees().result(30)

    for number in range(3):
        with store.step():
            put(repository, f"/f{number}", noise(2000, number))
    alone(versions.make_snapshot, "first", {})
    with store.step():
        remove(repository, "/f0")
    alone(versions.make_fork, "try", "")
    [fork] = versions.forks(repository)
    with store.step():
        put(repository.through(ForkLens(fork)), "/f1", b"in the fork")
    alone(versions.promote_fork, "try")
    first = next(one for one in versions.snapshots(repository) if one.name == "first")
    alone(restoring.restore_tree, first)
    alone(versions.delete_snapshot, "first")
    alone(versions.make_fork, "other", "")
    alone(versions.abandon_fork, "other")


def _care(store: Store) -> None:
    """Garbage is collected, packs are made anew, archives are written and read."""
    repository, wall = store.repository, store.wall
    for number in range(8):
        with store.step():
            put(repository, f"/f{number % 3}", noise(2500, number))
    with store.step():
        export(repository, store.disk.folder / "all.archive", now_ms=wall.now_ms())
    repository.store._packs.seal(1)  # type: ignore[attr-defined]
    for number in range(8, 12):
        with store.step():
            put(repository, f"/f{number % 3}", noise(2500, number))
    wall.now += 2 * GRACE_MS
    with store.step():
        Collector(repository, wall).run()
    with store.step():
        remove(repository, "/f0")
    with store.step():
        import_archive(repository, store.disk.folder / "all.archive")


def _people(store: Store) -> None:
    """Users, keys, chains of refresh tokens, members, tasks and the timetable."""
    repository, now = store.repository, store.wall.now_ms()
    accounts, members = Accounts(repository), Members(repository)
    book, cron = TaskBook(repository, now), CronBook(repository)
    _, key = new_root_key(now)
    user = UserRecord(user_id=uuid4(), username="ann", created_at=now, updated_at=now)
    with store.step():
        accounts.save(key).result(30)
    with store.step():
        accounts.users.add(user).result(30)
    with store.step():
        token = accounts.chains.begin(key.key_id, now + 10_000_000).result(30)
    with store.step():
        accounts.chains.rotate(token, now + 10_000_000).result(30)
    with store.step():
        members.write([NODE, 8, 9])
    with store.step():
        members.remove(9)
    with store.step():
        book.add("gc", {}, now)
    with store.step():
        cron.add(CronItem(id="nightly", task_type="gc", schedule="0 3 * * *", args={}))
    with store.step():
        accounts.revoke([key.key_id]).result(30)
    with store.step():
        accounts.reset_root(now)
    with store.step():
        accounts.remove_user(user.user_id).result(30)


STORIES = tuple(
    StoreStory(tell.__name__.strip("_"), tell)
    for tell in (_files, _versions, _past, _care, _people)
)
