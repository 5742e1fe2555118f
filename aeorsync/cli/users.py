"""``aeorsync users``: whom keys speak for. Needs a root key without rules.

A user is named by name or id.
"""

from typing import Annotated, Any, Final

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
from aeorsync.config import Exit, Target

EPILOG: Final = """\
Examples:

aeorsync users add ada --write docs --read photos --with-key laptop

aeorsync users set ada --disable

aeorsync users set ada --write docs --deny docs/private

aeorsync users remove ada
"""

app = typer.Typer(help="Make, change and remove users.", no_args_is_help=True)

UserArgument = Annotated[str, typer.Argument(metavar="USER", help="Name or id.")]
EmailOption = Annotated[str | None, typer.Option(help="For people; '' for none.")]
TagOption = Annotated[
    list[str] | None, typer.Option("--tag", help="A note; several; '' for none at all.")
]


@app.command("list")
def list_users(
    *, url: UrlOption = None, key: KeyOption = None, as_json: JsonOption = False
) -> None:
    """List the users, oldest first."""
    none = Text("No users. Make one: aeorsync users add NAME --write PATH --with-key LABEL", "dim")
    show(
        ask(target(url, key), "GET", "/system/users"),
        lambda told: [_table(told["items"]) if told["items"] else none],
        as_json=as_json,
    )


@app.command("add", epilog=EPILOG)
def add(  # noqa: PLR0913  # one parameter a flag
    name: Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits and . - _ + @")],
    *,
    email: EmailOption = None,
    tag: TagOption = None,
    rule: RuleOption = None,
    read: ReadOption = None,
    write: WriteOption = None,
    deny: DenyOption = None,
    with_key: Annotated[
        str | None,
        typer.Option("--with-key", metavar="LABEL", help="Also make a key for them, and show it."),
    ] = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a user; what is given by rules is the most that all their keys may do."""
    node = target(url, key)
    body = {"username": name, **_terms(email, tag, rules_of(rule, read, write, deny))}
    reply = ask(node, "POST", "/system/users", body)
    if with_key is not None:
        asked = {"label": with_key, "user_id": reply["user_id"]}
        reply["key"] = ask(node, "POST", "/auth/keys", asked)
    show(reply, _draw_added, as_json=as_json)


@app.command("set", epilog=EPILOG)
def change(  # noqa: PLR0913  # one parameter a flag
    user: UserArgument,
    *,
    name: Annotated[str | None, typer.Option(help="What to call them from now on.")] = None,
    email: EmailOption = None,
    tag: TagOption = None,
    enable: Annotated[
        bool | None, typer.Option("--enable/--disable", help="Whether their keys work.")
    ] = None,
    rule: RuleOption = None,
    read: ReadOption = None,
    write: WriteOption = None,
    deny: DenyOption = None,
    no_rules: Annotated[
        bool, typer.Option("--no-rules", help="Leave what keys may do to the rules of each key.")
    ] = False,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change a user; rules that are given replace all that were there."""
    node = target(url, key)
    rules = rules_of(rule, read, write, deny)
    if no_rules:
        if rules is not None:
            raise CommandError("give rules, or --no-rules, not both", Exit.USAGE)
        rules = []
    body: dict[str, Any] = _terms(email, tag, rules)
    body.update({} if name is None else {"username": name})
    body.update({} if enable is None else {"is_active": enable})
    if not body:
        raise CommandError("say what to change; see --help", Exit.USAGE)
    reply = ask(node, "PATCH", f"/system/users/{user_id(node, user)}", body)
    show(reply, lambda told: [_table([told])], as_json=as_json)


@app.command("remove", epilog=EPILOG)
def remove(
    user: UserArgument,
    *,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a user and revoke all their keys; files stay. --disable keeps both for later."""
    node = target(url, key)
    found = user_id(node, user)
    confirm(f"Delete the user {user} and revoke all their keys for ever?", is_agreed=yes)
    reply = ask(node, "DELETE", f"/system/users/{found}")
    show(reply, lambda _: [Text(f"user {user} is gone, with all keys")], as_json=as_json)


def user_id(node: Target, name: str) -> str:
    """The id of the user that a person means.

    Raises:
        CommandError: None is meant, or several.
    """
    users = ask(node, "GET", "/auth/keys/users")["items"]
    for field in ("user_id", "username"):
        found = [one for one in users if str(one[field]).casefold() == name.casefold()]
        if len(found) == 1:
            return str(found[0]["user_id"])
        if found:
            ids = ", ".join(str(one["user_id"]) for one in found)
            raise CommandError(f"{len(found)} users are called {name}; give an id: {ids}")
    raise CommandError(f"there is no user {name}; see aeorsync users list")


def _terms(
    email: str | None, tag: list[str] | None, rules: list[dict[str, str]] | None
) -> dict[str, Any]:
    """What was given, by its names in the protocol."""
    terms: dict[str, Any] = {}
    if email is not None:
        terms["email"] = email or None
    if tag is not None:
        terms["tags"] = [one for one in tag if one]
    if rules is not None:
        terms["rules"] = rules
    return terms


def _draw_added(reply: Reply) -> list[RenderableType]:
    parts: list[RenderableType] = [_table([reply])]
    made = reply.get("key")
    if made is None:
        if not reply["rules"]:
            text = "nothing is granted yet: keys without rules of their own can do nothing"
            parts.append(Text(text, "yellow"))
        text = f"make a key: aeorsync keys create LABEL --user {reply['username']}"
        return [*parts, Text(text, "dim")]
    if not reply["rules"]:
        text = f"but nothing is granted yet: aeorsync users set {reply['username']} --write PATH"
        parts.append(Text(text, "yellow"))
    return [*parts, Text(str(made["key"]), "bold"), Text("shown only now: keep it safe")]


def _table(users: list[dict[str, Any]]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="dim")
    for column in ("USER", "STATE", "MAY"):
        table.add_column(column, overflow="fold", no_wrap=column == "USER")
    for one in users:
        name = Text(str(one["username"]), "bold")
        if one["is_duplicate"]:
            name.append(" (an older one has this name, too)", "yellow")
        notes = [one["user_id"], one["email"], ", ".join(one["tags"])]
        for note in filter(None, notes):
            name.append(f"\n{note}", "not bold")
        lists = [one["rules"], *one["bounds"]]
        may = "\nand within\n".join(map(shown, filter(None, lists)))
        state = Text("active", "green") if one["is_active"] else Text("disabled", "red")
        table.add_row(name, state, Text(may or "what the rules of each key allow"))
    return table
