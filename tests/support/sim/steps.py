"""What may happen in a little cluster, one function for each kind of step.

Nodes and clients are numbers, modulo how many there are. A fault of a conversation is its name and
the number of the message it hits, see `wire`; ``die`` is [operations of the disk that go well, and
whether the last one is done].
"""

from collections.abc import Awaitable, Callable
from typing import Any, cast

from aeorsync.core.access import EVERYTHING as MAY_ALL
from aeorsync.core.hashing import content_hash
from aeorsync.core.merge import is_same_state, see
from aeorsync.core.paths import parse, to_key
from aeorsync.core.versions import Content, Kind, Version, covers, decode_entry
from aeorsync.errors import AeorError
from aeorsync.storage import versions as past
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
from aeorsync.storage.forks import ForkLens
from aeorsync.storage.gc import GRACE_MS
from aeorsync.storage.restoring import restore_tree
from aeorsync.storage.settling import give_up, resolve
from aeorsync.storage.views import is_system_key
from tests.support.sim.checking import live
from tests.support.sim.history import Seen, demand
from tests.support.sim.nodes import Claims, Filters, Node
from tests.support.sim.small import AGE_MS, MAX_NODES, Small, Step, StepRun

STEPS: dict[str, StepRun] = {}


def step(name: str) -> Callable[[StepRun], StepRun]:
    """Register what a step does."""

    def register(run: StepRun) -> StepRun:
        STEPS[name] = run
        return run

    return register


def _data(number: int) -> bytes:
    return b"content %d" % number


def _store(run: Small, node: Node, number: int) -> Content:
    data = _data(number)
    run.history.contents[content_hash(data)] = data
    return node.repository.store_small(data)


def _commit(
    node: Node, operation: Callable[[Draft], object], seen: Claims | None = None
) -> Any:  # noqa: ANN401  # what the operation returns
    """Run an operation to its end; one that fails leaves nothing."""
    before = node.disk.head()
    try:
        return node.repository.commit(node.write(operation, seen)).result(timeout=0)
    except AeorError:
        demand(node.disk.head() == before, f"node {node.id} kept a part of what it refused")
        raise


def _only(seen: dict[bytes, Seen]) -> Claims:
    """What a writer has seen of some paths; of folders, and elsewhere, all that is there."""

    def of(key: bytes, version: Version) -> Seen | None:
        is_made = version.kind == Kind.DIRECTORY and not version.deleted
        return None if is_made else seen.get(key)

    return of


def _acknowledged(run: Small, node: Node, path: str, version: Version) -> None:
    """What is acknowledged has to be durable, or written over by what was done with it."""
    if version.dot in run.history.known and version.dot in node.past.held:
        return
    entry = node.entry(to_key(parse(path)))
    demand(
        entry is not None and any(v.incarnation == version.incarnation for v in entry.versions)
        and covers(entry.context, version.dot),
        f"node {node.id} acknowledged {version.id}, which is nowhere",
    )


# What people and programs do


@step("put")
async def _put(run: Small, at: int, path: str, number: int) -> None:
    """Somebody writes over what is there."""
    node = run.node(at)
    file = FileState(_store(run, node, number), "text/plain")
    version = _commit(node, lambda draft: put_file(draft, parse(path), file))
    _acknowledged(run, node, path, version)


@step("edit")
async def _edit(run: Small, client: int, at: int, path: str, number: int) -> None:
    """A client writes what it made of what it has seen."""
    node = run.node(at)
    base, seen = run.base(client, path)
    file = FileState(_store(run, node, number), "text/plain")
    conditions = Conditions(base=base)
    version = _commit(
        node,
        lambda draft: put_file(draft, parse(path), file, conditions),
        _only({to_key(parse(path)): seen}),
    )
    _acknowledged(run, node, path, version)
    run.remember(client, path, version)


@step("stow")
async def _stow(run: Small, client: int, at: int, number: int) -> None:
    """A client brings the bytes of a file, or is told that they are there already."""
    node = run.node(at)
    run.stowed[client, node.id] = node.life, _store(run, node, number)


@step("use")
async def _use(run: Small, client: int, at: int, path: str) -> None:
    """A client makes a file of what it brought a while ago."""
    node = run.node(at)
    life, content = run.stowed.get((client, node.id), (0, None))
    # Who was interrupted by the end of the node brings it again.
    if content is not None and life == node.life:
        file = FileState(content, "text/plain")
        version = _commit(node, lambda draft: put_file(draft, parse(path), file))
        _acknowledged(run, node, path, version)


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
    _commit(run.node(at), lambda draft: put_link(draft, parse(path), link))


@step("folder")
async def _folder(run: Small, at: int, path: str) -> None:
    """Somebody makes a folder."""
    _commit(run.node(at), lambda draft: make_folder(draft, parse(path)))


@step("delete")
async def _delete(run: Small, at: int, path: str) -> None:
    """Somebody deletes what is there, with all that is in it."""
    _commit(run.node(at), lambda draft: delete(draft, parse(path), recursive=True))


@step("drop")
async def _drop(run: Small, client: int, at: int, path: str) -> None:
    """A client deletes what it has seen."""
    base, seen = run.base(client, path)
    conditions = Conditions(base=base)
    _commit(
        run.node(at),
        lambda draft: delete(draft, parse(path), conditions=conditions),
        _only({to_key(parse(path)): seen}),
    )


@step("rename")
async def _rename(run: Small, at: int, path: str, to: str) -> None:
    """Somebody gives a file or a folder another name."""
    _commit(run.node(at), lambda draft: rename(draft, parse(path), parse(to)))


@step("copy")
async def _copy(run: Small, at: int, path: str, to: str) -> None:
    """Somebody copies a file or a folder into a folder."""
    _commit(run.node(at), lambda draft: copy(draft, parse(path), parse(to)))


@step("undelete")
async def _undelete(run: Small, at: int, path: str) -> None:
    """Somebody brings back what was deleted last."""
    node = run.node(at)
    entry = node.entry(to_key(parse(path)))
    # As the API does: of what was deleted before it came here, the bytes may be elsewhere.
    if entry is not None and not node.repository.lacking([see(entry).winner.content])[0]:
        _commit(node, lambda draft: restore(draft, parse(path)))


@step("resolve")
async def _resolve(run: Small, at: int, path: str, which: int) -> None:
    """Somebody settles a conflict in favour of one version."""
    node = run.node(at)
    entry = node.entry(to_key(parse(path)))
    if entry is not None:
        pick = entry.versions[which % len(entry.versions)].id
        _commit(node, lambda draft: resolve(draft, parse(path), pick))


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
    _commit(node, lambda draft: give_up(draft, parse(path), given.id), _only({key: seen}))


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
                FileState(_store(run, node, number), "text/plain"),
                run.base(client, path)[0],
            )
            for kind, path, number in changes
            if kind == "file"
        ],
    )
    outcome = cast("Outcome", _commit(node, lambda draft: run_bundle(draft, bundle), _only(seen)))
    for done in (*outcome.deletes, *outcome.puts):
        if done.version is not None and again is None:
            _acknowledged(run, node, done.path, done.version)
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


# Snapshots and forks


@step("snapshot")
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


@step("bring back")
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


@step("forget snapshot")
async def _forget_snapshot(run: Small, at: int, which: int) -> None:
    """Somebody deletes a snapshot."""
    node = run.node(at)
    known = past.snapshots(node.repository)
    if known:
        chosen = known[which % len(known)].id
        operation = node.write(lambda draft: past.delete_snapshot(node.repository, draft, chosen))
        past.commit(node.repository, operation).result(timeout=0)


@step("fork")
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


@step("fork put")
async def _fork_put(run: Small, at: int, path: str, number: int) -> None:
    """Somebody writes into a fork."""
    node = run.node(at)
    known = past.forks(node.repository)
    if known and node.repository.has_trees(known[-1].trees):
        lens = ForkLens(known[-1])
        file = FileState(_store(run, node, number), "text/plain")
        _commit(node, lambda draft: put_file(lens.draft(draft), parse(path), file))


@step("fork delete")
async def _fork_delete(run: Small, at: int, path: str) -> None:
    """Somebody deletes in a fork."""
    node = run.node(at)
    known = past.forks(node.repository)
    if known and node.repository.has_trees(known[-1].trees):
        lens = ForkLens(known[-1])
        _commit(node, lambda draft: delete(lens.draft(draft), parse(path), recursive=True))


@step("end fork")
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


# Between nodes


@step("pull")
async def _pull(run: Small, asker: int, server: int, fault: list[Any] | None = None) -> None:
    """One node pulls from another."""
    await _talk(run, run.cycle, run.node(asker), run.node(server), fault)


@step("push")
async def _push(run: Small, node: int, to: int, fault: list[Any] | None = None) -> None:
    """One node pushes to another."""
    await _talk(run, run.push, run.node(node), run.node(to), fault)


@step("repair")
async def _repair(run: Small, asker: int, server: int, fault: list[Any] | None = None) -> None:
    """One node compares trees with another."""
    await _talk(run, run.repair, run.node(asker), run.node(server), fault)


async def _talk(
    run: Small,
    talk: Callable[..., Awaitable[None]],
    asker: Node,
    server: Node,
    fault: list[Any] | None,
) -> None:
    del run
    if fault is not None and fault[0] in {"asker dies", "server dies"}:
        victim = asker if fault[0] == "asker dies" else server
        victim.disk.set_fuse(fault[1], dies_after=fault[2])
        fault = None
    await talk(asker, server, None if fault is None else (fault[0], fault[1]))


@step("filter")
async def _filter(
    run: Small, asker: int, server: int, paths: list[str] | None, excludes: list[str] | None
) -> None:
    """From now on one node takes only a part of what another has."""
    filters: Filters = (
        tuple(paths) if paths else None,
        tuple(excludes) if excludes else None,
    )
    run.node(asker).filters[run.node(server).id] = filters


@step("join")
async def _join(run: Small, at: int) -> None:
    """A new node comes."""
    if len(run.nodes) < MAX_NODES:
        node, new = run.node(at), run.add()
        node.members.write((node.id, new.id))
        await run.cycle(new, node)


@step("remove")
async def _remove(run: Small, at: int, other: int) -> None:
    """A node is removed from the cluster, for ever."""
    node, gone = run.node(at), run.node(other)
    if node is not gone and gone.id in node.members.all() and len(run.staying()) > 1:
        node.members.remove(gone.id)


# What befalls a node


@step("crash")
async def _crash(run: Small, at: int) -> None:
    """A node dies."""
    run.node(at).disk.die()


@step("dying")
async def _dying(run: Small, at: int, operations: int, done: bool, inner: Step) -> None:  # noqa: FBT001
    """A node dies while it does something."""
    run.node(at).disk.set_fuse(operations, dies_after=done)
    name, *arguments = inner
    await STEPS[name](run, *arguments)


@step("restart")
async def _restart(run: Small, at: int) -> None:
    """A node is stopped in good order, and started."""
    node = run.node(at)
    node.repository.close()
    node.restart()


@step("save")
async def _save(run: Small, at: int) -> None:
    """Somebody copies a node's data."""
    run.node(at).save(run.world.now)


@step("put back")
async def _put_back(run: Small, at: int) -> None:
    """A node is put back to an older copy, and soon meets the others again."""
    node = run.node(at)
    if node.saved and run.world.now - node.saved[-1].at < AGE_MS // 2:
        node.put_back()


@step("clock")
async def _clock(run: Small, at: int, offset_ms: int) -> None:
    """A clock is set wrong."""
    run.node(at).clock.offset = offset_ms


@step("freeze")
async def _freeze(run: Small, at: int) -> None:
    """A clock stands still."""
    clock = run.node(at).clock
    clock.stands_at = clock.now_ms()


@step("wait")
async def _wait(run: Small, ms: int) -> None:
    """Time passes."""
    run.world.now += ms


@step("sleep")
async def _sleep(run: Small) -> None:
    """So much time passes that what nobody uses is garbage."""
    run.world.now += GRACE_MS + 1000


@step("grow old")
async def _grow_old(run: Small) -> None:
    """So much time passes that deletions may be forgotten, and meanwhile all goes well."""
    await run.round()
    run.world.now += AGE_MS
    for _ in range(2):
        await run.round()
        for node in run.staying():
            _tend_node(node)


@step("tend")
async def _tend(run: Small, at: int) -> None:
    """A node looks after its graves."""
    _tend_node(run.node(at))


def _tend_node(node: Node) -> None:
    node.is_tending = True
    try:
        node.graves.tend()
    finally:
        node.is_tending = False


@step("collect")
async def _collect(run: Small, at: int) -> None:
    """A node throws garbage away."""
    run.node(at).collect()
