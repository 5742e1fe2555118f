"""A node of a simulated cluster, and the time it lives in."""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field

from aeorsync.cluster.graves import Graves
from aeorsync.cluster.offers import Offers
from aeorsync.core import tree
from aeorsync.core.nodes import EMPTY, Reader
from aeorsync.core.versions import Entry, Version, decode_entry
from aeorsync.storage.base import Commit, Head
from aeorsync.storage.draft import Draft
from aeorsync.storage.gc import Collector
from aeorsync.storage.identities import first_head
from aeorsync.storage.members import Members, is_about_members
from aeorsync.storage.repository import Repository
from tests.support.sim.disk import Disk
from tests.support.sim.history import BrokenError, History, Past, Seen

BEGIN_MS = 1_700_000_000_000
RETENTION_S = 1000
Filters = tuple[tuple[str, ...] | None, tuple[str, ...] | None]
EVERYTHING: Filters = (None, None)
Claims = Callable[[bytes, Version], Seen | None]
"""What the writer of a new version at a key has really seen; None for all that is there."""


@dataclass
class World:
    """What is true everywhere.

    Attributes:
        now: What a right clock shows, in milliseconds since the Unix epoch.
    """

    now: int = BEGIN_MS


class Clock:
    """A clock that may be wrong; see `runtime.clock.WallClock`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.offset = 0
        self.stands_at: int | None = None

    def now_ms(self) -> int:
        return self._world.now + self.offset if self.stands_at is None else self.stands_at

    def now_ns(self) -> int:
        return self.now_ms() * 1_000_000

    def monotonic(self) -> float:
        return (self._world.now - BEGIN_MS) / 1000

    def mend(self) -> None:
        """Show the right time again."""
        self.offset, self.stands_at = 0, None


@dataclass(slots=True)
class Saved:
    """A copy of a node's disk."""

    disk: Disk
    past: Past
    at: int


@dataclass(slots=True)
class Node:
    """One node, through all its lives.

    Attributes:
        id: Its node id.
        life: How often it was started.
        is_tending: It is looking after its graves, and may forget some.
        followed: Whose everything it has pulled since both began to live as they do.
        pushed: Likewise, to whom it has pushed everything.
        filters: What it takes from whom.
        put_backs: How often it was put back to an older copy.
        commits: How many it made that changed something.
        saved: Copies of its disk.
    """

    id: int
    clock: Clock
    history: History
    disk: Disk = field(init=False)
    repository: Repository = field(init=False)
    members: Members = field(init=False)
    graves: Graves = field(init=False)
    offers: Offers = field(init=False)
    life: int = 0
    commits: int = 0
    put_backs: int = 0
    is_tending: bool = False
    past: Past = field(default_factory=Past)
    followed: set[tuple[int, int]] = field(default_factory=set)
    pushed: set[tuple[int, int]] = field(default_factory=set)
    filters: dict[int, Filters] = field(default_factory=dict)
    saved: list[Saved] = field(default_factory=list)
    _roster: dict[int, bool] | None = None

    def __post_init__(self) -> None:
        self.disk = Disk(first_head(self.id), self.clock, self.heard)
        self.open()

    def open(self) -> None:
        """Begin to live."""
        self.life += 1
        self._roster = None
        self.followed.clear()
        self.pushed.clear()
        self.repository = Repository(self.disk, self.clock)
        self.members = Members(self.repository)
        self.graves = Graves(self.repository, self.clock, RETENTION_S)
        self.offers = Offers()

    def copy(self, clock: Clock, history: History) -> "Node":
        """The same node in another world."""
        other = copy(self)
        other.clock, other.history = clock, history
        other.past, other.saved, other.filters = self.past.copy(), [], {}
        other.followed, other.pushed = set(), set()
        other.commits = 0
        other.disk = self.disk.copy()
        other.disk.belong_to(clock, other.heard)
        other.open()
        other._roster = self.roster()
        return other

    def restart(self, disk: Disk | None = None) -> None:
        """Live again, with what was durable, or with another disk."""
        old = self.disk
        self.disk = old.after_crash() if disk is None else disk
        old.die()
        self.open()

    def save(self, now: int) -> None:
        """Copy the disk."""
        self.saved.append(Saved(self.disk.durable(), self.past.copy(), now))

    def put_back(self) -> None:
        """Live again with the last copy of the disk."""
        saved = self.saved[-1]
        self.put_backs += 1
        self.past = saved.past.copy()
        self.restart(saved.disk.copy())

    def collect(self) -> None:
        """Collect garbage."""
        Collector(self.repository, self.clock).run()

    # What is heard of commits

    def heard(self, commit: Commit) -> None:
        """Take in what became durable."""
        self.history.trace.update(b"%d " % self.id + commit.after.root + commit.after.graves)
        try:
            self._note(commit)
        except BrokenError as error:
            # Whoever commits tells its caller of errors, and that one may bear them.
            self.history.broken = self.history.broken or error
            raise

    def _note(self, commit: Commit) -> None:
        now = self.clock.now_ms()
        for change in commit.changes:
            before, after = (self._entry(h, change.key) for h in (commit.before, commit.after))
            if after is None:
                raise AssertionError(change)
            self.history.note(self.past, change.key, before, after, node=self.id)
        stamps = (commit.before.stamp, commit.after.stamp)
        self.history.end_commit(self.past, stamps, self.id, now)
        if commit.changes:
            self.commits += 1
            if any(map(is_about_members, commit.changes)):
                self._roster = None
        if self.is_tending and commit.before.graves != commit.after.graves:
            told = {change.key for change in commit.changes}
            kept = dict(tree.scan(commit.after.graves, self._read, b"", None))
            for key, data in tree.scan(commit.before.graves, self._read, b"", None):
                if key not in kept and key not in told:
                    self.history.forget(decode_entry(data))

    def _entry(self, head: Head, key: bytes) -> Entry | None:
        data = tree.get(head.root, self._read, key)
        if data is None and head.graves != EMPTY:
            data = tree.get(head.graves, self._read, key)
        return None if data is None else decode_entry(data)

    @property
    def _read(self) -> Reader:
        return self.repository._cache.read

    def entry(self, key: bytes) -> Entry | None:
        """What is at a key."""
        return self._entry(self.disk.head(), key)

    def entries(self) -> dict[bytes, Entry]:
        """Everything, deletions and records included."""
        head = self.disk.head()
        roots = (head.root, head.graves)
        pairs = [pair for root in roots for pair in tree.scan(root, self._read, b"", None)]
        return {key: decode_entry(data) for key, data in pairs}

    def roster(self) -> dict[int, bool]:
        """The members it knows, and whether they were removed; as `cluster.roster`, remembered."""
        if self._roster is None:
            self._roster = {m.node_id: m.is_removed for m in self.members.all().values()}
        return self._roster

    def removed(self) -> set[int]:
        """Whom it knows to be removed."""
        return {node_id for node_id, is_removed in self.roster().items() if is_removed}

    # Writing

    def write(
        self, operation: Callable[[Draft], object], seen: Claims | None = None
    ) -> Callable[[Draft], object]:
        """An operation that also says what its writer has really seen.

        Args:
            operation: What to do.
            seen: Tells it of each new version; None for all that is there.
        """
        history = self.history

        def run(draft: Draft) -> object:
            result = operation(draft)
            for key, entry in draft._open.items():
                before = draft._kept.get(key) or draft._before(key)
                was = {v.dot for v in before.versions} if before is not None else set()
                for version in entry.versions:
                    if version.dot in was or version.dot in history.known:
                        continue
                    known = seen(key, version) if seen is not None else None
                    history.claims[version.dot] = history.closure(was) if known is None else known
            return result

        return run
