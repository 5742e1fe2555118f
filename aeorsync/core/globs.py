r"""Globs: patterns over paths, for key rules and for what a link replicates.

    *               any run of bytes without a slash, leading dots included
    **              as a whole segment, any number of segments, also none: `/a/**/b` matches `/a/b`
    ** at the end   anything: `/a/**` matches `/a/x/y`, not `/a`; `/a**` matches `/abc/d`
    ** elsewhere    the same as `*`
    ?               one byte but a slash
    [ab] [a-z]      one byte of those; `[!a]` and `[^a]` one byte of the others; never a slash
    {a,b}           either, nested to ten
    !               at the start: matches what the rest does not
    \x              x itself

A glob matches whole paths, byte by byte of their UTF-8 and in their case. What cannot mean
anything (an open bracket, three stars) is refused, so that no rule silently protects nothing.

*Linear time*: globs become regular expressions of RE2, which never backtracks.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

import re2  # type: ignore[import-untyped]  # ships no types; `_Pattern` is what we use

from aeorsync.errors import BadRequestError

MAX_GLOB = 1024  # bytes of UTF-8
MAX_GLOBS = 100
MAX_NESTING = 10
# `{a,b}{a,b}…` doubles with every pair; these bound the expression that RE2 is given.
MAX_ALTERNATIVES = 256
MAX_EXPANDED = 4096  # symbols of one glob, braces expanded
MAX_EXPANDED_ALL = 16_384  # symbols of a set; hostile ones cost 0.1 ms each byte of a path

_SLASH, _STAR, _STARS = b"/", b"*", b"**"
_ONE_BYTE = b"[^/]"
_SEGMENT_RUN, _ANYTHING, _SEGMENTS = b"[^/]*", b".*", b"(?:.*/)?"

_OPTIONS = re2.Options()
_OPTIONS.encoding = re2.Options.Encoding.LATIN1
_OPTIONS.dot_nl = True
_OPTIONS.log_errors = False
_OPTIONS.max_mem = 16 << 20


class _Pattern(Protocol):
    def fullmatch(self, text: bytes) -> object | None: ...


@dataclass(frozen=True, slots=True)
class Glob:
    """One pattern.

    Attributes:
        text: As given.
        is_negated: Whether it matches what its expression does not.
        expression: Regular expression over bytes.
        size: Symbols in all alternatives together.
    """

    text: str
    is_negated: bool = field(repr=False)
    expression: bytes = field(repr=False)
    size: int = field(repr=False)
    _pattern: _Pattern = field(repr=False, compare=False)

    @classmethod
    def parse(cls, text: str) -> "Glob":
        """Return the glob that ``text`` spells.

        Raises:
            BadRequestError: It is too long, too deeply nested, or has no meaning.
        """
        try:
            raw = text.encode()
        except UnicodeEncodeError as error:
            raise BadRequestError("A glob must be Unicode text.") from error
        if len(raw) > MAX_GLOB:
            raise BadRequestError(f"A glob is longer than {MAX_GLOB} bytes.")
        body = raw.lstrip(b"!")
        alternatives = _expand(_Reader(body).sequence(depth=0))
        expression = b"|".join(map(_translate, alternatives))
        return cls(
            text=text,
            is_negated=(len(raw) - len(body)) % 2 == 1,
            expression=expression,
            size=sum(map(len, alternatives)),
            _pattern=_compile(expression),
        )

    def matches(self, path: str) -> bool:
        """Whether the whole of ``path`` matches."""
        return (self._pattern.fullmatch(path.encode()) is None) is self.is_negated


@dataclass(frozen=True, slots=True)
class Globs:
    """A set of patterns, any of which may match; the empty set matches nothing."""

    globs: tuple[Glob, ...]
    _plain: _Pattern | None = field(repr=False, compare=False)

    @classmethod
    def parse(cls, texts: Iterable[str]) -> "Globs":
        """Return the set of the globs that ``texts`` spell.

        Raises:
            BadRequestError: There are too many, or one of them cannot be parsed.
        """
        globs: list[Glob] = []
        for text in texts:
            globs.append(Glob.parse(text))
            if len(globs) > MAX_GLOBS or sum(glob.size for glob in globs) > MAX_EXPANDED_ALL:
                raise BadRequestError(f"There are more than {MAX_GLOBS} globs, or too long ones.")
        plain = [glob.expression for glob in globs if not glob.is_negated]
        return cls(tuple(globs), _compile(b"|".join(plain)) if plain else None)

    def matches(self, path: str) -> bool:
        """Whether any of the globs matches the whole of ``path``."""
        if self._plain is not None and self._plain.fullmatch(path.encode()) is not None:
            return True
        return any(glob.matches(path) for glob in self.globs if glob.is_negated)


@dataclass(frozen=True, slots=True)
class _Choice:
    alternatives: "list[_Sequence]"


# A symbol is one of the three above or an expression for exactly one byte.
_Symbols = list[bytes]
_Sequence = list[bytes | _Choice]


class _Reader:
    """Reads the symbols of one glob from left to right."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._at = 0

    def sequence(self, depth: int) -> _Sequence:
        """Read to the end; within braces, to the comma or brace that ends the alternative."""
        found: _Sequence = []
        while self._at < len(self._text):
            if depth and self._peek() in {b",", b"}"}:
                break
            found.append(self._symbol(depth))
        return found

    def _symbol(self, depth: int) -> bytes | _Choice:
        match byte := self._next():
            case b"*":
                return self._stars()
            case b"[":
                return self._class()
            case b"{":
                return self._choice(depth + 1)
            case b"?":
                return _ONE_BYTE
            case _:
                return _literal(self._next() if byte == b"\\" else byte)

    def _stars(self) -> bytes:
        if self._peek() != b"*":
            return _STAR
        self._at += 1
        if self._peek() == b"*":
            raise BadRequestError("A glob has three stars in a row.")
        return _STARS

    def _class(self) -> bytes:
        is_negated = self._peek() in {b"!", b"^"}
        self._at += is_negated
        members: set[int] = set()
        byte = self._next()  # a bracket that comes first is a member
        while True:
            members.update(self._members(byte))
            if (byte := self._next()) == b"]":
                break
        chosen = members ^ set(range(256)) if is_negated else members
        # Without any member this is the empty class, which RE2 spells as the negation of all.
        listed = b"".join(b"\\x%02x" % member for member in sorted(chosen - {_SLASH[0]}))
        return b"[%b]" % listed if listed else b"[^\\x00-\\xff]"

    def _members(self, byte: bytes) -> range:
        first = self._next() if byte == b"\\" else byte
        last = first
        if self._peek() == b"-" and self._text[self._at + 1 : self._at + 2] != b"]":
            self._at += 1
            byte = self._next()
            last = self._next() if byte == b"\\" else byte
        if first > last:
            raise BadRequestError("A range in a glob is the wrong way round.")
        return range(first[0], last[0] + 1)

    def _choice(self, depth: int) -> _Choice:
        if depth > MAX_NESTING:
            raise BadRequestError(f"A glob has more than {MAX_NESTING} nested braces.")
        alternatives = [self.sequence(depth)]
        while self._next() == b",":
            alternatives.append(self.sequence(depth))
        return _Choice(alternatives)

    def _peek(self) -> bytes:
        return self._text[self._at : self._at + 1]

    def _next(self) -> bytes:
        """Take one byte; in a glob that ends here something was left open."""
        if self._at >= len(self._text):
            raise BadRequestError("A glob ends within brackets, braces or an escape.")
        self._at += 1
        return self._text[self._at - 1 : self._at]


def _literal(byte: bytes) -> bytes:
    # A slash stays one symbol however it is written: segments end at it.
    return _SLASH if byte == _SLASH else b"\\x%02x" % byte[0]


def _expand(sequence: _Sequence) -> list[_Symbols]:
    """Return every way through the braces of ``sequence``."""
    ways: list[_Symbols] = [[]]
    for item in sequence:
        tails = (
            [tail for alternative in item.alternatives for tail in _expand(alternative)]
            if isinstance(item, _Choice)
            else [[item]]
        )
        count = len(ways) * len(tails)
        size = len(tails) * sum(map(len, ways)) + len(ways) * sum(map(len, tails))
        if count > MAX_ALTERNATIVES or size > MAX_EXPANDED:
            raise BadRequestError("The braces of a glob stand for too many alternatives.")
        if count == 1:
            ways[0] += tails[0]
        else:
            ways = [head + tail for head in ways for tail in tails]
    return ways


def _translate(symbols: _Symbols) -> bytes:
    parts = []
    at = 0
    while at < len(symbols):
        symbol, before, after = symbols[at], symbols[:at][-1:], symbols[at + 1 : at + 2]
        at += 1
        if symbol == _STARS and not after:
            parts.append(_ANYTHING)
        elif symbol == _STARS and before in ([], [_SLASH]) and after == [_SLASH]:
            parts.append(_SEGMENTS)
            at += 1  # the slash is part of the expression: with no segment there is none
        elif symbol in {_STAR, _STARS}:
            parts.append(_SEGMENT_RUN)
        else:
            parts.append(symbol)
    return b"".join(parts)


def _compile(expression: bytes) -> _Pattern:
    try:
        pattern: _Pattern = re2.compile(expression, _OPTIONS)
    except re2.error as error:
        raise BadRequestError("The globs are too large.") from error
    return pattern
