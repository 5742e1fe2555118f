"""The bodies of `POST /files/fetch`, both ways."""

from typing import Annotated, Any, Literal

import msgspec

from aeorsync.wire import limits

Mode = Literal["full", "bytes", "lines", "json_pointer"]


class Span(msgspec.Struct, frozen=True):
    """Which part of a file.

    Attributes:
        mode: What ``start`` and ``end`` count; with ``json_pointer`` neither does.
        start: The first one, from 0.
        end: The first one that is left out; None for the end of the file.
        pointer: JSON pointer (RFC 6901) of a value in the document.
    """

    mode: Mode = "full"
    start: int = 0
    end: int | None = None
    pointer: str | None = None


FULL = Span()


class FetchItem(msgspec.Struct, frozen=True):
    """One file, or part of one.

    Attributes:
        path: Which.
        id: Comes back with the answer; the path where it is left out.
        range: Which part.
        content_hash: BLAKE3 of the file as the caller knows it: 409 if it is another by now.
        max_bytes: Cut what is sent of it after so many bytes.
        encoding: How ``content`` spells the bytes.
    """

    path: str
    id: str | int | None = None
    range: Span = FULL
    content_hash: str | None = None
    max_bytes: int | None = None
    encoding: Literal["utf-8", "base64"] = "utf-8"


class FetchRequest(msgspec.Struct, frozen=True):
    """Several files: either their paths, or items that say more.

    Attributes:
        paths: Whole files.
        items: Files or parts of them.
        max_bytes: Bytes of all contents together.
        continue_on_error: Answer what can be, and tell of the rest item by item.
    """

    paths: list[str] | None = None
    items: list[FetchItem] | None = None
    max_bytes: int = limits.MAX_FETCH
    continue_on_error: bool = False


class FetchedFile(msgspec.Struct, frozen=True):
    """A file in the answer to ``paths``, all but its last fields: ``content`` and ``lossy``."""

    path: str
    name: str
    size: int
    created_at: int
    updated_at: int
    content_type: str
    content_hash: str
    etag: str


class FetchedItem(msgspec.Struct, frozen=True):
    """An item of the answer, all but its last fields: ``content``, ``lossy``.

    Attributes:
        id: As asked.
        path: The path.
        name: Its last component.
        size: Bytes of ``content``, before they were spelled as text.
        created_at: Milliseconds since the Unix epoch.
        updated_at: Likewise.
        content_type: Media type of the file.
        content_hash: BLAKE3 of the whole file.
        etag: What its reader has seen.
        range: As asked; ``start`` and ``end`` are those of what is sent.
        source_size: Bytes of the whole file.
        encoding: As asked.
        truncated: Whether ``max_bytes`` of the item cut it.
        status: 200, or 206 for a part.
    """

    id: str | int
    path: str
    name: str
    size: int
    created_at: int
    updated_at: int
    content_type: str
    content_hash: str
    etag: str
    range: Span
    source_size: int
    encoding: str
    truncated: bool
    status: int


class FailedItem(msgspec.Struct, frozen=True):
    """An item that could not be sent; ``id`` is left out in the answer to ``paths``."""

    path: str
    status: int
    error: str
    code: str
    id: str | int | msgspec.UnsetType = msgspec.UNSET


def _any_of(*kinds: type) -> msgspec.Meta:
    """Say of a value that it is one of some shapes, which is more than its type can."""
    refs = [{"$ref": f"#/components/schemas/{kind.__name__}"} for kind in kinds]
    return msgspec.Meta(extra_json_schema={"anyOf": refs})


class FetchReply(msgspec.Struct, frozen=True):
    """The answer to ``items``, what failed among them."""

    items: list[Annotated[Any, _any_of(FetchedItem, FailedItem)]]
    has_errors: bool


FetchedFiles = dict[str, Annotated[Any, _any_of(FetchedFile, FailedItem)]]
"""The answer to ``paths``, by path."""
