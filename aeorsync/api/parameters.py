"""Query parameters, each parsed once and strictly: what cannot be meant is refused."""

import re
from collections.abc import Collection
from urllib.parse import parse_qsl

from aeorsync.errors import BadRequestError

MAX_PARAMETERS = 64
_WHOLE = re.compile(r"-?[0-9]{1,16}\Z", re.ASCII)
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


class Query:
    """The query of one request; of a repeated parameter the last counts."""

    def __init__(self, raw: bytes) -> None:
        """Read a query string.

        Raises:
            BadRequestError: It is not UTF-8, or has too many parameters.
        """
        self._values: dict[str, str] = {}
        if not raw:
            return
        try:
            pairs = parse_qsl(
                raw.decode("ascii"),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=MAX_PARAMETERS,
            )
        except ValueError as error:
            raise BadRequestError("The query is not UTF-8 or has too many parameters.") from error
        self._values = dict(pairs)

    def text(self, name: str) -> str | None:
        """The parameter as it is; None when it was not given."""
        return self._values.get(name)

    def flag(self, name: str) -> bool:
        """A parameter that is true or false; false when it was not given."""
        text = self._values.get(name, "false")
        if text not in _FLAGS:
            raise BadRequestError(f"{name} must be true or false")
        return _FLAGS[text]

    def whole(self, name: str, least: int, default: int | None = None) -> int | None:
        """A whole number of at least ``least``; an empty one counts as not given."""
        text = self._values.get(name)
        if not text:
            return default
        if not _WHOLE.match(text) or int(text) < least:
            raise BadRequestError(f"{name} must be a whole number of at least {least}")
        return int(text)

    def word(self, name: str, words: Collection[str], default: str) -> str:
        """One of some words."""
        text = self._values.get(name, default)
        if text not in words:
            raise BadRequestError(f"{name} must be one of {', '.join(words)}")
        return text
