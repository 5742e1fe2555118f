"""``aeorsync conflicts``: paths with several versions, of which somebody has to choose one.

Versions are called by number in the order in which they are shown: 1 is what readers see. Ids, and
the words ``winner``, ``loser`` and ``newest``, work as well.
"""

from typing import Annotated, Final

import typer

from aeorsync.cli.client import CommandError, JsonOption, KeyOption, UrlOption
from aeorsync.cli.completing import complete_path
from aeorsync.cli.listing import FolderArgument, PathArgument
from aeorsync.cli.remotely import place, places
from aeorsync.config import Exit

EPILOG: Final = """\
Examples:

aeorsync conflicts list

aeorsync conflicts diff /docs/plan.txt

aeorsync conflicts resolve /docs/plan.txt --pick 2

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

    deciding.tell_all(place(path, url, key), as_json=as_json)


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

    deciding.tell(place(path, url, key), as_json=as_json)


@app.command("diff", epilog=EPILOG)
def diff(
    path: PathArgument,
    *,
    old: Annotated[
        str, typer.Option("--from", metavar="VERSION", help="Number, id, base, winner or loser.")
    ] = "winner",
    new: Annotated[
        str, typer.Option("--to", metavar="VERSION", help="Number, id, base, winner or loser.")
    ] = "loser",
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Show what differs between two versions, or a version and what both were made from."""
    from aeorsync.cli import deciding  # noqa: PLC0415

    deciding.compare(place(path, url, key), old, new)


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
        str, typer.Option("--pick", metavar="VERSION", help="winner, loser, newest, number or id.")
    ],
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

    if pick not in {"winner", "loser", "newest"} and (all_ or len(paths) > 1):
        raise CommandError("for several conflicts pick winner, loser or newest", Exit.USAGE)
    wanted = places(paths, url, key)
    deciding.settle(wanted, pick, are_globs=all_, dry_run=dry_run, as_json=as_json)
