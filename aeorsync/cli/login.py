"""``aeorsync login`` and ``logout``: which server, and the key that lets one in."""

import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.text import Text

from aeorsync.cli.client import CommandError, JsonOption
from aeorsync.cli.profile_option import ProfileOption
from aeorsync.cli.remotely import on
from aeorsync.cli.words import say, say_json, table
from aeorsync.config import (
    DEFAULT_PROFILE,
    DEFAULT_URL,
    Exit,
    Profile,
    Profiles,
    Target,
    values,
)
from aeorsync.config.profiles import check_name
from aeorsync.errors import NotFoundError

if TYPE_CHECKING:
    from aeorsync.client import AsyncClient

EPILOG: Final = """\
Examples:

aeorsync login https://files.example:6830

aeorsync login http://localhost:6830 --profile work < key.txt

aeorsync ls / --profile work

The key is asked for, or read from standard input. It is kept in ~/.config/aeorsync, for you alone.
"""
LOGOUT_EPILOG: Final = """\
Examples:

aeorsync logout

aeorsync logout --profile work
"""
_MAX_KEY: Final = 4096


def login(
    url: Annotated[
        str | None, typer.Argument(metavar="[URL]", help=f"The server. (default {DEFAULT_URL})")
    ] = None,
    *,
    key: Annotated[
        str | None,
        typer.Option(
            "--key", metavar="KEY", help="Better not: flags show in ps. It is asked for."
        ),
    ] = None,
    profile: ProfileOption = None,
    cluster_ca: Annotated[
        Path | None,
        typer.Option(
            "--cluster-ca", metavar="FILE", help="PEM file of the authorities to believe."
        ),
    ] = None,
    list_all: Annotated[
        bool, typer.Option("--list", help="Show the stored logins instead, without their keys.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Store a server and the key for it, once both are seen to work."""
    if list_all:
        _list(as_json=as_json)
        return
    name = check_name(profile or DEFAULT_PROFILE)
    address = values.parse_url(values.Given(url or DEFAULT_URL, "URL"))
    secret = (_asked() if key is None else key).strip()
    if not (secret.isascii() and secret.isprintable()) or " " in secret:
        raise CommandError("that is not an API key; nothing was stored", Exit.CONFIG)
    node = Target(address, secret or None, cluster_ca)
    version = on(node, _check)
    file = Profiles.find().save(Profile(name, address, secret or None, cluster_ca))
    if as_json:
        say_json({"profile": name, "url": address, "version": version, "file": str(file)})
        return
    say(Text(f"logged in to {address} (aeorsync {version}); stored as profile {name} in {file}"))


def logout(*, profile: ProfileOption = None, as_json: JsonOption = False) -> None:
    """Forget a stored key. The key itself stays valid: see aeorsync keys."""
    name = profile or DEFAULT_PROFILE
    if not Profiles.find().remove(name):
        raise CommandError(f"there is no profile {name}", Exit.NOT_FOUND)
    if as_json:
        say_json({"removed": name})
        return
    say(Text(f"profile {name} is forgotten; its key stays valid until it is revoked"))


def _asked() -> str:
    if sys.stdin.isatty():
        prompt = "API key (not shown; empty if the server wants none)"
        told: str = typer.prompt(prompt, hide_input=True, default="", show_default=False, err=True)
        return told
    return sys.stdin.read(_MAX_KEY)


async def _check(client: "AsyncClient") -> str:
    """See whether the server takes the key; returns the server's version."""
    version = str((await client.health()).get("version", "?"))
    # Any key may ask; what it may see does not matter here.
    with suppress(NotFoundError):
        await client.stat("/")
    return version


def _list(*, as_json: bool) -> None:
    profiles = Profiles.find().all()
    if as_json:
        say_json({"items": [{"profile": one.name, "url": one.url} for one in profiles]})
    elif not profiles:
        say(Text("no logins. Store one: aeorsync login URL", "dim"))
    else:
        rows = table("PROFILE", "SERVER")
        for one in profiles:
            rows.add_row(Text(one.name, "bold"), Text(one.url))
        say(rows)
