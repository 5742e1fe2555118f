"""``aeorsync mkdir``, ``mv``, ``cp``, ``ln``, ``rm`` and ``restore``: changes to paths."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.text import Text

from aeorsync.cli.asking import confirm
from aeorsync.cli.client import CommandError, JsonOption, KeyOption, UrlOption
from aeorsync.cli.completing import complete_path
from aeorsync.cli.listing import PathArgument
from aeorsync.cli.remotely import (
    ForkOption,
    Place,
    SnapshotOption,
    VersionOption,
    on,
    place,
    places,
    words,
)
from aeorsync.cli.words import count, joined, say, say_json
from aeorsync.config import Exit
from aeorsync.errors import AeorError
from aeorsync.runtime.redact import printable

if TYPE_CHECKING:
    from aeorsync.client import AsyncClient

MKDIR_EPILOG: Final = """\
Examples:

aeorsync mkdir /photos/2026
"""
MV_EPILOG: Final = """\
Examples:

aeorsync mv /photos/old.jpg /photos/new.jpg

aeorsync mv /a.txt /b.txt /docs/
"""
CP_EPILOG: Final = """\
Examples:

aeorsync cp /photos/2025 /backup/

aeorsync cp /a.txt /b.txt /docs/
"""
LN_EPILOG: Final = """\
Examples:

aeorsync ln ../photos/cat.jpg /links/cat
"""
RM_EPILOG: Final = """\
Examples:

aeorsync rm /photos/old.jpg

aeorsync rm -r /photos/2019

aeorsync restore /photos/old.jpg
"""
RESTORE_EPILOG: Final = """\
Examples:

aeorsync restore /photos/old.jpg

aeorsync restore /docs --snapshot monday

aeorsync restore /docs/plan.txt --version 17ddc6222732e3e3-7
"""

PathsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH...", help="/a/b, or http://host:6830/a/b.", autocompletion=complete_path
    ),
]


def mkdir(
    paths: PathsArgument,
    *,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make folders, and those above them."""
    wanted = places(paths, url, key)

    async def make(client: "AsyncClient") -> list[dict[str, object]]:
        return [{"path": one.path, "created": await client.mkdir(one.path)} for one in wanted]

    made = on(wanted[0].node, make)
    if as_json:
        say_json({"items": made})


def mv(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH... TO",
            help="What, and its new path, or the folder to move it into.",
            autocompletion=complete_path,
        ),
    ],
    *,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Move files, links and whole folders; no content travels."""
    *sources, to = _several(paths, url, key)

    async def move(client: "AsyncClient") -> list[dict[str, str]]:
        into = await _is_folder(client, to) or len(sources) > 1
        moved = []
        for source in sources:
            goal = _inside(to, source) if into else to.path
            await client.move(source.path, goal)
            moved.append({"from": source.path, "to": goal})
        return moved

    moved = on(to.node, move)
    if as_json:
        say_json({"items": moved})


def cp(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH... FOLDER",
            help="What, and the folder to copy it into, which is made.",
            autocompletion=complete_path,
        ),
    ],
    *,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy files, links and folders into a folder, each under its own name; no content travels."""
    *sources, to = _several(paths, url, key)
    done = on(to.node, lambda client: client.copy([one.path for one in sources], to.path))
    if as_json:
        say_json({"copied": done.copied, "errors": done.errors})
    if done.errors:
        raise CommandError(f"not copied: {joined(done.errors)}")


def ln(
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="Where it points: kept as it is written.")
    ],
    path: PathArgument,
    *,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a symbolic link: relative to its folder, or absolute in the tree."""
    where = place(path, url, key)
    made = on(where.node, lambda client: client.link(where.path, target))
    if as_json:
        say_json({"path": made.path, "target": target, "etag": made.etag})


def rm(  # noqa: PLR0913  # one parameter a flag
    paths: PathsArgument,
    *,
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Folders with all that is in them, too.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    fork: ForkOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete files, links and folders. What was deleted can be restored for a while."""
    wanted = places(paths, url, key)
    if recursive:
        shown = joined(one.path for one in wanted)
        confirm(
            f"Delete {shown} with all that is in there, on {wanted[0].node.url}?", is_agreed=yes
        )

    gone, failed = on(
        wanted[0].node, lambda client: _delete(client, wanted, fork, recursive=recursive)
    )
    if as_json:
        say_json({"deleted": gone, "errors": failed})
    if failed:
        raise CommandError(f"{count(len(failed), 'path')} not deleted: {joined(failed)}")


async def _delete(
    client: "AsyncClient", wanted: Sequence[Place], fork: str | None, *, recursive: bool
) -> tuple[list[str], list[str]]:
    """Delete each; returns which are gone, and why others are not."""
    gone: list[str] = []
    failed: list[str] = []
    for one in wanted:
        try:
            await client.delete(one.path, recursive=recursive, fork=fork)
        except AeorError as error:
            if len(wanted) == 1 or error.retry:
                raise
            failed.append(f"{one.path}: {words(error)}")
        else:
            gone.append(one.path)
    return gone, failed


def restore(
    path: PathArgument,
    *,
    snapshot: SnapshotOption = None,
    version: VersionOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring back what was deleted at a path, or what it was in a snapshot or version."""
    where = place(path, url, key)
    if snapshot is not None and version is not None:
        raise CommandError("a snapshot or a version, not both", Exit.USAGE)
    if snapshot is None and version is None:
        on(where.node, lambda client: client.undelete(where.path))
        told: dict[str, object] = {"path": where.path, "changed": 1, "auto_snapshot": None}
    else:
        done = on(
            where.node,
            lambda client: client.restore(where.path, snapshot=snapshot, version=version),
        )
        told = {
            "path": where.path,
            "changed": done.changed,
            "auto_snapshot": done.auto_snapshot,
        }
    if as_json:
        say_json(told)
        return
    if not told["changed"]:
        say(Text(f"{printable(where.path)} is as it was already"))
        return
    kept = f"; what was there is kept as snapshot {told['auto_snapshot']}"
    say(Text(f"{printable(where.path)} is back{kept if told['auto_snapshot'] else ''}"))


def _several(paths: list[str], url: str | None, key: str | None) -> list[Place]:
    if len(paths) < 2:  # noqa: PLR2004  # one and its goal
        raise CommandError("say what, and where to", Exit.USAGE)
    return places(paths, url, key)


async def _is_folder(client: "AsyncClient", to: Place) -> bool:
    """Whether something is to go into it, not to become it."""
    return to.is_folder or (
        await client.exists(to.path) and (await client.stat(to.path)).is_folder
    )


def _inside(folder: Place, one: Place) -> str:
    return f"{folder.path.rstrip('/')}/{one.path.rpartition('/')[2]}"
