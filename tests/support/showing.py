"""A process that shows what it was given, and ends as its first argument says."""

import os
import sys
import time


def main(end: str, *more: str) -> None:
    """Print everything; wait, fail, or exit with a code."""
    if end == "wait":
        sys.stdout.write("here\n")
        sys.stdout.flush()
        time.sleep(60)
    shown = [more, sys.stdin.read(), os.getcwd(), os.environ["COLOUR"], __package__, sys.flags]  # noqa: PTH109
    sys.stdout.write(repr(shown))
    if end == "error":
        raise ValueError(end)
    raise SystemExit(int(end))


if __name__ == "__main__":
    main(*sys.argv[1:])
