"""JSON pointers (RFC 6901): one value of a document, as it was written.

{"a": [1.50, {"b/c": 2}]}     /a/0 is 1.50     /a/1/b~1c is 2     the empty pointer is all of it

Each name costs as much as the document is long, so there may be `MAX_NAMES`.
"""

import msgspec

from aeorsync.errors import BadRequestError, NotFoundError

_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
_MAX_INDEX_DIGITS = 9
MAX_NAMES = 32
"""Of one pointer."""


def resolve_pointer(document: bytes, pointer: str) -> bytes:
    """Return the text of the value that a pointer names in a checked JSON document.

    Raises:
        BadRequestError: It is no pointer.
        NotFoundError: The document has no such value.
    """
    if pointer and not pointer.startswith("/"):
        raise BadRequestError("a JSON pointer is empty or begins with a slash")
    names = pointer.split("/")[1:]
    if len(names) > MAX_NAMES:
        raise BadRequestError(f"a JSON pointer has at most {MAX_NAMES} names")
    value = document.strip()
    for name in names:
        found = _step(value, _unescape(name))
        if found is None:
            raise NotFoundError(f"the document has nothing at {pointer}")
        value = found
    return value


def _unescape(name: str) -> str:
    if "~" in name.replace("~0", "").replace("~1", ""):
        raise BadRequestError("in a JSON pointer ~ is written ~0, and / is written ~1")
    return name.replace("~1", "/").replace("~0", "~")


def _step(value: bytes, name: str) -> bytes | None:
    if value[:1] == b"{":
        found = _decode_object(value).get(name)
        return None if found is None else bytes(found).strip()
    if value[:1] == b"[" and _is_index(name):
        items = _decode_array(value)
        return bytes(items[int(name)]).strip() if int(name) < len(items) else None
    return None


def _is_index(name: str) -> bool:
    is_short = name.isascii() and name.isdigit() and len(name) <= _MAX_INDEX_DIGITS
    return is_short and (len(name) == 1 or name[0] != "0")
