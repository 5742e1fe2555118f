"""Many ids in one query."""

from collections.abc import Collection, Iterator
from typing import Final

_MOST: Final = 64


def batches(ids: Collection[bytes]) -> Iterator[tuple[str, list[bytes]]]:
    """Ids for ``IN (…)``: question marks, and as many values, some dozens at a time.

    The last id stands in for more, up to a power of two: each number of marks makes a statement of
    its own, of about 270 bytes a mark, which each thread's connection keeps. All numbers up to 256
    came to 8 MiB for each; these seven come to 34 KiB.
    """
    wanted = list(ids)
    for start in range(0, len(wanted), _MOST):
        batch = wanted[start : start + _MOST]
        spare = (1 << (len(batch) - 1).bit_length()) - len(batch)
        batch += batch[-1:] * spare
        yield ",".join("?" * len(batch)), batch
