"""Plans, carried out on models in any order: they end, all sides are equal, nothing is lost.

A tree is made, everybody has it, and then everybody changes it: edits, deletions, moves (also in
circles, and into what somebody else deletes), files for folders and back, links, times, bits, and
names that differ by case. Then passes are made in any turns until there is nothing left to do.
"""

import random
from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aeorsync.core.reconcile import FOLDER, State
from aeorsync.core.versions import Kind
from tests.support.plan_model import Client, Server, Tree, above, below, has_room

NAMES: Final = ("a", "A", "b", "c")
ROUNDS: Final = 12


class World:
    """A server, clients, and what everybody did."""

    def __init__(self, seed: int, clients: int) -> None:
        self.chance = random.Random(seed)
        self.server = Server()
        self.clients = [Client(self.server, self.chance) for _ in range(clients)]
        self.ended: set[bytes] = set()
        self.born: set[bytes] = set()
        self.number = 0
        base: Tree = {}
        for _ in range(self.chance.randrange(2, 9)):
            self.write(base, self.path())
        for path, state in base.items():
            self.server.put(path, state, "")
        for client in self.clients:
            self.settle_one(client)

    def path(self) -> str:
        depth = self.chance.choice((1, 1, 2, 2, 3))
        return "/".join(self.chance.choice(NAMES) for _ in range(depth))

    def settle_one(self, client: Client) -> None:
        for _ in range(5):
            if client.run():
                break
        assert client.tree == self.server.tree

    # What people do

    def write(self, tree: Tree, path: str, kind: Kind = Kind.FILE) -> None:
        if not has_room(tree, path) or tree.get(path) == FOLDER:
            return
        self.end(tree.get(path))
        for folder in above(path):
            tree[folder] = FOLDER
        self.number += 1
        content = b"%d" % self.number
        self.born.add(content)
        tree[path] = State(kind, content, mtime_ns=0 if kind is Kind.SYMLINK else self.number)

    def link(self, tree: Tree, path: str) -> None:
        self.write(tree, path, Kind.SYMLINK)

    def end(self, state: State | None) -> None:
        """Somebody who saw it made it go."""
        if state is not None and state.content:
            self.ended.add(state.content)

    def delete(self, tree: Tree, path: str) -> None:
        for one in (path, *below([*tree], path)):
            self.end(tree.pop(one, None))

    def make_folder(self, tree: Tree, path: str) -> None:
        if has_room(tree, path):
            self.end(tree.get(path))
            for folder in (*above(path), path):
                tree[folder] = FOLDER

    def move(self, tree: Tree, path: str) -> None:
        goal = self.path()
        is_inside = goal == path or goal.startswith(f"{path}/") or path.startswith(f"{goal}/")
        if path not in tree or is_inside or not has_room(tree, goal):
            return
        self.delete(tree, goal)
        for folder in above(goal):
            tree[folder] = FOLDER
        for one in (path, *below([*tree], path)):
            tree[goal + one[len(path) :]] = tree.pop(one)

    def swap(self, tree: Tree, path: str) -> None:
        """A and B change places, as if by a third name."""
        other = self.path()
        is_inside = other.startswith(f"{path}/") or path.startswith(f"{other}/")
        if path == other or is_inside or path not in tree or other not in tree:
            return
        first = {one[len(path) :]: tree.pop(one) for one in (path, *below([*tree], path))}
        second = {one[len(other) :]: tree.pop(one) for one in (other, *below([*tree], other))}
        tree.update({other + tail: state for tail, state in first.items()})
        tree.update({path + tail: state for tail, state in second.items()})

    def turn(self, tree: Tree, path: str) -> None:
        """A file becomes a folder, or a folder a file."""
        was = tree.get(path)
        self.delete(tree, path)
        if was == FOLDER:
            self.write(tree, path)
        else:
            self.write(tree, f"{path}/a")

    def touch(self, tree: Tree, path: str) -> None:
        state = tree.get(path)
        if state is not None and state.kind is Kind.FILE:
            self.number += 1
            tree[path] = state._replace(mtime_ns=self.number)

    def set_bit(self, tree: Tree, path: str) -> None:
        state = tree.get(path)
        if state is not None and state.kind is Kind.FILE:
            tree[path] = state._replace(executable=not state.executable)

    def change_case(self, tree: Tree, path: str) -> None:
        head, slash, last = path.rpartition("/")
        goal = f"{head}{slash}{last.swapcase()}"
        if path in tree and goal not in tree and goal != path:
            for one in (path, *below([*tree], path)):
                tree[goal + one[len(path) :]] = tree.pop(one)

    def perturb(self, tree: Tree) -> None:
        deeds: tuple[Callable[[Tree, str], None], ...] = (
            *(self.write, self.write, self.link, self.delete, self.delete, self.make_folder),
            *(self.move, self.move, self.swap, self.turn, self.touch, self.set_bit),
            self.change_case,
        )
        for _ in range(self.chance.randrange(1, 6)):
            path = self.path()
            if tree and self.chance.random() < 0.7:
                path = self.chance.choice(sorted(tree))
            self.chance.choice(deeds)(tree, path)

    # What has to come of it

    def settle(self) -> None:
        for _ in range(ROUNDS):
            for _ in range(self.chance.randrange(4)):
                self.chance.choice(self.clients).run()
            changed = [client for client in self.clients if not client.run()]
            if not changed:
                return
        raise AssertionError("it does not come to an end")

    def check(self) -> None:
        clashes = set[str]().union(*(client.clashes for client in self.clients))

        def is_open(path: str) -> bool:
            """Whether nobody has to decide first about it, or about what is above it."""
            return path in clashes or not clashes.isdisjoint(above(path))

        server = {path: state for path, state in self.server.tree.items() if not is_open(path)}
        for client in self.clients:
            here = {path: state for path, state in client.tree.items() if not is_open(path)}
            assert here == server
        held = {state.content for state in self.server.tree.values()}
        held |= {state.content for client in self.clients for state in client.tree.values()}
        held |= set[bytes]().union(*self.server.beside.values())
        assert self.born - self.ended <= held, "something is lost"
        assert held - {b""} <= self.born


def try_one(seed: int, clients: int) -> None:
    world = World(seed, clients)
    for _ in range(2):
        for client in world.clients:
            world.perturb(client.tree)
        world.settle()
        world.check()


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 1 << 40), clients=st.sampled_from((1, 2, 2, 3)))
def test_plans_come_to_an_end_where_all_are_equal_and_nothing_is_lost(
    seed: int, clients: int
) -> None:
    try_one(seed, clients)


@pytest.mark.parametrize("clients", [1, 2, 3])
def test_so_they_do_for_seeds_that_stay_the_same(clients: int) -> None:
    for seed in range(150):
        try_one(seed, clients)
