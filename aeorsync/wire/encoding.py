"""How the frames of an answer are compressed, as the asking node wants it. Sans-I/O.

    wanted   Accept-Encoding   chunks in their frames   the whole answer
    ------   ---------------   ----------------------   ----------------
    zstd     zstd, or none     as they are stored       as it is
    gzip     gzip              plain                    Content-Encoding: gzip
    none     identity          plain                    as it is

Hashes are always those of plain bytes.
"""

import zlib
from collections.abc import Iterator
from enum import Enum
from typing import Final

from aeorsync.errors import BadRequestError
from aeorsync.wire.limits import KIB

PIECE: Final = 256 * KIB
"""Most bytes that are unpacked at a time."""
_LEVEL: Final = 1
_GZIP_WINDOW: Final = 31


class Encoding(Enum):
    """How a link wants its answers; the value is its word in a request."""

    ZSTD = "zstd"
    GZIP = "gzip"
    NONE = "none"


def accept(encoding: Encoding) -> str:
    """The ``Accept-Encoding`` that asks for an encoding."""
    return "identity" if encoding is Encoding.NONE else encoding.value


def accepted(header: str | None) -> Encoding:
    """The encoding that an ``Accept-Encoding`` asks for; the first row of the table that fits."""
    words = (word.partition(";") for word in (header or "*").lower().split(","))
    names = {name.strip() for name, _, weight in words if not _is_zero(weight)}
    if names & {"zstd", "*"}:
        return Encoding.ZSTD
    return Encoding.GZIP if "gzip" in names else Encoding.NONE


def _is_zero(weight: str) -> bool:
    name, _, value = weight.strip().partition("=")
    return name.strip() == "q" and value.strip().strip("0") in {"", "."}


class Squeezer:
    """Plain bytes in, gzip out."""

    def __init__(self) -> None:
        self._stream = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)

    def feed(self, data: bytes) -> bytes:
        """Return what can be sent by now; it may be nothing."""
        return self._stream.compress(data)

    def finish(self) -> bytes:
        """Return the rest."""
        return self._stream.flush()


class Inflater:
    """Gzip in, plain bytes out, in pieces of at most `PIECE` bytes, however much it swells."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(_GZIP_WINDOW)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what ``data`` unpacks to; stop at any piece, and no more is unpacked.

        Raises:
            BadRequestError: It is not gzip, or something follows its end.
        """
        while data:
            if self._stream.eof:
                raise BadRequestError("bytes follow the end of a compressed answer")
            try:
                piece = self._stream.decompress(data, PIECE)
            except zlib.error as error:
                raise BadRequestError(f"an answer is not gzip: {error}") from error
            data = self._stream.unconsumed_tail or self._stream.unused_data
            if piece:
                yield piece

    def finish(self) -> None:
        """Check that the end was reached.

        Raises:
            BadRequestError: It was cut off.
        """
        if not self._stream.eof:
            raise BadRequestError("a compressed answer was cut off")
