"""Stories of a folder client: the power goes while it makes a folder equal to a server.

The server stays up and is in memory; what it had at each moment is known. Before the pass that is
cut, folder and server had agreed on everything, and then both were changed. After the cut

- each path holds one of the contents that it had or was to have, whole (old or new);
- the client goes on, and both sides come to just what they had come to without the cut: nothing
  is deleted, sent back, doubled or in conflict that was not so before;
- the server has no version that the pass without a cut did not make.

What the system says of files is as it was before the cut, inodes and times of change included: a
ledger that believes them is judged by that.
"""

import copy
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx

from aeorsync.client import AsyncClient
from aeorsync.core.hashing import content_hash
from aeorsync.core.merge import see
from aeorsync.core.paths import parse
from aeorsync.core.versions import Content, Kind, decode_entry
from aeorsync.folder import placing, pull, temps, writing
from aeorsync.folder.events import Outcome
from aeorsync.folder.options import DeleteLimit, Options
from aeorsync.folder.session import FolderSync
from aeorsync.remote.connection import Connection
from aeorsync.storage import changes
from aeorsync.storage.identities import first_head
from aeorsync.storage.memory import MemoryStore
from aeorsync.storage.repository import Repository
from tests.api.conftest import running
from tests.support.clock import FakeClock
from tests.support.crashes import Looks, Moment
from tests.support.cycles import noise
from tests.support.disk import RecordedDisk
from tests.support.folders import Later
from tests.support.loops import run
from tests.support.people import Tree, _shape, tree

NODE = 3
_LARGE = 20_000
_OPTIONS = Options(max_delete=DeleteLimit.parse("100%"))
_SHARED = {"_lock", "_wall"}
_PASSES = 5
Contents = dict[str, set[object]]


@dataclass(frozen=True, eq=False)
class ServerState:
    """All that a server has, and what its files are."""

    fields: dict[str, Any]
    wall_ms: int

    @classmethod
    def of(cls, store: MemoryStore, wall: FakeClock) -> "ServerState":
        """What a server has now."""
        fields = {
            name: copy.copy(value) for name, value in vars(store).items() if name not in _SHARED
        }
        fields["_notes"] = {space: dict(notes) for space, notes in fields["_notes"].items()}
        return cls(fields, wall.now)

    def open(self) -> "Server":
        """A server that has all that."""
        wall = FakeClock(self.wall_ms)
        store = MemoryStore(first_head(NODE), wall)
        for name, value in self.fields.items():
            setattr(store, name, copy.deepcopy(value) if name == "_notes" else copy.copy(value))
        return Server(store, wall)


class Server:
    """A node in this process; it starts anew for each pass.

    Attributes:
        listener: Is called after each commit.
        few: What the client takes for few files.
    """

    def __init__(self, store: MemoryStore, wall: FakeClock) -> None:
        self.store = store
        self.wall = wall
        self.listener: Callable[[object], None] = lambda _: None
        self.few = 4

    def state(self) -> ServerState:
        """What it has now."""
        return ServerState.of(self.store, self.wall)

    @contextmanager
    def repository(self) -> Iterator[Repository]:
        """To change what it has."""
        repository = Repository(self.store, self.wall)
        try:
            yield repository
        finally:
            repository.close()

    def tree(self) -> dict[str, object]:
        """What readers see of it, and the names of all versions."""
        with self.repository() as repository, repository.view() as view:
            entries = {key: decode_entry(data) for key, data in view.walk()}
        shown: dict[str, object] = {}
        for key, entry in entries.items():
            sight = see(entry)
            if sight.is_live:
                winner = sight.winner
                # Folders have no times that anybody sees.
                mtime = winner.mtime if winner.kind != Kind.DIRECTORY else 0
                text = winner.kind, winner.content.hash, winner.executable, mtime
                shown[key.replace(b"\0", b"/").decode()] = text, len(sight.losers)
        return shown

    def dots(self) -> dict[str, frozenset[object]]:
        """The names of all versions at each path."""
        with self.repository() as repository, repository.view() as view:
            items = [*view.walk(), *view.graves()]
        return {
            key.replace(b"\0", b"/").decode(): frozenset(
                version.dot for version in decode_entry(data).versions
            )
            for key, data in items
        }

    def sync(self, base: Path) -> Outcome:
        """Make a folder equal to it, as a client does in one pass."""
        with ExitStack() as stack:
            for module in (placing, writing):
                stack.enter_context(patch.object(module, "FEW", self.few))
            stack.enter_context(patch.object(pull, "LARGE", _LARGE))
            return run(self._sync(base), 60)

    async def _sync(self, base: Path) -> Outcome:
        repository = Repository(self.store, self.wall)
        repository.listen(self.listener, first=True)
        async with running(base, wall=self.wall, repository=repository) as node:
            token = node.token
            transport = httpx.ASGITransport(node.app)
            connection = Connection("http://node", lambda: token, transport)
            async with AsyncClient("http://node", connection=connection) as client:
                folder, ledger = base / "folder", base / "ledger.sqlite3"
                async with FolderSync(
                    folder, client, "/", _OPTIONS, ledger, clock=Later()
                ) as sync:
                    return await sync.run_once()


@contextmanager
def as_before(looks: Looks) -> Iterator[None]:
    """Have the system say of files what it said before they were copied."""

    def told(found: os.stat_result) -> os.stat_result:
        was = looks.get((found.st_dev, found.st_ino))
        if was is None:
            return found
        made, inode, changed = was
        shape: Any = found.__reduce__()
        kind, (values, more) = shape
        ctime = changed if found.st_ctime_ns == made else found.st_ctime_ns
        times = {"st_ctime_ns": ctime, "st_ctime": ctime / 1e9}
        seen: os.stat_result = kind((values[0], inode, *values[2:]), {**more, **times})
        return seen

    def telling(real: Callable[..., os.stat_result]) -> Callable[..., os.stat_result]:
        return lambda *args, **options: told(real(*args, **options))

    with ExitStack() as stack:
        for name in ("stat", "lstat", "fstat"):
            stack.enter_context(patch.object(os, name, telling(getattr(os, name))))
        yield


@dataclass
class Expected:
    """What a story comes to without a cut.

    Attributes:
        contents: All that a path may hold at any time.
        always: Paths that are there at all times.
        folder: In the end.
        server: Likewise.
        dots: Versions of paths that the client has no business to write.
    """

    contents: Contents = field(default_factory=dict)
    always: set[str] = field(default_factory=set)
    folder: Tree = field(default_factory=dict)
    server: dict[str, object] = field(default_factory=dict)
    dots: dict[str, frozenset[object]] = field(default_factory=dict)


@dataclass(eq=False)
class FolderStory:
    """A pass.

    Attributes:
        before: Fills the folder before both sides agree; None if they never did.
        here: Changes the folder.
        there: Changes the server.
        few: What the client takes for few files.
    """

    name: str
    before: Callable[[Path], None] | None
    here: Callable[[Path], None]
    there: Callable[[Repository], None]
    few: int = 4
    expected: Expected = field(default_factory=Expected)
    server: Server = field(init=False)

    def prepare(self, folder: Path) -> None:
        """See `crashes.Story`."""
        base = folder
        wall = FakeClock()
        server = Server(MemoryStore(first_head(NODE), wall), wall)
        server.few = self.few
        folder = base / "folder"
        folder.mkdir()
        if self.before is not None:
            self.before(folder)
            server.sync(base)
            assert server.sync(base).changes == 0
        self._note(folder)
        self.here(folder)
        with server.repository() as repository:
            self.there(repository)
        self._note(folder)
        self.server = server

    def play(self, disk: RecordedDisk) -> None:
        """See `crashes.Story`."""
        base = disk.folder
        server = self.server
        dots = server.dots()
        disk.mark(server.state())
        server.listener = lambda _: disk.mark(server.state())
        outcome = server.sync(base)
        assert not outcome.failures
        server.listener = lambda _: None
        self._note(base / "folder")
        self.expected.folder = tree(base / "folder")
        self.expected.server = server.tree()
        after = server.dots()
        self.expected.dots = {path: seen for path, seen in dots.items() if after[path] == seen}

    def judge(self, moment: Moment) -> None:
        """See `crashes.Story`."""
        base = moment.folder
        self.demand_old_or_new(base / "folder")
        server: Server = moment.reached.open()
        server.few = self.few
        with as_before(moment.looks):
            self.make_up(server, base)

    def make_up(self, server: Server, base: Path) -> None:
        """Make more passes, and see that all is as if the first had not been cut off.

        Raises:
            AssertionError: It is not.
        """
        folder, expected = base / "folder", self.expected
        self._settle(server, base)
        _demand_same(dict(_shape(tree(folder))), dict(_shape(expected.folder)))
        _demand_same(server.tree(), expected.server)
        dots = server.dots()
        _demand_same({path: dots.get(path) for path in expected.dots}, expected.dots)
        litter = [path for path in folder.rglob("*") if temps.is_temp(path.name)]
        assert not litter, litter

    def _settle(self, server: Server, base: Path) -> None:
        outcomes = []
        for _ in range(_PASSES):
            outcomes.append(server.sync(base))
            assert not outcomes[-1].failures, outcomes
            if not outcomes[-1].changes:
                return
        raise AssertionError(f"it never comes to rest: {outcomes}")

    def demand_old_or_new(self, folder: Path) -> None:
        """See that each path holds something that it had, or was to have, whole."""
        found = tree(folder)
        for path, state in found.items():
            if not temps.is_temp(path.rpartition("/")[2]):
                assert _content(state) in self.expected.contents[path], f"{path} is torn"
        assert self.expected.always <= set(found), "a file is missing that nobody deleted"

    def _note(self, folder: Path) -> None:
        found = tree(folder)
        if self.expected.contents:
            self.expected.always &= set(found)
        else:
            self.expected.always = set(found)
        for path, state in found.items():
            self.expected.contents.setdefault(path, set()).add(_content(state))


def _content(state: tuple[str, object]) -> object:
    kind, held = state
    return kind, held[0] if isinstance(held, tuple) else held


def _demand_same(found: Mapping[str, object], wanted: Mapping[str, object]) -> None:
    differ = {path for path in {*found, *wanted} if found.get(path) != wanted.get(path)}
    assert not differ, [(path, found.get(path), wanted.get(path)) for path in sorted(differ)]


# The stories


def _put(repository: Repository, path: str, data: bytes, **state: object) -> None:
    content = repository.store_small(data)
    file = changes.FileState(content, "text/plain", **state)  # type: ignore[arg-type]
    repository.commit(lambda draft: changes.put_file(draft, parse(path), file)).result(30)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    _date(path, len(data))


def _date(path: Path, seconds: int) -> None:
    """The same times whenever the story is played."""
    time_ns = (1_650_000_000 + seconds) * 1_000_000_000
    os.utime(path, ns=(time_ns, time_ns), follow_symlinks=False)


def _fill(folder: Path) -> None:
    for number in range(3):
        _write(folder / f"d/{number}", noise(600 + number, number))
    for name in ("replaced", "touched", "run", "gone", "moved", "edited", "both"):
        _write(folder / name, name.encode() * 90)
    _write(folder / "away/inner", b"in a folder that goes")
    _write(folder / "large", noise(3 * _LARGE, 50))
    (folder / "link").symlink_to("replaced")
    _date(folder / "link", 0)


def _nothing(_: object) -> None:
    pass


def _remote(repository: Repository) -> None:
    """New, replaced, touched, deleted and moved files, links and folders."""
    _put(repository, "/new", b"new" * 300, mtime=1_600_000_000_000_000_000)
    _put(repository, "/deep/er/new", b"deep", executable=True)
    _put(repository, "/replaced", noise(5000, 9))
    _put(repository, "/touched", b"touched" * 90, mtime=1_500_000_000_000_000_000)
    _put(repository, "/run", b"run" * 90, executable=True)
    _put(repository, "/large", noise(3 * _LARGE, 51))
    for number in range(2):
        _put(repository, f"/d/{number}", noise(700, 20 + number))
    commit = repository.commit
    commit(lambda draft: changes.delete(draft, parse("/gone"))).result(30)
    commit(lambda draft: changes.delete(draft, parse("/away"), recursive=True)).result(30)
    commit(lambda draft: changes.rename(draft, parse("/moved"), parse("/deep/moved"))).result(30)
    commit(lambda draft: changes.delete(draft, parse("/link"))).result(30)
    link = changes.LinkState("new", Content(content_hash(b"new"), 3), 1_400_000_000_000_000_000)
    commit(lambda draft: changes.put_link(draft, parse("/other"), link)).result(30)


def _local(folder: Path) -> None:
    """The same on the disk."""
    _write(folder / "new", b"new here" * 300)
    _write(folder / "deep/er/new", b"deep here")
    _write(folder / "replaced", noise(5000, 10))
    (folder / "run").chmod(0o755)
    os.utime(folder / "touched", ns=(5, 1_500_000_000_000_000_000))
    _write(folder / "large", noise(3 * _LARGE, 52))
    (folder / "gone").unlink()
    (folder / "away/inner").unlink()
    (folder / "away").rmdir()
    (folder / "moved").rename(folder / "deep/moved")
    (folder / "link").unlink()
    (folder / "other").symlink_to("new")
    _date(folder / "other", 0)


def _edit_here(folder: Path) -> None:
    _write(folder / "both", b"edited here")
    _write(folder / "d/0", b"here")
    (folder / "gone").unlink()
    (folder / "edited").unlink()
    _write(folder / "added", b"added here")


def _edit_there(repository: Repository) -> None:
    _put(repository, "/both", b"edited there")
    _put(repository, "/d/0", b"there")
    _put(repository, "/gone", b"edited there, deleted here")
    _put(repository, "/added", b"added there")
    _put(repository, "/d/1", b"there")


def _fill_there(repository: Repository) -> None:
    _put(repository, "/replaced", b"another")
    _put(repository, "/run", b"run" * 90)
    _put(repository, "/only/there", noise(4000, 30))


def _deep(repository: Repository) -> None:
    """One file, in folders that nobody has made."""
    _put(repository, "/deep/er/new", b"deep")


STORIES = (
    FolderStory("deep", _fill, _nothing, _deep),
    FolderStory("download", _fill, _nothing, _remote, few=100),
    FolderStory("many", _fill, _nothing, _remote, few=0),
    FolderStory("upload", _fill, _local, _nothing),
    FolderStory("conflicts", _fill, _edit_here, _edit_there),
    FolderStory("first", None, _fill, _fill_there),
)
