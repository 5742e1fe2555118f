"""Web pages of other origins: which of them may call, if any.

    no origins given            nothing is said, so browsers keep pages of others out
    a preflight of one of them  204, and what is allowed
    a preflight of another      403
    a call of one of them       answered as ever, and the page may read it
    a call of another           answered as ever, but the page may not read it

A page is somebody only by the bearer it sends: there are no cookies, and credentials of the
browser are never asked for. A node whose auth is disabled answers pages of this machine only,
whatever is allowed here (`api.auth`).
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

from starlette.responses import Response
from starlette.types import Scope

from aeorsync.api.endpoint import answer
from aeorsync.api.replies import Problem
from aeorsync.errors import DeniedError

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
MAX_AGE_S: Final = 3600
ANY: Final = "*"
_SENT: Final = (
    "Authorization",
    "Content-Type",
    "Accept",
    "If-Match",
    "If-None-Match",
    "If-Range",
    "Range",
    "Last-Event-ID",
    "X-Request-Id",
    "X-AeorSync-Base",
    "X-AeorSync-Mode",
    "X-AeorSync-Mtime",
)
_READ: Final = (
    "Accept-Ranges",
    "Content-Disposition",
    "Content-Length",
    "Content-Range",
    "ETag",
    "Retry-After",
    "X-AeorDB-Created",
    "X-AeorDB-Created-At",
    "X-AeorDB-Link-Target",
    "X-AeorDB-Path",
    "X-AeorDB-Size",
    "X-AeorDB-Type",
    "X-AeorDB-Updated",
    "X-AeorDB-Updated-At",
    "X-AeorSync-Conflict",
    "X-AeorSync-Content-Hash",
    "X-AeorSync-Mode",
    "X-AeorSync-Mtime",
    "X-AeorSync-Version",
    "X-Request-Id",
)
_ALLOWED: Final = frozenset(name.lower() for name in _SENT)

Fields: TypeAlias = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Cors:
    """The origins whose pages may call.

    Attributes:
        origins: As browsers spell them, like ``https://app.example``; ``*`` for all.
    """

    origins: frozenset[str] = frozenset()

    def preflight(self, scope: Scope) -> Response | None:
        """The answer to a browser that asks whether a page may call; None to anything else."""
        if not self.origins or scope["method"] != "OPTIONS":
            return None
        asked = {name: value.decode("latin-1") for name, value in scope["headers"]}
        method = asked.get(b"access-control-request-method")
        if b"origin" not in asked or method is None:
            return None
        wanted = asked.get(b"access-control-request-headers", "").lower().split(",")
        names = {name.strip() for name in wanted} - {""}
        if not self._takes(asked[b"origin"]):
            return _refusal("pages of this origin may not call this node")
        if method not in METHODS or not names <= _ALLOWED:
            return _refusal("pages may not call this node with that method, or those headers")
        fields = {
            "Access-Control-Allow-Methods": ", ".join(METHODS),
            "Access-Control-Allow-Headers": ", ".join(_SENT),
            "Access-Control-Max-Age": str(MAX_AGE_S),
        }
        return Response(status_code=204, headers=fields)

    def fields(self, scope: Scope) -> Fields:
        """What every answer says to browsers."""
        if not self.origins:
            return []
        fields = [(b"vary", b"Origin")]
        for name, value in scope["headers"]:
            if name == b"origin" and self._takes(value.decode("latin-1")):
                shown = ANY.encode() if ANY in self.origins else value
                fields.append((b"access-control-allow-origin", shown))
                fields.append((b"access-control-expose-headers", ", ".join(_READ).encode()))
                break
        return fields

    def _takes(self, origin: str) -> bool:
        return ANY in self.origins or origin.lower() in self.origins


def _refusal(text: str) -> Response:
    return answer(Problem(text, DeniedError.code), DeniedError.status)


NO_CORS: Final = Cors()
