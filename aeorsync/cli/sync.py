"""``aeorsync sync``: keep folders of this machine equal to paths on servers.

    aeorsync sync LOCAL REMOTE_URL[/path] [--watch] ...     one folder
    aeorsync sync --all [--watch]                           those of aeorsync.toml
    aeorsync sync status [LOCAL]                            how they stand

Here are its words and its help; what they mean is in `cli.sync_flags`, what it does in
`cli.syncing`.
"""

from typing import Annotated, Final

import typer

from aeorsync.cli.client import KeyOption
from aeorsync.cli.profile_option import ProfileOption
from aeorsync.cli.sync_flags import How, carry_out

__all__ = ["EPILOG", "How", "sync"]

EPILOG: Final = """\
Examples:

aeorsync sync ~/docs https://files.example:6830/docs

aeorsync sync ~/docs https://files.example:6830/docs --watch

aeorsync sync ~/docs https://files.example:6830/docs --dry-run

aeorsync sync --all --watch

aeorsync sync status

A folder whose name is "status" is written ./status. The key is taken from AEORSYNC_KEY, or from
what aeorsync login stored. Exit codes: docs/operations.md.
"""


def sync(  # noqa: PLR0913  # one parameter a flag
    local: Annotated[
        str | None,
        typer.Argument(
            metavar="LOCAL",
            help="The folder; made if missing. Or the word status.",
            show_default=False,
        ),
    ] = None,
    remote: Annotated[
        str | None,
        typer.Argument(
            metavar="REMOTE_URL",
            help="The server and the path on it; of status: a folder.",
            show_default=False,
        ),
    ] = None,
    *,
    all_: Annotated[
        bool, typer.Option("--all", help="All folders of aeorsync.toml instead.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Go on until stopped; changes travel at once.")
    ] = False,
    direction: Annotated[
        str | None,
        typer.Option(metavar="both|pull|push", help="Which way changes travel. (default both)"),
    ] = None,
    include: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Only what matches takes part; may be repeated."),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="What matches takes no part; may be repeated."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Show the plan; change nothing anywhere.")
    ] = False,
    max_delete: Annotated[
        str | None,
        typer.Option(
            metavar="N|P%",
            help="Ask, or stop, before a pass deletes more files than that. (default 50%)",
        ),
    ] = None,
    delete_local: Annotated[
        bool | None,
        typer.Option(
            "--delete-local/--no-delete-local", help="Delete here what was deleted there."
        ),
    ] = None,
    delete_remote: Annotated[
        bool | None,
        typer.Option(
            "--delete-remote/--no-delete-remote", help="Delete there what was deleted here."
        ),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            "-c", "--config", metavar="FILE", help="With --all: where the folders stand."
        ),
    ] = None,
    profile: ProfileOption = None,
    key: KeyOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print every event as one line of JSON.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print only conflicts and problems.")
    ] = False,
) -> None:
    """Keep a folder and a path on a server equal: new, changed and deleted files, both ways.

    Of a file changed on both sides one version stays, and the other lies
    beside it as "name (conflict HOST DATE).ext" until you settle it.

    aeorsync sync status [LOCAL] shows how folders stand: last pass, what
    waits and why, conflicts, problems. It asks neither the disk nor a server.
    """
    code = carry_out(
        local=local,
        remote=remote,
        all_=all_,
        watch=watch,
        direction=direction,
        include=include,
        exclude=exclude,
        dry_run=dry_run,
        max_delete=max_delete,
        delete_local=delete_local,
        delete_remote=delete_remote,
        config=config,
        profile=profile,
        key=key,
        as_json=as_json,
        quiet=quiet,
    )
    raise typer.Exit(code)
