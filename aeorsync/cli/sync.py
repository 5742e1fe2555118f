"""``aeorsync sync``: keep folders of this machine equal to paths on servers.

    aeorsync sync LOCAL REMOTE_URL[/path] [--watch] ...     one folder
    aeorsync sync --all [--watch]                           those of aeorsync.toml
    aeorsync sync status [LOCAL]                            how they stand

What it does is in `cli.syncing`; a module of its own, since loading it takes a while.
"""

from dataclasses import dataclass
from typing import Annotated, Final

import typer

from aeorsync.cli.client import KeyOption
from aeorsync.cli.profile_option import ProfileOption

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
STATUS: Final = "status"


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How to go about it, whatever the folders are.

    Attributes:
        key: The text of ``--key``.
        watch: Go on until somebody stops it.
        dry_run: Tell what would be done, change nothing.
        as_json: Print events as lines of JSON.
        quiet: Print only what needs a person.
    """

    key: str | None = None
    watch: bool = False
    dry_run: bool = False
    as_json: bool = False
    quiet: bool = False


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
    # Imported here: help and refusals need not wait for it.
    from aeorsync.cli import folders  # noqa: PLC0415

    flags = folders.Flags(
        direction=direction,
        include=include,
        exclude=exclude,
        max_delete=max_delete,
        delete_local=delete_local,
        delete_remote=delete_remote,
        profile=profile,
    )
    if local == STATUS and not all_ and flags == folders.Flags():
        from aeorsync.cli import sync_status  # noqa: PLC0415

        raise typer.Exit(sync_status.show_status(remote, as_json=as_json))
    chosen = folders.chosen(local, remote, flags, config=config, is_all=all_)
    how = How(key=key, watch=watch, dry_run=dry_run, as_json=as_json, quiet=quiet)
    from aeorsync.cli import syncing  # noqa: PLC0415

    raise typer.Exit(syncing.run(chosen, how))
