"""Names of the files that are ours for a moment: in the folder, and never synced.

    .aeorsync-tmp-TAG-s-RANDOM          *staged*: content that is being written
    .aeorsync-tmp-TAG-xINODE-RANDOM     staged, about to swap places with a file of the user
    .aeorsync-tmp-TAG-d-RANDOM          *displaced*: a file of the user, about to be deleted

The tag tells whose it is: the pair of a folder and a remote path, of which only one process runs
at a time. A crash may leave any of them. Staged ones are worth nothing. An ``x`` whose inode is
not the one in its name, and every ``d``, is a file of the user: nobody had yet looked whether it
was the one that was to go (`sweeping`).
"""

import re
from typing import Final

import msgspec

from aeorsync.runtime import chance

PREFIX: Final = ".aeorsync-tmp-"
_FORM: Final = re.compile(
    re.escape(PREFIX) + r"(?P<tag>[0-9a-f]{8})-(?:s|d|x(?P<inode>[0-9a-f]+))-[0-9a-f]{16}\Z"
)
_ROLE: Final = len(PREFIX) + 9


class Temp(msgspec.Struct, frozen=True):
    """What the name of a temporary file says.

    Attributes:
        tag: Whose it is.
        role: ``s``, ``x`` or ``d``.
        inode: Of what was staged; only for ``x``.
    """

    tag: str
    role: str
    inode: int = 0


def is_temp(name: str) -> bool:
    """Whether a name is reserved for us, in any case of letters."""
    return name[: len(PREFIX)].lower() == PREFIX


def parse(name: str) -> Temp | None:
    """What a name says; None when it is not exactly one of ours."""
    found = _FORM.match(name)
    if found is None:
        return None
    return Temp(found["tag"], name[_ROLE], int(found["inode"] or "0", 16))


def staged(tag: str) -> str:
    """A new name for content that is being written."""
    return f"{PREFIX}{tag}-s-{chance.token_hex(8)}"


def armed(tag: str, inode: int) -> str:
    """A new name for staged content that is about to swap places."""
    return f"{PREFIX}{tag}-x{inode:x}-{chance.token_hex(8)}"


def displaced(tag: str) -> str:
    """A new name for what is about to be deleted."""
    return f"{PREFIX}{tag}-d-{chance.token_hex(8)}"
