"""Folders that are kept equal to a path of a real node, and a model of what people do to them."""

import os
import random
import re
from collections.abc import Iterator
from pathlib import Path

from aeorsync import AsyncClient
from aeorsync.folder.events import Event, Outcome
from aeorsync.folder.options import Options
from aeorsync.folder.passes import Look
from aeorsync.folder.session import FolderSync, Status
from tests.support.loops import run
from tests.support.nodes import NodeProcess

_MARK = re.compile(r" \(conflict [^)]*\)( \d+)?")
Tree = dict[str, tuple[str, object]]


class Synced:
    """One folder of one person."""

    def __init__(self, base: Path, node: NodeProcess, remote: str, options: Options) -> None:
        self.path = base / "folder"
        self.path.mkdir(parents=True, exist_ok=True)
        self.node = node
        self.remote = remote
        self.options = options
        self.ledger = base / "ledger.sqlite3"
        self.events: list[Event] = []

    def sync(self, options: Options | None = None) -> Outcome:
        """One pass."""
        return run(self._sync(options or self.options), 60)

    def look(self, look: Look) -> Outcome:
        """A pass over a part, as one that watches makes it."""
        return run(self._sync(self.options, look), 60)

    def key(self) -> str | None:
        """With which they come."""
        return self.node.key

    def status(self) -> Status:
        """How it stands."""
        assert self.node.key is not None
        client = AsyncClient(self.node.url, self.node.key)
        return FolderSync(self.path, client, self.remote, self.options, self.ledger).status()

    async def _sync(self, options: Options, look: Look | None = None) -> Outcome:
        self.events = []
        async with AsyncClient(self.node.url, self.key()) as client:
            sync = FolderSync(self.path, client, self.remote, options, self.ledger)
            async with sync:
                if look is not None:
                    return await sync._opened.run(look, self.events.append)
                return await sync.run_once(self.events.append)

    def write(self, path: str, text: str) -> None:
        """Write a file as an editor does."""
        target = self.path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def read(self, path: str) -> str:
        """What a file holds."""
        return (self.path / path).read_text()

    @property
    def names(self) -> list[str]:
        """Paths of everything in it, sorted."""
        return sorted(tree(self.path))

    @property
    def copies(self) -> list[str]:
        """Paths of the conflict copies in it."""
        return [name for name in self.names if "(conflict" in name]


def tree(folder: Path) -> Tree:
    """Everything in a folder: paths with kinds and what they hold."""
    return dict(_walk(folder, ""))


def _walk(folder: Path, head: str) -> Iterator[tuple[str, tuple[str, object]]]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            path = head + entry.name
            if entry.is_symlink():
                yield path, ("link", Path(entry.path).readlink().as_posix())
            elif entry.is_dir():
                yield path, ("folder", None)
                yield from _walk(Path(entry.path), f"{path}/")
            else:
                found = entry.stat()
                is_executable = bool(found.st_mode & 0o100)
                held = Path(entry.path).read_bytes()
                yield path, ("file", (held, is_executable, found.st_mtime_ns))


def _shape(some: Tree) -> list[tuple[str, object]]:
    """A tree, whatever the moments in the names of copies: who edits one keeps its name."""
    shape = [(_MARK.sub(" (conflict)", path), _short(state)) for path, state in some.items()]
    return sorted(shape, key=repr)


def _short(state: tuple[str, object]) -> object:
    match state[1]:
        case (bytes(held), is_executable, mtime):
            return state[0], held[:12], len(held), is_executable, mtime
        case other:
            return state[0], other


class Model:
    """Several people at work, each with a folder; knows which contents must be somewhere.

    Every content is written once, so it names itself. Only who has it in front of them may make it
    go, by writing over it or deleting it.
    """

    FOLDERS = ("", "d0/", "d1/", "d1/e/")
    FILES = ("f0.txt", "f1.txt", "f2", "f3.bin")

    def __init__(self, people: list[Synced], seed: int) -> None:
        self.people = people
        self.random = random.Random(seed)
        self.count = 0
        self.written: set[bytes] = set()
        self.gone: set[bytes] = set()
        self.moved: set[bytes] = set()
        self.log: list[str] = []

    def step(self) -> None:
        """Somebody does something."""
        who = self.random.choice(self.people)
        act = self.random.choice(
            (
                self.write,
                self.write,
                self.write,
                self.delete,
                self.delete_folder,
                self.move,
                self.move_folder,
                self.chmod,
                self.sync,
                self.sync,
                self.sync,
            )
        )
        act(who)

    def settle(self) -> None:
        """Everybody syncs until nothing changes any more."""
        outcomes: list[Outcome] = []
        for _ in range(8):
            outcomes = [who.sync() for who in self.people]
            if not any(outcome.changes or outcome.failures for outcome in outcomes):
                return
        raise AssertionError(f"it never settles: {outcomes}")

    def check(self) -> None:
        """Everybody has the same, and nothing is lost or back."""
        first, *others = [tree(who.path) for who in self.people]
        for other in others:
            assert _shape(first) == _shape(other)
        held = {state[1][0] for state in first.values() if isinstance(state[1], tuple)}
        assert self.written - self.gone <= held, "a content is lost"
        assert not (self.gone - self.moved) & held, "a content is back"

    def sync(self, who: Synced) -> None:
        outcome = who.sync()
        self.note(who, f"sync {outcome}")
        assert not outcome.failures

    def write(self, who: Synced) -> None:
        path = who.path / (self.random.choice(self.FOLDERS) + self.random.choice(self.FILES))
        if self.random.random() < 0.2:
            path = self.pick(who) or path
        self.count += 1
        size = self.random.choice((1, 10, 1000, 100_000))
        data = f"{self.count} ".encode() * size
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            self.gone.add(path.read_bytes())
        path.write_bytes(data)
        self.written.add(data)
        self.note(who, f"write {path.name} {self.count}")

    def delete(self, who: Synced) -> None:
        path = self.pick(who)
        if path is not None:
            self.gone.add(path.read_bytes())
            path.unlink()
            self.note(who, f"delete {path.name}")

    def delete_folder(self, who: Synced) -> None:
        folder = who.path / self.random.choice(self.FOLDERS[1:])
        if self.random.random() < 0.3 and folder.is_dir():
            for path in sorted(folder.rglob("*"), reverse=True):
                if path.is_dir():
                    path.rmdir()
                else:
                    self.gone.add(path.read_bytes())
                    path.unlink()
            folder.rmdir()
            self.note(who, f"delete folder {folder.name}")

    def move(self, who: Synced) -> None:
        path = self.pick(who)
        target = who.path / (self.random.choice(self.FOLDERS) + self.random.choice(self.FILES))
        if path is None or not target.parent.is_dir() or path == target:
            return
        if target.exists():
            self.gone.add(target.read_bytes())
        self.moved.add(path.read_bytes())
        path.rename(target)
        self.note(who, f"move {path.name} to {target.name}")

    def move_folder(self, who: Synced) -> None:
        source, target = (who.path / name for name in self.random.sample(self.FOLDERS[1:], 2))
        is_inside = target.is_relative_to(source) or source.is_relative_to(target)
        if not source.is_dir() or target.exists() or is_inside or not target.parent.is_dir():
            return
        for path in source.rglob("*"):
            if path.is_file():
                self.moved.add(path.read_bytes())
        source.rename(target)
        self.note(who, f"move folder {source.name} to {target.name}")

    def chmod(self, who: Synced) -> None:
        path = self.pick(who)
        # The mode of a conflict copy is not told to the server by itself.
        if path is not None and "(conflict" not in path.name:
            path.chmod(path.stat().st_mode ^ 0o111)
            self.note(who, f"chmod {path.name}")

    def pick(self, who: Synced) -> Path | None:
        """A file that somebody has, conflict copies included."""
        files = sorted(path for path in who.path.rglob("*") if path.is_file())
        return self.random.choice(files) if files else None

    def note(self, who: Synced, text: str) -> None:
        self.log.append(f"{self.people.index(who)} {text}")
