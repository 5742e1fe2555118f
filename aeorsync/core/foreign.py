"""What an AeorDB node tells, and what it means: states of paths, without any history.

Such a node names a state by its bytes alone. So we keep, for each path it has, what it *had* when
we last looked (a mark, and the versions it thereby knows of), and what it was *given* by us since.
What it tells is then one of three things:

    told                                    means                          becomes
    ----                                    -----                          -------
    what it had                             nothing happened there         nothing
    a version of ours, or what it was       it took that from us, or made  nothing; it has that now
    given since                             the very same change
    anything else, also that it is gone     somebody changed it there      a version, whose context
                                                                           is that of what it had

A *mark* names a state as AeorDB cuts it: files into pieces of 262 144 bytes, links with their
targets made absolute. What we cut elsewhere has the same mark, so a file that went there and is
told of again is known without fetching it.
"""

import struct
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import msgspec
from blake3 import blake3

from aeorsync.core.cursors import Cursor, parse_hex, print_hex
from aeorsync.core.paths import TreePath, resolve_link
from aeorsync.core.versions import Entry, Vector

CUT: Final = 262_144
"""Where AeorDB cuts files, in bytes."""
GONE: Final = b""
"""The mark of a path that is not there."""

_FIRST_NAMES: Final = frozenset({".aeordb-system", ".aeordb-config", ".aeordb-conflicts"})
_NAMES: Final = frozenset({".aeordb-indexes", ".aeordb-logs", ".aeordb-permissions"})
_TAG: Final = b"aeorsync peer 1\0"
_FIXED: Final = struct.Struct(">QQ")


class Had(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a peer had at a path, or was given.

    Attributes:
        kind: `core.versions.Kind`; 0 for nothing.
        mark: See the top of this module.
        context: What whoever changes it there has seen.
    """

    kind: int
    mark: bytes
    context: Vector


class Token(NamedTuple):
    """What an AeorDB node sends back.

    Attributes:
        link: Its link.
        turn: Number of the answer that it was in.
        since: The mark by which we know where it stands, in hex.
    """

    link: int
    turn: int
    since: str


def file_mark(ids: Iterable[bytes]) -> bytes:
    """The mark of a file, by the ids of the pieces AeorDB cuts it into."""
    whole = blake3(b"aeordb file\0")
    for name in ids:
        whole.update(name)
    return whole.digest()


def link_mark(path: TreePath, target: str) -> bytes:
    """The mark of a symlink."""
    return blake3(b"aeordb link\0" + absolute_target(path, target).encode()).digest()


def absolute_target(path: TreePath, target: str) -> str:
    """Where a link leads, as AeorDB can keep it: it knows no relative targets."""
    resolved = resolve_link(path, target)
    if resolved is not None:
        return resolved
    names: list[str] = []
    for component in target.split("/"):
        if component == "..":
            del names[-1:]
        elif component not in {"", "."}:
            names.append(component)
    return "/" + "/".join(names)


def is_private(path: str) -> bool:
    """Whether a path belongs to an AeorDB node itself: taken from none, and told to none."""
    names = path.strip("/").split("/")
    return names[0] in _FIRST_NAMES or not _NAMES.isdisjoint(names)


def recognise(mark: bytes, had: Had | None, known: Iterable[Had]) -> Vector | None:
    """What a peer has seen that tells of a state it did not make.

    Args:
        mark: Of the state it tells of.
        had: What it had.
        known: The versions here, and what it was given since.

    Returns:
        The context it holds the state under; None when the state was made there.
    """
    if (GONE if had is None else had.mark) == mark:
        return () if had is None else had.context
    found = [state.context for state in known if state.mark == mark]
    if not found:
        return None
    return union(*found, () if had is None else had.context)


def context_of_change(had: Had | None, entry: Entry | None) -> Vector:
    """What somebody had seen who made a change on the peer.

    What was never there is made anew: on top of a deletion, but beside what lives here.
    """
    if had is not None:
        return had.context
    if entry is None or not all(version.deleted for version in entry.versions):
        return ()
    return entry.context


def union(*vectors: Vector) -> Vector:
    """All that any of some writers had seen."""
    seen: dict[int, int] = {}
    for vector in vectors:
        for incarnation, n in vector:
            seen[incarnation] = max(n, seen.get(incarnation, 0))
    return tuple(sorted(seen.items()))


def cut(data: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """Join pieces of a file and cut them where AeorDB does."""
    waiting = bytearray()
    for piece in data:
        waiting += piece
        while len(waiting) >= CUT:
            yield bytes(waiting[:CUT])
            del waiting[:CUT]
    if waiting:
        yield bytes(waiting)


# The mark such a node is given in place of a root: it sends it back, and so tells who it is.


def print_token(link: int, turn: int, cursor: Cursor) -> str:
    """Return the hex token for the peer of a link, with answer number ``turn``, at ``cursor``."""
    return (_TAG + _FIXED.pack(link, turn)).hex() + print_hex(cursor)


def parse_token(text: str) -> Token | None:
    """Return the token that `print_token` printed; None for any other text."""
    head = 2 * len(_TAG)
    rest = text[head + 2 * _FIXED.size :]
    if not text.startswith(_TAG.hex()) or parse_hex(rest) is None:
        return None
    try:
        link, turn = _FIXED.unpack(bytes.fromhex(text[head : head + 2 * _FIXED.size]))
    except ValueError:
        return None
    return Token(link, min(turn, (1 << 63) - 1), rest)
