"""Where programs of this user keep what they must not lose and nobody edits."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from aeorsync.config import values
from aeorsync.config.values import Given

STATE_VARIABLE: Final = "XDG_STATE_HOME"


def state_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Return ``$XDG_STATE_HOME/aeorsync``, else ``~/.local/state/aeorsync``; it need not exist.

    Raises:
        StartupError: The variable does not name a folder.
    """
    home = environment.get(STATE_VARIABLE) or "~/.local/state"
    return values.parse_path(Given(home, STATE_VARIABLE)).absolute() / "aeorsync"
