"""Inputs made to break parsers: seeds, changed at random, where their structure allows it.

    way            what it changes
    ---            ---------------
    bytes          flips, cuts, doubles, drops, inserts; numbers at the edges; words that hurt
    splice         the head of one seed and the tail of another
    msgpack        decodes, changes one value or the spelling of one, encodes again
    JSON           the same for JSON, with repeated members and numbers no float can hold
    nesting        something in very many brackets, of JSON or of msgpack

One `Random` decides everything, so a seed and a number name an input for ever.
"""

import json
import random
import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

DEPTHS: Final = (10, 200, 900, 1000, 1100, 5000, 100_000)
WORDS: Final = (
    *(b"", b"\0", b"/", b"//", b"..", b"/../", b".", b"\\", b"%", b"%2e%2e", b"%00", b"%252f"),
    *(b"\n", b"\r\n", b"\x1b[0m", b"\x7f", b"\xc2\x85", b"\xff", b"\xc0\xae", b"\xed\xa0\x80"),
    *("é".encode(), "e\u0301".encode(), "\u202e".encode(), "\u200b".encode(), "\ufeff".encode()),
    *("İ".encode(), "²".encode(), "٣".encode(), "\uff0f".encode(), "\U0001f389".encode()),
    *(b"-", b"--", b"*", b"**", b"***", b"?", b"[", b"]", b"[!]", b"{", b"}", b"{a,b}", b"!"),
    *(b"0", b"-1", b"1e999", b"1.5", b"NaN", b"null", b"true", b"9" * 20, b"9" * 5000),
    *(b"18446744073709551615", b"18446744073709551616", b"9223372036854775808", b"-0"),
    *(b'"', b"'", b",", b":", b"=", b";", b"#", b"W/", b"bytes=", b"http://", b"[::1]", b"@"),
    *(b"~", b"~1", b"aeor_k_", b"aeor_r_", b"eyJ", b".aeordb-system", b".aeorsync-tmp-"),
)
NUMBERS: Final = (
    *(0, 1, -1, 2, 127, 128, 255, 256, 65535, 65536, (1 << 31) - 1, 1 << 31, (1 << 32) - 1),
    *(1 << 32, (1 << 62) - 1, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, -(1 << 63)),
)


def nested(depth: int, opening: bytes = b"[", closing: bytes = b"]", inner: bytes = b"") -> bytes:
    """Something in so many brackets."""
    return opening * depth + inner + closing * depth


class Mutator:
    """Makes inputs from seeds, for ever.

    Args:
        seeds: What a parser accepts, or nearly.
        seed: Decides everything.
    """

    def __init__(self, seeds: Sequence[bytes], seed: int) -> None:
        self.random = random.Random(seed)
        self._seeds = [*seeds] or [b""]

    def next(self) -> bytes:
        """One input: a seed that was changed a few times."""
        data = self.random.choice(self._seeds)
        ways = self.random.choices(_WAYS, _WEIGHTS, k=self.random.choice((1, 1, 1, 2, 3, 6)))
        for way in ways:
            data = way(self, data)
        return data

    def from_bytes(self, data: bytes) -> bytes:  # noqa: PLR0911  # one way a case
        """Change bytes, whatever they mean."""
        at = self.random.randrange(len(data) + 1)
        end = min(len(data), at + self.random.choice((1, 1, 2, 4, 8, 32)))
        match self.random.randrange(7):
            case 0 if data:
                spot = min(at, len(data) - 1)
                return (
                    data[:spot]
                    + bytes((data[spot] ^ 1 << self.random.randrange(8),))
                    + data[spot + 1 :]
                )
            case 1:
                return data[:at]
            case 2:
                return data[:at] + data[end:]
            case 3:
                return data[:at] + data[at:end] * self.random.choice((2, 3, 100)) + data[end:]
            case 4:
                return (
                    data[:at] + self.random.choice(WORDS) + data[self.random.choice((at, end)) :]
                )
            case 5:
                number = self.random.choice(NUMBERS) & 0xFFFFFFFFFFFFFFFF
                form = self.random.choice((">B", ">H", ">I", ">Q", "<I"))
                mask = (1 << 8 * struct.calcsize(form)) - 1
                packed = struct.pack(form, number & mask)
                return data[:at] + packed + data[at + len(packed) :]
            case _:
                return data[:at] + self.random.randbytes(self.random.randrange(9)) + data[end:]

    def splice(self, data: bytes) -> bytes:
        """The head of one and the tail of another."""
        other = self.random.choice(self._seeds)
        return (
            data[: self.random.randrange(len(data) + 1)]
            + other[self.random.randrange(len(other) + 1) :]
        )

    def msgpack(self, data: bytes) -> bytes:
        """Change one value of a msgpack document, or how it is spelled."""
        try:
            value = msgspec.msgpack.decode(data)
        except (msgspec.MsgspecError, ValueError, RecursionError, TypeError):
            return self.from_bytes(data)
        try:
            return _Spelling(self.random).spell(self._changed(value))
        except RecursionError:
            return self.from_bytes(data)

    def json(self, data: bytes) -> bytes:
        """Change one value of a JSON document, or repeat a member."""
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            return self.from_bytes(data)
        try:
            text = json.dumps(self._changed(value), default=lambda odd: odd.decode("latin-1"))
        except RecursionError:
            return self.from_bytes(data)
        if self.random.random() < 0.2:
            text = text.replace(": ", ': 0, "x": ', 1)
        return text.encode("utf-8", "surrogatepass")

    def nest(self, data: bytes) -> bytes:
        """Put it, or something in it, into very many brackets."""
        depth = self.random.choice(DEPTHS[:6])
        opening, closing = self.random.choice(
            ((b"[", b"]"), (b'{"a":', b"}"), (b"\x91", b""), (b"\x81\xa1a", b""), (b"{", b"}"))
        )
        deep = nested(depth, opening, closing, self.random.choice((b"", b"1", b"\xc0", data[:64])))
        at = self.random.randrange(len(data) + 1)
        return self.random.choice((deep, data[:at] + deep + data[at:], data[:at] + deep))

    def _changed(self, value: Any) -> Any:  # noqa: ANN401, C901, PLR0911, PLR0912  # one way a type
        if isinstance(value, dict) and value and self.random.random() < 0.85:
            name = self.random.choice(list(value))
            match self.random.randrange(6):
                case 0:
                    return {key: one for key, one in value.items() if key != name}
                case 1:
                    return {**value, "unknown": self._odd()}
                case _:
                    return {**value, name: self._changed(value[name])}
        if isinstance(value, list | tuple) and value and self.random.random() < 0.85:
            items = list(value)
            at = self.random.randrange(len(items))
            match self.random.randrange(7):
                case 0:
                    del items[at]
                case 1:
                    items.insert(at, items[at])
                case 2:
                    items.append(self._odd())
                case 3:
                    self.random.shuffle(items)
                case _:
                    items[at] = self._changed(items[at])
            return items
        if isinstance(value, bytes) and self.random.random() < 0.7:
            return self.random.choice((self.msgpack, self.from_bytes))(value)
        if isinstance(value, str) and self.random.random() < 0.7:
            return self.from_bytes(value.encode("utf-8", "surrogatepass")).decode("latin-1")
        if isinstance(value, int) and self.random.random() < 0.5:
            return max(-(1 << 63), min((1 << 64) - 1, value + self.random.choice((-1, 1, 256))))
        return self._odd()

    def _odd(self) -> Any:  # noqa: ANN401  # any value
        return self.random.choice(
            (*_ODD, self.random.choice(NUMBERS), self.random.choice(WORDS), "x" * 300)
        )


_ODD: Final[tuple[Any, ...]] = (
    *(None, True, "", b"", [], {}, 1.5, float("inf")),
    *([[]], [0], {"a": 1}, "\0", b"\xff" * 32),
)
_WAYS: Final[tuple[Callable[[Mutator, bytes], bytes], ...]] = (
    Mutator.from_bytes,
    Mutator.splice,
    Mutator.msgpack,
    Mutator.json,
    Mutator.nest,
)
_WEIGHTS: Final = (8, 2, 6, 4, 1)


class _Spelling:
    """Msgpack with other spellings of numbers, texts and lists than the shortest, now and then."""

    def __init__(self, source: random.Random) -> None:
        self._random = source

    def spell(self, value: Any) -> bytes:  # noqa: ANN401, C901, PLR0911  # one way a type
        if self._random.random() < 0.9:
            try:
                if not isinstance(value, list | tuple | dict):
                    return msgspec.msgpack.encode(value)
            except (OverflowError, ValueError, TypeError):
                return b"\xc0"
        match value:
            case bool() | None | float():
                return msgspec.msgpack.encode(value)
            case int():
                return b"\xcf" + (value & 0xFFFFFFFFFFFFFFFF).to_bytes(8)
            case str():
                raw = value.encode("utf-8", "surrogatepass")
                return b"\xdb" + len(raw).to_bytes(4) + raw
            case bytes():
                return b"\xc6" + len(value).to_bytes(4) + value
            case dict():
                parts = [self.spell(one) for pair in value.items() for one in pair]
                return self._head(0x80, 0xDF, len(value)) + b"".join(parts)
            case list() | tuple():
                return self._head(0x90, 0xDD, len(value)) + b"".join(map(self.spell, value))
            case _:
                return b"\xc1"

    def _head(self, short: int, long: int, count: int) -> bytes:
        if count < 16 and self._random.random() < 0.95:
            return bytes((short | count,))
        return bytes((long,)) + count.to_bytes(4)
