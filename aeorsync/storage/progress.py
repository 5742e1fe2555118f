"""How long-running work tells where it stands."""

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[str, int, int], None]
"""Told (what is being done, how much is done, of how much; 0 when that is not known)."""


def quiet(_what: str, _done: int, _all: int) -> None:
    """Tell nobody."""
