"""A content-addressed file sync server."""

from importlib.metadata import version

__version__ = version("aeorsync")
