"""In which commits the changes of a folder travel. Pure.

    1  what is in the way     of a file where a folder was, of a folder where a file was
    2  folders, files, links  in the order of paths; a large file has a commit of its own
    3  all other deletions    deepest first

So what was moved is there before it is gone elsewhere, in one commit where it fits. Each commit is
atomic, and so is what a person did at once as long as it fits into one.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from aeorsync.core.versions import Kind
from aeorsync.folder.facts import Content, is_inside
from aeorsync.folder.plan import Drop, Give, Plan
from aeorsync.wire.limits import MIB

MAX_CHANGES: Final = 1000
MAX_BYTES: Final = 8 * MIB
LARGE: Final = 8 * MIB
"""A file of more bytes is sent piece by piece before its commit."""


class Batch(msgspec.Struct):
    """One commit.

    Attributes:
        drops: What is deleted, deepest first.
        gives: What is made or replaced.
        size: Bytes of the files.
    """

    drops: list[Drop] = msgspec.field(default_factory=list)
    gives: list[Give] = msgspec.field(default_factory=list)
    size: int = 0

    @property
    def count(self) -> int:
        """How many changes it has."""
        return len(self.drops) + len(self.gives)

    def without(self, *paths: str) -> "Batch":
        """The same, but nothing is done to some paths."""
        gone = set(paths)
        return Batch(
            [drop for drop in self.drops if drop.path not in gone],
            [give for give in self.gives if give.path not in gone],
            self.size,
        )

    def having(self, contents: Mapping[str, Content | None]) -> "Batch":
        """The same, with what files hold that were read by now."""
        gives = [
            give._replace(content=contents[give.path], is_unread=False)
            if give.path in contents
            else give
            for give in self.gives
        ]
        return Batch(self.drops, gives, self.size)


def batches(plan: Plan) -> Iterator[Batch]:
    """Share the changes of a plan out."""
    blocking, other = _drops(plan)
    batch = Batch()
    for drop in blocking:
        if batch.count >= MAX_CHANGES:
            yield batch
            batch = Batch()
        batch.drops.append(drop)
    for give in plan.give:
        size = give.here.size if give.here.kind is Kind.FILE else 0
        if batch.count and (batch.count >= MAX_CHANGES or batch.size + size > MAX_BYTES):
            yield batch
            batch = Batch()
        batch.gives.append(give)
        batch.size += size
    for drop in other:
        if batch.count >= MAX_CHANGES:
            yield batch
            batch = Batch()
        batch.drops.append(drop)
    if batch.count:
        yield batch


def _drops(plan: Plan) -> tuple[list[Drop], list[Drop]]:
    """What is deleted, deepest first: what is in the way, and the rest."""
    drops = list(plan.drop)
    folders_that_go = []
    for give in plan.give:
        was, now = None if give.was is None else give.was.kind, give.here.kind
        if was is not None and (was is Kind.DIRECTORY) != (now is Kind.DIRECTORY):
            drops.append(Drop(give.path, was, give.was.base if give.was else ""))
            folders_that_go.append(give.path)
    drops.sort(key=lambda drop: drop.path.split("/"), reverse=True)
    if not folders_that_go:
        return [], drops
    in_the_way = [drop for drop in drops if _is_below(drop.path, folders_that_go)]
    return in_the_way, [drop for drop in drops if not _is_below(drop.path, folders_that_go)]


def _is_below(path: str, folders: list[str]) -> bool:
    return any(is_inside(path, folder) for folder in folders)
