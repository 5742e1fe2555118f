"""JSON merge patches (RFC 7396), on the text of documents.

    document     {"a": 1.10, "b": {"c": 2, "d": 3}}
    patch        {"b": {"c": null, "e": 4}}
    result       {"a": 1.10, "b": {"d": 3, "e": 4}}

*What a patch does not name stays as it was written*, digit by digit: only the objects on the way
to a change are taken apart, so no number is rounded and no member changes its place.

Each level on the way costs as much as the document is long, so a patch may have `MAX_LEVELS`.
"""

import re
from typing import TypeAlias

import msgspec

from aeorsync.errors import UNREADABLE, BadRequestError

ALL = -1
"""Depth that merges objects however deep they lie."""
MAX_LEVELS = 32
"""Objects of a patch that lie in each other and are merged; what is replaced may be deeper."""

_OBJECT = re.compile(rb"[ \t\r\n]*\{")
_Object: TypeAlias = dict[str, msgspec.Raw]
_decode_object = msgspec.json.Decoder(_Object).decode
_encode = msgspec.json.Encoder().encode


def merge_patch(document: bytes | None, patch: bytes, depth: int = ALL) -> bytes:
    """Return what a document becomes by a patch.

    Args:
        document: JSON text; None where there is none yet.
        patch: JSON text.
        depth: Levels of objects that are merged; what lies deeper is replaced as a whole by what
            the patch says there. 0 replaces the document; a negative one merges all.

    Raises:
        BadRequestError: One of them is not JSON, or the patch is nested too deeply.
    """
    check_json(patch, "the patch")
    if document is not None:
        check_json(document, "the document")
    return _merge(document, patch.strip(), depth, MAX_LEVELS)


def check_json(text: bytes, what: str) -> None:
    """Refuse what is no JSON text.

    Raises:
        BadRequestError: It is not, or it is nested too deeply.
    """
    try:
        msgspec.json.decode(text)
    except UNREADABLE as error:
        raise BadRequestError(f"{what} is not JSON: {error}") from error


def _merge(document: bytes | None, patch: bytes, depth: int, levels: int) -> bytes:
    """Merge a patch without blanks around it; neither is copied more often than it must be."""
    if depth == 0 or not _is_object(patch):
        return patch
    if not levels:
        raise BadRequestError(f"the patch has more than {MAX_LEVELS} objects in each other")
    is_merged = document is not None and _is_object(document)
    members: _Object = _decode_object(document) if document is not None and is_merged else {}
    for name, value in _decode_object(patch).items():
        change = bytes(value)
        if change == b"null":
            members.pop(name, None)
        else:
            old = members.get(name) if _is_object(change) else None
            before = None if old is None else bytes(old)
            members[name] = msgspec.Raw(_merge(before, change, depth - 1, levels - 1))
    return _encode(members)


def _is_object(text: bytes) -> bool:
    return _OBJECT.match(text) is not None
