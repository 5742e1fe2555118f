"""Asking a person before something is done that cannot be undone."""

import sys

import typer

from aeorsync.config import Exit
from aeorsync.errors import StartupError


def confirm(question: str, *, is_agreed: bool) -> None:
    """Return if a person agrees, or has agreed by a flag.

    Raises:
        StartupError: They do not, or nobody is there to be asked.
    """
    if is_agreed:
        return
    if not sys.stdin.isatty():
        raise StartupError(f"{question} Nobody is there to be asked: say --yes", Exit.USAGE)
    if not typer.confirm(question, err=True):
        raise StartupError("nothing was changed", Exit.FAILED)
