"""``aeorsync cat``, ``get`` and ``put``: content, both ways.

What they do is in `cli.fetching` and `cli.sending`; modules of their own, since loading them takes
a while.
"""

from pathlib import Path
from typing import Annotated, Final

import typer

from aeorsync.cli.client import CommandError, JsonOption, KeyOption, UrlOption
from aeorsync.cli.completing import complete_path
from aeorsync.cli.listing import PathArgument
from aeorsync.cli.remotely import (
    ForkOption,
    SnapshotOption,
    VersionOption,
    place,
    places,
)
from aeorsync.config import Exit

CAT_EPILOG: Final = """\
Examples:

aeorsync cat /notes/hello.txt

aeorsync cat /logs/app.log --range -1000

aeorsync cat /notes/hello.txt --snapshot monday
"""
GET_EPILOG: Final = """\
Examples:

aeorsync get /photos/cat.jpg

aeorsync get /photos -o ~/Pictures

aeorsync get /backup.tar -o - | tar t

Called again after it was interrupted, it goes on where it was.
"""
PUT_EPILOG: Final = """\
Examples:

aeorsync put report.pdf /docs/

aeorsync put photos more-photos /pictures

pg_dump mydb | aeorsync put - /backups/mydb.sql

Called again after it was interrupted, it sends only what is not there yet.
"""
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]


def cat(  # noqa: PLR0913  # one parameter a flag
    path: PathArgument,
    *,
    part: Annotated[
        str | None,
        typer.Option(
            "--range",
            metavar="A-B",
            help="Bytes A to B, both included; A- to the end; -N the last.",
        ),
    ] = None,
    version: VersionOption = None,
    snapshot: SnapshotOption = None,
    fork: ForkOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Print a file, or a part of it."""
    from aeorsync.cli import fetching  # noqa: PLC0415

    where = place(path, url, key)
    fetching.cat(where, part, fetching.State(version, snapshot, fork))


def get(  # noqa: PLR0913  # one parameter a flag
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...", help="Files or folders there.", autocompletion=complete_path
        ),
    ],
    *,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="WHERE", help="New name, a folder, or - to print."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Replace files that are there.")
    ] = False,
    version: VersionOption = None,
    snapshot: SnapshotOption = None,
    fork: ForkOption = None,
    quiet: QuietOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch files and folders; what is there already is not fetched again."""
    from aeorsync.cli import fetching  # noqa: PLC0415

    wanted = places(paths, url, key)
    state = fetching.State(version, snapshot, fork)
    if output == "-":
        for one in wanted:
            fetching.cat(one, None, state)
        return
    fetching.get(wanted, output, state, force=force, is_quiet=quiet or as_json, as_json=as_json)


def put(  # noqa: PLR0913  # one parameter a flag
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE... PATH",
            help="Files, folders, or - for standard input; and where to put them.",
        ),
    ],
    *,
    keep: Annotated[
        bool, typer.Option("--no-clobber", "-n", help="Leave alone what is there.")
    ] = False,
    content_type: Annotated[
        str | None,
        typer.Option("--type", metavar="TYPE", help="Media type; guessed if not given."),
    ] = None,
    fork: ForkOption = None,
    quiet: QuietOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Store files, folders, or what comes from standard input."""
    from aeorsync.cli import sending  # noqa: PLC0415

    if len(paths) < 2:  # noqa: PLR2004  # one and its goal
        raise CommandError("say what to put, and where: aeorsync put FILE... PATH", Exit.USAGE)
    *sources, to = paths
    wish = sending.Wish(content_type=content_type, fork=fork, base="" if keep else None)
    sending.put(
        [Path(source) for source in sources],
        place(to, url, key),
        wish,
        is_quiet=quiet or as_json,
        as_json=as_json,
    )
