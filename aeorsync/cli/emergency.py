"""``aeorsync emergency-reset``: a new root key, when the old one is lost or was stolen."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from aeorsync.cli.asking import confirm
from aeorsync.config import Exit
from aeorsync.errors import StartupError


def reset(
    *,
    data: Annotated[
        Path, typer.Option("-D", "--database", metavar="FOLDER", help="The data folder.")
    ],
    yes: Annotated[bool, typer.Option("-y", "--yes", "--force", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Revoke all root keys of a stopped node and make a new one, which is shown once.

    Once the node runs again, the same holds on every node of its cluster: the old
    keys and all tokens from them are refused everywhere.
    """
    # Imported here: help and refusals need not wait for it.
    from aeorsync.runtime.clock import SystemClock  # noqa: PLC0415
    from aeorsync.storage.accounts import Accounts  # noqa: PLC0415
    from aeorsync.storage.folder import DataFolder  # noqa: PLC0415
    from aeorsync.storage.identities import new_node_id  # noqa: PLC0415
    from aeorsync.storage.opening import open_repository  # noqa: PLC0415

    folder = DataFolder(data)
    folder.check()
    if folder.is_new:
        raise StartupError(f"no node lives in {data}; nothing was changed", Exit.DATA_UNUSABLE)
    repository = open_repository(folder, new_node_id())
    try:
        confirm(
            f"Revoke all root keys of {data}, here and on every node of its cluster?",
            is_agreed=yes,
        )
        text, revoked = Accounts(repository).reset_root(SystemClock().now_ms())
    finally:
        repository.close()
    if as_json:
        print(json.dumps({"root_key": text, "revoked": revoked}))  # noqa: T201  # the product
        return
    keys = "1 root key was" if revoked == 1 else f"{revoked} root keys were"
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{keys} revoked. New root API key, shown only this once. Keep it safe:")
    console.print(f"  {text}", style="bold yellow")
    console.print(
        "Start the node: the other nodes of its cluster hear of it when they are linked."
    )
