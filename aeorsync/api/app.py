"""The HTTP API as one ASGI application.

    server ── App ── gate ── router ── authenticator ── handler

`App` is what every request passes: it names the request, answers for the node while there is none,
finds the row of the table, asks who is calling, and turns whatever is raised into JSON.
"""

import re
from contextlib import ExitStack
from functools import partial
from urllib.parse import quote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from aeorsync.api import (
    admin_keys,
    archives,
    blobs,
    care,
    chunks,
    commits,
    conflicts,
    diff,
    downloads,
    events,
    exchange,
    fetch,
    files,
    forks,
    health,
    histories,
    keys,
    lenses,
    lifecycle,
    links,
    logins,
    members,
    metrics,
    my_events,
    nodes,
    offers,
    openapi,
    peer_events,
    peers,
    problems,
    recipes,
    repairs,
    standing,
    stats,
    tasks,
    trash,
    uploads,
    users,
    versions,
)
from aeorsync.api.auth import Authenticator, query_token
from aeorsync.api.cors import NO_CORS, Cors
from aeorsync.api.endpoint import Call, Endpoint
from aeorsync.api.gate import Gate
from aeorsync.api.node import Node
from aeorsync.api.problems import MethodError, RouteError
from aeorsync.api.router import Router
from aeorsync.runtime import chance
from aeorsync.runtime.log import get_logger

_TABLE = (
    *health.ENDPOINTS,
    *logins.ENDPOINTS,
    *keys.ENDPOINTS,
    *admin_keys.ENDPOINTS,
    *users.ENDPOINTS,
    *downloads.ENDPOINTS,
    *uploads.ENDPOINTS,
    *files.ENDPOINTS,
    *fetch.ENDPOINTS,
    *archives.ENDPOINTS,
    *trash.ENDPOINTS,
    *links.ENDPOINTS,
    *blobs.ENDPOINTS,
    *recipes.ENDPOINTS,
    *commits.ENDPOINTS,
    *versions.ENDPOINTS,
    *forks.ENDPOINTS,
    *exchange.ENDPOINTS,
    *histories.ENDPOINTS,
    *diff.ENDPOINTS,
    *standing.ENDPOINTS,
    *chunks.ENDPOINTS,
    *offers.ENDPOINTS,
    *nodes.ENDPOINTS,
    *repairs.ENDPOINTS,
    *peers.ENDPOINTS,
    *members.ENDPOINTS,
    *conflicts.ENDPOINTS,
    *events.ENDPOINTS,
    *my_events.ENDPOINTS,
    *peer_events.ENDPOINTS,
    *metrics.ENDPOINTS,
    *stats.ENDPOINTS,
    *care.ENDPOINTS,
    *tasks.ENDPOINTS,
    *lifecycle.ENDPOINTS,
)
ENDPOINTS: tuple[Endpoint, ...] = (*_TABLE, openapi.endpoint(_TABLE))
"""The route table."""

_REQUEST_ID = re.compile(rb"[!-~]{1,128}\Z")
_PEERS = b"peers"
_PRIVATE = ((b"cache-control", b"no-store"), (b"referrer-policy", b"no-referrer"))
_log = get_logger(__name__)


def create_app(gate: Gate, cors: Cors = NO_CORS) -> "App":
    """The application for one node, which may not be there yet."""
    return App(gate, cors=cors)


class App:
    """The ASGI application. It serves while the gate is closed, too."""

    def __init__(
        self,
        gate: Gate,
        endpoints: tuple[Endpoint, ...] = ENDPOINTS,
        cors: Cors = NO_CORS,
    ) -> None:
        self._gate = gate
        self._cors = cors
        self._router = Router(endpoints)
        self._authenticator: Authenticator | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; see the ASGI specification."""
        if scope["type"] == "http":
            await self._serve(scope, receive, send)
        elif scope["type"] == "lifespan":
            await _live(receive, send)
        else:
            await send({"type": "websocket.close"})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["raw_path"] = _raw_path(scope)
        marked = _Marked(scope, send, self._gate.node, self._cors)
        try:
            preflight = self._cors.preflight(scope)
            with ExitStack() as held:
                response = preflight or await self._respond(scope, receive, held)
                await response(scope, receive, marked)
        except ClientDisconnect:
            return  # nobody is there to be answered
        except Exception as raised:
            error = problems.understood(raised)
            _report(error, scope, marked)
            if error is not raised:
                _log.warning("request refused", reason=str(raised))
            if marked.is_started:
                raise  # the server breaks the connection off, so that nobody takes it for whole
            await problems.refusal(error)(scope, receive, marked)

    async def _respond(self, scope: Scope, receive: Receive, held: ExitStack) -> Response:
        node = self._gate.node
        if node is None:
            return self._gate.refusal(is_health=self._is_health(scope))
        match = self._router.find(scope["method"], scope["raw_path"])
        authenticator = self._authenticator
        if authenticator is None or authenticator.node is not node:
            authenticator = self._authenticator = Authenticator(node)
        check = partial(authenticator.caller, scope, match.endpoint.access)
        caller = await check()
        # What goes on for hours asks again now and then.
        scope["recheck"] = check
        scope["path_prefix"] = match.prefix
        scope["path_params"] = match.segments
        owner = _PEERS if caller.is_peer else caller.owner
        share = held.enter_context(node.budget.share(owner))
        call = Call(Request(scope, receive), node, caller, share)
        return await match.endpoint.handler(await lenses.enter(call, match.endpoint))

    def _is_health(self, scope: Scope) -> bool:
        try:
            match = self._router.find(scope["method"], scope["raw_path"])
        except (RouteError, MethodError):
            return False
        return not match.endpoint.needs_ready


class _Marked:
    """Sends an answer with the fields that every answer has."""

    def __init__(self, scope: Scope, send: Send, node: Node | None, cors: Cors) -> None:
        self._send = send
        self._node = node
        self._began = 0.0 if node is None else node.wall.monotonic()
        self._method: str = scope["method"]
        self._has_body = self._method != "HEAD"
        self.is_started = False
        self.request_id = _request_id(scope)
        self._fields = [(b"x-request-id", self.request_id), *cors.fields(scope)]
        if query_token(scope["query_string"]) is not None:
            self._fields += _PRIVATE

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.is_started = True
            self._count(message["status"])
            message["headers"] = [*message["headers"], *self._fields]
        elif not self._has_body:
            message["body"] = b""
        await self._send(message)

    def _count(self, status: int) -> None:
        if self._node is not None:
            seconds = self._node.wall.monotonic() - self._began
            self._node.meter.note_request(self._method, status, seconds)


def _raw_path(scope: Scope) -> bytes:
    """The path as it came, with one slash in front and without the query."""
    raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
    return b"/" + raw.partition(b"?")[0].lstrip(b"/")


def _request_id(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.match(value):
            return bytes(value)
    return str(chance.uuid()).encode()


def _report(error: Exception, scope: Scope, marked: _Marked) -> None:
    if problems.is_expected(error):
        return
    _log.error(
        "request failed",
        request_id=marked.request_id.decode(),
        method=scope["method"],
        path=scope["raw_path"].decode("latin-1"),
        exc_info=error,
    )


async def _live(receive: Receive, send: Send) -> None:
    """The lifespan protocol; whoever made the app starts and stops the node."""
    for kind in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{kind}.complete"})
