"""A content-addressed file sync server, and its clients.

from aeorsync import Client

with Client("http://localhost:6830", key) as client:
    client.put("/notes/hello.txt", b"hello")
"""

TYPE_CHECKING = False  # of our own: loading `typing` takes as long as telling the version
if TYPE_CHECKING:
    from aeorsync.client import AsyncClient, Client

__all__ = ["AsyncClient", "Client", "__version__"]

__version__ = "0.1.0"
"""That of ``pyproject.toml``; asking how it was installed takes longer than most commands."""


def __getattr__(name: str) -> object:
    # Loaded when somebody asks: they take longer than most commands.
    if name in {"AsyncClient", "Client"}:
        from aeorsync import client  # noqa: PLC0415

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
