"""A content-addressed file sync server, and its clients.

from aeorsync import Client

with Client("http://localhost:6830", key) as client:
    client.put("/notes/hello.txt", b"hello")
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aeorsync.client import AsyncClient, Client

    __version__: str

__all__ = ["AsyncClient", "Client", "__version__"]


def __getattr__(name: str) -> object:
    # Loaded when somebody asks: each of them takes longer than most commands.
    if name in {"AsyncClient", "Client"}:
        from aeorsync import client  # noqa: PLC0415

        return getattr(client, name)
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415

        return version("aeorsync")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
