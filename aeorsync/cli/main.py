"""The command tree, and the one place where an error becomes a line and an exit code."""

import os
import sys
from typing import Annotated, Final

import typer
from rich.console import Console

from aeorsync import __version__, config
from aeorsync.cli import (
    care,
    changing,
    conflicts,
    emergency,
    forks,
    key,
    keys,
    listing,
    login,
    peers,
    profile_option,
    snapshots,
    start,
    status,
    sync,
    transfers,
    users,
    watching,
)
from aeorsync.cli.client import CommandError
from aeorsync.errors import AeorError, StartupError
from aeorsync.runtime.redact import redact

app = typer.Typer(
    name="aeorsync",
    help="A content-addressed file sync server: any node takes writes, nothing is lost.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("start", epilog=start.EPILOG)(start.start)
app.command("emergency-reset")(emergency.reset)
app.add_typer(key.app, name="key")
app.add_typer(keys.app, name="keys", epilog=keys.EPILOG)
app.add_typer(users.app, name="users", epilog=users.EPILOG)
app.command("login", epilog=login.EPILOG)(login.login)
app.command("logout", epilog=login.LOGOUT_EPILOG)(login.logout)
app.command("ls", epilog=listing.LS_EPILOG)(listing.ls)
app.command("tree", epilog=listing.TREE_EPILOG)(listing.tree)
app.command("stat", epilog=listing.STAT_EPILOG)(listing.stat)
app.command("cat", epilog=transfers.CAT_EPILOG)(transfers.cat)
app.command("get", epilog=transfers.GET_EPILOG)(transfers.get)
app.command("put", epilog=transfers.PUT_EPILOG)(transfers.put)
app.command("mkdir", epilog=changing.MKDIR_EPILOG)(changing.mkdir)
app.command("mv", epilog=changing.MV_EPILOG)(changing.mv)
app.command("cp", epilog=changing.CP_EPILOG)(changing.cp)
app.command("ln", epilog=changing.LN_EPILOG)(changing.ln)
app.command("rm", epilog=changing.RM_EPILOG)(changing.rm)
app.command("restore", epilog=changing.RESTORE_EPILOG)(changing.restore)
app.add_typer(conflicts.app, name="conflicts", epilog=conflicts.EPILOG)
app.add_typer(forks.app, name="fork", epilog=forks.EPILOG)
app.command("events", epilog=watching.EVENTS_EPILOG)(watching.events)
app.command("trigger", epilog=watching.TRIGGER_EPILOG)(watching.trigger)
app.command("status")(status.status)
app.add_typer(peers.app, name="peers", epilog=peers.EPILOG)
app.add_typer(snapshots.app, name="snapshots", epilog=snapshots.EPILOG)
app.add_typer(snapshots.app, name="snapshot", epilog=snapshots.EPILOG, hidden=True)
app.command("sync", epilog=sync.EPILOG)(sync.sync)
app.command("history", epilog=snapshots.EPILOG)(snapshots.history)
app.command("gc", epilog=care.GC_EPILOG)(care.gc)
app.command("verify", epilog=care.VERIFY_EPILOG)(care.verify)
app.command("export", epilog=care.EXPORT_EPILOG)(care.export)
app.command("import", epilog=care.IMPORT_EPILOG)(care.import_)
profile_option.add_to(app)

_PANELS: Final = {
    "Files on a server": "login logout ls tree stat cat get put mkdir mv cp ln rm restore history"
    " events conflicts fork snapshots",
    "Folders of this machine": "sync",
    "A running node": "start status peers trigger keys users",
    "A data folder": "verify gc export import key emergency-reset",
}
"""Where each command stands in the help."""

for _panel, _names in _PANELS.items():
    for _command in app.registered_commands:
        if _command.name in _names.split():
            _command.rich_help_panel = _panel
    for _group in app.registered_groups:
        if _group.name in _names.split():
            _group.rich_help_panel = _panel


def _show_version(asked: bool) -> None:  # noqa: FBT001  # typer calls it so
    if asked:
        typer.echo(f"aeorsync {__version__}")
        raise typer.Exit


@app.callback()
def root(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """A content-addressed file sync server: any node takes writes, nothing is lost."""


def main() -> int:
    """Run the command of ``sys.argv``; return the exit code, or exit with it.

    Whatever goes wrong is one line on stderr. A traceback is shown only with ``AEORSYNC_DEBUG=1``.
    """
    try:
        app()
    except Exception as error:  # noqa: BLE001  # the outermost handler: nobody else is left
        return _told(error)
    return config.Exit.OK


def failed(error: BaseException) -> int:
    """Tell how a command ended that did not go through `app`; return the exit code, or exit.

    What typer would have caught is told as it would have told it.
    """
    if isinstance(error, KeyboardInterrupt | EOFError):
        print("Aborted.", file=sys.stderr)  # noqa: T201  # what was left of the command
        return config.Exit.FAILED
    if isinstance(error, BrokenPipeError):
        # Nobody reads on; the interpreter must not try again when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return config.Exit.FAILED
    if not isinstance(error, Exception):
        raise error
    return _told(error)


def _told(error: Exception) -> int:
    if isinstance(error, StartupError | CommandError):
        _complain(error.message)
        return error.exit_code
    if isinstance(error, AeorError):
        _complain(error.message)
    else:
        _report_bug(error)
    return config.Exit.FAILED


def _complain(message: str) -> None:
    console = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
    console.print("error:", style="bold red", end=" ")
    console.print(redact(message))


def _report_bug(error: Exception) -> None:
    """Tell a person in one line, and the log with all it may know."""
    # Imported here, as most runs never need it and it is a third of the start.
    from aeorsync.runtime import log  # noqa: PLC0415

    if not log.is_set_up():
        log.set_up("pretty")
    wants_traceback = config.debugging()
    log.get_logger(__name__).error(
        "unexpected error", error=repr(error), exc_info=error if wants_traceback else None
    )
    hint = "" if wants_traceback else f"; {config.DEBUG_VARIABLE}=1 shows where"
    _complain(f"{type(error).__name__}: {error} (this is a bug{hint})")
