"""HTTP out: the only floor that speaks httpx."""

import sys

if "httpx" not in sys.modules:
    # httpx loads a command line of its own, with all that draws it, unless that cannot be had:
    # most of what loading it takes.
    sys.modules["httpx._main"] = None  # type: ignore[assignment]
    import httpx as _httpx

    del sys.modules["httpx._main"], _httpx
