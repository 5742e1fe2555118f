"""From a request line to the row of the table that answers it.

Paths are matched as they came, before any decoding, so that no encoded byte can dodge a rule or
turn one path into another. Where several rows fit, the more exact one wins, method by method:
`POST /files/mkdir` is an endpoint, `GET /files/mkdir` is a file.

    exact      /sync/diff
    shape      /sync/peers/{node_id}        each name takes one segment, decoded once
    prefix     /files/{path:path}           takes the rest, also an empty one
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from aeorsync.api.endpoint import Endpoint
from aeorsync.api.problems import MethodError, RouteError
from aeorsync.core import paths

_REST = "{path:path}"


@dataclass(frozen=True, slots=True)
class Match:
    """The row that answers a request.

    Attributes:
        endpoint: The row.
        prefix: What the path begins with before the tree path; all of it where there is none.
        segments: The decoded segment for each name of a shape.
    """

    endpoint: Endpoint
    prefix: bytes
    segments: dict[str, str] = field(default_factory=dict)


class Router:
    """The route table, made ready for looking up."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._exact: dict[bytes, dict[str, Match]] = {}
        # By their first name, which none of them leaves open: most paths fit no shape at all.
        self._shapes: dict[bytes, dict[tuple[str, ...], dict[str, Endpoint]]] = {}
        self._prefixes: dict[bytes, dict[str, Match]] = {}
        for endpoint in endpoints:
            self._add(endpoint)

    def find(self, method: str, raw: bytes) -> Match:
        """The row for a request.

        Args:
            method: HTTP method.
            raw: Path as it came, without the query, with one slash in front.

        Raises:
            RouteError: No row has this path.
            MethodError: One has, but not with this method.
        """
        allowed: set[str] = set()
        for rows in self._fitting(raw):
            match = rows.get(method)
            if match is not None:
                return match
            allowed.update(rows)
        if allowed:
            raise MethodError(method, allowed)
        raise RouteError("no such endpoint")

    def _add(self, endpoint: Endpoint) -> None:
        path, method = endpoint.path, endpoint.method
        if path.endswith(_REST):
            prefix = path.removesuffix(_REST).encode()
            self._prefixes.setdefault(prefix, {})[method] = Match(endpoint, prefix)
        elif "{" in path:
            shape = tuple(path.split("/"))
            shapes = self._shapes.setdefault(shape[1].encode(), {})
            shapes.setdefault(shape, {})[method] = endpoint
        else:
            self._exact.setdefault(path.encode(), {})[method] = Match(endpoint, path.encode())

    def _fitting(self, raw: bytes) -> Iterator[dict[str, Match]]:
        """The rows whose path fits, by method, the most exact first."""
        if raw in self._exact:
            yield self._exact[raw]
        yield from self._fitting_shapes(raw)
        for prefix, rows in self._prefixes.items():
            if raw.startswith(prefix):
                yield rows

    def _fitting_shapes(self, raw: bytes) -> Iterator[dict[str, Match]]:
        parts = raw.split(b"/")
        for shape, rows in self._shapes.get(parts[1], {}).items():
            if len(shape) != len(parts):
                continue
            pairs = list(zip(shape, parts, strict=True))
            if all(part for name, part in pairs if name.startswith("{")) and all(
                name.startswith("{") or name.encode() == part for name, part in pairs
            ):
                segments = {
                    name[1:-1]: paths.decode(part) for name, part in pairs if name.startswith("{")
                }
                yield {key: Match(row, raw, segments) for key, row in rows.items()}
