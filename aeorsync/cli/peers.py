"""``aeorsync peers``: who a node is linked to, and what is said of each link.

A peer is named by its node id, its label or its address; what does not name exactly one of them
is an error, and nothing is done.
"""

from typing import Annotated, Any, Final
from urllib.parse import urlencode

import typer
from rich.console import RenderableType
from rich.text import Text

from aeorsync.cli.client import (
    CommandError,
    JsonOption,
    KeyOption,
    Reply,
    UrlOption,
    ask,
    show,
    target,
)
from aeorsync.cli.tables import cycles_table, peers_table
from aeorsync.config import Exit, Target

EPILOG: Final = """\
Examples:

aeorsync peers list

aeorsync peers add http://b.example:6830 --label b --path '/docs/**'

aeorsync peers set b --direction push --bandwidth-limit 500

aeorsync peers push b
"""
_CYCLE_S: Final = 90.0

app = typer.Typer(help="Show and change the links of a running node.", no_args_is_help=True)

NodeArgument = Annotated[str, typer.Argument(metavar="PEER", help="Node id, label or address.")]
AnyNodeArgument = Annotated[
    str | None,
    typer.Argument(metavar="[PEER]", help="Node id, label or address; all peers if not given."),
]
LabelOption = Annotated[str | None, typer.Option(help="Its name, for people.")]
PathOption = Annotated[
    list[str] | None,
    typer.Option("--path", metavar="GLOB", help="What to take or give; '' for everything."),
]
ExcludeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude", metavar="GLOB", help="What to leave out after all; '' for no exception."
    ),
]
DirectionOption = Annotated[
    str | None, typer.Option(metavar="both|pull|push", help="Which way data moves.")
]
EnableOption = Annotated[
    bool | None, typer.Option("--enable/--disable", help="Pause the link, or let it run.")
]
CompressionOption = Annotated[
    str | None, typer.Option(metavar="zstd|gzip|none", help="Of what the peer answers.")
]
BandwidthOption = Annotated[
    int | None, typer.Option(metavar="KB/S", help="Most thousands of bytes a second; 0: no limit.")
]


@app.command("list")
def list_peers(
    *, url: UrlOption = None, key: KeyOption = None, as_json: JsonOption = False
) -> None:
    """List the peers of a node, with their states."""
    reply = ask(target(url, key), "GET", "/sync/peers")
    none = Text("No peers. Link one: aeorsync peers add http://host:6830", "dim")
    show(
        reply,
        lambda told: [peers_table(told["items"]) if told["items"] else none],
        as_json=as_json,
    )


@app.command("add", epilog=EPILOG)
def add(  # noqa: PLR0913  # one parameter a flag
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="http://host:port of it.")],
    *,
    label: LabelOption = None,
    path: PathOption = None,
    exclude: ExcludeOption = None,
    direction: DirectionOption = None,
    enable: EnableOption = None,
    compression: CompressionOption = None,
    bandwidth_limit: BandwidthOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Link a node to another one of its cluster."""
    terms = _terms(
        label=label,
        path=path,
        exclude=exclude,
        direction=direction,
        enable=enable,
        compression=compression,
        bandwidth_limit=bandwidth_limit,
    )
    reply = ask(target(url, key), "POST", "/sync/peers", {"address": address, **terms})
    show(reply, _shown, as_json=as_json)


@app.command("set", epilog=EPILOG)
def change(  # noqa: PLR0913  # one parameter a flag
    peer: NodeArgument,
    *,
    address: Annotated[str | None, typer.Option(help="Where it answers from now on.")] = None,
    label: LabelOption = None,
    path: PathOption = None,
    exclude: ExcludeOption = None,
    direction: DirectionOption = None,
    enable: EnableOption = None,
    compression: CompressionOption = None,
    bandwidth_limit: BandwidthOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change a link; what is not given stays as it is."""
    terms = _terms(
        label=label,
        path=path,
        exclude=exclude,
        direction=direction,
        enable=enable,
        compression=compression,
        bandwidth_limit=bandwidth_limit,
    )
    if address is not None:
        terms["address"] = address
    if not terms:
        raise CommandError("nothing was given to change; see --help", Exit.USAGE)
    node = target(url, key)
    reply = ask(node, "PATCH", f"/sync/peers/{_node_id(node, peer)}", terms)
    show(reply, _shown, as_json=as_json)


@app.command("remove")
def remove(
    peer: NodeArgument,
    *,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Unlink a node from a peer; the files of both stay."""
    node = target(url, key)
    reply = ask(node, "DELETE", f"/sync/peers/{_node_id(node, peer)}")
    show(reply, _draw_removal, as_json=as_json)


@app.command("pull")
def pull(
    peer: AnyNodeArgument = None,
    *,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring here what peers have, now, and wait for it."""
    _cycle(target(url, key), peer, "pull", as_json=as_json)


@app.command("push")
def push(
    peer: AnyNodeArgument = None,
    *,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring to peers what they lack, now, and wait for it."""
    _cycle(target(url, key), peer, "push", as_json=as_json)


def _cycle(node: Target, peer: str | None, direction: str, *, as_json: bool) -> None:
    query = {"direction": direction}
    if peer is not None:
        query["peer"] = _node_id(node, peer)
    reply = ask(node, "POST", f"/sync/trigger?{urlencode(query)}", deadline_s=_CYCLE_S)
    show(reply, lambda told: [cycles_table(told, direction)], as_json=as_json)
    bad = reply["peers_failed"] + reply["peers_skipped"]
    if bad:
        raise CommandError(f"{bad} of {bad + reply['peers_synced']} peers did not {direction}")
    if not reply["peers_synced"]:
        raise CommandError(f"there are no peers to {direction} with; see aeorsync peers add")


def _terms(  # noqa: PLR0913  # one parameter a flag
    *,
    label: str | None,
    path: list[str] | None,
    exclude: list[str] | None,
    direction: str | None,
    enable: bool | None,
    compression: str | None,
    bandwidth_limit: int | None,
) -> dict[str, Any]:
    """What was given, by its names in the protocol."""
    given: dict[str, Any] = {
        "label": label,
        "sync_paths": None if path is None else [glob for glob in path if glob],
        "excludes": None if exclude is None else [glob for glob in exclude if glob],
        "direction": direction,
        "enabled": enable,
        "compression": compression,
        "bandwidth_limit": bandwidth_limit,
    }
    return {name: value for name, value in given.items() if value is not None}


def _node_id(node: Target, name: str) -> str:
    """The node id of the peer that a person means.

    Raises:
        CommandError: None is meant, or several.
    """
    peers = ask(node, "GET", "/sync/peers")["items"]
    wanted = name.rstrip("/")
    for field in ("node_id", "label", "address"):
        found = [peer for peer in peers if str(peer[field]) == wanted]
        if len(found) == 1:
            return str(found[0]["node_id"])
        if found:
            raise CommandError(f"{name} names {len(found)} peers; give a node id instead")
    raise CommandError(f"there is no peer {name}; see aeorsync peers list")


def _shown(peer: Reply) -> list[RenderableType]:
    return [peers_table([peer])]


def _draw_removal(reply: Reply) -> list[RenderableType]:
    lines: list[RenderableType] = [Text(f"peer {reply['node_id']} is removed; its files stay")]
    if not reply.get("peer_told", True):
        reason = reply.get("reason") or "it does not answer"
        lines.append(Text(f"it was not told ({reason}); remove this node there, too", "yellow"))
    return lines
