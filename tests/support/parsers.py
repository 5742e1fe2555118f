"""Every parser of the package, in one table, and what all of them promise.

1. Only errors of our own: whatever the bytes are, `Parser.errors` or a value.
2. Bounded: a second of processor time for an input of at most `MAX_INPUT` bytes.
3. What was accepted and is encoded again is accepted again, as the same value.
4. Where bytes are hashed or compared (`is_canonical`), a value has one spelling: encoding what was
   accepted gives the very bytes that were read.

`tests/house/test_parsers.py` finds the parsers that are missing here.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aeorsync.errors import AeorError

MAX_INPUT: Final = 64 * 1024
DEADLINE_S: Final = 1.0


@dataclass(frozen=True)
class Parser:
    """One parser.

    Attributes:
        name: For people, and for ``--only``.
        parse: Takes any bytes.
        seeds: Inputs that are accepted, or nearly.
        covers: Functions of the package that it exercises, as ``module:name``.
        encode: Makes bytes of what was parsed; None where there is no way back.
        is_canonical: Whether a value has only one spelling.
        errors: What may be raised.
    """

    name: str
    parse: Callable[[bytes], Any]
    seeds: Sequence[bytes]
    covers: tuple[str, ...]
    encode: Callable[[Any], bytes] | None = None
    is_canonical: bool = False
    errors: tuple[type[Exception], ...] = (AeorError,)


class FindingError(AssertionError):
    """A promise was broken; the text says which, and by what input."""

    def __init__(self, parser: Parser, data: bytes, what: str) -> None:
        shown = data if len(data) <= 400 else data[:400] + b"..."
        super().__init__(f"{parser.name}: {what}\n  input ({len(data)} bytes): {shown!r}")
        self.what = what
        self.data = data


def judge(parser: Parser, data: bytes, deadline_s: float = DEADLINE_S) -> bool:
    """Try one input; returns whether it was accepted.

    Raises:
        FindingError: A promise was broken.
    """
    began = time.thread_time()
    is_accepted, value = _tried(parser, data)
    spent = time.thread_time() - began
    if spent > deadline_s and _again(parser, data) > deadline_s:
        raise FindingError(parser, data, f"took {spent:.2f} s")
    if is_accepted and parser.encode is not None and value is not None:
        _check_back(parser, data, value)
    return is_accepted


def _tried(parser: Parser, data: bytes) -> tuple[bool, Any]:
    try:
        return True, parser.parse(data)
    except parser.errors:
        return False, None
    except MemoryError:
        raise FindingError(parser, data, "needs too much memory") from None
    except Exception as error:
        what = f"raised {type(error).__name__}: {error!s:.200}"
        raise FindingError(parser, data, what) from error


def _again(parser: Parser, data: bytes) -> float:
    """Seconds of another try: what a garbage collector or a first call takes does not count."""
    began = time.thread_time()
    _tried(parser, data)
    return time.thread_time() - began


def _check_back(parser: Parser, data: bytes, value: object) -> None:
    assert parser.encode is not None
    encoded = parser.encode(value)
    if parser.is_canonical and encoded != data:
        raise FindingError(parser, data, f"is a second spelling of {encoded[:200]!r}")
    is_accepted, again = _tried(parser, encoded)
    if not is_accepted:
        raise FindingError(parser, data, f"is refused when encoded again: {encoded[:200]!r}")
    if again != value:
        raise FindingError(parser, data, f"comes back as another value: {again!r:.200}")
