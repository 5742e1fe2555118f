"""A network between nodes: real HTTP clients in front, the real application behind, no sockets.

What may happen to a request, each by chance or because somebody asked for it:

    late        every piece takes its time, so what was sent first may come last
    lost        it never arrives; the asker hears nothing, or that the connection broke
    unheard     it is carried out, and the answer is lost in one of these ways
    twice       it is carried out a second time, later, and nobody hears that answer
    torn        the answer breaks off in the middle
    cut         nothing passes from one node to another, in this direction

A node that dies takes its connections along: the other side hears of it, or (half-open) does not.
"""

import asyncio
import contextvars
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

import httpx

Place = tuple[int, int]
"""A node, and which of its lives."""
HERE: contextvars.ContextVar[Place | None] = contextvars.ContextVar("HERE", default=None)


@dataclass(slots=True)
class Weather:
    """How bad the network is; chances from 0 to 1, of each message.

    Attributes:
        late_s: Most seconds a message takes.
        lost: That it does not arrive, or its answer.
        twice: That it arrives twice.
        torn: That an answer breaks off at one of its pieces.
    """

    late_s: float = 0.01
    lost: float = 0.0
    twice: float = 0.0
    torn: float = 0.0


class Server(Protocol):
    """Who answers at an address."""

    @property
    def place(self) -> Place: ...

    @property
    def app(self) -> Callable[..., Any] | None: ...


@dataclass(slots=True)
class Exchange:
    """One request on its way.

    Attributes:
        asker: Who asked.
        server: Whom.
        pieces: What comes back: the head, pieces of the body, None at the end; or an error.
        gone: Set when the asker has gone away.
    """

    asker: Place
    server: Place
    pieces: "asyncio.Queue[Any]" = field(default_factory=asyncio.Queue)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    arrives_at: float = 0.0


class Network:
    """All ways between all nodes.

    Attributes:
        weather: How bad it is.
        cuts: (from, to) between which nothing passes.
        requests: How many requests were carried out.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, chance: Random) -> None:
        self.weather = Weather()
        self.cuts: set[tuple[int, int]] = set()
        self.requests = 0
        self.watch: Callable[[int, int, str], None] = lambda *_: None
        self._loop = loop
        self._chance = chance
        self._servers: dict[str, Server] = {}
        self._open: list[Exchange] = []
        self._nowhere = contextvars.Context()

    def place_at(self, address: str, server: Server) -> None:
        """Let somebody answer at an address."""
        self._servers[address] = server

    def server(self, address: str) -> Server:
        """Who answers there."""
        return self._servers[address]

    def sever(self, place: Place) -> None:
        """A node is dead: break its connections."""
        for exchange in self._open:
            if exchange.server == place and self._chance.random() < 0.8:
                self._deliver(exchange, httpx.ReadError("connection reset"))
            if exchange.asker == place:
                exchange.gone.set()
        self._open = [e for e in self._open if place not in (e.asker, e.server)]

    def later(self, call: Callable[[], object]) -> None:
        """Do something when a message sent now would have arrived."""
        self._loop.call_later(self.delay(), call, context=self._nowhere)

    def delay(self) -> float:
        """How long a message takes."""
        slow = 20 if self._chance.random() < 0.02 else 1
        return self._chance.random() * self.weather.late_s * slow

    def happens(self, likelihood: float) -> bool:
        """Whether something does."""
        return likelihood > 0 and self._chance.random() < likelihood

    def begin(self, exchange: Exchange, scope: dict[str, Any], body: bytes) -> None:
        """Send a request on its way."""
        self._open.append(exchange)
        asker, server = exchange.asker[0], exchange.server[0]

        def arrive() -> None:
            if (asker, server) not in self.cuts:
                self._serve(exchange, scope, body)

        if self.happens(self.weather.lost / 2):
            if self._chance.random() < 0.5:
                self._deliver(exchange, httpx.ReadError("connection reset"))
            return
        self.later(arrive)
        if self.happens(self.weather.twice):
            other = Exchange(exchange.asker, exchange.server)
            self._loop.call_later(
                self._chance.random(),
                lambda: self._serve(other, dict(scope), body),
                context=self._nowhere,
            )

    def end(self, exchange: Exchange) -> None:
        """Nobody reads the answer any more."""
        exchange.gone.set()
        if exchange in self._open:
            self._open.remove(exchange)

    def _serve(self, exchange: Exchange, scope: dict[str, Any], body: bytes) -> None:
        found = next((s for s in self._servers.values() if s.place == exchange.server), None)
        if found is None or found.app is None:
            self._deliver(exchange, httpx.ConnectError("connection refused"))
            return
        self.requests += 1
        self.watch(exchange.asker[0], exchange.server[0], scope["path"])
        context = self._nowhere.copy()
        context.run(HERE.set, found.place)
        work = self._answer(found.app, exchange, scope, body)
        self._loop.create_task(work, context=context)

    async def _answer(
        self, app: Callable[..., Any], exchange: Exchange, scope: dict[str, Any], body: bytes
    ) -> None:
        coming: list[dict[str, Any]] = [{"type": "http.request", "body": body}]

        async def receive() -> dict[str, Any]:
            if coming:
                return coming.pop()
            await exchange.gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            await asyncio.sleep(0)
            if message["type"] == "http.response.start":
                self._reply(exchange, (message["status"], message["headers"]))
                return
            if message.get("body"):
                self._reply(exchange, bytes(message["body"]))
            if not message.get("more_body"):
                self._reply(exchange, None)

        try:
            await app(scope, receive, send)
        except Exception as error:  # noqa: BLE001  # the server breaks the connection off
            self._deliver(exchange, httpx.ReadError(f"broken off: {error}"))

    def _reply(self, exchange: Exchange, piece: object) -> None:
        if (exchange.server[0], exchange.asker[0]) in self.cuts:
            return
        if self.happens(self.weather.torn) or (
            isinstance(piece, tuple) and self.happens(self.weather.lost / 2)
        ):
            self._deliver(exchange, httpx.ReadError("connection reset"))
            return
        self._deliver(exchange, piece)

    def _deliver(self, exchange: Exchange, piece: object) -> None:
        # One after the other, as on one connection.
        exchange.arrives_at = max(exchange.arrives_at, self._loop.time() + self.delay()) + 1e-5
        self._loop.call_at(
            exchange.arrives_at, exchange.pieces.put_nowait, piece, context=self._nowhere
        )


class Way(httpx.AsyncBaseTransport):
    """The way from one node to whoever answers at an address."""

    def __init__(self, network: Network, address: str) -> None:
        self._network = network
        self._address = address

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = b"".join([piece async for piece in request.stream])  # type: ignore[union-attr]
        here = HERE.get()
        server = self._network.server(self._address)
        if here is None:
            raise AssertionError("nobody in particular asks a node")
        exchange = Exchange(here, server.place)
        patience = request.extensions["timeout"]["read"]
        self._network.begin(exchange, _scope(request), body)
        try:
            head = await self._next(exchange, patience)
        except BaseException:
            self._network.end(exchange)
            raise
        status, headers = head
        return httpx.Response(
            status, headers=headers, stream=_Body(self._network, exchange, patience, self._next)
        )

    async def _next(self, exchange: Exchange, patience: float) -> Any:  # noqa: ANN401
        try:
            async with asyncio.timeout(patience):
                piece = await exchange.pieces.get()
        except TimeoutError as error:
            raise httpx.ReadTimeout("silence") from error
        if isinstance(piece, Exception):
            raise piece
        return piece


class _Body(httpx.AsyncByteStream):
    """An answer as it comes in."""

    def __init__(
        self, network: Network, exchange: Exchange, patience: float, following: Callable[..., Any]
    ) -> None:
        self._network = network
        self._exchange = exchange
        self._patience = patience
        self._following = following

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (piece := await self._following(self._exchange, self._patience)) is not None:
            yield piece

    async def aclose(self) -> None:
        self._network.end(self._exchange)


def _scope(request: httpx.Request) -> dict[str, Any]:
    raw = request.url.raw_path
    path, _, query = raw.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": path.decode(),
        "raw_path": raw,
        "root_path": "",
        "query_string": query,
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "client": ("127.0.0.1", 40_000),
        "server": (request.url.host, 80),
        "extensions": {},
    }
