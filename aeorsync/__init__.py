"""A content-addressed file sync server, and its clients.

from aeorsync import Client

with Client("http://localhost:6830", key) as client:
    client.put("/notes/hello.txt", b"hello")
"""

from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aeorsync.client import AsyncClient, Client

__all__ = ["AsyncClient", "Client", "__version__"]

__version__ = version("aeorsync")


def __getattr__(name: str) -> object:
    # Loaded when somebody asks: the server and most commands need no HTTP client.
    if name in {"AsyncClient", "Client"}:
        from aeorsync import client  # noqa: PLC0415

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
