"""httpx, without the command line that it would load."""

import sys

if "httpx" not in sys.modules:
    # With all that draws it, that is most of what loading it takes, unless it cannot be had.
    sys.modules["httpx._main"] = None  # type: ignore[assignment]
    import httpx

    del sys.modules["httpx._main"]
else:
    import httpx

__all__ = ["httpx"]
