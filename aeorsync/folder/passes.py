"""One pass: both sides are looked at, and made equal.

    observe    what the server told since the cursor is written down, then the cursor
    scan       what is not as agreed on the disk
    plan       `folder.plan`, by `core.reconcile`
    brake      more deletions than a person allows: nothing is changed
    pull       then push, then what became of conflict copies, then the copies
    again      what changed while we worked, and what the server has to say to what we did

Whatever breaks off is repeated: the ledger knows what was told and what was agreed on.
"""

from collections.abc import Container
from typing import Final

import msgspec
from msgspec.structs import replace

from aeorsync.core.reconcile import Direction, Policy
from aeorsync.core.versions import Kind
from aeorsync.errors import StaleError
from aeorsync.folder import little, sent, told, unsure
from aeorsync.folder.brake import brake
from aeorsync.folder.events import (
    Outcome,
    PassEnded,
    PassStarted,
    Report,
    Why,
)
from aeorsync.folder.facts import Agreed, Found, Trouble, name
from aeorsync.folder.ignore import FILE_NAME, Ignore
from aeorsync.folder.judging import Verdict, as_found, judge
from aeorsync.folder.ledger import Ledger
from aeorsync.folder.observing import DOUBT, Observer, all_pending
from aeorsync.folder.options import Options
from aeorsync.folder.plan import UNTOLD, Give, Plan, Planner
from aeorsync.folder.rehearsing import rehearse
from aeorsync.folder.root import SafeRoot
from aeorsync.folder.scan import Scan
from aeorsync.folder.selection import Selection
from aeorsync.folder.server import Server
from aeorsync.folder.told import Scope, Told
from aeorsync.folder.work import CONFLICT, CURSOR, Tally, Work, conflicted
from aeorsync.runtime import bridge, straight
from aeorsync.runtime.clock import WallClock

RULES: Final = "rules"
ROOT: Final = "root"
"""The note of which folder it is."""
MAX_ROUNDS: Final = 5
"""Rounds of a pass in which something changes all the time."""
MANY: Final = 500
"""What the server tells of so many paths that we changed takes a while to hear."""
_PATIENCE_S: Final = 0.05


class Look(msgspec.Struct, frozen=True):
    """What a pass looks at.

    Attributes:
        reason: Why there is one; see `events.PassStarted`.
        paths: Local paths to look at; None for all of them.
        remote: Whether the server is asked what is new.
        waiting: Whether all that the server told and that was not taken over is looked at, too, as
            after a pass that was broken off.
    """

    reason: str = "start"
    paths: frozenset[str] | None = None
    remote: bool = True
    waiting: bool = False


class Engine(msgspec.Struct):
    """Does passes over one pair, one at a time.

    Attributes:
        root: The folder.
        ledger: Its memory.
        server: The other side.
        scope: Where on the server.
        options: What a person chose.
        clock: For the time of day.
        leaves_echo: Whether a pass that sent much may end before the server has told of it; then
            another one follows.
        has_echo: Whether the last pass ended so.
        swept: Whether what an earlier run left was seen to.
        solved: Paths that the last pass made equal.
    """

    root: SafeRoot
    ledger: Ledger
    server: Server
    scope: Scope
    options: Options
    clock: WallClock
    leaves_echo: bool = False
    has_echo: bool = False
    swept: bool = False
    solved: frozenset[str] = frozenset()

    async def run(self, look: Look, report: Report) -> Outcome:
        """Do a pass.

        Raises:
            MassDeletionError: See there.
            AeorError: The folder or the server is gone, or refuses us. What was done is recorded.
        """
        began = self.clock.monotonic()
        report(PassStarted(look.reason, look.paths is None))
        tally = Tally()
        work = self._work(report, tally)
        for number in range(MAX_ROUNDS):
            await _Round(self, work, look).run()
            again, rescans = frozenset(tally.again), tally.rescans and not number
            if self.options.dry_run:
                # It tells all that it finds, once.
                rescans = tally.is_stale = False
                again = frozenset() if number else again
            self.has_echo = tally.is_stale and self.leaves_echo and len(tally.solved) >= MANY
            if not (again or rescans or (tally.is_stale and not self.has_echo)):
                break
            if again and number:
                await little.rest(_PATIENCE_S * number)
            look = replace(look, paths=None if rescans else again, remote=True)
            work = self._work(report, tally)
        self.solved = frozenset(tally.solved)
        for path in tally.again:
            work.trouble(path, Why.CHANGING, "it keeps changing; the next pass looks at it again")
        outcome = tally.outcome(
            self.clock.monotonic() - began,
            len(self.ledger.notes(CONFLICT)),
            is_dry=self.options.dry_run,
        )
        report(PassEnded(outcome))
        return outcome

    def _work(self, report: Report, tally: Tally) -> Work:
        tally.again, tally.is_stale, tally.rescans = set(), False, False
        now = self.clock.now_ns()
        return Work(self.root, self.ledger, self.server, self.scope, report, now, tally)


class _Round:
    def __init__(self, engine: Engine, work: Work, look: Look) -> None:
        self._engine = engine
        self._work = work
        self._look = look
        self._ledger = engine.ledger
        self._options = engine.options
        self._troubles: list[Trouble] = []
        self._conflicted: set[str] = set()
        self._recognised: dict[str, Agreed] = {}
        self._rules = Ignore.parse(
            engine.options.include, engine.options.exclude, self._troubles.append
        )

    async def run(self) -> None:
        await bridge.run(self._prepare)
        newly: set[str] = set()
        if self._look.remote:
            # Before the scan: it compares with what was agreed.
            await sent.hear(self._work)
            if (self._look.waiting or not self._engine.swept) and not self._options.dry_run:
                self._recognised = await bridge.run(unsure.recognise, self._work)
            observing = straight.begin(Observer(self._work, self._conflicted).run())
            try:
                little.check_news(observing)
                founds = await bridge.run(self._scan)
                newly = await observing
            finally:
                await straight.end([observing])
        else:
            founds = await bridge.run(self._scan)
        for trouble in self._troubles:
            self._work.trouble(trouble.path, Why(trouble.flaw.value), trouble.message)
        waiting = await bridge.run(self._waiting, founds, newly)
        verdict = await judge(self._work, waiting)
        plan = await bridge.run(self._plan, founds, waiting, verdict)
        if plan.drop:
            await bridge.run(self._read_moved, plan)
        little.check(plan)
        await bridge.run(brake, self._ledger, self._options, plan, verdict.unseen)
        if self._options.dry_run:
            rehearse(self._work, plan)
            return
        await bridge.run(self._know_root)
        await self._carry_out(plan)

    async def _carry_out(self, plan: Plan) -> None:
        # What there is no need of is not loaded: most passes find nothing to do.
        work, direction = self._work, self._options.direction
        for problem in plan.problems:
            work.trouble(problem.path, problem.why, problem.message)
        work.shows.update(plan.show)
        await bridge.run(work.settle_seen, plan.settle)
        if plan.take or plan.remove:
            from aeorsync.folder.pull import pull  # noqa: PLC0415

            await pull(work, plan, self._engine.clock)
        if plan.give or plan.drop:
            from aeorsync.folder.push import push  # noqa: PLC0415

            await push(work, plan)
        # What readers see is stated again by these, so whoever edits that has to come before.
        if plan.edits:
            from aeorsync.folder.edits import push_edits  # noqa: PLC0415

            await push_edits(work, plan.edits, pushes=direction is not Direction.PULL)
        if plan.show:
            from aeorsync.folder.placing import Placer  # noqa: PLC0415
            from aeorsync.folder.showing import show  # noqa: PLC0415

            await show(work, Placer(work, self._engine.clock), plan.show)

    def _know_root(self) -> None:
        """Note which folder it is before anything is agreed: another one must not pass for it."""
        if self._ledger.noted(ROOT) is None:
            self._ledger.note(ROOT, str(self._engine.root.id))

    # Looking

    def _prepare(self) -> None:
        """Ask for everything anew when other paths take part than before."""
        self._conflicted = conflicted(self._ledger)
        salt = self._rules.salt.hex()
        if self._ledger.noted(RULES) != salt:
            self._ledger.note(CURSOR, None)
            self._ledger.note(RULES, salt)

    def _scan(self) -> dict[str, Found]:
        engine = self._engine
        scan, found = self._look_around()
        is_swept = False
        if not engine.swept and self._look.paths is None:
            engine.swept = True
            if scan.temps:
                self._sweep(scan)
                is_swept = True
        # After that: what was agreed on tells whose the files are that a crash left.
        if self._recognised:
            self._ledger.record(self._recognised.items())
        if unsure.forget(self._ledger, engine.root) or is_swept or self._recognised:
            _, found = self._look_around()
        return found

    def _look_around(self) -> tuple[Scan, dict[str, Found]]:
        scan, paths = self._new_scan(), self._look.paths
        founds = scan.all() if paths is None else scan.some(paths)
        return scan, {found.path: found for found in founds}

    def _sweep(self, scan: Scan) -> None:
        for part in self._ledger.parts():
            if self._ledger.change_of(part.path) is None:
                # Nobody waits for that download any more.
                self._ledger.end_part(part.path)
        from aeorsync.folder.sweeping import sweep  # noqa: PLC0415  # seldom needed

        # What a crash left may be what seems to be gone.
        self._troubles[:] = sweep(self._engine.root, self._ledger, scan.temps, self._engine.clock)

    def _new_scan(self) -> Scan:
        engine = self._engine
        tell = self._troubles.append
        return Scan(engine.root, self._ledger, self._rules, engine.clock, tell, defers=True)

    # Planning

    def _plan(
        self, founds: dict[str, Found], waiting: list[tuple[str, bytes]], verdict: Verdict
    ) -> Plan:
        options = self._options
        policy = Policy(options.direction, options.delete_local, options.delete_remote)
        planner = Planner(policy, self._conflicted)
        selection = Selection(self._engine.root, self._rules)
        is_new = self._ledger.is_empty()
        # In doubt a person is asked who is right; nothing is sent before they have answered.
        is_asked = self._ledger.noted(DOUBT) is not None
        unseen = frozenset[str]() if is_asked else verdict.unseen
        left = self._postpone_recognised(founds)
        left |= self._read_told(founds, waiting) | verdict.stands
        copies = {path: found.copy for path, found in founds.items() if found.copy is not None}
        for path, copy in copies.items():
            planner.add_copy(founds.pop(path), copy)
        self._add_gone_copies(planner, waiting, copies)
        for path, row in (*waiting, *self._undone(waiting, unseen)):
            if path in left or path in copies:
                continue
            found = founds.pop(path, None)
            found = None if path in self._work.reborn else found
            agreed = None if is_new else self._was(path, found)
            state = told.decode(row)
            if selection.takes(path, is_folder=_is_folder(state, agreed)):
                is_unseen = path in unseen
                if is_unseen and agreed is not None:
                    found = found or as_found(self._work, path, agreed)
                planner.add(path, agreed, found, state, is_unseen=is_unseen)
        for path, found in founds.items():
            planner.add(path, found.was, found, UNTOLD)
        return self._finish(planner)

    def _add_gone_copies(
        self, planner: Planner, waiting: list[tuple[str, bytes]], known: Container[str]
    ) -> None:
        """Copies of what is shown now that are gone, though this pass did not look for them."""
        copies = {at: copy for at, copy in self._ledger.copies().items() if at not in known}
        if not copies:
            return
        rows = dict(waiting)
        for at, copy in copies.items():
            shown = told.decode(rows[copy.path]) if copy.path in rows else None
            is_it = shown is not None and copy.version == shown.version and not copy.is_announced
            if is_it and self._work.root.look(at) is None:
                planner.add_copy(Found(at, None, copy=copy), copy)

    def _read_moved(self, plan: Plan) -> None:
        """Read what may have come from what goes there: a move is no deletion."""
        from aeorsync.folder.reading import read_fresh  # noqa: PLC0415  # seldom needed

        agreed = (self._ledger.agreed(drop.path) for drop in plan.drop if drop.kind is Kind.FILE)
        sizes = {was.fingerprint.size for was in agreed if was is not None}
        some = [give for give in plan.give if give.is_unread and give.here.size in sizes]
        fresh = read_fresh(self._engine.root, some, keeps=False)
        # What could not be read is told when it is sent.
        plan.give = [
            give._replace(content=fresh.contents[give.path], is_unread=False)
            if give.path in fresh.contents
            else give
            for give in plan.give
        ]

    def _postpone_recognised(self, founds: dict[str, Found]) -> frozenset[str]:
        """Look once more at what was agreed on after it was scanned; return these paths."""
        recognised = frozenset(self._work.recognised)
        self._work.tally.again |= recognised
        for path in recognised:
            founds.pop(path, None)
        return recognised

    def _read_told(
        self, founds: dict[str, Found], waiting: list[tuple[str, bytes]]
    ) -> frozenset[str]:
        """Read what the server tells something of; return what is changing just now."""
        some = [found for path, _ in waiting if (found := founds.get(path)) and found.is_unread]
        if not some:
            return frozenset()
        from aeorsync.folder.reading import read_fresh  # noqa: PLC0415  # takes a while

        gives = [
            Give(found.path, found.fingerprint, None, "", "", found.was)
            for found in some
            if found.fingerprint is not None
        ]
        fresh = read_fresh(self._engine.root, gives, keeps=False)
        for path, data in fresh.contents.items():
            founds[path] = replace(founds[path], content=data, is_unread=False)
        for path, error in fresh.spoiled.items():
            del founds[path]
            if isinstance(error, StaleError):
                self._work.tally.again.add(path)
            else:
                self._work.trouble(path, Why.UNREADABLE, error.message)
        return frozenset(fresh.spoiled)

    def _undone(
        self, waiting: list[tuple[str, bytes]], unseen: frozenset[str]
    ) -> list[tuple[str, bytes]]:
        """Our own edits that the server has never seen, as if they were gone there."""
        lost = (self._work.undone & unseen) - {path for path, _ in waiting}
        return [(path, b"") for path in sorted(lost)]

    def _finish(self, planner: Planner) -> Plan:
        plan = planner.finish()
        moved = {take.path for take in plan.take} | {give.path for give in plan.give}
        moved |= {step.path for step in plan.remove} | {drop.path for drop in plan.drop}
        if any(name(path) == FILE_NAME for path in moved):
            # Other paths take part from now on.
            self._ledger.note(CURSOR, None)
            self._work.tally.rescans = True
        return plan

    def _was(self, path: str, found: Found | None) -> Agreed | None:
        return self._ledger.agreed(path) if found is None else found.was

    def _waiting(self, founds: dict[str, Found], newly: set[str]) -> list[tuple[str, bytes]]:
        if self._look.paths is None or self._look.waiting:
            return all_pending(self._ledger)
        looked = self._look.paths
        paths = newly | founds.keys() | looked
        if self._ledger.has_pending():
            # What waits inside may have waited for what was at a path to go away.
            paths = paths.union(*map(self._ledger.waiting_inside, looked))
        rows = ((path, self._ledger.change_of(path)) for path in sorted(paths))
        return [(path, row) for path, row in rows if row is not None]


def _is_folder(state: Told | None, agreed: Agreed | None) -> bool:
    known = agreed if state is None else state
    return known is not None and known.kind == Kind.DIRECTORY
