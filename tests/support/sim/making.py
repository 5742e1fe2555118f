"""Schedules out of a seed."""

from collections.abc import Callable
from random import Random
from typing import Any

from tests.support.sim.small import Schedule, Step

PATHS = ("/a", "/b", "/d", "/d/a", "/d/b")
CLIENTS = 3
HOUR_MS = 3_600_000
YEAR_MS = 365 * 24 * HOUR_MS
FAULTS = ("lost", "unheard", "twice", "asker")

# How often each kind of step comes in every run ...
WEIGHTS = {
    "put": 12,
    "edit": 14,
    "look": 7,
    "link": 2,
    "folder": 2,
    "delete": 8,
    "drop": 5,
    "rename": 4,
    "copy": 1,
    "undelete": 2,
    "resolve": 3,
    "give up": 2,
    "commit": 8,
    "pull": 32,
    "push": 7,
    "repair": 4,
    "crash": 2,
    "dying": 6,
    "restart": 2,
    "wait": 2,
}
# ... and beside, in runs that have these parts; most have one or two.
PARTS: dict[str, dict[str, int]] = {
    "past": {"snapshot": 16, "bring back": 16, "forget snapshot": 4},
    "forks": {"fork": 14, "fork put": 20, "fork delete": 8, "end fork": 16},
    "filters": {"filter": 20},
    "graves": {"grow old": 8, "tend": 25},
    "garbage": {"collect": 25, "stow": 15, "use": 15, "sleep": 20},
    "clocks": {"clock": 20, "freeze": 6},
    "copies": {"save": 22, "put back": 22},
    "members": {"join": 10, "remove": 3},
}
# What hardly comes about by itself: steps in this order, with others between them. N and M are
# nodes, P and Q paths, C is a client.
SCENES: dict[str, tuple[str, ...]] = {
    "past": ("put N P", "snapshot N", "delete N P", "bring back N 0"),
    "forks": ("put N P", "fork N", "fork put N P", "put N P", "end fork N 1"),
    "filters": ("filter M N", "put N P", "pull M N", "filter M N"),
    "graves": ("put N P", "pull M N", "delete N P", "tend N", "pull N M"),
    "garbage": ("stow C N", "sleep", "collect N", "use C N P"),
    "clocks": ("clock N", "put N P", "pull M N", "clock N", "put N P"),
    "copies": ("save N", "put N P", "pull M N", "put back N", "put N Q", "put N Q", "pull M N"),
    "members": ("join N", "put N P", "delete M P"),
    "": ("put N P", "pull M N", "look C M P", "put N P", "edit C M P", "pull N M"),
}
# A grave is safe from a copy that was put back for as long as clocks are right.
APART = ({"clocks", "copies"}, {"garbage", "copies"}, {"clocks", "graves"})


def make_small(seed: int) -> Schedule:
    """The schedule of a seed."""
    chance = Random(f"small {seed}")
    weights = dict(WEIGHTS)
    parts = set(chance.sample(sorted(PARTS), chance.choice((0, 1, 1, 1, 2, 2))))
    if parts in APART:
        parts = {min(parts)}
    for name in sorted(parts):
        weights |= PARTS[name]
    nodes = chance.choice((2, 2, 3))
    paths = chance.sample(PATHS, chance.choice((1, 2, 2, 3)))
    maker = Maker(chance, nodes, paths)
    steps = maker.some(weights, chance.randint(5, 12))
    for name in sorted(parts or {""}):
        if chance.random() < 0.6:
            steps = maker.mixed(steps, maker.scene(SCENES[name]))
    return Schedule(seed, nodes, tuple(steps), is_founded=chance.random() < 0.85)


class Maker:
    """Fills in what belongs to each step."""

    def __init__(self, chance: Random, nodes: int, paths: list[str]) -> None:
        self._chance = chance
        self._nodes = nodes
        self._paths = paths
        self._make = self._makers()

    def step(self, name: str) -> Step:
        """One step of a kind."""
        return (name, *self._arguments(name))

    def some(self, weights: dict[str, int], count: int) -> list[Step]:
        """So many steps of any kind."""
        names = self._chance.choices(list(weights), list(weights.values()), k=count)
        return [self.step(name) for name in names]

    def scene(self, lines: tuple[str, ...]) -> list[Step]:
        """Steps in a certain order, about the same nodes and paths."""
        node = self._node()
        cast: dict[str, Any] = {
            "N": node,
            "M": (node + self._chance.randint(1, self._nodes - 1)) % self._nodes,
            "P": self._path(),
            "Q": self._path(),
            "C": self._client(),
            "0": 0,
            "1": True,
        }
        steps: list[Step] = []
        for line in lines:
            words = line.split()
            given = [cast[word] for word in words if word in cast]
            name, *drawn = self.step(" ".join(word for word in words if word not in cast))
            steps.append((name, *given, *drawn[len(given) :]))
        return steps

    def mixed(self, one: list[Step], other: list[Step]) -> list[Step]:
        """Two lists as one, each in its order."""
        places = sorted(self._chance.randint(0, len(one)) for _ in other)
        found = list(one)
        for shift, (place, step) in enumerate(zip(places, other, strict=True)):
            found.insert(place + shift, step)
        return found

    def _makers(self) -> dict[str, Callable[[], list[Any]]]:
        """What belongs to each kind of step; to others only a node."""
        return {
            "put": lambda: [self._node(), self._path(), self._number()],
            "edit": lambda: [self._client(), self._node(), self._path(), self._number()],
            "stow": lambda: [self._client(), self._node(), self._number()],
            "use": lambda: [self._client(), self._node(), self._path()],
            "sleep": list,
            "look": lambda: [self._client(), self._node(), self._path(), self._small()],
            "link": lambda: [self._node(), self._path(), self._number()],
            "folder": lambda: [self._node(), self._path()],
            "delete": lambda: [self._node(), self._path()],
            "drop": lambda: [self._client(), self._node(), self._path()],
            "rename": lambda: [self._node(), self._path(), self._any_path()],
            "copy": lambda: [self._node(), self._path(), "/d"],
            "undelete": lambda: [self._node(), self._path()],
            "resolve": lambda: [self._node(), self._path(), self._small()],
            "give up": lambda: [self._node(), self._path(), self._small()],
            "commit": self._commit,
            "snapshot": lambda: [self._node()],
            "bring back": lambda: [self._node(), self._small()],
            "forget snapshot": lambda: [self._node(), self._small()],
            "fork": lambda: [self._node()],
            "fork put": lambda: [self._node(), self._path(), self._number()],
            "fork delete": lambda: [self._node(), self._path()],
            "end fork": lambda: [self._node(), self._chance.random() < 0.7],
            "pull": self._pull,
            "push": self._pull,
            "repair": self._pull,
            "filter": self._filter,
            "join": lambda: [self._node()],
            "remove": lambda: [self._node(), self._node()],
            "dying": self._dying,
            "clock": lambda: [self._node(), self._offset()],
            "wait": lambda: [self._chance.choice((1, 1000, 60_000))],
            "grow old": list,
        }

    def _arguments(self, name: str) -> list[Any]:
        make = self._make.get(name)
        return [self._node()] if make is None else make()

    def _node(self) -> int:
        return self._chance.randrange(self._nodes)

    def _client(self) -> int:
        return self._chance.randrange(CLIENTS)

    def _path(self) -> str:
        return self._chance.choice(self._paths)

    def _any_path(self) -> str:
        return self._chance.choice(PATHS)

    def _number(self) -> int:
        return self._chance.randrange(6)

    def _small(self) -> int:
        return self._chance.randrange(3)

    def _offset(self) -> int:
        size = self._chance.choice((20_000, 40_000, HOUR_MS, 10 * YEAR_MS))
        return self._chance.choice((-size, size))

    def _commit(self) -> list[Any]:
        kinds = self._chance.choices(("file", "delete", "folder"), (6, 3, 1), k=2)
        changes = [[kind, self._path(), self._number()] for kind in kinds]
        arguments: list[Any] = [self._client(), self._node(), changes]
        if self._chance.random() < 0.3:
            arguments.append(self._node())
        return arguments

    def _pull(self) -> list[Any]:
        asker = self._node()
        server = (asker + self._chance.randint(1, self._nodes - 1)) % self._nodes
        arguments: list[Any] = [asker, server]
        if self._chance.random() < 0.35:
            arguments.append(self._fault())
        return arguments

    def _fault(self) -> list[Any]:
        if self._chance.random() < 0.5:
            return [self._chance.choice(FAULTS), self._chance.randrange(3)]
        who = self._chance.choice(("asker dies", "server dies"))
        return [who, self._chance.randrange(6), self._chance.random() < 0.5]

    def _filter(self) -> list[Any]:
        asker = self._node()
        server = (asker + self._chance.randint(1, self._nodes - 1)) % self._nodes
        paths, excludes = self._chance.choice(
            ((["/d/**"], None), (["/a"], None), (None, ["/d/**"]), (None, ["/a"]), (None, None))
        )
        return [asker, server, paths, excludes]

    def _dying(self) -> list[Any]:
        name = self._chance.choice(("put", "edit", "delete", "rename", "commit", "put"))
        inner = self.step(name)
        at = inner[1] if name in {"edit", "commit"} else inner[0 + 1]
        if name in {"edit", "commit"}:
            at = inner[2]
        return [at, self._chance.randrange(4), self._chance.random() < 0.5, inner]
