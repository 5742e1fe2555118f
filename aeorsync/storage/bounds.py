"""What rules leave of a change, decided in the writer, where nothing can come in between.

    put, copy to                 `Op.UPDATE` where something is, else `Op.CREATE`
    mkdir, move to, restore      `Op.CREATE`
    delete, copy, move a folder  all that is in it, one by one:
                                 allowed            is deleted, copied, moved
                                 hidden             stays, as if it were not there
                                 known, but denied  the whole is refused, and nothing changed

Folders above what is written are made as needed, whoever asks.
"""

from collections.abc import Iterable

from aeorsync.core.access import Access, Op, missing
from aeorsync.core.paths import TreePath, ancestors, from_key
from aeorsync.core.versions import Kind
from aeorsync.storage.draft import Draft


def demand_put(draft: Draft, path: TreePath, access: Access) -> None:
    """Refuse to write where one may not; see the table.

    Raises:
        NotFoundError: One may not, or a file that one may not know of is where a folder must be.
    """
    if not access.is_everything:
        op = Op.CREATE if draft.live(path) is None else Op.UPDATE
        _demand(draft, path, access, op)


def demand_new(draft: Draft, path: TreePath, access: Access) -> None:
    """Refuse to make something where one may not; see the table.

    Raises:
        NotFoundError: As `demand_put`.
    """
    if not access.is_everything:
        _demand(draft, path, access, Op.CREATE)


def _demand(draft: Draft, path: TreePath, access: Access, op: Op) -> None:
    if not access.may(path, op):
        raise missing(path)
    for folder in ancestors(path):
        above = draft.live(folder)
        is_file = above is not None and above.winner.kind != Kind.DIRECTORY
        if is_file and not access.may_know(folder):
            raise missing(path)


def is_taken(draft: Draft, path: TreePath, access: Access, kind: int) -> bool:
    """Whether something is in the way of what is to be made at a path.

    What may not be known is not, unless a file would come to be where it is in.
    """
    if draft.live(path) is not None:
        return True
    return draft.has_inside(path) if kind != Kind.DIRECTORY else has_known(draft, path, access)


def has_known(draft: Draft, path: TreePath, access: Access) -> bool:
    """Whether anything below a path may be known."""
    if access.is_everything:
        return draft.has_inside(path)
    return any(access.may_know(from_key(key)) for key in draft.inside(path))


def within(keys: Iterable[bytes], access: Access, op: Op) -> list[TreePath]:
    """The paths among some keys at which something may be done; hidden ones are left out.

    Raises:
        NotFoundError: One may be known, but it may not be done there.
    """
    chosen = []
    for path in map(from_key, keys):
        if access.may(path, op):
            chosen.append(path)
        elif access.may_know(path):
            raise missing(path)
    return chosen


def demand_move(draft: Draft, source: TreePath, target: TreePath, access: Access) -> None:
    """Refuse to move the unreadable to where it is readable, or onto what one may not write."""
    if access.may(target, Op.READ) and not access.may(source, Op.READ):
        raise missing(source)
    demand_new(draft, target, access)


def demand_copy(draft: Draft, source: TreePath, target: TreePath, access: Access) -> None:
    """Refuse to copy to where one may not write; a folder that is there already stays as it is."""
    copied, there = draft.live(source), draft.live(target)
    if copied is not None and there is not None:
        kinds = {copied.winner.kind, there.winner.kind}
        if kinds == {Kind.DIRECTORY} and access.may_enter(target):
            return
    demand_put(draft, target, access)
