"""Talking to a server as a program does: files, versions, conflicts, keys, events.

Client             for programs that wait (`client.blocking`)
AsyncClient        for asynchronous ones (`client.asynchronous`)
Entry, Event, ...  what they hand out (`client.model`)
"""

from aeorsync.client.asynchronous import AsyncClient
from aeorsync.client.blocking import Client

__all__ = ["AsyncClient", "Client"]
