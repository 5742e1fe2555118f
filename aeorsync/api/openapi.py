"""`GET /openapi.json`: the route table as an OpenAPI 3.1 document.

It is made from the same rows that answer the requests, so it cannot disagree with them.
"""

import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import msgspec
from starlette.responses import Response

from aeorsync import __version__
from aeorsync.api.endpoint import Access, Call, Endpoint, Parameter
from aeorsync.api.replies import Problem
from aeorsync.errors import AeorError, DeniedError, UnauthorizedError, UnavailableError

_REF = "#/components/schemas/{name}"
_JSON = "application/json"
_BYTES = "application/octet-stream"
_SEGMENT = re.compile(r"\{(\w+)(?::path)?\}")

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
    types = {row.request for row in rows} | {row.reply for row in rows} | {Problem}
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
    parameters += [_parameter(parameter) for parameter in row.parameters]
    if parameters:
        operation["parameters"] = parameters
    if row.request is not None:
        content: Json = {_JSON: {"schema": schemas[row.request]}}
        operation["requestBody"] = {"required": True, "content": content}
    elif row.takes_bytes:
        operation["requestBody"] = {"content": {_BYTES: {}}}
    return operation


def _operation_id(row: Endpoint) -> str:
    words = re.findall(r"\w+", _SEGMENT.sub(r"\1", row.path))
    return "_".join((row.method.lower(), *words))


def _responses(row: Endpoint, schemas: dict[Any, Json]) -> Json:
    content: Json = {}
    if row.reply is not None:
        content[_JSON] = {"schema": schemas[row.reply]}
    if row.gives_bytes:
        content["*/*"] = {}
    responses: Json = {str(row.status): {"description": row.summary}}
    if content:
        responses[str(row.status)]["content"] = content
    problem = {_JSON: {"schema": schemas[Problem]}}
    for status, about in _problems(row).items():
        responses[status] = {"description": about, "content": problem}
    return responses


def _problems(row: Endpoint) -> dict[str, str]:
    """What may go wrong, by status; the first line of an error's docstring says what."""
    kinds: list[type[AeorError]] = [*row.errors, UnavailableError]
    if row.access is not Access.OPEN:
        kinds += [UnauthorizedError, DeniedError]
    found: dict[str, str] = {}
    for kind in sorted(kinds, key=lambda kind: kind.status):
        found.setdefault(str(kind.status), (kind.__doc__ or kind.code).partition("\n")[0])
    return {**found, "default": "Any other error."}


def _segment(name: str) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _parameter(parameter: Parameter) -> Json:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "schema": parameter.schema,
        "description": parameter.about,
    }
