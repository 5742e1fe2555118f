"""A node of its own, called without a socket, for the tests of this folder."""

from tests.api.conftest import call, loop

__all__ = ["call", "loop"]
