"""How the C library hands out memory: the setting of a process that stays up for months."""

import ctypes
from typing import Final

# Of <malloc.h>; libraries that are made otherwise refuse what they do not know.
_M_ARENA_MAX: Final = -8
_M_MMAP_THRESHOLD: Final = -3
_M_TRIM_THRESHOLD: Final = -1
ARENAS: Final = 2
"""As many as do C work at once on a small machine. By default each thread gets one of its own, up
to eight for each processor, and what databases and compressors let go of in one is of no use to
the others: those of 16 threads came to 76 MiB under mixed load, in half an hour."""


def share_arenas() -> bool:
    """Let the threads of this process share their memory; before the first of them starts.

    Returns:
        Whether the C library can do that.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    return set_option is not None and set_option(_M_ARENA_MAX, ARENAS) == 1


LARGEST: Final = 4 << 20
"""Bytes of the largest piece that is cut from what is held; larger ones come from the system."""
SPARE: Final = 32 << 20
"""Bytes that may be held in vain, in each arena."""


def keep_spare() -> bool:
    """Keep some of what was let go of for what is asked for next.

    Else each buffer of a MiB or two comes fresh from the system, which has to find and clear its
    pages: while 1 GiB is moved that took a third of all time in the system, at either end.

    Returns:
        Whether the C library can do that.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    return set_option is not None and all(
        set_option(option, size) == 1
        for option, size in ((_M_MMAP_THRESHOLD, LARGEST), (_M_TRIM_THRESHOLD, SPARE))
    )
