"""Who may do what where: the one place that holds callers to their rules.

`core.access` says what rules mean. Handlers ask here before they look at anything:

    reach.demand(call, path, Op.READ)        or the error of a path where nothing is
    reach.demand_enter(call, path)           the same, for a folder to be listed
    reach.demand_any(call, path, ops)        one of them at least; which, the operation decides
    bounds.demand_put(draft, path, access)   in the writer: create, or update what is there

*Denied looks like missing*, byte by byte. So whoever demands does so before anything that depends
on what is there, and raises what the handler raises where nothing is.

Paths are those of `Call.path` or `paths.parse`: decoded once and in their normal form. Where a
symlink leads is asked for anew.
"""

from collections.abc import Callable, Iterable

from aeorsync.api.endpoint import Call
from aeorsync.api.places import Places
from aeorsync.core.access import Access, Op, missing
from aeorsync.core.paths import ROOT, TreePath, from_key
from aeorsync.core.versions import Kind
from aeorsync.errors import DeniedError, NotFoundError
from aeorsync.storage.views import View

_ON_THE_WAY = "rl"


def demand(call: Call, path: TreePath, op: Op, text: str | None = None) -> None:
    """Refuse a caller who may not do something to a path.

    Args:
        call: Whose.
        path: Where.
        op: What.
        text: What is said where nothing is, if that is not `missing`.

    Raises:
        NotFoundError: They may not.
    """
    demand_any(call, path, (op,), text)


def demand_any(call: Call, path: TreePath, ops: Iterable[Op], text: str | None = None) -> None:
    """Refuse a caller who may do none of some things to a path; see `demand`.

    Raises:
        NotFoundError: They may not.
    """
    access = call.caller.access
    if access.is_everything or any(access.may(path, op) for op in ops):
        return
    raise missing(path) if text is None else NotFoundError(text)


def demand_enter(call: Call, folder: TreePath) -> None:
    """Refuse a caller who may not list a folder.

    Raises:
        NotFoundError: They may not.
    """
    if not call.caller.access.may_enter(folder):
        raise missing(folder)


def demand_somebody(call: Call) -> None:
    """Refuse a caller who may do nothing at all; for what is about no path.

    Raises:
        DeniedError: They may not.
    """
    if call.caller.access.is_nobody:
        raise DeniedError("Permission denied")


def demand_writer(call: Call) -> None:
    """Refuse a caller who may write nowhere: what they bring could be made part of nothing.

    Raises:
        DeniedError: They may not.
    """
    if not call.caller.access.may_write_somewhere():
        raise DeniedError("Permission denied")


def demand_insight(call: Call) -> None:
    """Refuse a caller who may not look at the node as a whole: `Op.CONFIGURE` at the root.

    Raises:
        DeniedError: They may not.
    """
    if not call.caller.access.may(ROOT, Op.CONFIGURE):
        raise DeniedError("Permission denied")


def places(call: Call) -> Places:
    """What a caller is told in place of roots, cursors and numbers of the feed."""
    return Places(call.node.seal_secret, call.caller.access)


def readable(call: Call) -> Callable[[TreePath], bool]:
    """Which paths a caller may read; to choose from many."""
    access = call.caller.access
    if access.is_everything:
        return lambda _: True
    return lambda path: access.may(path, Op.READ)


def is_shown(access: Access, path: TreePath, kind: Kind) -> bool:
    """Whether a listing shows an entry."""
    if access.is_everything:
        return True
    return access.may_enter(path) if kind == Kind.DIRECTORY else access.may(path, Op.LIST)


def has_shown(access: Access, view: View, folder: TreePath) -> bool:
    """Whether anything in a folder, at any depth, may be known; a folder may be only that."""
    walk = view.walk(folder)
    if access.is_everything:
        return next(walk, None) is not None
    return any(access.may_know(from_key(key)) for key, _ in walk)


def permissions(access: Access, path: TreePath, kind: Kind) -> str:
    """The eight flags that a listing shows; a folder on the way can be read and listed."""
    flags = access.flags(path)
    if kind != Kind.DIRECTORY or Op.LIST.value in flags or not access.may_enter(path):
        return flags
    return "".join(
        op.value if op.value in _ON_THE_WAY else flag for op, flag in zip(Op, flags, strict=True)
    )
