"""Working on a server from the command line: where, how long, and what went wrong.

    /a/b, a/b                     a path on the server that the options or the login name
    http://host:6830/a/b          a path on that one

What goes wrong becomes a sentence and an exit code, Ctrl-C the code 130. Work that hangs in a
read that cannot be stopped (standard input, a dead disk) is left behind after a moment.
"""

import os
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from aeorsync.cli.client import CommandError, target
from aeorsync.cli.hints import REFUSED_HINT
from aeorsync.config import Exit, Target, values
from aeorsync.core.paths import TreePath, parse
from aeorsync.errors import (
    AeorError,
    BadRequestError,
    DeniedError,
    NotFoundError,
    StartupError,
    UnauthorizedError,
    UnavailableError,
)

if TYPE_CHECKING:
    from aeorsync.client import AsyncClient

T = TypeVar("T")

_GRACE_S: Final = 2.0
"""How long work may take to end after Ctrl-C."""

ForkOption = Annotated[
    str | None, typer.Option("--fork", metavar="NAME", help="In this fork, not in the present.")
]
SnapshotOption = Annotated[
    str | None, typer.Option("--snapshot", metavar="NAME", help="As it was in this snapshot.")
]
VersionOption = Annotated[
    str | None,
    typer.Option("--version", metavar="ID", help="This version; see aeorsync history."),
]


@dataclass(frozen=True, slots=True)
class Place:
    """A path on a server.

    Attributes:
        node: The server.
        path: On it.
        is_folder: Whether it was written with a slash at its end.
        local: The file of this machine it was named by (`cli.local_paths`); None for none.
        is_copy: Whether that file is a conflict copy.
    """

    node: Target
    path: TreePath
    is_folder: bool
    local: Path | None = None
    is_copy: bool = False


def place(text: str, url: str | None, key: str | None) -> Place:
    """Return where something is meant to be.

    Args:
        text: A path, or the URL of one.
        url: The text of ``--url``; None if not given.
        key: The text of ``--key``; None if not given.

    Raises:
        CommandError: The path cannot be one.
        StartupError: The URL, the key or the profile cannot be used.
    """
    is_folder = text.endswith("/")
    if text.startswith(("http://", "https://")):
        from aeorsync.config.folders import parse_remote  # noqa: PLC0415  # loads much

        told = parse_remote(values.Given(text, "the path"))
        node = target(told.url, key)
        if url is not None and target(url, key).url != told.url:
            raise CommandError(f"{text} is not on the server that --url names", Exit.USAGE)
        return Place(node, told.path, is_folder)
    try:
        return Place(target(url, key), parse(text), is_folder)
    except (BadRequestError, NotFoundError) as error:
        raise CommandError(f"{text!r}: {error.message}", Exit.USAGE) from error


def places(texts: Sequence[str], url: str | None, key: str | None) -> list[Place]:
    """Return where some things are meant to be, all on one server.

    Raises:
        CommandError: They are on several, or one cannot be a path.
    """
    found = [place(text, url, key) for text in texts]
    if len({one.node for one in found}) > 1:
        raise CommandError("these paths are on several servers; one at a time", Exit.USAGE)
    return found


def on(node: Target, work: "Callable[[AsyncClient], Awaitable[T]]") -> T:
    """Do something on a server and return what came of it.

    Raises:
        CommandError: It did not work; see the top of this module.
    """
    # Imported here: HTTP takes a while to load, and help and refusals need not wait for it.
    import asyncio  # noqa: PLC0415

    from aeorsync.client import AsyncClient  # noqa: PLC0415

    async def working() -> T:
        task = asyncio.current_task()
        loop = asyncio.get_running_loop()

        def interrupt() -> None:
            if task is not None:
                task.cancel()
            loop.call_later(_GRACE_S, os._exit, Exit.INTERRUPTED)

        loop.add_signal_handler(signal.SIGINT, interrupt)
        async with AsyncClient(node.url, node.key, authorities=node.cluster_ca) as client:
            return await work(client)

    with _explained():
        try:
            return asyncio.run(working())
        except asyncio.CancelledError as error:
            raise CommandError("interrupted", Exit.INTERRUPTED) from error


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (StartupError, CommandError, BrokenPipeError):
        raise
    except AeorError as error:
        raise told(error) from error
    except OSError as error:
        raise CommandError(words(error)) from error


def told(error: AeorError) -> CommandError:
    """What went wrong, for a person, with its exit code."""
    if isinstance(error, UnavailableError):
        return CommandError(error.message, Exit.NODE_UNREACHABLE)
    if isinstance(error, UnauthorizedError | DeniedError):
        return CommandError(words(error) + REFUSED_HINT, Exit.NODE_REFUSED)
    code = Exit.NOT_FOUND if isinstance(error, NotFoundError) else Exit.FAILED
    return CommandError(words(error), code)


def words(error: AeorError | OSError) -> str:
    """What went wrong, in the words of who knows best."""
    if isinstance(error, OSError):
        name = f"{error.filename}: " if error.filename else ""
        return f"{name}{error.strerror or error}"
    return error.told or error.message
