"""``aeorsync status``: how a running node stands."""

from rich.console import RenderableType
from rich.text import Text

from aeorsync.cli.client import JsonOption, KeyOption, Reply, UrlOption, ask, show, target
from aeorsync.cli.tables import peers_table


def status(*, url: UrlOption = None, key: KeyOption = None, as_json: JsonOption = False) -> None:
    """Show how a running node stands: its peers, why some are not in sync, its conflicts."""
    node = target(url, key)
    reply = ask(node, "GET", "/sync/status")
    conflicts = ask(node, "GET", "/sync/conflicts")
    facts = {
        "url": node.url,
        "conflict_count": len(conflicts["items"]),
        "more_conflicts": conflicts["more"],
    }
    show({**reply, **facts}, _draw, as_json=as_json)


def _draw(told: Reply) -> list[RenderableType]:
    head = Text.assemble(
        ("aeorsync", "bold green"), f" {told['version']} at ", (told["url"], "bold")
    )
    lines: list[RenderableType] = [
        head,
        Text(f"  node {told['node_id']}, {told['seq']} changes, root {told['root_hash'][:16]}"),
        _draw_conflicts(told),
        Text(),
    ]
    if told["peers"]:
        return [*lines, peers_table(told["peers"])]
    return [*lines, Text("No peers. Link one: aeorsync peers add http://host:6830", "dim")]


def _draw_conflicts(told: Reply) -> Text:
    count = told["conflict_count"]
    if not count:
        return Text("  no conflicts", "green")
    more = "more than " if told["more_conflicts"] else ""
    noun = "conflict waits" if count == 1 else "conflicts wait"
    return Text(
        f"  {more}{count} {noun} for somebody to decide: aeorsync conflicts list", "yellow"
    )
