"""Whatever is written, kept, forked, brought back and swept: a snapshot reads what was there."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aeorsync.core.nodes import EMPTY, child_id, decode_node
from aeorsync.core.paths import parse
from aeorsync.errors import AeorError, NotFoundError
from aeorsync.storage import restoring, versions
from aeorsync.storage.base import Store
from aeorsync.storage.changes import delete
from aeorsync.storage.forks import ForkLens
from aeorsync.storage.kept_trees import kept_roots
from aeorsync.storage.lenses import PastLens
from aeorsync.storage.repository import Repository
from aeorsync.storage.versions import Snapshot
from tests.support.repositories import entry_at, files, open_repository, put

PATHS = ("/a", "/d/b", "/d/e/c", "/z")
NAMES = ("one", "two", "three")
EXAMPLES = 20
Files = dict[str, bytes]
T = TypeVar("T")
Step = tuple[str, str, str, str]

steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["put"] * 4
            + ["delete", "snapshot", "snapshot", "forget", "restore", "restore path"]
            + ["fork", "fork", "fork put", "fork put", "fork delete", "promote", "abandon"]
            + ["sweep", "sweep", "reopen"]
        ),
        st.sampled_from(PATHS),
        st.sampled_from(NAMES),
        st.sampled_from(["", *NAMES]),
    ),
    min_size=5,
    max_size=35,
)


@dataclass
class FakeFork:
    base: Files
    touched_main: set[str]
    now: Files
    touched: set[str] = field(default_factory=set)


@dataclass
class Model:
    """What should be where, as plain dictionaries."""

    main: Files = field(default_factory=dict)
    snapshots: dict[str, Files] = field(default_factory=dict)
    since: dict[str, set[str]] = field(default_factory=dict)
    forks: dict[str, FakeFork] = field(default_factory=dict)

    def touch(self, path: str) -> None:
        """The tree has another version of a path, be it one that looks the same."""
        for touched in self.since.values():
            touched.add(path)
        for fork in self.forks.values():
            fork.touched_main.add(path)

    def put(self, path: str, data: bytes | None) -> None:
        if data is None:
            self.main.pop(path, None)
        else:
            self.main[path] = data

    def restore(self, then: Files, prefix: str = "") -> None:
        for path in PATHS:
            if path.startswith(prefix) and then.get(path) != self.main.get(path):
                self.put(path, then.get(path))

    def fork(self, name: str, base: str) -> None:
        begins = self.snapshots[base] if base else self.main
        touched = set(self.since[base]) if base else set()
        self.forks[name] = FakeFork(dict(begins), touched, dict(begins))

    def promote(self, name: str) -> set[bytes]:
        """Returns bytes of versions of the tree that must have been kept beside."""
        fork = self.forks.pop(name)
        beside = set()
        for path in fork.touched:
            mine, theirs = fork.now.get(path), self.main.get(path)
            if path not in fork.touched_main:
                if mine is not None or fork.base.get(path) is not None:
                    self.put(path, mine)
            elif mine is not None:
                beside |= {theirs} if theirs is not None else set()
                self.put(path, mine)
        return beside


class Subject:
    """The same for real."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repository = open_repository(folder)

    def alone(self, operation: Callable[..., T], *args: object) -> T:
        repository = self.repository
        future = versions.commit(repository, lambda draft: operation(repository, draft, *args))
        return future.result(30)

    def chosen(self, name: str) -> Snapshot:
        return versions.choose(versions.snapshots(self.repository), name, "snapshot")

    def snapshot(self, name: str) -> Repository:
        return self.repository.through(PastLens(*self.chosen(name).trees))

    def fork(self, name: str) -> Repository:
        chosen = versions.choose(versions.forks(self.repository), name, "fork")
        return self.repository.through(ForkLens(chosen))

    def reopen(self) -> None:
        self.repository.close()
        self.repository = open_repository(self.folder)

    def sweep(self) -> None:
        """Take away every node that nothing kept refers to."""
        self.repository.settle_trees().result(30)
        store = self.repository._store
        head = self.repository.head
        needed: set[bytes] = set()
        for root in (head.root, head.graves, *kept_roots(self.repository)):
            needed |= reachable(store, root)
        names = store.node_names(b"", 100_000)
        store.sweep([name for name in names if name not in needed], [], 0)
        self.repository._cache.clear()

    def readable(self, path: str) -> set[bytes]:
        """Bytes of all versions at a path."""
        entry = entry_at(self.repository, path)
        found = entry.versions if entry is not None else ()
        return {b"".join(self.repository.read(v.content)) for v in found if not v.deleted}


def reachable(store: Store, root: bytes) -> set[bytes]:
    if root == EMPTY:
        return set()
    node = decode_node(store.node(root))
    found = {root}
    if node.level:
        for ref in node.values:
            found |= reachable(store, child_id(ref))
    return found


@dataclass
class Both:
    """The model and the real thing; a step is done to both, or fails in both."""

    subject: Subject
    model: Model

    def act(self, step: Step, data: bytes) -> None:
        word, path, name, base = step
        steps: dict[str, Callable[[], None]] = {
            "put": lambda: self.put(path, data),
            "delete": lambda: self.delete(path),
            "snapshot": lambda: self.snapshot(name),
            "forget": lambda: self.forget(name),
            "restore": lambda: self.restore(name),
            "restore path": lambda: self.restore_path(name),
            "fork": lambda: self.fork(name, base),
            "fork put": lambda: self.fork_put(name, path, data),
            "fork delete": lambda: self.fork_delete(name, path),
            "promote": lambda: self.promote(name),
            "abandon": lambda: self.abandon(name),
            "sweep": self.subject.sweep,
            "reopen": self.subject.reopen,
        }
        steps[word]()

    def put(self, path: str, data: bytes) -> None:
        put(self.subject.repository, path, data)
        self.model.put(path, data)

    def delete(self, path: str) -> None:
        self.subject.repository.commit(lambda draft: delete(draft, parse(path))).result(30)
        self.model.put(path, None)

    def snapshot(self, name: str) -> None:
        if not self.subject.alone(versions.make_snapshot, name, {})[1]:
            self.model.snapshots[name] = dict(self.model.main)
            self.model.since[name] = set()

    def forget(self, name: str) -> None:
        self.subject.alone(versions.delete_snapshot, name)
        del self.model.snapshots[name], self.model.since[name]

    def restore(self, name: str) -> None:
        self.subject.alone(restoring.restore_tree, self.subject.chosen(name))
        self.model.restore(self.model.snapshots[name])

    def restore_path(self, name: str) -> None:
        trees = self.subject.chosen(name).trees
        self.subject.alone(restoring.restore_path, parse("/d"), trees)
        self.model.restore(self.model.snapshots[name], "/d/")

    def fork(self, name: str, base: str) -> None:
        self.subject.alone(versions.make_fork, name, base)
        self.model.fork(name, base)

    def fork_put(self, name: str, path: str, data: bytes) -> None:
        put(self.subject.fork(name), path, data)
        self.model.forks[name].touched.add(path)
        self.model.forks[name].now[path] = data

    def fork_delete(self, name: str, path: str) -> None:
        fork = self.subject.fork(name)
        fork.commit(lambda draft: delete(draft, parse(path))).result(30)
        self.model.forks[name].touched.add(path)
        del self.model.forks[name].now[path]

    def promote(self, name: str) -> None:
        self.subject.alone(versions.promote_fork, name)
        beside = self.model.promote(name)
        assert beside <= set().union(*map(self.subject.readable, PATHS))

    def abandon(self, name: str) -> None:
        self.subject.alone(versions.abandon_fork, name)
        del self.model.forks[name]


def check(subject: Subject, model: Model) -> None:
    assert files(subject.repository) == model.main
    named = {one.name for one in versions.snapshots(subject.repository) if one.kind == "manual"}
    assert named == set(model.snapshots)
    for name, expected in model.snapshots.items():
        assert files(subject.snapshot(name)) == expected
    assert {fork.name for fork in versions.forks(subject.repository)} == set(model.forks)
    for name, fork in model.forks.items():
        assert files(subject.fork(name)) == fork.now


@settings(max_examples=EXAMPLES, deadline=None)
@given(steps)
def test_the_past_and_forks_read_what_was_there_whatever_happens(history: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        subject, model = Subject(Path(folder)), Model()
        try:
            for number, step in enumerate(history):
                before = (dict(model.main), set(model.snapshots), set(model.forks))
                entries = {path: entry_at(subject.repository, path) for path in PATHS}
                try:
                    Both(subject, model).act(step, b"%d" % number)
                except AeorError:
                    assert before == (model.main, set(model.snapshots), set(model.forks))
                for path, entry in entries.items():
                    if entry != entry_at(subject.repository, path):
                        model.touch(path)
                check(subject, model)
            subject.reopen()
            subject.sweep()
            check(subject, model)
        finally:
            subject.repository.close()


def test_a_fork_that_is_gone_cannot_be_written(tmp_path: Path) -> None:
    subject = Subject(tmp_path)
    subject.alone(versions.make_fork, "f", "")
    fork = subject.fork("f")
    subject.alone(versions.abandon_fork, "f")
    with pytest.raises(NotFoundError):
        put(fork, "/a", b"1")
    assert files(subject.repository) == {}
    subject.repository.close()
