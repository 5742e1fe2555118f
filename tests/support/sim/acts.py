"""What people and programs do in a cluster, one function for each kind of step.

Nodes and clients are numbers, modulo how many there are.
"""

from collections.abc import Callable
from typing import Any, cast

from aeorsync.core.access import EVERYTHING as MAY_ALL
from aeorsync.core.hashing import content_hash
from aeorsync.core.merge import is_same_state, see
from aeorsync.core.paths import parse, to_key
from aeorsync.core.versions import Content, Kind, Version, covers
from aeorsync.errors import AeorError
from aeorsync.storage.bundles import Bundle, Delete, Folder, Outcome, Put
from aeorsync.storage.bundles import run as run_bundle
from aeorsync.storage.changes import (
    Conditions,
    FileState,
    LinkState,
    copy,
    delete,
    make_folder,
    put_file,
    put_link,
    rename,
    restore,
)
from aeorsync.storage.draft import Draft
from aeorsync.storage.settling import give_up, resolve
from tests.support.sim.disk import CrashedError
from tests.support.sim.history import Seen, demand
from tests.support.sim.nodes import Claims, Node
from tests.support.sim.small import Small, StepRun

ACTS: dict[str, StepRun] = {}


def step(name: str, steps: dict[str, StepRun] = ACTS) -> Callable[[StepRun], StepRun]:
    """Enter into a table what a step does."""

    def enter(run: StepRun) -> StepRun:
        steps[name] = run
        return run

    return enter


def _data(number: int) -> bytes:
    return b"content %d" % number


def store(run: Small, node: Node, number: int) -> Content:
    data = _data(number)
    run.history.contents[content_hash(data)] = data
    return node.repository.store_small(data)


def commit(node: Node, operation: Callable[[Draft], object], seen: Claims | None = None) -> Any:  # noqa: ANN401  # what the operation returns
    """Run an operation to its end; one that fails leaves nothing."""
    before, is_alone = node.disk.head(), not node.repository.waiting
    try:
        return node.repository.commit(node.write(operation, seen)).result(timeout=0)
    except AeorError:
        kept_nothing = node.disk.head() == before or not is_alone
        demand(kept_nothing, f"node {node.id} kept a part of what it refused")
        raise
    except TimeoutError:
        demand(node.disk.is_dead, f"node {node.id} never answered")
        raise CrashedError(node.disk) from None


def _only(seen: dict[bytes, Seen]) -> Claims:
    """What a writer has seen of some paths; of folders, and elsewhere, all that is there."""

    def of(key: bytes, version: Version) -> Seen | None:
        is_made = version.kind == Kind.DIRECTORY and not version.deleted
        return None if is_made else seen.get(key)

    return of


def acknowledged(run: Small, node: Node, path: str, version: Version) -> None:
    """What is acknowledged has to be durable, or written over by what was done with it."""
    if version.dot in run.history.known and version.dot in node.past.held:
        return
    entry = node.entry(to_key(parse(path)))
    demand(
        entry is not None
        and any(v.incarnation == version.incarnation for v in entry.versions)
        and covers(entry.context, version.dot),
        f"node {node.id} acknowledged {version.id}, which is nowhere",
    )


# What people and programs do


@step("put")
async def _put(run: Small, at: int, path: str, number: int) -> None:
    """Somebody writes over what is there."""
    node = run.node(at)
    file = FileState(store(run, node, number), "text/plain")
    version = commit(node, lambda draft: put_file(draft, parse(path), file))
    acknowledged(run, node, path, version)


@step("edit")
async def _edit(run: Small, client: int, at: int, path: str, number: int) -> None:
    """A client writes what it made of what it has seen."""
    node = run.node(at)
    base, seen = run.base(client, path)
    file = FileState(store(run, node, number), "text/plain")
    conditions = Conditions(base=base)
    version = commit(
        node,
        lambda draft: put_file(draft, parse(path), file, conditions),
        _only({to_key(parse(path)): seen}),
    )
    acknowledged(run, node, path, version)
    run.remember(client, path, version)


@step("stow")
async def _stow(run: Small, client: int, at: int, number: int) -> None:
    """A client brings the bytes of a file, or is told that they are there already."""
    node = run.node(at)
    run.stowed[client, node.id] = node.life, store(run, node, number)


@step("use")
async def _use(run: Small, client: int, at: int, path: str) -> None:
    """A client makes a file of what it brought a while ago."""
    node = run.node(at)
    life, content = run.stowed.get((client, node.id), (0, None))
    # Who was interrupted by the end of the node brings it again.
    if content is not None and life == node.life:
        file = FileState(content, "text/plain")
        version = commit(node, lambda draft: put_file(draft, parse(path), file))
        acknowledged(run, node, path, version)


@step("look")
async def _look(run: Small, client: int, at: int, path: str, which: int) -> None:
    """A client reads a path: all versions (0), or one of them."""
    entry = run.node(at).entry(to_key(parse(path)))
    if entry is None:
        return
    if which:
        run.remember(client, path, entry.versions[which % len(entry.versions)])
    else:
        seen = run.history.closure(version.dot for version in entry.versions)
        run.bases[client, path] = (entry.context, seen)


@step("link")
async def _link(run: Small, at: int, path: str, number: int) -> None:
    """Somebody makes a symlink."""
    target = f"to-{number}".encode()
    link = LinkState(target.decode(), Content(content_hash(target), len(target)))
    commit(run.node(at), lambda draft: put_link(draft, parse(path), link))


@step("folder")
async def _folder(run: Small, at: int, path: str) -> None:
    """Somebody makes a folder."""
    commit(run.node(at), lambda draft: make_folder(draft, parse(path)))


@step("delete")
async def _delete(run: Small, at: int, path: str) -> None:
    """Somebody deletes what is there, with all that is in it."""
    commit(run.node(at), lambda draft: delete(draft, parse(path), recursive=True))


@step("drop")
async def _drop(run: Small, client: int, at: int, path: str) -> None:
    """A client deletes what it has seen."""
    base, seen = run.base(client, path)
    conditions = Conditions(base=base)
    commit(
        run.node(at),
        lambda draft: delete(draft, parse(path), conditions=conditions),
        _only({to_key(parse(path)): seen}),
    )


@step("rename")
async def _rename(run: Small, at: int, path: str, to: str) -> None:
    """Somebody gives a file or a folder another name."""
    commit(run.node(at), lambda draft: rename(draft, parse(path), parse(to)))


@step("copy")
async def _copy(run: Small, at: int, path: str, to: str) -> None:
    """Somebody copies a file or a folder into a folder."""
    commit(run.node(at), lambda draft: copy(draft, parse(path), parse(to)))


@step("undelete")
async def _undelete(run: Small, at: int, path: str) -> None:
    """Somebody brings back what was deleted last."""
    node = run.node(at)
    entry = node.entry(to_key(parse(path)))
    # As the API does: of what was deleted before it came here, the bytes may be elsewhere.
    if entry is not None and not node.repository.lacking([see(entry).winner.content])[0]:
        commit(node, lambda draft: restore(draft, parse(path)))


@step("resolve")
async def _resolve(run: Small, at: int, path: str, which: int) -> None:
    """Somebody settles a conflict in favour of one version."""
    node = run.node(at)
    entry = node.entry(to_key(parse(path)))
    if entry is not None:
        pick = entry.versions[which % len(entry.versions)].id
        commit(node, lambda draft: resolve(draft, parse(path), pick))


@step("give up")
async def _give_up(run: Small, at: int, path: str, which: int) -> None:
    """Somebody gives up one version that lost, and none of the others."""
    node, key = run.node(at), to_key(parse(path))
    entry = node.entry(key)
    losers = () if entry is None else see(entry).losers
    if entry is None or not losers:
        return
    given = losers[which % len(losers)]
    left = [loser for loser in losers if loser is not given]
    staying = [v for v in entry.versions if any(is_same_state(v, loser) for loser in left)]
    settled = (version.dot for version in entry.versions if version not in staying)
    seen = run.history.closure(settled)

    def claims(where: bytes, _: Version) -> Seen | None:
        # Also where it is a folder that stays: what it is beside it has not seen.
        return seen if where == key else None

    commit(node, lambda draft: give_up(draft, parse(path), given.id), claims)


@step("commit")
async def _bundle(
    run: Small, client: int, at: int, changes: list[list[Any]], again: int | None = None
) -> None:
    """A client that keeps copies commits many changes at once, and again elsewhere if unheard."""
    node = run.node(at)
    changes = _apart(changes)
    seen = {
        to_key(parse(path)): run.base(client, path)[1]
        for kind, path, _ in changes
        if kind != "folder"
    }
    bundle = Bundle(
        MAY_ALL,
        [
            Delete(parse(path), run.base(client, path)[0])
            for kind, path, _ in changes
            if kind == "delete"
        ],
        [Folder(parse(path)) for kind, path, _ in changes if kind == "folder"],
        [
            Put(
                parse(path),
                FileState(store(run, node, number), "text/plain"),
                run.base(client, path)[0],
            )
            for kind, path, number in changes
            if kind == "file"
        ],
        known=node.repository.known(),
    )
    outcome = cast("Outcome", commit(node, lambda draft: run_bundle(draft, bundle), _only(seen)))
    for done in (*outcome.deletes, *outcome.puts):
        if done.version is not None and again is None:
            acknowledged(run, node, done.path, done.version)
            run.remember(client, done.path, done.version)
    if again is not None:
        await _bundle(run, client, again, changes)


def _apart(changes: list[list[Any]]) -> list[list[Any]]:
    """Of changes that touch each other, the first: what is seen of the others is its doing."""
    found: list[list[Any]] = []
    for change in changes:
        path = change[1] + "/"
        if not any(path.startswith(p + "/") or p.startswith(path) for _, p, _ in found):
            found.append(change)
    return found
