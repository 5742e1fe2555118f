"""Talking to a server as a program does: files, versions, conflicts, keys, events.

Client             for programs that wait (`client.blocking`)
AsyncClient        for asynchronous ones (`client.asynchronous`)
Entry, Event, ...  what they hand out (`client.model`)
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aeorsync.client.asynchronous import AsyncClient
    from aeorsync.client.blocking import Client

__all__ = ["AsyncClient", "Client"]


def __getattr__(name: str) -> object:
    # Loaded when somebody asks: a command that keeps a folder needs neither.
    if name == "AsyncClient":
        from aeorsync.client.asynchronous import AsyncClient  # noqa: PLC0415

        return AsyncClient
    if name == "Client":
        from aeorsync.client.blocking import Client  # noqa: PLC0415

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
