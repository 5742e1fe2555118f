"""``aeorsync conflicts``: paths with several versions, of which somebody has to choose one.

Versions are called by number in the order in which they are shown: 1 is what readers see. Ids, and
the words ``winner``, ``loser`` and ``newest``, work as well. A path may also be one of this
machine in a folder that is kept (`cli.sync`); then ``this`` is what the named file shows.
"""

from typing import Annotated, Final

import typer

from aeorsync.cli.client import CommandError, JsonOption, KeyOption, UrlOption
from aeorsync.cli.completing import complete_path
from aeorsync.cli.listing import FolderArgument, PathArgument
from aeorsync.cli.remotely import Place
from aeorsync.config import Exit

EPILOG: Final = """\
Examples:

aeorsync conflicts list

aeorsync conflicts diff /docs/plan.txt

aeorsync conflicts resolve /docs/plan.txt --pick 2

aeorsync conflicts resolve ~/docs/plan.txt  (what this file shows stays)

aeorsync conflicts resolve --all '/docs/**' --pick newest
"""

app = typer.Typer(
    help="See which versions are in conflict, compare them, choose.", no_args_is_help=True
)


@app.command("list")
def list_conflicts(
    path: FolderArgument = "/",
    *,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the conflicts at and below a path."""
    from aeorsync.cli import deciding  # noqa: PLC0415

    deciding.tell_all(_place(path, url, key), as_json=as_json)


@app.command("show", epilog=EPILOG)
def show(
    path: PathArgument,
    *,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the versions of a path in conflict: whose, when, how large."""
    from aeorsync.cli import deciding  # noqa: PLC0415

    deciding.tell(_place(path, url, key), as_json=as_json)


@app.command("diff", epilog=EPILOG)
def diff(
    path: PathArgument,
    *,
    old: Annotated[
        str, typer.Option("--from", metavar="VERSION", help="Number, id, base, winner or loser.")
    ] = "winner",
    new: Annotated[
        str | None,
        typer.Option("--to", metavar="VERSION", help="Number, id, base, winner or loser."),
    ] = None,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Show what differs between two versions, or a version and what both were made from."""
    from aeorsync.cli import deciding  # noqa: PLC0415

    where = _place(path, url, key)
    deciding.compare(where, old, new or (deciding.THIS if where.is_copy else "loser"))


@app.command("resolve", epilog=EPILOG)
def resolve(  # noqa: PLR0913  # one parameter a flag
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...", help="Paths; with --all globs.", autocompletion=complete_path
        ),
    ],
    *,
    pick: Annotated[
        str | None,
        typer.Option(
            "--pick",
            metavar="VERSION",
            help="winner, loser, newest, number, id; or this, the file named. (default this)",
        ),
    ] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="All conflicts that match a path or glob.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be settled.")
    ] = False,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Settle conflicts, for everybody: one version stays, the others go into the history."""
    from aeorsync.cli import deciding  # noqa: PLC0415

    picked = pick or deciding.THIS
    known = {"winner", "loser", "newest"} | (set() if all_ else {deciding.THIS})
    if picked not in known and (all_ or len(paths) > 1):
        raise CommandError("for several conflicts pick winner, loser or newest", Exit.USAGE)
    wanted = [_place(path, url, key) for path in paths]
    if len({one.node for one in wanted}) > 1:
        raise CommandError("these paths are on several servers; one at a time", Exit.USAGE)
    deciding.settle(wanted, picked, are_globs=all_, dry_run=dry_run, as_json=as_json)


def _place(path: str, url: str | None, key: str | None) -> Place:
    from aeorsync.cli import local_paths  # noqa: PLC0415

    return local_paths.place(path, url, key)
