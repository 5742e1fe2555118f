"""``aeorsync ls``, ``tree`` and ``stat``: what is there."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import RenderableType
from rich.text import Text
from rich.tree import Tree

from aeorsync.cli.client import JsonOption, KeyOption, UrlOption
from aeorsync.cli.completing import complete_path
from aeorsync.cli.remotely import ForkOption, Place, SnapshotOption, VersionOption, on, place
from aeorsync.cli.words import count, name, say, say_json, size, table, when
from aeorsync.runtime.redact import printable

if TYPE_CHECKING:
    from aeorsync.client import AsyncClient
    from aeorsync.client.model import Entry

LS_EPILOG: Final = """\
Examples:

aeorsync ls /photos

aeorsync ls -l /photos --sort size --reverse

aeorsync ls -R / --glob '*.jpg'

aeorsync ls https://files.example:6830/photos --snapshot monday

aeorsync ls --deleted /photos
"""
TREE_EPILOG: Final = """\
Examples:

aeorsync tree /photos --depth 2
"""
STAT_EPILOG: Final = """\
Examples:

aeorsync stat /photos/cat.jpg

aeorsync stat /photos/cat.jpg --json
"""

PathArgument = Annotated[
    str,
    typer.Argument(
        metavar="PATH", help="/a/b, or http://host:6830/a/b.", autocompletion=complete_path
    ),
]
FolderArgument = Annotated[
    str,
    typer.Argument(
        metavar="[PATH]", help="/a/b, or http://host:6830/a/b.", autocompletion=complete_path
    ),
]


def ls(  # noqa: PLR0913  # one parameter a flag
    path: FolderArgument = "/",
    *,
    long: Annotated[bool, typer.Option("--long", "-l", help="Sizes and times, too.")] = False,
    recursive: Annotated[
        bool, typer.Option("--recursive", "-R", help="All files below, by their whole paths.")
    ] = False,
    glob: Annotated[
        str | None,
        typer.Option(metavar="GLOB", help="Only what matches; with a slash the whole path."),
    ] = None,
    sort: Annotated[
        str, typer.Option(metavar="name|size|created_at|updated_at", help="By what.")
    ] = "name",
    reverse: Annotated[bool, typer.Option("--reverse", "-r", help="The other way round.")] = False,
    deleted: Annotated[
        bool, typer.Option("--deleted", help="What was deleted here and may be restored.")
    ] = False,
    snapshot: SnapshotOption = None,
    fork: ForkOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """List a folder, or show a file."""
    where = place(path, url, key)
    if deleted:
        _list_deleted(where, as_json=as_json)
        return

    async def look(client: "AsyncClient") -> "list[Entry]":
        entry = await client.stat(where.path, snapshot=snapshot, fork=fork)
        if not entry.is_folder:
            return [entry]
        listing = client.list(
            where.path,
            glob=glob,
            sort=_sort(sort),  # type: ignore[arg-type]  # one of the words
            descending=reverse,
            depth=-1 if recursive else 0,
            snapshot=snapshot,
            fork=fork,
        )
        return [entry async for entry in listing]

    entries = on(where.node, look)
    if as_json:
        say_json({"path": where.path, "items": [_plain(entry) for entry in entries]})
        return
    if long:
        say(_rows(entries, whole=recursive))
        return
    for entry in entries:
        say(_name(entry, whole=recursive))


def tree(  # noqa: PLR0913  # one parameter a flag
    path: FolderArgument = "/",
    *,
    depth: Annotated[int, typer.Option(min=1, metavar="N", help="Levels to show.")] = 100,
    snapshot: SnapshotOption = None,
    fork: ForkOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a folder and all below it as a tree."""
    where = place(path, url, key)

    async def look(client: "AsyncClient") -> "list[Entry]":
        listing = client.walk(where.path, depth=depth, snapshot=snapshot, fork=fork)
        return [entry async for entry in listing]

    entries = on(where.node, look)
    if as_json:
        say_json({"path": where.path, "items": [_plain(entry) for entry in entries]})
        return
    say(*_drawn(where, entries))


def stat(  # noqa: PLR0913  # one parameter a flag
    path: PathArgument,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-L", help="What a link leads to.")] = False,
    version: VersionOption = None,
    snapshot: SnapshotOption = None,
    fork: ForkOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show all that is known of one path."""
    where = place(path, url, key)
    entry = on(
        where.node,
        lambda client: client.stat(
            where.path, follow=follow, version=version, snapshot=snapshot, fork=fork
        ),
    )
    if as_json:
        say_json(_plain(entry))
        return
    facts = [
        ("path", printable(entry.path)),
        ("kind", entry.kind + (", executable" if entry.executable else "")),
        ("target", printable(entry.target or "")),
        ("size", f"{size(entry.size)} ({entry.size:,})" if entry.kind == "file" else ""),
        ("type", printable(entry.content_type or "")),
        ("modified", when(entry.mtime)),
        ("stored", when(entry.updated_at)),
        ("created", when(entry.created_at)),
        ("version", printable(entry.version or "")),
        ("etag", printable(entry.etag or "")),
        ("blake3", printable(entry.content_hash or "")),
        ("conflict", "others wait: aeorsync conflicts show" if entry.conflict else ""),
    ]
    for word, fact in facts:
        if fact:
            say(Text.assemble((f"{word:>9}  ", "dim"), fact))


def _list_deleted(where: Place, *, as_json: bool) -> None:
    found = on(where.node, lambda client: client.trash(where.path))
    if as_json:
        from aeorsync.client.model import to_json  # noqa: PLC0415  # loaded by now

        say_json({"path": where.path, "items": to_json(found)})
        return
    if not found:
        say(Text("nothing was deleted here", "dim"))
        return
    rows = table("DELETED", "SIZE", "PATH")
    for one in found:
        rows.add_row(when(one.deleted_at), size(one.size), name(one.path))
    say(rows, Text("Bring one back: aeorsync restore PATH", "dim"))


def _sort(word: str) -> str:
    words = ("name", "size", "created_at", "updated_at")
    if word not in words:
        raise typer.BadParameter(f"one of {', '.join(words)}", param_hint="--sort")
    return word


def _plain(entry: "Entry") -> dict[str, object]:
    from aeorsync.client.model import to_json  # noqa: PLC0415  # loaded by now

    return {**to_json(entry), "kind": entry.kind}


def _rows(entries: "Sequence[Entry]", *, whole: bool) -> RenderableType:
    rows = table("SIZE", "MODIFIED", "NAME")
    for entry in entries:
        is_file = entry.kind == "file"
        rows.add_row(
            size(entry.size) if is_file else "-",
            when(entry.mtime or entry.updated_at),
            _name(entry, whole=whole),
        )
    return rows


def _name(entry: "Entry", *, whole: bool) -> Text:
    shown = name(entry.path if whole else entry.name, entry.kind, is_executable=entry.executable)
    if entry.is_folder:
        shown.append("/")
    if entry.target is not None:
        shown.append(f" -> {printable(entry.target)}", "dim")
    if entry.conflict:
        shown.append("  in conflict", "yellow")
    return shown


def _drawn(where: Place, entries: "Sequence[Entry]") -> Iterable[RenderableType]:
    root = Tree(name(where.path, "directory"))
    folders = {where.path.rstrip("/"): root}
    for entry in entries:
        above = folders.get(entry.path.rpartition("/")[0])
        if above is not None:
            made = above.add(_name(entry, whole=False))
            if entry.is_folder:
                folders[entry.path] = made
    files = [entry for entry in entries if entry.kind == "file"]
    total = sum(entry.size for entry in files)
    below = count(len(entries) - len(files), "folder or link", "folders and links")
    return root, Text(f"{count(len(files), 'file')}, {below}, {size(total)}", "dim")
