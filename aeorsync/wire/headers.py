"""Header fields: names, and their values as Python values, both ways.

    Range                one of ``bytes=a-b``, ``bytes=a-``, ``bytes=-n``
    ETag                 ``"opaque"`` or ``W/"opaque"``
    If-Match             ``*`` or a list of those
    If-None-Match        ``*`` or a list of those
    X-AeorSync-Mtime     milliseconds since the Unix epoch: ``1700000000000.000001``
    X-AeorSync-Mode      ``755`` or ``644``: the one bit of a mode that is kept
    X-AeorSync-From      node id of the calling node
    paths in headers     percent-encoded, because a header carries ASCII only

Every parser here is bounded and raises nothing but BadRequestError.
"""

import re
from urllib.parse import quote

import msgspec

from aeorsync.core.paths import TreePath, decode, parse
from aeorsync.errors import BadRangeError, BadRequestError
from aeorsync.wire.limits import MAX_ETAGS, MAX_HEADER

MTIME = "X-AeorSync-Mtime"
MODE = "X-AeorSync-Mode"
FROM_HEADER = "X-AeorSync-From"
"""Node id of the calling node, decimal; on every call of an aeorsync node."""
RUN_HEADER = "X-AeorSync-Run"
"""Id of its run, another one after each start, hex; likewise."""

MAX_NS = 1 << 62
NS_PER_MS = 1_000_000
OWNER_MAY_EXECUTE = 0o100

_ETAG = re.compile(r'(W/)?"([\x21\x23-\x7e]*)"')
_COMMA = re.compile(r"[ \t]*,[ \t,]*")
_RANGE = re.compile(r"bytes=[ \t]*([0-9]{0,19})-([0-9]{0,19})[ \t]*\Z", re.IGNORECASE)
_MTIME = re.compile(r"(-?)([0-9]{1,16})(?:\.([0-9]{1,6}))?\Z")
_MODE = re.compile(r"0?[0-7]{3}\Z")
# Visible ASCII but the percent sign; a space at either end of a value would be trimmed.
_HEADER_SAFE = "!\"#$&'()*+,/:;<=>?@[\\]^`{|}"


class ETag(msgspec.Struct, frozen=True):
    """One entity tag.

    Attributes:
        opaque: What is between the quotes.
        is_weak: Whether it promises the same meaning only, not the same bytes.
    """

    opaque: str
    is_weak: bool = False


class ETags(msgspec.Struct, frozen=True):
    """The value of If-Match or If-None-Match.

    Attributes:
        is_any: Whether it is ``*``: anything that exists.
        tags: The listed tags, in order; empty for ``*``.
    """

    is_any: bool
    tags: tuple[ETag, ...] = ()

    def strong(self) -> list[str]:
        """Return the tags that If-Match may compare; a weak one never matches there."""
        return [tag.opaque for tag in self.tags if not tag.is_weak]

    def weak(self) -> list[str]:
        """Return the tags that If-None-Match may compare: all of them."""
        return [tag.opaque for tag in self.tags]


def parse_etags(text: str) -> ETags:
    """Return the tags that ``text`` lists.

    Raises:
        BadRequestError: It is no list of tags, or too long a one.
    """
    if len(text) > MAX_HEADER:
        raise BadRequestError("The list of entity tags is too long.")
    text = text.strip(" \t")
    if text == "*":
        return ETags(is_any=True)
    tags: list[ETag] = []
    at = 0
    while found := _ETAG.match(text, at):
        tags.append(ETag(found[2], found[1] is not None))
        if found.end() == len(text) and len(tags) <= MAX_ETAGS:
            return ETags(is_any=False, tags=tuple(tags))
        if not (comma := _COMMA.match(text, found.end())) or len(tags) > MAX_ETAGS:
            break
        at = comma.end()
    raise BadRequestError("An entity tag is not quoted, or there are too many.")


def print_etag(opaque: str) -> str:
    """Return the value of the ETag field for a strong tag."""
    return f'"{opaque}"'


def parse_range(header: str, size: int) -> tuple[int, int] | None:
    """Return the range of bytes to serve, as start and stop (exclusive, at most ``size``).

    None when the unit is not bytes: the field is then to be ignored.

    Raises:
        BadRangeError: It is malformed, several ranges, or outside the file.
    """
    if header[:6].lower() != "bytes=":
        return None
    found = _RANGE.match(header)
    if not found or not (found[1] or found[2]):
        raise BadRangeError("The range is malformed, or more than one.", size)
    if not found[1]:
        start, stop = max(0, size - int(found[2])), size
    else:
        start = int(found[1])
        stop = min(size, int(found[2]) + 1) if found[2] else size
    if start >= stop:
        raise BadRangeError("The range lies outside the file.", size)
    return start, stop


def print_range(start: int, stop: int, size: int) -> str:
    """Return the value of Content-Range for the bytes from ``start`` to before ``stop``."""
    return f"bytes {start}-{stop - 1}/{size}"


def print_no_range(size: int) -> str:
    """Return the value of Content-Range in the answer to a range that cannot be served."""
    return f"bytes */{size}"


def parse_mtime(text: str) -> int:
    """Return nanoseconds since the Unix epoch, possibly negative.

    Raises:
        BadRequestError: It is no decimal number of milliseconds within about 146 years of 1970.
    """
    if not (found := _MTIME.match(text)):
        raise BadRequestError("A modification time must be decimal milliseconds.")
    ns = int(found[2]) * NS_PER_MS + int((found[3] or "").ljust(6, "0"))
    if ns > MAX_NS:
        raise BadRequestError("A modification time is out of range.")
    return -ns if found[1] else ns


def print_mtime(ns: int) -> str:
    """Return ``ns`` nanoseconds since the Unix epoch as decimal milliseconds."""
    ms, rest = divmod(abs(ns), NS_PER_MS)
    fraction = f".{rest:06}".rstrip("0") if rest else ""
    return f"{'-' if ns < 0 else ''}{ms}{fraction}"


def parse_mode(text: str) -> bool:
    """Return whether an octal mode lets the owner execute the file.

    Raises:
        BadRequestError: It is not three octal digits (with or without a leading zero).
    """
    if not _MODE.match(text):
        raise BadRequestError("A mode must be three octal digits.")
    return bool(int(text, 8) & OWNER_MAY_EXECUTE)


def print_mode(*, is_executable: bool) -> str:
    """Return the mode of a file."""
    return "755" if is_executable else "644"


def print_path(path: str) -> str:
    """Return a path or a link's target in a form that any header can carry."""
    return quote(path, safe=_HEADER_SAFE)


def parse_path(text: str) -> TreePath:
    """Return the path that `print_path` printed.

    Raises:
        BadRequestError: It is no allowed path.
        NotFoundError: It lies in the system namespace.
    """
    try:
        return parse(decode(text.encode("ascii")))
    except UnicodeEncodeError as error:
        raise BadRequestError("A path in a header must be percent-encoded.") from error
