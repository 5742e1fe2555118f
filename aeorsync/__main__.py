"""``python -m aeorsync``."""

import sys

from aeorsync.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
