"""``aeorsync snapshots`` and ``aeorsync history``: the past of a running node's files."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

import typer
from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from aeorsync.cli.client import JsonOption, KeyOption, Reply, UrlOption, ask, show, target

EPILOG: Final = """\
Examples:

aeorsync snapshots create before-the-move

aeorsync snapshots restore before-the-move --path docs/plan.txt

aeorsync history docs/plan.txt
"""
_LONG_S: Final = 3600.0
"""How long bringing back a whole tree may take."""
_COLOURS: Final = {"added": "green", "modified": "yellow", "deleted": "red"}

app = typer.Typer(
    help="Keep, show and bring back states of a running node's files.", no_args_is_help=True
)

SnapshotArgument = Annotated[str, typer.Argument(metavar="SNAPSHOT", help="Name or id.")]
PathOption = Annotated[
    str | None,
    typer.Option("--path", metavar="PATH", help="Only this file or folder, not everything."),
]


@app.command("list")
def list_snapshots(
    *, url: UrlOption = None, key: KeyOption = None, as_json: JsonOption = False
) -> None:
    """List the snapshots, oldest first."""
    show(ask(target(url, key), "GET", "/versions/snapshots"), _draw_list, as_json=as_json)


@app.command("create", epilog=EPILOG)
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it.")],
    *,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep all files as they are now; takes no time and hardly any space."""
    reply = ask(target(url, key), "POST", "/versions/snapshots", {"name": name})
    show(reply, _draw_created, as_json=as_json)


@app.command("delete")
def delete(
    snapshot: SnapshotArgument,
    *,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Forget a snapshot, on all nodes; files that only it has are gone for good."""
    path = f"/versions/snapshots/{quote(snapshot, safe='')}"
    show(ask(target(url, key), "DELETE", path), _draw_deleted, as_json=as_json)


@app.command("restore", epilog=EPILOG)
def restore(
    snapshot: SnapshotArgument,
    *,
    path: PathOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make all files, or one file or folder, what they were; what is there now is kept, too."""
    node = target(url, key)
    if path is None:
        # An id is looked for before a name, and may be given as either.
        reply = ask(node, "POST", "/versions/restore", {"name": snapshot}, deadline_s=_LONG_S)
    else:
        place = f"/versions/restore/{quote(path.strip('/'))}"
        reply = ask(node, "POST", place, {"snapshot": snapshot}, deadline_s=_LONG_S)
    show(reply, _draw_restored, as_json=as_json)


def history(
    path: Annotated[str, typer.Argument(metavar="PATH", help="A file or folder.")],
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Most rows to show.")] = 200,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a path was in each snapshot, and is now."""
    place = f"/versions/history/{quote(path.strip('/'))}?limit={limit}"
    show(ask(target(url, key), "GET", place), _draw_history, as_json=as_json)


def _draw_list(reply: Reply) -> Iterable[RenderableType]:
    if not reply["items"]:
        return [Text("no snapshots")]
    table = _table("NAME", "MADE", "KIND", "ID", "NOTES")
    for one in reply["items"]:
        notes = "" if one["available"] else "not all on this node yet"
        kind = str(one["metadata"].get("type", ""))
        name = Text(str(one["name"]), "bold")
        table.add_row(name, _when(one["created_at"]), kind, str(one["id"]), Text(notes, "yellow"))
    return [table]


def _draw_created(reply: Reply) -> Iterable[RenderableType]:
    word = "is there already, and nothing has changed since" if reply.get("duplicate") else "made"
    return [Text(f"snapshot {reply['name']} {word} (id {reply['id']})")]


def _draw_deleted(reply: Reply) -> Iterable[RenderableType]:
    return [Text(f"snapshot {reply['name']} is forgotten")]


def _draw_restored(reply: Reply) -> Iterable[RenderableType]:
    if not reply["changed"]:
        return [Text("nothing to do: everything is as it was")]
    kept = f"what was there is kept as snapshot {reply['auto_snapshot']}"
    paths = (
        "1 path is as it was"
        if reply["changed"] == 1
        else f"{reply['changed']} paths are as they were"
    )
    return [Text(f"{paths}; {kept}")]


def _draw_history(reply: Reply) -> Iterable[RenderableType]:
    table = _table("WHEN", "CHANGE", "SIZE", "SNAPSHOT", "VERSION")
    for row in reply["history"]:
        change = str(row["change_type"])
        table.add_row(
            _when(row["timestamp"]),
            Text(change, _COLOURS.get(change, "")),
            str(row.get("size", "")),
            Text(str(row["snapshot"])),
            str(row.get("version", "")),
        )
    parts: list[RenderableType] = [table]
    if reply["unavailable"]:
        names = ", ".join(map(str, reply["unavailable"]))
        parts.append(Text(f"not looked at, as they are not all on this node yet: {names}"))
    return parts


def _table(*columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="dim")
    for column in columns:
        # Nothing is cut off: ids and names are there to be copied.
        side: Literal["left", "right"] = "right" if column == "SIZE" else "left"
        table.add_column(column, justify=side, overflow="fold")
    return table


def _when(ms: Any) -> str:  # noqa: ANN401 - what a node told
    return datetime.fromtimestamp(int(ms) / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
