"""`GET /openapi.json`: the route table as an OpenAPI 3.1 document.

It is made from the same rows that answer the requests, so it cannot disagree with them.
"""

import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final

import msgspec
from starlette.responses import Response

from aeorsync import __version__
from aeorsync.api.endpoint import Access, Call, Endpoint, Parameter, Sees
from aeorsync.api.replies import Problem
from aeorsync.errors import (
    AeorError,
    BadRequestError,
    DeniedError,
    InvalidFieldError,
    NotFoundError,
    RateLimitedError,
    TooLargeError,
    UnauthorizedError,
    UnavailableError,
)

_REF = "#/components/schemas/{name}"
_JSON = "application/json"
_BYTES = "application/octet-stream"
_SEGMENT = re.compile(r"\{(\w+)(?::path)?\}")
_MEDIA = ("Content-Type", "Accept")
"""Fields that the document does not list as parameters: they are what its media types say."""
_MEDIA_TYPE = re.compile(r"application/[a-z0-9.+-]+[a-z0-9]")
_NOT_MODIFIED = 304
_RAW: Final[dict[str, Any]] = {"schema": {"type": "string", "format": "binary"}}
_UUID: Final = {"type": "string", "format": "uuid"}
_SEGMENTS: Final[dict[str, dict[str, Any]]] = {
    "path": {"type": "string"},
    "key_id": _UUID,
    "user_id": _UUID,
    "node_id": {"type": "integer", "minimum": 1, "maximum": (1 << 63) - 1},
    "hash": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
}
"""What stands in a path, by its name."""

Json = dict[str, Any]


def endpoint(table: Sequence[Endpoint]) -> Endpoint:
    """The row that shows a table, its own row included."""

    @cache
    def built() -> bytes:
        return msgspec.json.encode(document((*table, row)))

    async def show(_call: Call) -> Response:
        return Response(built(), media_type=_JSON)

    row = Endpoint(
        "GET",
        "/openapi.json",
        show,
        "This document.",
        access=Access.OPEN,
        reply=dict[str, Any],
    )
    return row


def document(table: Iterable[Endpoint]) -> Json:
    """The document for a table."""
    rows = list(table)
    types = {
        Problem,
        *(kind for row in rows for kind in (row.request, *_replies(row), *row.parts)),
    }
    ordered = sorted(types - {None}, key=str)
    schemas, components = msgspec.json.schema_components(ordered, ref_template=_REF)
    by_type = dict(zip(ordered, schemas, strict=True))
    routes: Json = {}
    for row in rows:
        path = _SEGMENT.sub(r"{\1}", row.path)
        routes.setdefault(path, {})[row.method.lower()] = _operation(row, by_type)
    return {
        "openapi": "3.1.0",
        "info": {"title": "aeorsync", "version": __version__},
        "paths": routes,
        "components": {
            "schemas": components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(row: Endpoint, schemas: dict[Any, Json]) -> Json:
    operation: Json = {
        "summary": row.summary,
        "operationId": _operation_id(row),
        "responses": _responses(row, schemas),
        "security": [] if row.access is Access.OPEN else [{"bearer": []}],
    }
    parameters = [_segment(name) for name in _SEGMENT.findall(row.path)]
    parameters += [_parameter(one) for one in row.parameters if one.name not in _MEDIA]
    if parameters:
        operation["parameters"] = parameters
    content: Json = {}
    if row.request is not None:
        content[_JSON] = {"schema": schemas[row.request]}
    elif row.takes_bytes and not _named(row, "Content-Type"):
        content[_BYTES] = _RAW
    content |= dict.fromkeys(_named(row, "Content-Type"), _RAW)
    if content:
        needs_body = row.request is not None and not row.may_be_empty
        operation["requestBody"] = {"required": needs_body, "content": content}
    return operation


def _replies(row: Endpoint) -> tuple[Any, ...]:
    if row.reply is None:
        return ()
    return row.reply if isinstance(row.reply, tuple) else (row.reply,)


def _named(row: Endpoint, field: str) -> list[str]:
    """The media types that a field of the header of a request may choose."""
    about = " ".join(one.about for one in row.parameters if one.name == field)
    return _MEDIA_TYPE.findall(about)


def _operation_id(row: Endpoint) -> str:
    words = re.findall(r"\w+", _SEGMENT.sub(r"\1", row.path))
    return "_".join((row.method.lower(), *words))


def _responses(row: Endpoint, schemas: dict[Any, Json]) -> Json:
    content: Json = {}
    replies = [schemas[kind] for kind in _replies(row)]
    if replies:
        content[_JSON] = {"schema": replies[0] if len(replies) == 1 else {"anyOf": replies}}
    content |= dict.fromkeys((*row.media, *_named(row, "Accept")), _RAW)
    success: Json = {"description": row.summary}
    if content and row.method != "HEAD":
        success["content"] = content
    responses: Json = {str(status): success for status in (row.status, *row.also)}
    if _NOT_MODIFIED in row.also:
        responses[str(_NOT_MODIFIED)] = {"description": "It still is what the reader has."}
    problem: Json = {"content": {_JSON: {"schema": schemas[Problem]}}}
    for status, about in _problems(row).items():
        body = problem if row.method != "HEAD" else {}
        responses[status] = {"description": about, **body}
    return responses


def _problems(row: Endpoint) -> dict[str, str]:
    """What may go wrong, by status; the first line of an error's docstring says what."""
    kinds: list[type[AeorError]] = [*row.errors, UnavailableError, RateLimitedError]
    if row.access is not Access.OPEN:
        kinds += [UnauthorizedError, DeniedError]
    if row.parameters or "{" in row.path or row.sees is not Sees.ANYTHING:
        kinds.append(BadRequestError)
    if row.sees is not Sees.ANYTHING:
        kinds.append(NotFoundError)
    if row.request is not None:
        kinds += [BadRequestError, InvalidFieldError, TooLargeError]
    found: dict[str, str] = {}
    for kind in sorted(kinds, key=lambda kind: kind.status):
        found.setdefault(str(kind.status), (kind.__doc__ or kind.code).partition("\n")[0])
    return {**found, "default": "Any other error."}


def _segment(name: str) -> Json:
    schema = _SEGMENTS.get(name, {"type": "string", "minLength": 1})
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _parameter(parameter: Parameter) -> Json:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "schema": parameter.schema,
        "description": parameter.about,
    }
