"""How a folder is to be kept equal.

`DeleteLimit` is the brake on mass deletion: what a pass may delete on either side before it stops
without having changed anything.

    text     means
    ----     -----
    50%      half of what both sides last agreed on; the default
    100      a hundred paths
    100%     no limit
"""

import re
from typing import Final

import msgspec

from aeorsync.core.reconcile import Direction
from aeorsync.errors import BadRequestError

FEW: Final = 10
"""So many deletions every limit in percent allows, but 0%: small folders change all the time."""
_LIMIT: Final = re.compile(r"(\d{1,9})(%?)\Z", re.ASCII)
_ALL: Final = 100


class DeleteLimit(msgspec.Struct, frozen=True):
    """How much may be deleted on one side in one pass.

    Attributes:
        number: Paths, or percent of the agreed ones.
        is_percent: Which of both.
    """

    number: int = 50
    is_percent: bool = True

    @classmethod
    def parse(cls, text: str) -> "DeleteLimit":
        """Read what a person wrote.

        Raises:
            BadRequestError: It is neither a number nor 0% to 100%.
        """
        found = _LIMIT.match(text.strip())
        if found is None or (found[2] and int(found[1]) > _ALL):
            raise BadRequestError(f"{text!r} is no limit: write a number, or a percentage")
        return cls(int(found[1]), bool(found[2]))

    @property
    def is_none(self) -> bool:
        """Whether everything may be deleted."""
        return self.is_percent and self.number >= _ALL

    def allows(self, deleted: int, known: int) -> bool:
        """Whether ``deleted`` of ``known`` paths may go."""
        if self.is_none:
            return True
        if not self.is_percent:
            return deleted <= self.number
        return deleted <= FEW * (self.number > 0) or deleted * _ALL <= known * self.number

    def __str__(self) -> str:
        return f"{self.number}{'%' * self.is_percent}"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a person chose.

    Attributes:
        direction: Which way changes travel.
        include: Patterns in gitignore syntax; when there are any, only what matches takes part.
        exclude: Patterns in gitignore syntax of what takes no part, besides `.aeorsyncignore`.
        delete_local: Whether what is deleted on the server is deleted here.
        delete_remote: Whether what is deleted here is deleted on the server.
        max_delete: See the top of this module.
        dry_run: Say what would be done, and change nothing.
        rescan_s: While watching, seconds between looks at the whole folder.
        debounce_s: While watching, how long a burst of local changes is collected.
    """

    direction: Direction = Direction.BOTH
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    delete_local: bool = True
    delete_remote: bool = True
    max_delete: DeleteLimit = msgspec.field(default_factory=DeleteLimit)
    dry_run: bool = False
    rescan_s: float = 300.0
    debounce_s: float = 0.03
