"""Chance, and the only code that draws it.

All of it comes from the operating system's own source, also where nobody could gain anything by
guessing: so no caller has to think about which kind is good enough. A simulation puts a source of
its own in place, and then everything that is left to chance is what it says.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

_source: random.Random = random.SystemRandom()


def token_bytes(size: int) -> bytes:
    """Return so many random bytes."""
    return _source.randbytes(size)


def token_hex(size: int) -> str:
    """Return so many random bytes as hex digits, two for each."""
    return _source.randbytes(size).hex()


def below(limit: int) -> int:
    """Return a random number from 0 to ``limit`` - 1."""
    return _source.randrange(limit)


def bits(count: int) -> int:
    """Return a random number of so many bits."""
    return _source.getrandbits(count)


def fraction() -> float:
    """Return a random number from 0 to 1, that itself never."""
    return _source.random()


def uuid() -> "UUID":
    """Return a random UUID."""
    from uuid import UUID  # noqa: PLC0415  # takes a while, and is seldom needed

    return UUID(bytes=_source.randbytes(16), version=4)


@contextmanager
def drawn_from(source: random.Random) -> Iterator[None]:
    """Draw from another source, in the whole process; for simulations only."""
    global _source  # noqa: PLW0603  # that is the point of it
    before, _source = _source, source
    try:
        yield
    finally:
        _source = before
