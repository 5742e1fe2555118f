"""What several commands tell a person to do; loads nothing."""

from typing import Final

from aeorsync.config import KEY_VARIABLE

REFUSED_HINT: Final = f"; give a key that may do this: by aeorsync login, {KEY_VARIABLE} or --key"
