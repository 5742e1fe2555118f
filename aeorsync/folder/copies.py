"""Names of conflict copies: ``report (conflict 3f2a 2026-11-21 15-04-05).txt``.

A copy shows a version that readers do not see, beside the one they see. Its name says which node
took that version and when (UTC), so every folder gives it the same name. A name that is taken gets
a number, one that would be too long loses the end of its stem. Pure.
"""

import re
from collections.abc import Container
from datetime import UTC, datetime
from typing import Final

MAX_NAME: Final = 255
"""Bytes of UTF-8 that file systems allow in a name."""
_MAX_SUFFIX: Final = 16
_NODE_DIGITS: Final = 4
_MAX_MS: Final = 253_402_300_799_999
_MARK: Final = re.compile(
    r" \(conflict [0-9a-f]{1,16} \d{4}-\d\d-\d\d \d\d-\d\d-\d\d\)(?: \d{1,4})?(?=\.[^.]*\Z|\Z)"
)


def copy_name(name: str, node: int, updated_ms: int, taken: Container[str] = ()) -> str:
    """Return the name of the copy that shows a version of the file ``name``.

    Args:
        name: Last component of the path.
        node: Id of the node that accepted the version.
        updated_ms: When, in milliseconds since the Unix epoch.
        taken: Names that may not be used.
    """
    stem, suffix = _split(name)
    day = datetime.fromtimestamp(min(max(updated_ms, 0), _MAX_MS) // 1000, UTC)
    host = f"{node:x}"[-_NODE_DIGITS:].rjust(_NODE_DIGITS, "0")
    mark = f" (conflict {host} {day:%Y-%m-%d %H-%M-%S})"
    number = 1
    while True:
        tail = f"{mark} {number}{suffix}" if number > 1 else mark + suffix
        found = _shorten(stem, MAX_NAME - len(tail.encode())) + tail
        if found not in taken:
            return found
        number += 1


def looks_like_copy(name: str) -> bool:
    """Whether a name has the form of a copy's; whether it is one only its content tells."""
    return _MARK.search(name) is not None


def may_show(name: str, original: str) -> bool:
    """Whether a name has the form of a copy of the file ``original``."""
    found = _MARK.search(name)
    if found is None:
        return False
    stem, suffix = _split(original)
    head = name[: found.start()]
    return name[found.end() :] == suffix and (
        head == stem or (len(name.encode()) > MAX_NAME - _MAX_SUFFIX and stem.startswith(head))
    )


def _split(name: str) -> tuple[str, str]:
    """Return stem and suffix; a leading dot begins no suffix, nor does one far from the end."""
    stem, dot, suffix = name.rpartition(".")
    if not stem.strip(".") or len(suffix.encode()) > _MAX_SUFFIX:
        return name, ""
    return stem, dot + suffix


def _shorten(stem: str, size: int) -> str:
    return stem.encode()[: max(size, 0)].decode(errors="ignore")
