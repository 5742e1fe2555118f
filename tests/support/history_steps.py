"""The steps of histories (`histories`): making them by chance, and making them shorter."""

import random
from collections.abc import Callable
from typing import Any, Final, TypeAlias

FOLDERS: Final = 3
SERVERS: Final = 2
MOMENTS: Final = 14
"""Of a pass: before and after each request."""
Step: TypeAlias = list[Any]
History: TypeAlias = list[Step]


def make(seed: int, paths: int, length: int = 24, *, goes_back: bool = False) -> History:
    """A history by chance.

    Args:
        seed: Of all choices.
        paths: Number of files.
        length: Of steps, before all heals.
        goes_back: Whether servers are put back to older copies.
    """
    source = random.Random(seed)
    return [_step(source, paths, goes_back=goes_back) for _ in range(length)]


def _step(source: random.Random, paths: int, *, goes_back: bool) -> Step:
    kinds = {"sync": 10, "kill": 3, "lose": 2, "during": 3, "exchange": 5, "cut": 1, "heal": 1}
    kinds |= {"work": 12, "restart": 1, **({"save": 2, "back": 1} if goes_back else {})}
    [kind] = source.choices(list(kinds), list(kinds.values()))
    folder = source.randrange(FOLDERS)
    match kind:
        case "work":
            return _work(source, folder, paths)
        case "sync":
            return [kind, folder]
        case "kill" | "lose":
            return [kind, folder, source.randrange(MOMENTS)]
        case "during":
            return [kind, folder, source.randrange(MOMENTS), _work(source, folder, paths)]
        case "restart" | "save" | "back":
            return [kind, source.randrange(SERVERS)]
        case _:
            return [kind]


def _work(source: random.Random, folder: int, paths: int) -> Step:
    [kind] = source.choices(["write", "delete", "rename", "drop"], [6, 2, 2, 1])
    some = [f"f{number}" for number in source.choices(range(paths), k=2)]
    return [kind, folder, *(some if kind == "rename" else some[:1])]


def shorten(history: History, fails: Callable[[History], bool]) -> History:
    """A shortest part of a failing history that fails as well, by leaving steps out."""
    size = max(1, len(history) // 2)
    while True:
        at = 0
        while at < len(history):
            shorter = history[:at] + history[at + size :]
            if fails(shorter):
                history = shorter
            else:
                at += size
        if size == 1:
            return history
        size = max(1, size // 2)
