"""Requests made from our OpenAPI document, by every kind of caller, and what must hold of each.

    Maker     draws cases of every operation from the document, good ones and bad ones, and puts
              what earlier answers told (paths, ids, hashes, names) into half of their fields
    judge     says what is wrong with an answer; nothing, if nothing is

Seeded: the same seed makes the same cases. What is put into them depends on what was answered.
"""

import json
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urlencode

import httpx
import jsonschema_rs
import msgspec
import schemathesis
import zstandard
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core.result import Ok

from aeorsync.core.hashing import chunk_id
from aeorsync.wire.framing import Codec, Kind, encode, encode_chunk
from aeorsync.wire.limits import MAX_CHUNK
from aeorsync.wire.protocol import FRAMES_TYPE, IDS_TYPE
from tests.api.test_matrix import ADMIN, ANYBODY, ROOT, ROWS

Json = dict[str, Any]
KEPT: Final = 40
"""Values remembered for each name of a field."""
LONGEST: Final = 4096
_ALIASES: Final = {
    "to": "path",
    "paths": "path",
    "destination": "path",
    "path_prefix": "path",
    "prefix": "path",
    "hashes": "hash",
    "content_hash": "hash",
    "root_hash": "hash",
    "since_root_hash": "hash",
    "from": "hash",
    "id_or_name": "name",
    "snapshot": "name",
    "fork": "name",
    "base": "etag",
    "If-Match": "etag",
    "If-None-Match": "etag",
    "X-AeorSync-Base": "etag",
    "If-Range": "etag",
    "user_id": "id",
    "key_id": "id",
    "peer": "node_id",
    "version": "id",
    "give_up": "id",
}
_LEAKS: Final = re.compile(
    rb"Traceback|File \"/|site-packages|\.py\b|aeor_r_[0-9a-f]|signing_key|sqlite3|msgspec\."
    rb"|0x[0-9a-f]{8}"
)

_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.binary() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)
_BOMB = encode_chunk(b"b" * 32, Codec.ZSTD, 9, zstandard.compress(bytes(40 * MAX_CHUNK)))


def _chunk(data: bytes) -> bytes:
    return encode_chunk(chunk_id(data), Codec.RAW, len(data), data)


def _frames() -> st.SearchStrategy[bytes]:
    """Bodies of frames: sound ones, unsound ones, noise."""
    packed = _JUNK.map(msgspec.msgpack.encode)
    frame = st.one_of(
        st.builds(encode, st.sampled_from(Kind), packed | st.binary()),
        st.binary(max_size=99).map(_chunk),
        st.just(_BOMB),
    )
    header = st.builds(encode, st.just(Kind.HEADER), packed)
    end = st.sampled_from([b"", encode(Kind.END, b"\x80"), b"\xff\0\0"])
    return st.binary() | st.builds(
        lambda first, rest, last: first + b"".join(rest) + last,
        header,
        st.lists(frame, max_size=4),
        end,
    )


schemathesis.openapi.media_type(FRAMES_TYPE, _frames())
schemathesis.openapi.media_type(IDS_TYPE, st.binary() | st.binary(min_size=32, max_size=32))


@dataclass
class Request:
    """One request, ready to be sent.

    Attributes:
        route: As the document has it, like ``/files/{path}``.
        url: Path and query.
        fields: Of the header.
        body: Bytes; None for none.
    """

    method: str
    route: str
    url: str
    fields: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.url} {self.fields} {(self.body or b'')[:400]!r}"


class Memory:
    """What answers told, by the names of their fields."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._values: dict[str, list[Any]] = {}

    def learn(self, value: object, name: str = "") -> None:
        """Take values out of an answer."""
        if isinstance(value, dict):
            for key, one in list(value.items())[:200]:
                self.learn(one, key)
        elif isinstance(value, list):
            for one in value[:20]:
                self.learn(one, name)
        elif isinstance(value, str | int) and not isinstance(value, bool):
            self.keep(name, value)

    def keep(self, name: str, value: str | int) -> None:
        """Remember a value, in the place of another if there are many."""
        if isinstance(value, str) and len(value) > LONGEST:
            return
        values = self._values.setdefault(_ALIASES.get(name, name), [])
        if value in values:
            return
        if len(values) < KEPT:
            values.append(value)
        else:
            values[self._chance.randrange(KEPT)] = value

    def instead(self, name: str, value: Any) -> Any:  # noqa: ANN401 - any JSON
        """A value of a field, or, half of the time, one that was told of."""
        if isinstance(value, dict):
            return {key: self.instead(key, one) for key, one in value.items()}
        if isinstance(value, list):
            return [self.instead(name, one) for one in value]
        known = self._values.get(_ALIASES.get(name, name))
        if isinstance(value, bool) or not known or self._chance.random() < 0.5:
            return value
        return self._chance.choice(known)


class Maker:
    """Draws requests from a document.

    Attributes:
        memory: What it puts into them.
    """

    def __init__(self, document: Json, number: int) -> None:
        """Read a document; ``number`` is the seed."""
        self._number = number
        self._chance = random.Random(number)
        self.memory = Memory(self._chance)
        schema = schemathesis.openapi.from_dict(document)
        self._operations: list[Any] = []
        for found in schema.get_all_operations():
            assert isinstance(found, Ok), found
            self._operations.append(found.ok())

    def requests(self, count: int) -> Iterator[Request]:
        """So many requests of every operation, in a random order.

        What is put in from memory is chosen when each is taken.
        """
        cases: list[Any] = []
        for at, operation in enumerate(self._operations):
            cases += self._drawn(operation, count, self._number * 1009 + at)
        self._chance.shuffle(cases)
        self._number += 1
        for case in cases:
            yield self._request(case)

    def _drawn(self, operation: Any, count: int, number: int) -> list[Any]:  # noqa: ANN401 - theirs
        drawn: list[Any] = []
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            share = -(-count * 2 // 3) if mode is GenerationMode.POSITIVE else count // 3

            @seed(number)
            @settings(
                max_examples=max(share, 1),
                database=None,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(operation.as_strategy(generation_mode=mode))
            def take(case: Any) -> None:  # noqa: ANN401 - theirs
                drawn.append(case)

            try:
                take()
            except Exception as error:  # what has no parameters has no bad ones
                if "negative" not in f"{error}".lower() and "Unsatisfiable" not in repr(error):
                    raise
        return drawn

    def _request(self, case: Any) -> Request:  # noqa: ANN401 - theirs
        put, route = self.memory.instead, case.operation.path
        path = route
        for name, value in (case.path_parameters or {}).items():
            text = put(name, value)
            told = quote(str(text).lstrip("/"), safe="/") if text is not value else str(value)
            path = path.replace("{" + name + "}", told)
        query = {name: put(name, value) for name, value in (case.query or {}).items()}
        url = path + (f"?{_encoded(query)}" if query else "")
        fields = {name: str(put(name, value)) for name, value in (case.headers or {}).items()}
        fields = {name: text for name, text in fields.items() if name != "Authorization"}
        body = _body(put("", case.body))
        if body is not None and case.media_type:
            fields["Content-Type"] = case.media_type
        return Request(case.method.upper(), route, url, fields, body)


def _encoded(query: Mapping[str, object]) -> str:
    return urlencode(query, doseq=True, errors="surrogatepass")


def _body(value: object) -> bytes | None:
    if type(value).__name__ == "NotSet":
        return None
    if isinstance(value, bytes):
        return value
    if hasattr(value, "data") and isinstance(value.data, bytes):
        return value.data
    return json.dumps(value).encode()


class Judge:
    """Knows the document, and what must hold of every answer."""

    def __init__(self, document: Json, secrets: tuple[bytes, ...]) -> None:
        """Begin.

        Args:
            document: What the node says of itself.
            secrets: Bytes that are in no answer to anybody: keys, and what they are made from.
        """
        self._paths: dict[str, Json] = document["paths"]
        self._components = document["components"]
        self._secrets = secrets

    def wrong(self, request: Request, answer: httpx.Response) -> Iterator[str]:
        """What is wrong with an answer, whoever asked."""
        status, has_body = answer.status_code, request.method != "HEAD"
        operation = self._paths[request.route].get(request.method.lower())
        if status >= 500 and status != 503:
            yield f"status {status}"
        if operation is None:
            if status not in {400, 401, 404, 405}:
                yield f"status {status} for a method that is not there"
        elif str(status) not in operation["responses"]:
            yield f"status {status} is not in the document"
        elif status < 400 and has_body:
            yield from self._wrong_success(operation["responses"][str(status)], answer)
        if status >= 400 and has_body:
            yield from _wrong_refusal(answer)
        if any(secret in answer.content for secret in self._secrets):
            yield "a secret is in the answer"

    def _wrong_success(self, told: Json, answer: httpx.Response) -> Iterator[str]:
        kind = answer.headers.get("content-type", "").partition(";")[0]
        content = told.get("content", {})
        if not content:
            if answer.content:
                yield "a body where the document has none"
        elif kind not in content and "*/*" not in content:
            yield f"content type {kind!r} is not in the document"
        elif kind == "application/json" and "*/*" not in content:
            schema = {**content[kind]["schema"], "components": self._components}
            try:
                jsonschema_rs.validate(schema, json.loads(answer.content))
            except ValueError as error:
                yield f"the body does not fit the document: {str(error)[:300]}"


def _wrong_refusal(answer: httpx.Response) -> Iterator[str]:
    if answer.headers.get("content-type") != "application/json":
        yield f"a refusal of type {answer.headers.get('content-type')}"
        return
    problem = json.loads(answer.content)
    code = problem.get("code") if isinstance(problem, dict) else None
    if not isinstance(code, str) or not re.fullmatch(r"[A-Z][A-Z0-9_]+", code):
        if not (isinstance(problem, dict) and "phase" in problem):
            yield "a refusal without error and code"
    elif not isinstance(problem.get("error"), str) or not problem["error"]:
        yield "a refusal that does not say why"
    if leak := _LEAKS.search(answer.content):
        yield f"a refusal that tells of the inside: {leak[0]!r}"


def needs(method: str, route: str) -> frozenset[str]:
    """What the matrix of callers says that a route takes."""
    rows = ROWS.get((method, route)) or ROWS.get((method, route.replace("{path}", "{path:path}")))
    return frozenset(row.takes for row in rows or ())


def may_succeed(
    method: str, route: str, *, is_stranger: bool, is_peer: bool, is_root: bool
) -> bool:
    """Whether a caller may get 2xx from a route at all."""
    takes = needs(method, route)
    if ANYBODY in takes:
        return True
    if is_stranger:
        return False
    if is_peer:
        return route.startswith("/sync/") and takes != {ADMIN}
    return is_root or not takes <= {ROOT, ADMIN, "y"}
