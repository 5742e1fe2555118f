"""One folder as the disk shows it, and a digest of that.

Equal digests mean: the same names, and of every file and link the same type, permissions, size,
times and inode. Of folders only the names count, for they change whenever something inside does.
"""

import operator
import os
from bisect import bisect_left
from collections.abc import Iterator
from typing import Final, TypeAlias

import msgspec

from aeorsync.core.hashing import hasher
from aeorsync.folder import temps
from aeorsync.folder.facts import Fingerprint, is_young

SLICE: Final = 4096
"""Entries that are looked at at once."""

_encode: Final = msgspec.msgpack.Encoder().encode


Look: TypeAlias = tuple[int, int, int, int, int]
"""What counts of a `stat`: mode, size in bytes, mtime and ctime in nanoseconds, inode."""

GONE: Final[Look] = (0, 0, 0, 0, 0)
"""The look of what is not there any more."""
_AFTER: Final = temps.PREFIX[:-1] + chr(ord(temps.PREFIX[-1]) + 1)
_SIZE: Final = 20
_look: Final = operator.attrgetter("st_mode", "st_size", "st_mtime_ns", "st_ctime_ns", "st_ino")


class Listing(msgspec.Struct):
    """The entries of one folder; all lists are sorted.

    Attributes:
        folders: Names of folders.
        others: Names of everything else.
        temps: Names that are reserved for us, in no other list.
        broken: Names that are not UTF-8, likewise.
        looks: Of ``others``; None when these are too many for one slice.
    """

    folders: list[str]
    others: list[str]
    temps: list[str]
    broken: list[str]
    looks: list[Look] | None = None

    def slices(self, handle: int) -> Iterator[tuple[list[str], list[Look]]]:
        """Names of ``others`` with their looks, slice by slice; what is gone looks like zeros."""
        if self.looks is not None:
            yield self.others, self.looks
            return
        for start in range(0, len(self.others), SLICE):
            some = self.others[start : start + SLICE]
            yield some, looks(handle, some)


def read(handle: int) -> Listing:
    """List a folder that is held open.

    Raises:
        OSError: The disk refused.
    """
    found = Listing([], [], [], [])
    folders, others = found.folders, found.others
    with os.scandir(handle) as entries:
        for entry in entries:
            (folders if entry.is_dir(follow_symlinks=False) else others).append(entry.name)
    folders.sort()
    others.sort()
    start, stop = bisect_left(others, temps.PREFIX), bisect_left(others, _AFTER)
    found.temps = others[start:stop]
    del others[start:stop]
    _set_apart(found, folders)
    _set_apart(found, others)
    return found


def digest(listing: Listing, handle: int, salt: bytes) -> bytes:
    """The digest of a listing; keeps the looks, when they are few.

    Args:
        listing: What was read from the folder.
        handle: The folder, held open.
        salt: What else has to be equal.
    """
    state = hasher().update(salt)
    state.update(_joined(listing.folders))
    if len(listing.others) <= SLICE:
        listing.looks = looks(handle, listing.others)
    for some, seen in listing.slices(handle):
        state.update(_joined(some)).update(_encode(seen))
    return state.digest()[:_SIZE]


def looks(handle: int, some: list[str]) -> list[Look]:
    """How some entries of a folder look."""
    try:
        return [_look(os.stat(name, dir_fd=handle, follow_symlinks=False)) for name in some]
    except FileNotFoundError:
        return [_careful(handle, name) for name in some]


def fingerprint(look: Look) -> Fingerprint | None:
    """The fingerprint of a look; None for a pipe, a socket or a device."""
    return Fingerprint.of_look(*look)


def are_young(seen: list[Look], since_ns: int) -> bool:
    """Whether one of them changed so lately that it may change again and look the same."""
    return any(is_young(look[3], since_ns) for look in seen)


def _careful(handle: int, name: str) -> Look:
    try:
        return _look(os.stat(name, dir_fd=handle, follow_symlinks=False))
    except FileNotFoundError:
        return GONE


def _set_apart(found: Listing, some: list[str]) -> None:
    """Take names out of a list that no database and no server can hold."""
    text = "/".join(some)
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError:
        found.broken += [name for name in some if not _is_text(name)]
        some[:] = [name for name in some if _is_text(name)]


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _joined(some: list[str]) -> bytes:
    # No name contains a slash; two of them keep lists apart.
    return "/".join((*some, "/")).encode()
