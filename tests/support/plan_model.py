"""A server and its clients without disks or network: trees that plans are carried out on.

The server keeps versions and conflicts as a real one does: a change made from something older than
what is there stands beside it. Both trees refuse what no tree can hold: something below a file, a
folder that goes while something is in it. The order of what a plan says is shuffled wherever the
real doers promise none.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count

from aeorsync.core.reconcile import FOLDER, Policy, State
from aeorsync.core.versions import Kind
from aeorsync.folder.facts import FOLDER as FOLDER_LOOK
from aeorsync.folder.facts import Agreed, Content, Fingerprint, Found
from aeorsync.folder.plan import UNTOLD, Drop, Give, Plan, Planner, Remove, Take
from aeorsync.folder.told import Told

Tree = dict[str, State]


def above(path: str) -> list[str]:
    """The folders above a path, the outermost first."""
    names = path.split("/")[:-1]
    return ["/".join(names[: at + 1]) for at in range(len(names))]


def below(tree: Iterable[str], folder: str) -> list[str]:
    return [path for path in tree if path.startswith(f"{folder}/")]


def has_room(tree: Tree, path: str) -> bool:
    """Whether something may lie at a path: all above it are folders, or not there."""
    return all(tree.get(one, FOLDER) == FOLDER for one in above(path))


def look(state: State) -> Fingerprint:
    if state == FOLDER:
        return FOLDER_LOOK
    return Fingerprint(state.kind, len(state.content), state.mtime_ns, 0, 0, state.executable)


@dataclass
class Server:
    """One tree, the versions in it, and what stands beside them."""

    tree: Tree = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    beside: dict[str, set[bytes]] = field(default_factory=dict)
    _numbers: "count[int]" = field(default_factory=lambda: count(1))

    def put(self, path: str, state: State, base: str) -> bool:
        """Take a file, a link or a folder; returns whether there was room."""
        old = self.tree.get(path)
        if not has_room(self.tree, path):
            return False
        if state == FOLDER:
            if old not in {None, FOLDER}:
                return False
        else:
            if old == FOLDER:
                return False
            if old is not None and base != self.versions[path]:
                self.beside.setdefault(path, set()).add(old.content)
            self.versions[path] = f"v{next(self._numbers)}"
        for folder in above(path):
            self.tree[folder] = FOLDER
        self.tree[path] = state
        return True

    def delete(self, path: str, base: str | None) -> bool:
        """Delete; a version that was not seen stays, and so does a folder with something in it."""
        old = self.tree.get(path)
        if old is None:
            return True
        if old == FOLDER:
            if base or below(self.tree, path):
                return False
        elif base is not None and base != self.versions[path]:
            return False
        del self.tree[path]
        self.versions.pop(path, None)
        return True

    def told(self, path: str) -> Told | None:
        state = self.tree.get(path)
        if state is None:
            return None
        if state == FOLDER:
            return Told(Kind.DIRECTORY)
        version = self.versions[path]
        bits = (state.executable, state.mtime_ns, version, version)
        return Told(state.kind, state.content, len(state.content), b"", *bits)


@dataclass
class Client:
    """One folder, and what was agreed on."""

    server: Server
    chance: random.Random
    policy: Policy = field(default_factory=Policy)
    tree: Tree = field(default_factory=dict)
    agreed: dict[str, Agreed] = field(default_factory=dict)
    clashes: set[str] = field(default_factory=set)

    def plan(self) -> Plan:
        """What a pass would do now; paths come in any order."""
        planner = Planner(self.policy)
        paths = [*(self.tree.keys() | self.agreed.keys() | self.server.tree.keys())]
        self.chance.shuffle(paths)
        for path in paths:
            agreed, here, told = self.agreed.get(path), self.tree.get(path), self.server.told(path)
            found = self._found(path, agreed, here)
            is_known = self._is_known(agreed, told)
            if found is not None or not is_known:
                planner.add(path, agreed, found, UNTOLD if is_known else told)
        plan = planner.finish()
        self.clashes = {problem.path for problem in plan.problems}
        return plan

    def run(self) -> bool:
        """One pass; returns whether it changed nothing."""
        before = self._seen()
        plan = self.plan()
        for settled in plan.settle:
            self._agree(settled.path, settled.agreed)
        if self.chance.random() < 0.5:
            self._push(plan)
            self._pull(plan)
        else:
            self._pull(plan)
            self._push(plan)
        return self._seen() == before

    def _seen(self) -> object:
        return (
            dict(self.tree),
            dict(self.agreed),
            dict(self.server.tree),
            dict(self.server.versions),
        )

    def _is_stuck(self, path: str) -> None:
        """Something and a folder with something in it want one name; a person is told."""
        self.clashes.update((path, *above(path)))

    @staticmethod
    def _found(path: str, agreed: Agreed | None, here: State | None) -> Found | None:
        if here is None:
            return None if agreed is None else Found(path, None, agreed)
        fingerprint = look(here)
        is_like = agreed is not None and agreed.fingerprint == fingerprint
        if is_like and agreed is not None and agreed.content == here.content:
            return None
        content, target = None, ""
        if here.kind is Kind.FILE:
            content = Content(here.content, len(here.content), b"")
        elif here.kind is Kind.SYMLINK:
            target = here.content.decode()
        return Found(path, fingerprint, agreed, content, target)

    @staticmethod
    def _is_known(agreed: Agreed | None, told: Told | None) -> bool:
        if agreed is None or told is None:
            return agreed is None and told is None
        return (agreed.kind, agreed.version) == (told.kind, told.version)

    # Here

    def _pull(self, plan: Plan) -> None:
        early: list[Take] = []
        late: list[Take] = []
        for take in plan.take:
            was_folder = take.here is not None and take.here.kind is Kind.DIRECTORY
            is_late = was_folder and take.told.kind != Kind.DIRECTORY
            (late if is_late else early).append(take)
        for take in early:
            if take.told.kind == Kind.DIRECTORY:
                self._take(take)
        leaves = [take for take in early if take.told.kind != Kind.DIRECTORY]
        self.chance.shuffle(leaves)
        for take in leaves:
            self._take(take)
        self._remove(plan.remove)
        self.chance.shuffle(late)
        for take in late:
            self._take(take)

    def _take(self, take: Take) -> None:
        path, state = take.path, take.told.state
        old = self.tree.get(path)
        if not has_room(self.tree, path):
            self._is_stuck(path)
            return
        if (None if old is None else look(old)) != take.here:
            return
        if old == FOLDER != state and below(self.tree, path):
            self._is_stuck(path)
            return
        for folder in above(path):
            self.tree.setdefault(folder, FOLDER)
        self.tree[path] = state
        version = take.told.version
        self._agree(
            path, Agreed(look(state), state.mtime_ns, state.content, b"", version, version)
        )

    def _remove(self, removes: list[Remove]) -> None:
        leaves = [step for step in removes if step.here.kind is not Kind.DIRECTORY]
        self.chance.shuffle(leaves)
        inner = [step for step in removes if step.here.kind is Kind.DIRECTORY]
        inner.sort(key=lambda step: step.path.split("/"), reverse=True)
        for step in (*leaves, *inner):
            old = self.tree.get(step.path)
            if old == FOLDER and below(self.tree, step.path):
                continue
            if old is None or look(old) == step.here:
                self.tree.pop(step.path, None)
                self._agree(step.path, None)

    # There

    def _push(self, plan: Plan) -> None:
        self._drop(plan.drop)
        folders = [give for give in plan.give if give.here.kind is Kind.DIRECTORY]
        leaves = [give for give in plan.give if give.here.kind is not Kind.DIRECTORY]
        self.chance.shuffle(leaves)
        for give in (*folders, *leaves):
            self._give(give)

    def _drop(self, drops: list[Drop]) -> None:
        for drop in sorted(drops, key=lambda one: one.path.split("/"), reverse=True):
            is_folder = drop.kind is Kind.DIRECTORY
            there = self.server.tree.get(drop.path)
            if there is not None and is_folder != (there == FOLDER):
                continue
            if self.server.delete(drop.path, None if is_folder else drop.base):
                self._agree(drop.path, None)

    def _give(self, give: Give) -> None:
        state = self.tree.get(give.path)
        if state is None or look(state) != give.here:
            return
        if self.server.tree.get(give.path) == FOLDER != state:
            # A folder that is empty there by now was deleted by this client, or stays.
            is_ours = give.was is not None and give.was.kind is Kind.DIRECTORY
            if not (is_ours and self.server.delete(give.path, None)):
                self._is_stuck(give.path)
                return
        is_leaf = self.server.tree.get(give.path) not in {None, FOLDER}
        if is_leaf and state == FOLDER and not self.server.delete(give.path, give.base):
            self._is_stuck(give.path)
            return
        if self.server.put(give.path, state, give.base):
            version = self.server.versions.get(give.path, "")
            fields = (state.mtime_ns, state.content, b"", version, version)
            self._agree(give.path, Agreed(look(state), *fields))
        else:
            self._is_stuck(give.path)

    def _agree(self, path: str, agreed: Agreed | None) -> None:
        if agreed is None:
            self.agreed.pop(path, None)
        else:
            self.agreed[path] = agreed
