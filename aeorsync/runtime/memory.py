"""How memory is handed out, and looked through for what may go: settings of a whole process."""

import ctypes
import gc
from typing import Final

# Of <malloc.h>; libraries that are made otherwise refuse what they do not know.
_M_ARENA_MAX: Final = -8
_M_MMAP_THRESHOLD: Final = -3
_M_TRIM_THRESHOLD: Final = -1
ARENAS: Final = 2
"""As many as do C work at once on a small machine. By default each thread gets one of its own, up
to eight for each processor, and what databases and compressors let go of in one is of no use to
the others: those of 16 threads came to 76 MiB under mixed load, in half an hour."""

LARGEST: Final = 8 << 20
"""Bytes of the largest piece that is cut from what is held; larger ones come from the system."""
SPARE: Final = 32 << 20
"""Bytes that may be held in vain, in each arena."""

THRESHOLDS: Final = (20_000, 20, 50)
"""Of `gc.set_threshold`: objects that are there more before the young are searched, and how many
such searches before the older. Each takes a few hundred bytes: some MiB wait at most."""


def share_arenas() -> bool:
    """Let the threads of this process share their memory; before the first of them starts.

    Returns:
        Whether the C library can do that.
    """
    return _set(_M_ARENA_MAX, ARENAS)


def search_seldom() -> None:
    """Let garbage in cycles wait; to be called again when more that stays for good has been made.

    Almost everything goes by its count of references. The search for the rest goes through all
    that there is, and with the usual thresholds a commit of thousands of files began one every few
    files: a tenth to a fifth of all processor time. What was imported is never garbage.
    """
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)


def keep_spare() -> bool:
    """Keep some of what was let go of for what is asked for next.

    Else each buffer of a MiB or two comes fresh from the system, which has to find and clear its
    pages: while 1 GiB is moved that took a third of all time in the system, at either end.

    Returns:
        Whether the C library can do that.
    """
    return _set(_M_MMAP_THRESHOLD, LARGEST) and _set(_M_TRIM_THRESHOLD, SPARE)


def give_back() -> None:
    """Let go of garbage in cycles, and give the system what is held in vain.

    Each event stream that broke off leaves a cycle of a hundred objects, old by then, which
    `search_seldom` would keep for hours. Nothing else runs meanwhile: 10 ms for 60 000 objects.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _set(option: int, value: int) -> bool:
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    return set_option is not None and set_option(option, value) == 1
