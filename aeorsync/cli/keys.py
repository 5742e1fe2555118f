"""``aeorsync keys``: the API keys of a cluster.

A key is named by its id, the beginning of that (8 characters at least) or its label; what does not
name exactly one is an error, and nothing is done. With a root key all keys are meant, else one's
own.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Final
from urllib.parse import urlencode
from uuid import UUID

import typer
from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from aeorsync.cli.asking import confirm
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
from aeorsync.cli.rules import DenyOption, ReadOption, RuleOption, WriteOption, rules_of, shown
from aeorsync.cli.users import user_id
from aeorsync.config import Exit, Target
from aeorsync.runtime.clock import SystemClock

EPILOG: Final = """\
Examples:

aeorsync keys create laptop --user ada

aeorsync keys create guest --read docs/public --days 30

aeorsync keys create upload --rule '/inbox/**=c---l---'

aeorsync keys revoke guest
"""
_LEAST: Final = 8
_ROOT: Final = str(UUID(int=0))

app = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True)

KeyArgument = Annotated[
    str, typer.Argument(metavar="KEY", help="Its id, the beginning of it, or its label.")
]


@app.command("list")
def list_keys(
    *,
    revoked: Annotated[
        bool, typer.Option("--revoked", help="Also those that do not work any more.")
    ] = False,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the keys, oldest first: with a root key of everybody, else your own."""
    reply = _known(target(url, key))
    now = SystemClock().now_ms()
    if not revoked:
        reply["items"] = [one for one in reply["items"] if _state(one, now) == "works"]
    none = Text("no keys", "dim")
    show(
        reply,
        lambda told: [_table(told["items"], now)] if told["items"] else [none],
        as_json=as_json,
    )


@app.command("create", epilog=EPILOG)
def create(  # noqa: PLR0913  # one parameter a flag
    label: Annotated[str | None, typer.Argument(metavar="LABEL", help="What to call it.")] = None,
    *,
    user: Annotated[
        str | None, typer.Option(metavar="USER", help="Whom it is for: a name or id; else you.")
    ] = None,
    days: Annotated[
        int | None, typer.Option(min=1, max=3650, help="How long it works; 730 if not given.")
    ] = None,
    rule: RuleOption = None,
    read: ReadOption = None,
    write: WriteOption = None,
    deny: DenyOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key and show it, once. It may never do more than the key it is made with.

    Without any rule it may do what its user may do; one of root's everything.
    """
    node = target(url, key)
    body: dict[str, Any] = {"rules": rules_of(rule, read, write, deny) or []}
    if label is not None:
        body["label"] = label
    if days is not None:
        body["expires_in_days"] = days
    if user is not None:
        body["user_id"] = user_id(node, user)
    show(ask(node, "POST", "/auth/keys", body), draw_made, as_json=as_json)


@app.command("revoke", epilog=EPILOG)
def revoke(
    name: KeyArgument,
    *,
    with_made: Annotated[
        bool, typer.Option("--with-made", help="Also all keys that were made with it.")
    ] = False,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Revoke a key for ever; it is refused at once, on other nodes as soon as they hear of it.

    Asks when it is the very key that you are using.
    """
    node = target(url, key)
    found = _find(node, name)
    if found["is_current"]:
        confirm("This is the key you are using. Revoke it?", is_agreed=yes)
    query = urlencode({"with_made": str(with_made).lower()})
    reply = ask(node, "DELETE", f"/auth/keys/{found['key_id']}?{query}")
    show(reply, _draw_revoked, as_json=as_json)


@app.command("rename", epilog=EPILOG)
def rename(
    name: KeyArgument,
    label: Annotated[str, typer.Argument(metavar="LABEL", help="What to call it from now on.")],
    *,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a key another label."""
    node = target(url, key)
    found = _find(node, name)
    reply = ask(node, "PATCH", f"/auth/keys/{found['key_id']}", {"label": label})
    show(
        reply,
        lambda told: [Text(f"key {told['key_id']} is called {told['label']} now")],
        as_json=as_json,
    )


def draw_made(reply: Reply) -> list[RenderableType]:
    """What is shown of a key that was made."""
    until = _when(reply["expires_at"])
    parts = [
        Text(str(reply["key"]), "bold"),
        Text(f"shown only now: keep it safe. It works until {until} (id {reply['key_id']})"),
    ]
    if reply["user_id"] == _ROOT and not reply["rules"]:
        parts.append(Text("a root key without rules: it may do whatever yours may", "yellow"))
    return [*parts]


def _known(node: Target) -> Reply:
    """The keys that the caller may see: everybody's, else their own."""
    try:
        return ask(node, "GET", "/auth/keys/admin")
    except CommandError as error:
        if error.exit_code != Exit.NODE_REFUSED:
            raise
    return ask(node, "GET", "/auth/keys")


def _find(node: Target, name: str) -> dict[str, Any]:
    """The key that a person means, among those that work and those that do not.

    Raises:
        CommandError: None is meant, or several.
    """
    keys: list[dict[str, Any]] = _known(node)["items"]
    by_id = [one for one in keys if str(one["key_id"]) == name.lower()]
    by_start = [
        one for one in keys if len(name) >= _LEAST and one["key_id"].startswith(name.lower())
    ]
    by_label = [one for one in keys if one["label"] == name]
    # Somebody who has revoked a key gives its label to the next one.
    working = [one for one in by_label if _state(one, SystemClock().now_ms()) == "works"]
    for found in (by_id, by_start, working, by_label):
        if len(found) == 1:
            return found[0]
        if found:
            raise CommandError(f"{name} names {len(found)} keys; give an id instead")
    raise CommandError(f"there is no key {name}; see aeorsync keys list --revoked")


def _state(key: dict[str, Any], now: int) -> str:
    if key["is_revoked"]:
        return "revoked"
    return "works" if now < key["expires_at"] else "expired"


def _table(keys: list[dict[str, Any]], now: int) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="dim")
    for column in ("KEY", "USER", "UNTIL", "MAY"):
        table.add_column(column, overflow="fold", no_wrap=column in {"KEY", "UNTIL"})
    for one in keys:
        name = Text(str(one["label"] or "-"), "bold")
        if one["is_current"]:
            name.append(" (this one)", "green")
        state = _state(one, now)
        until = _when(one["expires_at"]) if state == "works" else state
        table.add_row(
            name.append(f"\n{one['key_id']}", "not bold"),
            Text(str(one["username"] or "(deleted)")),
            Text(until, "" if state == "works" else "red"),
            Text(_may(one)),
        )
    return table


def _may(key: dict[str, Any]) -> str:
    """What a key may do, a rule on each line."""
    lines = [shown(key["rules"])] if key["rules"] else []
    if key["bounds"]:
        lines.append("within the rules of the key it was made with")
    if lines:
        return "\n".join(lines)
    return "everything" if key["user_id"] == _ROOT else "what its user may"


def _draw_revoked(reply: Reply) -> list[RenderableType]:
    others = reply["others"]
    more = f", and {others} made with it" if others else ""
    return [Text(f"key {reply['key_id']} is revoked{more}")]


def _when(ms: Any) -> str:  # noqa: ANN401 - what a node told
    return datetime.fromtimestamp(int(ms) / 1000, UTC).strftime("%Y-%m-%d")
