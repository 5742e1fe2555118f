"""What is in a folder, as rows: chosen, sorted, cut to a page.

With ``depth`` 0 these are the names directly in the folder. With any other depth these are the
files and symlinks below it, folders left out, down to so many levels further; -1 is all.

Whom rules bind sees what they may list, and folders on the way to it, and nothing of the rest is
counted. Each of their rows says what they may do there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from msgspec import UNSET, UnsetType
from starlette.responses import Response

from aeorsync.api import reach, seen
from aeorsync.api.budget import Share
from aeorsync.api.endpoint import Parameter, answer
from aeorsync.api.long_listing import LongListing, Order, sort_key
from aeorsync.api.node import Node
from aeorsync.api.parameters import Query
from aeorsync.api.replies import Item, Listing
from aeorsync.core import paths
from aeorsync.core.access import Access
from aeorsync.core.globs import Glob
from aeorsync.core.merge import see
from aeorsync.core.paths import TreePath
from aeorsync.core.versions import Kind, decode_entry
from aeorsync.storage.views import Child, View
from aeorsync.wire.limits import MAX_DEPTH

HIDDEN = "/.aeordb-"
"""Names at the root that begin like this are not listed."""
SHORT = 1000
"""Rows that are held all at once."""
_NS_PER_MS = 1_000_000
_SORTS = ("name", "size", "created_at", "updated_at")
_ORDERS = ("asc", "desc")

PARAMETERS = (
    Parameter("depth", {"type": "integer", "minimum": -1}, "Levels to descend; -1 for all."),
    Parameter("glob", {"type": "string"}, "With a slash: the whole path. Without: the name."),
    Parameter("limit", {"type": "integer", "minimum": 0}, "At most so many rows."),
    Parameter("offset", {"type": "integer", "minimum": 0}, "Leave out so many rows first."),
    Parameter("sort", {"enum": list(_SORTS)}, "Folders come first whatever is asked."),
    Parameter("order", {"enum": list(_ORDERS)}, "Ascending or descending."),
)


@dataclass(frozen=True, slots=True)
class Options:
    """How a folder is to be listed."""

    depth: int
    glob: Glob | None
    limit: int | None
    offset: int
    sort: str
    is_descending: bool

    @classmethod
    def read(cls, query: Query) -> "Options":
        """Read the parameters.

        Raises:
            BadRequestError: One of them makes no sense.
        """
        glob = query.text("glob")
        return cls(
            depth=min(query.whole("depth", -1) or 0, MAX_DEPTH),
            glob=Glob.parse(glob) if glob else None,
            limit=query.whole("limit", 0),
            offset=query.whole("offset", 0) or 0,
            sort=query.word("sort", _SORTS, "name"),
            is_descending=query.word("order", _ORDERS, "asc") == "desc",
        )


def list_folder(
    node: Node, view: View, folder: TreePath, options: Options, access: Access, share: Share
) -> Response:
    """One page of what is in a folder, for who has some access. Blocking.

    What has more than `SHORT` rows to look at is looked at later, and is sent while it is read.
    """

    def chosen(view: View, rows: Iterator[Child]) -> Iterator[Child]:
        return (
            row for row in rows if _is_wanted(row, options.glob) and _is_shown(view, row, access)
        )

    found = list(islice(_rows(view, folder, options.depth), SHORT + 1))
    order = Order(options.sort, options.is_descending, options.limit, options.offset)
    if len(found) > SHORT:
        return LongListing(
            node.repository,
            node.walks,
            lambda view: chosen(view, _rows(view, folder, options.depth)),
            order,
            lambda row: _item(node, row, access),
            share,
        )
    rows = sorted(chosen(view, iter(found)), key=sort_key(order.sort), reverse=order.is_descending)
    rows.sort(key=lambda row: row.kind != Kind.DIRECTORY)
    items = [_item(node, row, access) for row in rows[order.offset : order.stop]]
    return answer(Listing(items, len(rows), order.limit, order.offset))


def _rows(view: View, folder: TreePath, depth: int) -> Iterator[Child]:
    if depth == 0:
        yield from view.children(folder)
        return
    deepest = len(paths.to_names(folder)) + depth
    for key, data in view.walk(folder):
        if depth < 0 or key.count(b"\0") <= deepest:
            entry = decode_entry(data)
            child = Child(paths.from_key(key), entry, see(entry))
            if child.kind != Kind.DIRECTORY:
                yield child


def _is_wanted(row: Child, glob: Glob | None) -> bool:
    if row.path.startswith(HIDDEN):
        return False
    if glob is None:
        return True
    return glob.matches(row.path if "/" in glob.text else paths.name(row.path))


def _is_shown(view: View, row: Child, access: Access) -> bool:
    if access.is_everything:
        return True
    if not reach.is_shown(access, row.path, row.kind):
        return False
    return row.entry is not None or reach.has_shown(access, view, row.path)


def _item(node: Node, row: Child, access: Access) -> Item:
    version = row.version
    permissions = UNSET if access.is_everything else reach.permissions(access, row.path, row.kind)
    if version is None or row.entry is None:
        return _implied(row.path, permissions)
    is_file = version.kind == Kind.FILE
    return Item(
        path=row.path,
        name=paths.name(row.path),
        entry_type=version.kind,
        hash=seen.identity(row.path, version),
        size=version.content.size,
        created_at=version.created,
        updated_at=version.updated,
        content_type=version.content_type if is_file else None,
        content_hash=version.content.hash.hex() if is_file else None,
        etag=seen.etag(node, row.path, row.entry),
        mtime=version.mtime // _NS_PER_MS,
        executable=version.executable,
        conflict=row.is_conflict,
        target=version.target if version.kind == Kind.SYMLINK else UNSET,
        effective_permissions=permissions,
    )


def _implied(path: TreePath, permissions: str | UnsetType) -> Item:
    return Item(
        path=path,
        name=paths.name(path),
        entry_type=Kind.DIRECTORY,
        hash="",
        size=0,
        created_at=0,
        updated_at=0,
        content_type=None,
        content_hash=None,
        etag=None,
        mtime=0,
        executable=False,
        conflict=False,
        effective_permissions=permissions,
    )
