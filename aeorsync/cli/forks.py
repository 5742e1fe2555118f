"""``aeorsync fork``: try changes in a second state of everything, then apply or forget them."""

from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.text import Text

from aeorsync.cli.client import JsonOption, KeyOption, UrlOption, target
from aeorsync.cli.remotely import on
from aeorsync.cli.words import count, name, say, say_json, table, when
from aeorsync.runtime.redact import printable

if TYPE_CHECKING:
    from aeorsync.client.model import Fork

EPILOG: Final = """\
Examples:

aeorsync fork create trial

aeorsync put new.css /site/ --fork trial

aeorsync cat /site/new.css --fork trial

aeorsync fork promote trial
"""

app = typer.Typer(help="Try changes, then apply or forget them.", no_args_is_help=True)

ForkArgument = Annotated[str, typer.Argument(metavar="FORK", help="Name or id.")]


@app.command("list")
def list_forks(
    *, url: UrlOption = None, key: KeyOption = None, as_json: JsonOption = False
) -> None:
    """List the forks, oldest first."""
    forks = on(target(url, key), lambda client: client.forks())
    if as_json:
        say_json({"items": [_plain(fork) for fork in forks]})
        return
    if not forks:
        say(Text("no forks", "dim"))
        return
    rows = table("NAME", "MADE", "FROM", "ID")
    for fork in forks:
        rows.add_row(
            name(fork.name),
            when(fork.created_at),
            printable(fork.base or "what was then"),
            fork.id,
        )
    say(rows)


@app.command("create", epilog=EPILOG)
def create(
    fork: Annotated[str, typer.Argument(metavar="NAME", help="A new name.")],
    *,
    base: Annotated[
        str | None,
        typer.Option("--from", metavar="SNAPSHOT", help="Begin with this, not with the present."),
    ] = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Begin a fork; then use --fork with ls, cat, get, put and rm."""
    made = on(target(url, key), lambda client: client.fork(fork, base))
    if as_json:
        say_json(_plain(made))
        return
    say(Text(f"fork {printable(made.name)} begun; write into it with --fork"))


@app.command("promote")
def promote(
    fork: ForkArgument,
    *,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Apply what a fork changed, and end it; what was changed on both sides is kept."""
    done = on(target(url, key), lambda client: client.promote(fork))
    if as_json:
        from aeorsync.client.model import to_json  # noqa: PLC0415  # loaded by now

        say_json(to_json(done))
        return
    text = f"{count(done.changed, 'path')} changed"
    if done.conflicts:
        text += f", {count(done.conflicts, 'conflict')}: aeorsync conflicts list"
    say(Text(text))


@app.command("abandon")
def abandon(
    fork: ForkArgument,
    *,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a fork and forget what it changed."""
    on(target(url, key), lambda client: client.abandon(fork))
    if as_json:
        say_json({"abandoned": fork})
        return
    say(Text(f"fork {printable(fork)} is gone"))


def _plain(fork: "Fork") -> object:
    from aeorsync.client.model import to_json  # noqa: PLC0415  # loaded by now

    return to_json(fork)
