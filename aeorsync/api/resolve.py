"""From a path to what is there, through symlinks, as far as the rules of who asks let them go.

A symlink that leads to what they may not read leads nowhere, like one that is dangling.
"""

from dataclasses import dataclass

from aeorsync.api.reach import has_shown
from aeorsync.core.access import EVERYTHING, Access, Op, missing
from aeorsync.core.merge import Sight, see
from aeorsync.core.paths import TreePath, resolve_link, to_key
from aeorsync.core.versions import Entry, Kind
from aeorsync.errors import BadRequestError, NotFoundError
from aeorsync.storage.views import View
from aeorsync.wire.limits import MAX_LINK_HOPS


@dataclass(frozen=True, slots=True)
class Found:
    """What a path leads to.

    Attributes:
        asked: The path that was asked for.
        path: Where it led; differs iff it went through a symlink.
        entry: What is there; None for a folder that exists only through what is in it.
        sight: What readers see of the entry.
    """

    asked: TreePath
    path: TreePath
    entry: Entry | None
    sight: Sight | None

    @property
    def kind(self) -> Kind:
        """What it is."""
        return Kind.DIRECTORY if self.sight is None else Kind(self.sight.winner.kind)


def find(
    view: View,
    asked: TreePath,
    *,
    follow: bool = True,
    folder: bool = False,
    access: Access = EVERYTHING,
) -> Found:
    """What is at a path.

    Args:
        view: Where to look.
        asked: The path.
        follow: Go on where a symlink points.
        folder: Take nothing but a folder, even where a file has the same path.
        access: What whoever asks may read, and which folders they may list.

    Raises:
        NotFoundError: Nothing, no folder, or a symlink that leads nowhere.
        BadRequestError: Symlinks go round in a circle, or on for too long.
    """
    path = asked
    passed = {path}
    while len(passed) <= MAX_LINK_HOPS + 1:
        found = _at(view, asked, path, folder=folder)
        if not _may_read(view, found, access):
            raise missing(asked)
        if not follow or found.sight is None or found.kind != Kind.SYMLINK:
            if folder and found.kind == Kind.FILE:
                raise NotFoundError(f"{asked} is not a folder")
            return found
        target = resolve_link(path, found.sight.winner.target)
        if target is None:
            raise NotFoundError(f"{path} is a symlink that leads nowhere")
        if target in passed:
            raise BadRequestError(f"{asked} is a symlink that leads back to itself")
        passed.add(target)
        path = target
    raise BadRequestError(f"{asked} leads through more than {MAX_LINK_HOPS} symlinks")


def _at(view: View, asked: TreePath, path: TreePath, *, folder: bool) -> Found:
    entry = view.live_entry(path)
    sight = see(entry) if entry is not None else None
    is_leaf = sight is not None and sight.winner.kind != Kind.DIRECTORY
    if sight is None or (folder and is_leaf):
        if view.has_inside(to_key(path)) or (sight is None and path == "/"):
            return Found(asked, path, None, None)
        if sight is None:
            raise missing(asked)
    return Found(asked, path, entry, sight)


def _may_read(view: View, found: Found, access: Access) -> bool:
    if access.is_everything:
        return True
    if found.kind != Kind.DIRECTORY:
        return access.may(found.path, Op.READ)
    if not access.may_enter(found.path):
        return False
    # A folder that is only what is in it is there for those who may know of something in it.
    return found.path == "/" or found.sight is not None or has_shown(access, view, found.path)
