"""What kind of file it is, where its writer did not say.

    stated type is specific          it is kept
    the name has a known ending      what the table says; the system's tables are not looked at
    text                             text/plain: the head is UTF-8 without NUL
    anything else                    application/octet-stream

The first rule that fits decides.
"""

import codecs
import mimetypes
import re

from aeorsync.errors import BadRequestError
from aeorsync.wire.limits import MAX_CONTENT_TYPE

UNKNOWN = "application/octet-stream"
HEAD_SIZE = 4096
"""Bytes at the start of a file that are looked at."""

# curl states the second one for whatever it sends.
_UNSPECIFIC = {"", UNKNOWN, "application/x-www-form-urlencoded"}
_COMPRESSED = {
    "br": "application/x-brotli",
    "bz2": "application/x-bzip2",
    "gz": "application/gzip",
    "tgz": "application/gzip",
    "xz": "application/x-xz",
    "z": "application/x-compress",
    "zst": "application/zstd",
}
_TYPES = {
    **{ending[1:]: kind for ending, kind in mimetypes.MimeTypes().types_map[True].items()},
    **_COMPRESSED,
}
_HEADER_SAFE = re.compile(r"[ -~]{1,255}\Z")


def content_type(stated: bytes | None, name: str, head: bytes) -> str:
    """The media type to keep for a file.

    Args:
        stated: Content-Type field, if there is one.
        name: Last component of the path.
        head: The first bytes of the file, at least `HEAD_SIZE` unless it is shorter.

    Raises:
        BadRequestError: The stated type is too long, or could not be sent back.
    """
    kind = stated_type(stated, name)
    return kind or ("text/plain" if _is_text(head[:HEAD_SIZE]) else UNKNOWN)


def stated_type(stated: bytes | None, name: str) -> str | None:
    """The media type that the writer or the name tell; None when the first bytes decide.

    Raises:
        BadRequestError: The stated type is too long, or could not be sent back.
    """
    text = "" if stated is None else stated.decode("latin-1").strip()
    if text and text.partition(";")[0].strip().lower() not in _UNSPECIFIC:
        if not _HEADER_SAFE.match(text):
            raise BadRequestError(f"Content-Type must be ASCII of at most {MAX_CONTENT_TYPE}")
        return text
    stem, _, ending = name.rpartition(".")
    return _TYPES.get(ending.lower()) if stem else None


def printable(kept: str) -> bytes:
    """The Content-Type field for a kept type; a peer may have let in one that is no field."""
    return (kept if _HEADER_SAFE.match(kept) else UNKNOWN).encode("ascii")


def _is_text(head: bytes) -> bool:
    if b"\0" in head:
        return False
    if head.isascii():
        return True
    try:
        # Not final: the head may end within a character, but only where it was cut.
        codecs.getincrementaldecoder("utf-8")().decode(head, final=len(head) < HEAD_SIZE)
    except UnicodeDecodeError:
        return False
    return True
