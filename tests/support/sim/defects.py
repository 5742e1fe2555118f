"""Deliberate defects, to see that the simulation finds them; each is on for as long as it is held.

with broken("forgets a loser"):
    ...
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from aeorsync.cluster import cycle as cycles
from aeorsync.cluster import graves, link
from aeorsync.core import clock, merge
from aeorsync.core.paths import TreePath
from aeorsync.core.versions import Entry, Vector, Version, decode_entry
from aeorsync.remote.calls import Remote
from aeorsync.storage import draft, forks, holdings, keeping
from aeorsync.storage.draft import Draft
from aeorsync.storage.states import State
from tests.support.sim.small import _founded

Defect = Callable[[], AbstractContextManager[Any]]


def _join_without_losers(ours: Entry | None, theirs: Entry) -> Entry:
    joined = merge.join(ours, theirs)
    if len(joined.versions) < 2:
        return joined
    return Entry((max(joined.versions, key=lambda version: version.rank),))


def _join_by_stamps(ours: Entry | None, theirs: Entry) -> Entry:
    if ours is None:
        return theirs
    newest = max((*ours.versions, *theirs.versions), key=lambda version: version.stamp)
    return ours if newest in ours.versions else theirs


def _join_all(ours: Entry | None, theirs: Entry) -> Entry:
    if ours is None or ours == theirs:
        return theirs
    both = {version.dot: version for version in (*ours.versions, *theirs.versions)}
    return Entry(tuple(both[dot] for dot in sorted(both)))


async def _record_first(peering: cycles.Peering, ahead: str | None = None) -> cycles.Report:
    cursor = ahead or cycles._recorded_cursor(peering)
    page = await cycles.observe(peering, cursor)
    cycles.record(peering, page.end.cursor)
    return await _run_cycle(peering, cursor or None)


_run_cycle = cycles.run_cycle
_write = Draft.write


def _write_as_if_all_was_seen(
    self: Draft,
    path: TreePath,
    state: State,
    context: Vector | None = None,
) -> Version:
    del context
    return _write(self, path, state, None)


def _keep_incarnation(self: Draft) -> None:
    self.owns_incarnation = True


def _forgets_early(self: graves.Graves) -> object:
    survey = self._survey()
    with self._repository.view() as view:
        every = [(key, decode_entry(data)) for key, data in view.graves()]
    if every:
        self._repository.forget(every).result()
    return survey


async def _settle_at_once(self: link.Link, remote: Remote) -> None:
    await self._meet(await self._acquaintance.probe(remote))


def _patched(target: object, name: str, value: object) -> Defect:
    return lambda: patch.object(target, name, value)


@contextmanager
def _join_is(join: object) -> Iterator[None]:
    with ExitStack() as stack:
        for module in (draft,):
            stack.enter_context(patch.object(module, "join", join))
        yield


DEFECTS: dict[str, Defect] = {
    "drops a loser": lambda: _join_is(_join_without_losers),
    "compares stamps, not vectors": lambda: _join_is(_join_by_stamps),
    "keeps ancestors as losers": lambda: _join_is(_join_all),
    "records the cursor before it applies": lambda: patch(
        "tests.support.sim.small.run_cycle", _record_first
    ),
    "forgets graves early": _patched(graves.Graves, "tend", _forgets_early),
    "takes every writer to have seen all": _patched(Draft, "write", _write_as_if_all_was_seen),
    "mints on under an old incarnation": _patched(Draft, "_renew_incarnation", _keep_incarnation),
    "stamps by the wall clock alone": _patched(
        clock, "next_stamp", lambda _, wall_ms: clock.make_stamp(wall_ms)
    ),
    "keeps no trees of snapshots": _patched(
        keeping.Keeper, "settle", lambda self, _: self._store.keep_until(None)
    ),
    "never looks whether chunks were swept": _patched(
        holdings.Holdings, "check", lambda _, __: None
    ),
    "believes cursors of another epoch": lambda: patch(
        "aeorsync.storage.repository.Repository.has_given_out", lambda _, __, ___: True
    ),
    "promotes a fork over what came since": _patched(forks, "_promote_one", lambda *_: False),
    "keeps what a failed operation did": _patched(Draft, "undo", Draft.keep),
    "hides what a deletion met": _patched(
        merge, "_began_after", lambda newer, older: older.deleted and not newer.deleted
    ),
    "moves data before the clocks agree": lambda: patch(
        "aeorsync.cluster.link.Link._settle", _settle_at_once
    ),
    "shows only the winner": lambda: patch(
        "tests.support.sim.history.see", lambda entry: merge.Sight(merge.see(entry).winner)
    ),
}


@contextmanager
def broken(name: str) -> Iterator[None]:
    """One of `DEFECTS`, switched on."""
    with ExitStack() as stack:
        # Clusters to begin with that were founded by broken code are no use without it.
        stack.enter_context(patch.dict(_founded, clear=True))
        stack.enter_context(DEFECTS[name]())
        yield
