"""Schedules of whole clusters out of a seed."""

from collections.abc import Callable
from random import Random
from typing import Any

from tests.support.sim.making import HOUR_MS, PATHS, YEAR_MS, Maker
from tests.support.sim.small import Schedule, Step

WEIGHTS = {
    "put": 14,
    "edit": 14,
    "look": 8,
    "delete": 8,
    "drop": 4,
    "rename": 4,
    "folder": 2,
    "link": 2,
    "undelete": 2,
    "resolve": 3,
    "give up": 2,
    "commit": 8,
    "pass": 45,
    "weather": 6,
    "cut": 7,
    "mend": 4,
    "crash": 4,
    "fuse": 6,
    "start": 8,
    "ask": 4,
}
PARTS: dict[str, dict[str, int]] = {
    "past": {"snapshot": 8, "bring back": 8, "forget snapshot": 2},
    "forks": {"fork": 6, "fork put": 10, "end fork": 8},
    "terms": {"terms": 20, "untie": 3, "tie": 4},
    "garbage": {"collect": 10, "stow": 8, "use": 8},
    "clocks": {"clock": 14, "freeze": 4},
    "copies": {"save": 12, "put back": 12},
    "age": {"long pass": 8},
}
_LONG_S = 1200
SHAPES = ("line", "ring", "star", "mesh", "one-sided")


def make_whole(seed: int) -> Schedule:
    """The schedule of a seed."""
    chance = Random(f"whole {seed}")
    weights = dict(WEIGHTS)
    parts = set(chance.sample(sorted(PARTS), chance.choice((0, 1, 1, 2))))
    if len(parts & {"clocks", "copies", "age"}) > 1:
        parts -= {"copies", "age"}
    for name in sorted(parts):
        weights |= PARTS[name]
    nodes = chance.choice((2, 3, 3, 4))
    maker = _Maker(chance, nodes, chance.sample(PATHS, chance.choice((1, 2, 3))))
    ties = maker.ties(chance.choice(SHAPES))
    steps = [
        *ties,
        ("pass", chance.choice((0.1, 3))),
        *maker.some(weights, chance.randint(12, 40)),
    ]
    return Schedule(seed, nodes, tuple(steps), size="whole", is_founded=chance.random() < 0.7)


class _Maker(Maker):
    """Fills in what belongs to each step."""

    def ties(self, shape: str) -> list[Step]:
        """Links that join all nodes."""
        count = self._nodes
        pairs = [(a, a + 1) for a in range(count - 1)]
        if shape == "ring" and count > 2:
            pairs.append((count - 1, 0))
        if shape == "star":
            pairs = [(0, a) for a in range(1, count)]
        if shape == "mesh":
            pairs = [(a, b) for a in range(count) for b in range(a)]
        if shape == "one-sided":
            return [("tie", *pair) for pair in pairs]
        return [("tie", *tie) for pair in pairs for tie in (pair, pair[::-1])]

    def _arguments(self, name: str) -> list[Any]:
        chance = self._chance
        make: dict[str, Callable[[], list[Any]]] = {
            "pass": lambda: [chance.choice((0.0, 0.01, 0.1, 0.5, 2, 10, 40))],
            "weather": self._weather,
            "cut": self._pair,
            "untie": self._pair,
            "tie": self._pair,
            "mend": list,
            "fuse": lambda: [self._node(), chance.randrange(30), chance.random() < 0.5],
            "ask": lambda: [self._node(), chance.choice(("pull", "push", "repair", "force"))],
            "terms": lambda: [*self._pair(), chance.choice(_TERMS)],
            "clock": lambda: [self._node(), chance.choice((-1, 1)) * chance.choice(_OFFSETS)],
        }
        return make[name]() if name in make else super()._arguments(name)

    def _weather(self) -> list[Any]:
        bad = self._chance.choice((0, 0, 0.05, 0.2))
        late = self._chance.choice((0.001, 0.01, 0.1, 1.0))
        return [late, bad, self._chance.choice((0, bad)), self._chance.choice((0, bad))]

    def step(self, name: str) -> Step:
        if name == "long pass":
            return ("pass", _LONG_S)
        return super().step(name)

    def _pair(self) -> list[Any]:
        a = self._node()
        return [a, (a + self._chance.randint(1, self._nodes - 1)) % self._nodes]


_OFFSETS = (5_000, 20_000, 40_000, HOUR_MS, 10 * YEAR_MS)
_TERMS: tuple[dict[str, Any], ...] = (
    {"sync_paths": ["/d/**"]},
    {"sync_paths": ["/a"]},
    {"excludes": ["/d/**"]},
    {"sync_paths": [], "excludes": []},
    {"direction": "pull"},
    {"direction": "push"},
    {"direction": "both"},
    {"enabled": False},
    {"enabled": True},
    {"compression": "none"},
)
