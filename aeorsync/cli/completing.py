"""Completion of paths on a server, for a shell: quick, or nothing."""

from contextlib import suppress
from typing import Final

import typer

from aeorsync import config
from aeorsync.core.paths import parse
from aeorsync.errors import AeorError

_DEADLINE_S: Final = 3.0
_MAX_SHOWN: Final = 200


def complete_path(context: typer.Context, incomplete: str) -> list[str]:
    """Return the paths that begin as what was typed."""
    folder, _, start = incomplete.rpartition("/")
    if incomplete.startswith(("http:", "https:")):
        return []  # a shell splits these at their colons
    import asyncio  # noqa: PLC0415  # takes a while to load

    told = context.params
    with suppress(AeorError, TimeoutError, OSError):
        node = config.target(told.get("url"), told.get("key"), profile=told.get("profile"))
        names = asyncio.run(asyncio.wait_for(_names(node, parse(folder)), _DEADLINE_S))
        return [f"{folder}/{name}" for name in names if name.startswith(start)][:_MAX_SHOWN]
    return []


async def _names(node: config.Target, folder: str) -> list[str]:
    from aeorsync.client import AsyncClient  # noqa: PLC0415  # loads HTTP

    async with AsyncClient(node.url, node.key, authorities=node.cluster_ca) as client:
        return [
            entry.name + ("/" if entry.is_folder else "")
            async for entry in client.list(folder)
            if entry.name.isprintable()
        ]
