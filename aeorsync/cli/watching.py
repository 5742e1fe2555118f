"""``aeorsync events`` and ``trigger``: what happens on a server, and making it happen."""

from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.text import Text

from aeorsync.cli.client import CommandError, JsonOption, KeyOption, Reply, UrlOption, target
from aeorsync.cli.remotely import on, place
from aeorsync.cli.tables import cycles_table
from aeorsync.cli.words import joined, say, say_json, when
from aeorsync.config import Exit
from aeorsync.runtime.redact import printable

if TYPE_CHECKING:
    from aeorsync.client import AsyncClient
    from aeorsync.client.model import Event

EVENTS_EPILOG: Final = """\
Examples:

aeorsync events

aeorsync events --prefix /photos --kind entries_created

aeorsync events --json | jq -r '.payload.entries[]?.path'

Goes on until Ctrl-C, also through restarts of the server.
"""
TRIGGER_EPILOG: Final = """\
Examples:

aeorsync trigger

aeorsync trigger --direction push --json
"""
_SIGNS: Final = {
    "entries_created": ("+", "green"),
    "entries_deleted": ("-", "red"),
    "conflicts_created": ("!", "yellow"),
}


def events(  # noqa: PLR0913  # one parameter a flag
    *,
    prefix: Annotated[
        str | None, typer.Option("--prefix", metavar="PATH", help="Only what is in this folder.")
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", metavar="EVENT", help="Only these, like entries_created."),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="ID", help="Go on after this event.")
    ] = None,
    count: Annotated[
        int | None, typer.Option("--count", "-n", min=1, help="End after so many.")
    ] = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what happens, as it happens; with --json one object a line."""
    node, folder = target(url, key), None
    if prefix is not None:
        where = place(prefix, url, key)
        node, folder = where.node, where.path

    async def listen(client: "AsyncClient") -> None:
        left = count
        async for event in client.events(kind or (), prefix=folder, last_id=since):
            _tell(event, as_json=as_json)
            left = None if left is None else left - 1
            if left == 0:
                return

    try:
        on(node, listen)
    except CommandError as error:
        # Ctrl-C is how it is meant to end.
        if error.exit_code != Exit.INTERRUPTED:
            raise


def trigger(
    *,
    direction: Annotated[
        str, typer.Option("--direction", metavar="pull|push", help="Which way data moves.")
    ] = "pull",
    force: Annotated[
        bool, typer.Option("--force", help="Also where the clocks do not agree.")
    ] = False,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have a server sync with its peers now, and wait for it."""
    if direction not in {"pull", "push"}:
        raise CommandError("--direction: pull or push", Exit.USAGE)
    way: Final = "push" if direction == "push" else "pull"

    async def ask(client: "AsyncClient") -> Reply:
        return await client.trigger(direction=way, force=force)

    report = on(target(url, key), ask)
    if as_json:
        say_json(report)
    else:
        say(cycles_table(report, direction))
    if report.get("peers_failed"):
        raise CommandError(f"{report['peers_failed']} of the peers did not {direction}")


def _tell(event: "Event", *, as_json: bool) -> None:
    if as_json:
        from aeorsync.client.model import to_json  # noqa: PLC0415  # loaded by now

        say_json(to_json(event))
        return
    sign, colour = _SIGNS.get(event.kind, ("*", "dim"))
    time = (when(event.timestamp)[11:], "dim")
    entries = event.payload.get("entries")
    if not isinstance(entries, list):
        facts = joined(f"{word} {value}" for word, value in event.payload.items())
        say(
            Text.assemble(
                time, (f" {sign} ", colour), printable(event.kind), (f"  {facts}", "dim")
            )
        )
        return
    for entry in entries:
        path = printable(str(entry.get("path", "?") if isinstance(entry, dict) else "?"))
        say(Text.assemble(time, (f" {sign} ", colour), path))
