"""What a pass will do: `core.reconcile` asked about every path that is not as agreed.

    take     bring here what the server has          give     bring there what the folder has
    remove   delete here                             drop     delete there
    settle   both are equal: write that down         show     look after conflict copies
    edit     a copy was edited: a version of its own give_up  a copy was deleted

Nothing here touches disk, server or ledger. Lists are in the order of paths, so a folder comes
before what is in it.
"""

from collections.abc import Container
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace

from aeorsync.core.reconcile import (
    Base,
    Decision,
    Direction,
    Policy,
    Reason,
    Verb,
    is_same,
    reconcile,
    restate,
)
from aeorsync.core.versions import Kind
from aeorsync.folder.events import Problem, Why
from aeorsync.folder.facts import Agreed, Content, Copy, Fingerprint, Found, parent
from aeorsync.folder.told import Told


class Take(NamedTuple):
    """Bring here what the server has.

    Attributes:
        path: Where.
        told: What. The chunks of large files are read again from the ledger when their turn comes.
        here: What is there now, and goes.
        was: What was agreed.
        held: Of a file: what is in it now.
    """

    path: str
    told: Told
    here: Fingerprint | None
    was: Agreed | None
    held: Content | None = None

    @property
    def is_held(self) -> bool:
        """Whether the bytes are there already."""
        return self.held is not None and self.held.hash == self.told.content


class Give(NamedTuple):
    """Bring there what the folder has.

    Attributes:
        path: Where.
        here: How it looks.
        content: Of a file.
        target: Of a link.
        base: What its writer has seen, as `wire.blobs` has it.
        was: What was agreed.
        is_conflict: Whether the server will have two versions.
        is_unread: Whether ``content`` is not known yet, and has to be read.
    """

    path: str
    here: Fingerprint
    content: Content | None
    target: str
    base: str
    was: Agreed | None
    is_conflict: bool = False
    is_unread: bool = False


class Remove(NamedTuple):
    """Delete here."""

    path: str
    here: Fingerprint


class Drop(NamedTuple):
    """Delete there; ``base`` as `wire.blobs` has it."""

    path: str
    kind: Kind
    base: str


class Edit(NamedTuple):
    """A conflict copy that was edited, or deleted (``found.fingerprint`` is None)."""

    path: str
    found: Found
    copy: Copy


class Settled(NamedTuple):
    """What is agreed on from now on; None for nothing."""

    path: str
    agreed: Agreed | None


class Plan(msgspec.Struct):
    """See the top of this module."""

    take: list[Take] = msgspec.field(default_factory=list)
    give: list[Give] = msgspec.field(default_factory=list)
    remove: list[Remove] = msgspec.field(default_factory=list)
    drop: list[Drop] = msgspec.field(default_factory=list)
    settle: list[Settled] = msgspec.field(default_factory=list)
    show: dict[str, Told | None] = msgspec.field(default_factory=dict)
    edits: list[Edit] = msgspec.field(default_factory=list)
    problems: list[Problem] = msgspec.field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether both sides stay as they are."""
        return not (self.take or self.give or self.remove or self.drop or self.edits)


class _Untold:
    """The server has what was agreed."""


UNTOLD: Final = _Untold()
_TEXTS: Final = {
    Reason.LOCAL_CHANGE: (
        Why.LOCAL_CHANGE,
        "it was changed here, and changes here do not travel; both sides stay as they are",
    ),
    Reason.REMOTE_CHANGE: (
        Why.REMOTE_CHANGE,
        "it was changed on the server, and what changes there is not taken; both stay as they are",
    ),
    Reason.CLASH: (
        Why.CLASH,
        "it is a folder on one side and no folder on the other; both stay. Rename one of them",
    ),
}


class Planner:
    """Makes a plan: `add_copy`, then `add` each path that is not as agreed, then `finish`."""

    def __init__(self, policy: Policy, conflicted: Container[str] = ()) -> None:
        """Begin.

        Args:
            policy: What a person allows.
            conflicted: Paths that are known to be in conflict.
        """
        self._policy = policy
        self._conflicted = conflicted
        self._deleted: set[tuple[str, str]] = set()
        self._plan = Plan()

    def add(
        self,
        path: str,
        agreed: Agreed | None,
        found: Found | None,
        told: Told | _Untold | None = UNTOLD,
        *,
        is_unseen: bool = False,
    ) -> None:
        """Take a path.

        Args:
            path: Which.
            agreed: What both sides last had.
            found: How the disk differs from that; None for not at all.
            told: What the server has now; `UNTOLD` for what was agreed.
            is_unseen: Whether the server has never seen what was agreed.
        """
        before = None if agreed is None else agreed.state
        here = before if found is None else found.state
        there = before if isinstance(told, _Untold) else None if told is None else told.state
        if is_unseen:
            decision = restate(here, there, self._policy)
        else:
            decision = reconcile(before, here, there, self._policy)
        is_deleted = decision.verb is Verb.DOWNLOAD and self._is_deleted(path, told)
        if is_deleted:
            # Both sides deleted all there was, each another version: the edit deletes this one.
            told, decision = None, reconcile(before, here, None, self._policy)
        known = None if isinstance(told, _Untold) else told
        self._carry_out(path, decision, _Facts(agreed, found, known))
        # Of what is uploaded there is more to hear; what is kept waits.
        is_done = decision.verb not in {Verb.UPLOAD, Verb.KEEP}
        if decision.verb is Verb.DOWNLOAD and known is not None:
            told = known = self._without_deleted(path, agreed, found, known)
        is_shown = path in self._conflicted or (known is not None and bool(known.losers))
        if is_done and is_shown and not (is_deleted or isinstance(told, _Untold)):
            self._plan.show[path] = told

    def _is_deleted(self, path: str, told: Told | _Untold | None) -> bool:
        """Whether the server shows what had a copy here, which was deleted."""
        if not isinstance(told, Told) or not told.version:
            return False
        return (path, told.version) in self._deleted

    def _without_deleted(
        self, path: str, agreed: Agreed | None, found: Found | None, told: Told
    ) -> Told:
        """What was told, without the version that was deleted here: that one is given up.

        Somebody else edited what it was made from, so it stands beside theirs.
        """
        if agreed is None or found is None or found.fingerprint is not None:
            return told
        deleted = [loser for loser in told.losers if loser.version == agreed.version]
        for loser in deleted:
            copy = Copy(path, loser.version, loser.etag, loser.content, agreed.fingerprint)
            self._plan.edits.append(Edit(path, Found(path, None), copy))
        kept = tuple(loser for loser in told.losers if loser not in deleted)
        return msgspec.structs.replace(told, losers=kept)

    def add_copy(self, found: Found, copy: Copy) -> None:
        """Take a conflict copy that was edited or deleted."""
        self._plan.edits.append(Edit(copy.path, found, copy))
        if found.fingerprint is None and self._policy.direction is not Direction.PULL:
            self._deleted.add((copy.path, copy.version))

    def finish(self) -> Plan:
        """Return the plan, with folders that have to stay for what is in them."""
        plan = self._plan
        plan.take.sort(key=_path)
        plan.give.sort(key=_path)
        _keep_needed_folders(plan)
        return plan

    def _carry_out(self, path: str, decision: Decision, facts: "_Facts") -> None:
        plan = self._plan
        match decision.verb:
            case Verb.NOTHING | Verb.RECORD:
                plan.settle.append(Settled(path, facts.settled()))
            case Verb.FORGET:
                plan.settle.append(Settled(path, None))
            case Verb.DOWNLOAD:
                plan.take.append(facts.take(path))
            case Verb.UPLOAD:
                plan.give.append(facts.give(path, decision))
            case Verb.DELETE_LOCAL:
                plan.remove.append(Remove(path, facts.here))
            case Verb.DELETE_REMOTE:
                plan.drop.append(facts.drop(path, decision))
            case Verb.KEEP:
                plan.problems.append(_kept(path, decision.reason))


class _Facts(NamedTuple):
    """What is known about a path: agreed, on the disk if that differs, on the server if told."""

    agreed: Agreed | None
    found: Found | None
    told: Told | None

    @property
    def fingerprint(self) -> Fingerprint | None:
        if self.found is not None:
            return self.found.fingerprint
        return None if self.agreed is None else self.agreed.fingerprint

    @property
    def here(self) -> Fingerprint:
        fingerprint = self.fingerprint
        assert fingerprint is not None, "the plan wants to read what is not there"  # noqa: S101
        return fingerprint

    def settled(self) -> Agreed | None:
        """Both sides have the same; nothing new when it was so before and is not told anew."""
        fingerprint, told, agreed = self.fingerprint, self.told, self.agreed
        if fingerprint is None:
            return None
        if told is None:
            return agreed
        if self.found is None and agreed is not None:
            return replace(agreed, base=told.base, version=told.version)
        return agreed_as(told, fingerprint, None if self.found is None else self.found.content)

    def take(self, path: str) -> Take:
        told = self.told
        assert told is not None, "the plan wants to fetch what is not there"  # noqa: S101
        return Take(path, told, self.fingerprint, self.agreed, self._held())

    def _held(self) -> Content | None:
        if self.found is not None:
            return self.found.content
        agreed = self.agreed
        if agreed is None or agreed.kind is not Kind.FILE:
            return None
        return Content(agreed.content, agreed.fingerprint.size, agreed.chunks)

    def give(self, path: str, decision: Decision) -> Give:
        found, base = self.found, self._base(decision.base)
        content = None if found is None else found.content
        target = "" if found is None else found.target
        unread = found is not None and found.is_unread
        was, both = self.agreed, decision.is_conflict
        return Give(path, self.here, content, target, base, was, both, unread)

    def drop(self, path: str, decision: Decision) -> Drop:
        agreed = self.agreed
        assert agreed is not None, "the plan wants to delete what was never agreed on"  # noqa: S101
        return Drop(path, agreed.kind, self._base(decision.base))

    def _base(self, base: Base) -> str:
        match base:
            case Base.AGREED:
                return self._agreed_base()
            case Base.REMOTE:
                return "" if self.told is None else self.told.base
            case Base.NOTHING:
                return ""

    def _agreed_base(self) -> str:
        if self.agreed is None:
            return ""
        if self.told is not None and is_same(self.told.state, self.agreed.state):
            # What was agreed on was stated again meanwhile, by another name.
            return self.told.base
        return self.agreed.base


def agreed_as(told: Told, here: Fingerprint, content: Content | None) -> Agreed:
    """What is agreed on where the disk has what was told; ``content`` if it was read."""
    chunks = b"" if content is None else content.chunks
    return Agreed(here, told.mtime_ns, told.content, chunks, told.base, told.version)


def _kept(path: str, reason: Reason | None) -> Problem:
    assert reason is not None, "what is kept has a reason"  # noqa: S101
    why, text = _TEXTS[reason]
    return Problem(path, why, text)


def _keep_needed_folders(plan: Plan) -> None:
    """A folder that one side deleted stays when the other side has news inside of it."""
    needed_here = _folders_above([take.path for take in plan.take])
    needed_there = _folders_above([give.path for give in plan.give])
    for drop in plan.drop:
        if drop.path in needed_here and drop.kind is Kind.DIRECTORY:
            plan.take.append(Take(drop.path, Told(Kind.DIRECTORY), None, None))
    for remove in plan.remove:
        if remove.path in needed_there and remove.here.kind is Kind.DIRECTORY:
            plan.give.append(Give(remove.path, remove.here, None, "", "", None))
    taken = {take.path for take in plan.take}
    given = {give.path for give in plan.give}
    plan.drop = [drop for drop in plan.drop if drop.path not in taken]
    plan.remove = [remove for remove in plan.remove if remove.path not in given]
    plan.take.sort(key=_path)
    plan.give.sort(key=_path)


def _folders_above(paths: list[str]) -> set[str]:
    above: set[str] = set()
    for path in paths:
        folder = parent(path)
        while folder and folder not in above:
            above.add(folder)
            folder = parent(folder)
    return above


def _path(step: Take | Give) -> list[str]:
    return step.path.split("/")
