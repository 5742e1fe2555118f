"""Snapshots and forks, one function for each kind of step."""

from typing import Any, cast

from aeorsync.core.paths import parse
from aeorsync.core.versions import Kind, Version, decode_entry
from aeorsync.storage import versions as past
from aeorsync.storage.changes import (
    FileState,
    delete,
    put_file,
)
from aeorsync.storage.draft import Draft
from aeorsync.storage.forks import ForkLens
from aeorsync.storage.restoring import restore_tree
from aeorsync.storage.views import is_system_key
from tests.support.sim.acts import commit, step, store
from tests.support.sim.checking import live
from tests.support.sim.history import Seen, demand
from tests.support.sim.nodes import Claims, Node
from tests.support.sim.small import Small, StepRun

PASTS: dict[str, StepRun] = {}


@step("snapshot", PASTS)
async def _snapshot(run: Small, at: int) -> None:
    """Somebody keeps the present state."""
    node = run.node(at)
    name = f"s{len(run.snapshots)}"
    before = node.disk.head()
    with node.repository.view() as view:
        there = live(view.walk(system=True))
    operation = node.write(lambda draft: past.make_snapshot(node.repository, draft, name, {}))
    snapshot, _ = cast("Any", past.commit(node.repository, operation).result(timeout=0))
    demand(snapshot.root == before.root.hex(), "a snapshot is not of the present")
    run.snapshots[snapshot.id] = (node.id, there)


@step("bring back", PASTS)
async def _bring_back(run: Small, at: int, which: int) -> None:
    """Somebody makes everything what it was in a snapshot."""
    node = run.node(at)
    known = past.snapshots(node.repository)
    if not known:
        return
    chosen = known[which % len(known)]
    if not node.repository.has_trees(chosen.trees) or _lacks(node, chosen.trees[0]):
        return
    operation = node.write(lambda draft: restore_tree(node.repository, draft, chosen))
    past.commit(node.repository, operation).result(timeout=0)
    with node.repository.view() as view:
        there = live(view.walk(system=True))
    if chosen.id in run.snapshots:
        demand(there == run.snapshots[chosen.id][1], f"{there} came back, not what was there")


def _lacks(node: Node, root: bytes) -> bool:
    """Whether files of a tree are not all here; then nobody may bring them back."""
    with node.repository.view() as view:
        found = [decode_entry(data) for _, data in view.at(root).walk()]
    contents = [
        version.content
        for entry in found
        for version in entry.versions
        if version.kind == Kind.FILE and not version.deleted
    ]
    return bool(node.repository.lacking(contents)[0])


@step("forget snapshot", PASTS)
async def _forget_snapshot(run: Small, at: int, which: int) -> None:
    """Somebody deletes a snapshot."""
    node = run.node(at)
    known = past.snapshots(node.repository)
    if known:
        chosen = known[which % len(known)].id
        operation = node.write(lambda draft: past.delete_snapshot(node.repository, draft, chosen))
        past.commit(node.repository, operation).result(timeout=0)


@step("fork", PASTS)
async def _fork(run: Small, at: int) -> None:
    """Somebody begins a fork of the present."""
    node = run.node(at)
    began = {
        key: run.history.closure(version.dot for version in entry.versions)
        for key, entry in node.entries().items()
    }
    name = f"f{len(run.forks)}"
    operation = node.write(lambda draft: past.make_fork(node.repository, draft, name, ""))
    fork = cast("Any", past.commit(node.repository, operation).result(timeout=0))
    run.forks[fork.id] = began


@step("fork put", PASTS)
async def _fork_put(run: Small, at: int, path: str, number: int) -> None:
    """Somebody writes into a fork."""
    node = run.node(at)
    known = past.forks(node.repository)
    if known and node.repository.has_trees(known[-1].trees):
        lens = ForkLens(known[-1])
        file = FileState(store(run, node, number), "text/plain")
        commit(node, lambda draft: put_file(lens.draft(draft), parse(path), file))


@step("fork delete", PASTS)
async def _fork_delete(run: Small, at: int, path: str) -> None:
    """Somebody deletes in a fork."""
    node = run.node(at)
    known = past.forks(node.repository)
    if known and node.repository.has_trees(known[-1].trees):
        lens = ForkLens(known[-1])
        commit(node, lambda draft: delete(lens.draft(draft), parse(path), recursive=True))


@step("end fork", PASTS)
async def _end_fork(run: Small, at: int, promotes: bool) -> None:  # noqa: FBT001
    """Somebody applies a fork, or abandons it."""
    node = run.node(at)
    known = past.forks(node.repository)
    if not known or known[-1].id not in run.forks:
        return
    chosen = known[-1].id
    began = run.forks[chosen]

    def operation(draft: Draft) -> object:
        if promotes:
            return past.promote_fork(node.repository, draft, chosen)
        return past.abandon_fork(node.repository, draft, chosen)

    seen = _began(run, began) if promotes else None
    changed = _changed_in_fork(node, known[-1])
    past.commit(node.repository, node.write(operation, seen)).result(timeout=0)
    for key, content in changed.items() if promotes else ():
        entry = node.entry(key)
        versions = () if entry is None else entry.versions
        demand(
            any(version.content.hash == content for version in versions),
            f"node {node.id} promoted a fork without {key!r}",
        )


def _changed_in_fork(node: Node, fork: past.Fork) -> dict[bytes, bytes]:
    """The files that a fork has and its beginning had not, and the content of each."""
    if not node.repository.has_trees(fork.trees):
        return {}
    with node.repository.view() as view:
        there = live(ForkLens(fork).view(view).walk())
        before = live(view.at(*fork.trees).walk())
    return {key: content for key, content in there.items() if before.get(key) != content}


def _began(run: Small, began: dict[bytes, Seen]) -> Claims:
    """What whoever promotes a fork has seen: what it began with, and of its records all."""

    def of(key: bytes, version: Version) -> Seen | None:
        if is_system_key(key):
            return None
        if version.kind == Kind.DIRECTORY:
            # Of the fork, or made for what is in it: who knows.
            return run.history.told(key, version)
        return began.get(key, frozenset())

    return of
