"""Patterns in gitignore syntax, compiled; a module of its own, since loading it takes a while."""

import re
import threading
import warnings
from collections.abc import Sequence
from typing import Final

import re2  # type: ignore[import-untyped]  # ships no types; only its error is used
from pathspec import GitIgnoreSpec
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from aeorsync.errors import UNREADABLE, BadRequestError

MAX_PATTERNS: Final = 2000
"""Of one list; compiling each takes a fraction of a millisecond."""
MAX_PATTERN: Final = 1024
"""Characters of one."""
_BACKEND: Final = "re2"
_warned: Final = threading.Lock()


def pattern(line: str) -> GitIgnoreSpecPattern | None:
    """One pattern; None for an empty line, or a remark.

    Raises:
        BadRequestError: It is none, or too long.
    """
    if not line.strip() or line.startswith("#"):
        return None
    if len(line) > MAX_PATTERN:
        raise BadRequestError(f"a pattern is longer than {MAX_PATTERN} characters")
    # It compiles for Python first, which warns of brackets that only RE2 will read.
    with _warned, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        try:
            found = GitIgnoreSpecPattern(line)
            GitIgnoreSpec([found], backend=_BACKEND)
        except (*UNREADABLE, re.error, re2.error) as error:
            raise BadRequestError(f"{line!r:.80} is no pattern in gitignore syntax") from error
        return found


def spec(patterns: Sequence[GitIgnoreSpecPattern]) -> GitIgnoreSpec:
    """What some patterns come to.

    Raises:
        BadRequestError: There are too many.
    """
    if len(patterns) <= MAX_PATTERNS:
        try:
            return GitIgnoreSpec(patterns, backend=_BACKEND)
        except (ValueError, re2.error):
            pass
    raise BadRequestError(
        f"these are more than {MAX_PATTERNS} patterns in gitignore syntax, or too long ones"
    )


def specs(texts: Sequence[str]) -> GitIgnoreSpec:
    """Likewise of their texts."""
    some = texts[: MAX_PATTERNS + 1]
    return spec([found for text in some if (found := pattern(text))])
