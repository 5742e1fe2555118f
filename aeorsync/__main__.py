"""``python -m aeorsync``."""

import sys

from aeorsync.cli.entry import main

if __name__ == "__main__":
    sys.exit(main())
