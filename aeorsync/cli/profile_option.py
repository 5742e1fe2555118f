"""``--profile``: on every command that talks to a node, without every command saying so.

What takes ``--key`` takes ``--profile``, too, unless it has one of its own; `cli.client.target`
knows what was given.
"""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from aeorsync.cli.client import chosen_profile
from aeorsync.config import PROFILE_VARIABLE

ProfileOption = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="NAME",
        help=f"Which stored login to use; see aeorsync login. ({PROFILE_VARIABLE})",
        show_default=False,
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add the option to the commands of an application, and of those below it."""
    for command in app.registered_commands:
        if command.callback is not None:
            command.callback = _with_profile(command.callback)
    for group in app.registered_groups:
        if group.typer_instance is not None:
            add_to(group.typer_instance)


def _with_profile(function: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(function)
    if "key" not in signature.parameters or "profile" in signature.parameters:
        return function

    @wraps(function)
    def command(*args: Any, profile: str | None = None, **kwargs: Any) -> Any:  # noqa: ANN401
        token = chosen_profile.set(profile)
        try:
            return function(*args, **kwargs)
        finally:
            chosen_profile.reset(token)

    option = inspect.Parameter(
        "profile", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=ProfileOption
    )
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        parameters.append(parameter)
        if parameter.name == "key":
            parameters.append(option)
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {**function.__annotations__, "profile": ProfileOption}
    return command
