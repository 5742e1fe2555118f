"""Which old chunks a new one replaced: what it is most likely alike. Pure.

Both states of a file are lists of chunks. A run of new chunks stands between two *anchors*: chunks
that the old list has as well, or the ends of the file. What the run replaced stood behind the one
anchor in the old list, or before the other, up to the next chunk that is still in use:

    old   A  B  C  D  E          X lies where C begins, counted from B, and where C ends, counted
    new   A  B  X  D  E          from D: X replaced C

    old   A  B  C  D             halves swapped; X holds the end of D and the head of A, of which
    new   C  X  B  Y             D stood behind C, and A before B

Nothing is searched for, so it costs one pass over both lists. Of each new chunk only those old
ones count that lie where it lies, counted from either anchor.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from operator import itemgetter
from typing import Final

MAX_BASES: Final = 4
"""Old chunks named for one new one, at most."""

Reference = tuple[bytes, int]
"""Id of a chunk, and the bytes of the file it stands for."""
_Span = tuple[bytes, int, int]
_high: Final = itemgetter(2)


def replaced(
    old: Sequence[Reference], new: Sequence[Reference], wanted: Collection[bytes]
) -> dict[bytes, tuple[bytes, ...]]:
    """What some new chunks replaced.

    Args:
        old: A file as it was.
        new: The same file as it is.
        wanted: Ids of new chunks that are asked about.

    Returns:
        At most `MAX_BASES` old ids for each new one; none of a chunk that replaced nothing.
    """
    places = {name: at for at, (name, _) in enumerate(old)}
    kept = {name for name, _ in new} & places.keys()
    found: dict[bytes, tuple[bytes, ...]] = {}
    for start, stop in _runs(new, kept):
        run = new[start:stop]
        length = sum(size for _, size in run)
        behind = places[new[start - 1][0]] + 1 if start else 0
        before = places[new[stop][0]] if stop < len(new) else len(old)
        # Where the old ones would lie in the run, counted from its start and from its end.
        ahead = list(_spans(old, range(behind, len(old)), kept, length))
        back = list(_spans(old, range(before - 1, -1, -1), kept, length))
        back = [(name, length - high, length - low) for name, low, high in reversed(back)]
        at = 0
        for name, size in run:
            if name in wanted and name not in found:
                here = (*_within(ahead, at, at + size), *_within(back, at, at + size))
                found[name] = tuple(dict.fromkeys(here))[:MAX_BASES]
            at += size
    return {name: bases for name, bases in found.items() if bases}


def _runs(new: Sequence[Reference], kept: Collection[bytes]) -> Iterator[tuple[int, int]]:
    """Where chunks that are not kept begin and end."""
    start = None
    for at, (name, _) in enumerate(new):
        if name in kept:
            if start is not None:
                yield start, at
            start = None
        elif start is None:
            start = at
    if start is not None:
        yield start, len(new)


def _spans(
    old: Sequence[Reference], places: range, kept: Collection[bytes], length: int
) -> Iterator[_Span]:
    """Old chunks up to one that is kept, with where each begins and ends, within a length."""
    at = 0
    for place in places:
        name, size = old[place]
        if name in kept or at >= length:
            return
        yield name, at, at + size
        at += size


def _within(spans: Sequence[_Span], start: int, stop: int) -> Iterator[bytes]:
    """The chunks of which some byte lies between two offsets; ``spans`` follow one another."""
    first = bisect_right(spans, start, key=_high)
    for name, low, _ in spans[first : first + MAX_BASES]:
        if low >= stop:
            return
        yield name
