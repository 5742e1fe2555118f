"""Talking to a running node: what every command that does so shares.

    @app.command()
    def conflicts(*, url: UrlOption = None, key: KeyOption = None, as_json: JsonOption = False):
        reply = ask(target(url, key), "GET", "/sync/conflicts")
        show(reply, draw, as_json=as_json)

`ask` makes one call and turns what goes wrong into a sentence and an exit code. `show` prints the
answer as it came for programs, and as ``draw`` makes it for people.
"""

import json
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Annotated, Any, Final

import typer
from rich.console import Console, RenderableType
from rich.text import Text

from aeorsync import config
from aeorsync.cli.hints import REFUSED_HINT
from aeorsync.config import DEFAULT_URL, KEY_VARIABLE, URL_VARIABLE, Exit, Target
from aeorsync.errors import (
    AeorError,
    DeniedError,
    StartupError,
    UnauthorizedError,
    UnavailableError,
)

__all__ = [
    "CommandError",
    "JsonOption",
    "KeyOption",
    "Reply",
    "UrlOption",
    "ask",
    "show",
    "target",
]

Reply = dict[str, Any]
"""The JSON object that a node answered."""

UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help=f"The node to ask. ({URL_VARIABLE}, default: the login, {DEFAULT_URL})",
        show_default=False,
    ),
]
KeyOption = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="KEY",
        help=f"API key; better stored by aeorsync login, as flags show in ps. ({KEY_VARIABLE})",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

chosen_profile: ContextVar[str | None] = ContextVar("chosen_profile", default=None)
"""The text of ``--profile`` of the command being run (`cli.profile_option`)."""
_DEADLINE_S: Final = 30.0


class CommandError(AeorError):
    """A command could not be carried out.

    Attributes:
        exit_code: Process exit code, listed in ``docs/operations.md``.
    """

    def __init__(self, message: str, exit_code: int = Exit.FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def target(url: str | None, key: str | None) -> Target:
    """Return the node that the command being run talks to.

    Args:
        url: The text of ``--url``; None if not given.
        key: The text of ``--key``; None if not given.

    Raises:
        StartupError: The URL, the key or the profile cannot be used.
    """
    return config.target(url, key, profile=chosen_profile.get())


def ask(
    node: Target, method: str, path: str, body: object = None, *, deadline_s: float = _DEADLINE_S
) -> Reply:
    """Make one call; see `remote.operator.ask`.

    Raises:
        CommandError: The node cannot be reached, does not know the key, or says no.
    """
    # Imported here: HTTP takes a while to load, and help and refusals need not wait for it.
    import asyncio  # noqa: PLC0415

    from aeorsync.remote import operator  # noqa: PLC0415

    call = operator.ask(
        node.url,
        node.key,
        method,
        path,
        body,
        authorities=node.cluster_ca,
        deadline_s=deadline_s,
    )
    try:
        return asyncio.run(call)
    except UnavailableError as error:
        raise CommandError(error.message, Exit.NODE_UNREACHABLE) from error
    except (UnauthorizedError, DeniedError) as error:
        raise CommandError(error.message + REFUSED_HINT, Exit.NODE_REFUSED) from error
    except StartupError:
        raise
    except AeorError as error:
        raise CommandError(error.message) from error


def show(
    reply: Reply, draw: Callable[[Reply], Iterable[RenderableType]], *, as_json: bool
) -> None:
    """Print an answer.

    Args:
        reply: What the node answered.
        draw: Makes what a person sees.
        as_json: Print one line of JSON instead.
    """
    if as_json:
        print(json.dumps(reply), flush=True)  # noqa: T201 - this line is the product
        return
    # What a node tells may hold anything: nothing in it is markup.
    console = Console(highlight=False, markup=False, emoji=False)
    for part in draw(reply):
        console.print(part, soft_wrap=isinstance(part, str | Text))
