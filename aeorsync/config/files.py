"""Reading a TOML file of settings; whatever cannot be used is refused by its name and place."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from aeorsync.config.values import refused

FILE_MAX_BYTES: Final = 1 << 20


def read(path: Path) -> dict[str, object]:
    """Return what a TOML file says.

    Raises:
        StartupError: It cannot be read, is too large, or is not TOML.
    """
    import tomllib  # noqa: PLC0415  # takes a while, and not everybody has such a file

    try:
        with path.open("rb") as file:
            body = file.read(FILE_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise refused(f"{str(path)!r}: cannot read the settings: {reason}") from error
    if len(body) > FILE_MAX_BYTES:
        raise refused(f"{path}: larger than {FILE_MAX_BYTES} bytes; is this the right file?")
    try:
        return tomllib.loads(body.decode())
    except (ValueError, RecursionError) as error:
        raise refused(f"{path}: not TOML: {error}") from error


def meant(key: str, known: Iterable[str]) -> str:
    """Return a hint at the closest known key: by its whole name, else by its last part."""
    import difflib  # noqa: PLC0415  # likewise

    names = list(known)
    last_parts = {name.rpartition(".")[2]: name for name in names}
    close = difflib.get_close_matches(key, names, 1) or [
        last_parts[part]
        for part in difflib.get_close_matches(key.rpartition(".")[2], list(last_parts), 1)
    ]
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(names)}"
