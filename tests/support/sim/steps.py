"""All that may happen in a little cluster: what people do, what nodes do with each other, and what
befalls them.

A fault of a conversation is its name and the number of the message it hits, see `wire`; of one who
dies: how many operations of the disk go well, and whether the last one is done.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from aeorsync.storage.gc import GRACE_MS
from tests.support.sim.acts import ACTS, step
from tests.support.sim.nodes import Filters, Node
from tests.support.sim.pasts import PASTS
from tests.support.sim.small import AGE_MS, MAX_NODES, Small, Step, StepRun

_BETWEEN: dict[str, StepRun] = {}

# Between nodes


@step("pull", _BETWEEN)
async def _pull(run: Small, asker: int, server: int, fault: list[Any] | None = None) -> None:
    """One node pulls from another."""
    await _talk(run, run.cycle, run.node(asker), run.node(server), fault)


@step("push", _BETWEEN)
async def _push(run: Small, node: int, to: int, fault: list[Any] | None = None) -> None:
    """One node pushes to another."""
    await _talk(run, run.push, run.node(node), run.node(to), fault)


@step("repair", _BETWEEN)
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


@step("filter", _BETWEEN)
async def _filter(
    run: Small, asker: int, server: int, paths: list[str] | None, excludes: list[str] | None
) -> None:
    """From now on one node takes only a part of what another has."""
    filters: Filters = (
        tuple(paths) if paths else None,
        tuple(excludes) if excludes else None,
    )
    run.node(asker).filters[run.node(server).id] = filters


@step("join", _BETWEEN)
async def _join(run: Small, at: int) -> None:
    """A new node comes."""
    if len(run.nodes) < MAX_NODES:
        node, new = run.node(at), run.add()
        node.members.write((node.id, new.id))
        await run.cycle(new, node)


@step("remove", _BETWEEN)
async def _remove(run: Small, at: int, other: int) -> None:
    """A node is removed from the cluster, for ever."""
    node, gone = run.node(at), run.node(other)
    if node is not gone and gone.id in node.members.all() and len(run.staying()) > 1:
        node.members.remove(gone.id)


# What befalls a node


@step("crash", _BETWEEN)
async def _crash(run: Small, at: int) -> None:
    """A node dies."""
    run.node(at).disk.die()


@step("dying", _BETWEEN)
async def _dying(run: Small, at: int, operations: int, done: bool, inner: Step) -> None:  # noqa: FBT001
    """A node dies while it does something."""
    run.node(at).disk.set_fuse(operations, dies_after=done)
    name, *arguments = inner
    await STEPS[name](run, *arguments)


@step("restart", _BETWEEN)
async def _restart(run: Small, at: int) -> None:
    """A node is stopped in good order, and started."""
    node = run.node(at)
    node.repository.close()
    node.restart()


@step("save", _BETWEEN)
async def _save(run: Small, at: int) -> None:
    """Somebody copies a node's data."""
    run.node(at).save(run.world.now)


@step("put back", _BETWEEN)
async def _put_back(run: Small, at: int) -> None:
    """A node is put back to an older copy, and soon meets the others again."""
    node = run.node(at)
    if node.saved and run.world.now - node.saved[-1].at < AGE_MS // 2:
        node.put_back()


@step("clock", _BETWEEN)
async def _clock(run: Small, at: int, offset_ms: int) -> None:
    """A clock is set wrong."""
    run.node(at).clock.offset = offset_ms


@step("freeze", _BETWEEN)
async def _freeze(run: Small, at: int) -> None:
    """A clock stands still."""
    clock = run.node(at).clock
    clock.stands_at = clock.now_ms()


@step("wait", _BETWEEN)
async def _wait(run: Small, ms: int) -> None:
    """Time passes."""
    run.world.now += ms


@step("sleep", _BETWEEN)
async def _sleep(run: Small) -> None:
    """So much time passes that what nobody uses is garbage."""
    run.world.now += GRACE_MS + 1000


@step("grow old", _BETWEEN)
async def _grow_old(run: Small) -> None:
    """So much time passes that deletions may be forgotten, and meanwhile all goes well."""
    await run.round()
    run.world.now += AGE_MS
    for _ in range(2):
        await run.round()
        for node in run.staying():
            _tend_node(node)


@step("tend", _BETWEEN)
async def _tend(run: Small, at: int) -> None:
    """A node looks after its graves."""
    _tend_node(run.node(at))


def _tend_node(node: Node) -> None:
    node.is_tending = True
    try:
        node.graves.tend()
    finally:
        node.is_tending = False


@step("collect", _BETWEEN)
async def _collect(run: Small, at: int) -> None:
    """A node throws garbage away."""
    run.node(at).collect()


STEPS = {**ACTS, **PASTS, **_BETWEEN}
