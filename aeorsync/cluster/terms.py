"""What a person may say of a link, checked: from words of a request to fields of a record."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any, Final, TypeVar

from msgspec import UNSET

from aeorsync.cluster.peers import (
    Direction,
    LinkRecord,
    parse_address,
    parse_filters,
    parse_label,
)
from aeorsync.errors import BadRequestError
from aeorsync.wire.encoding import Encoding
from aeorsync.wire.terms import PeerTerms

E = TypeVar("E", bound=Enum)

MAX_BANDWIDTH: Final = 100_000_000
"""Thousands of bytes a second; more than any network of ours has."""
RESTARTING: Final = frozenset({"address", "enabled"})
"""Fields that a running connection cannot take over: the link begins again."""


def parse_terms(terms: PeerTerms) -> dict[str, object]:
    """Return the fields of a `LinkRecord` that ``terms`` sets, with their values.

    Raises:
        BadRequestError: A value cannot be meant; the text names what can.
    """
    given = ((name, getattr(terms, name, UNSET)) for name in _PARSERS)
    return {name: _PARSERS[name](value) for name, value in given if value is not UNSET}


def news(record: LinkRecord, changes: dict[str, object]) -> dict[str, object]:
    """Those of some changes that change the record."""
    return {name: value for name, value in changes.items() if getattr(record, name) != value}


def _word(name: str, words: type[E], text: str) -> E:
    try:
        return words(text)
    except ValueError as error:
        known = ", ".join(str(word.value) for word in words)
        raise BadRequestError(f"{name} must be one of {known}; nothing was changed") from error


def _bandwidth(limit: int) -> int:
    if not 0 <= limit <= MAX_BANDWIDTH:
        raise BadRequestError(
            f"bandwidth_limit is in KB/s, 0 (no limit) to {MAX_BANDWIDTH}; nothing was changed"
        )
    return limit


def _as_it_is(value: bool) -> bool:  # noqa: FBT001  # a parser like the others
    return value


_PARSERS: Final[dict[str, Callable[[Any], object]]] = {
    "address": parse_address,
    "label": parse_label,
    "sync_paths": parse_filters,
    "excludes": parse_filters,
    "direction": partial(_word, "direction", Direction),
    "enabled": _as_it_is,
    "compression": partial(_word, "compression", Encoding),
    "bandwidth_limit": _bandwidth,
}


@dataclass(frozen=True, slots=True)
class Removal:
    """A link that is gone here.

    Attributes:
        node_id: The peer's.
        peer_told: Whether the peer has no link to us any more, either.
        reason: Why it could not be told.
    """

    node_id: int
    peer_told: bool
    reason: str | None = None
