"""A node in this process, and clients that call it without a socket."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import unquote
from uuid import uuid4

import httpx
import msgspec
import pytest
from blake3 import blake3
from starlette.types import Message

from aeorsync.api.app import App, create_app
from aeorsync.api.gate import Gate
from aeorsync.api.node import Node
from aeorsync.cluster.foreign_reader import Readers
from aeorsync.cluster.member import Member
from aeorsync.cluster.peers import LinkBook
from aeorsync.core import tokens
from aeorsync.core.apikeys import KeyRecord
from aeorsync.core.tokens import ROOT, SYNC, SigningKey
from aeorsync.core.users import UserRecord
from aeorsync.runtime.bus import Bus
from aeorsync.runtime.clock import WallClock
from aeorsync.storage.accounts import Accounts, new_root_key
from aeorsync.storage.foreign import ForeignBook
from aeorsync.storage.repository import Repository
from aeorsync.storage.writer import Committed
from tests.support.clock import FakeClock
from tests.support.repositories import open_repository

T = TypeVar("T")

KEY = SigningKey(b"k" * 32)
JWT_EXPIRY = 3600


class NoMember:
    """Stands in for the cluster where a test has none."""

    node_id = 7
    readers = Readers({}, ForeignBook(), cast("LinkBook", None))

    def peers(self) -> list[object]:
        return []

    async def rescue(self, chunks: Collection[bytes]) -> bool:
        return not chunks


@dataclass
class Running:
    """A node that answers, and what a test needs of it."""

    node: Node
    app: App

    @property
    def token(self) -> str:
        """A root token that outlives every test, whatever it does to the clock."""
        return self.mint(life=10**8)

    def mint(self, *, life: int = 600, scope: str | None = None, **claims: Any) -> str:  # noqa: ANN401 - passed on
        """A token of this cluster."""
        now = self.node.wall.now_ms() // 1000
        subject = claims.pop("subject", ROOT)
        return tokens.mint(KEY, subject, issued=now - 1, expires=now + life, scope=scope, **claims)

    def make_key(self, **changes: Any) -> tuple[str, KeyRecord]:  # noqa: ANN401 - passed on
        """The text and the saved record of a root key; ``changes`` are fields of the record.

        A user it is for is made, unless they are there, without any rules.
        """
        text, record = new_root_key(self.node.wall.now_ms())
        record = msgspec.structs.replace(record, **changes)
        if record.user_id != ROOT and self.node.accounts.users.get(record.user_id) is None:
            self.make_user(user_id=record.user_id)
        self.node.accounts.save(record).result(30)
        return text, record

    def make_user(self, **changes: Any) -> UserRecord:  # noqa: ANN401 - passed on
        """The saved record of a user; ``changes`` are fields of the record."""
        now = self.node.wall.now_ms()
        user_id = changes.pop("user_id", None) or uuid4()
        name = changes.pop("username", f"u{user_id.hex[:12]}")
        record = UserRecord(user_id=user_id, username=name, created_at=now, updated_at=now)
        record = msgspec.structs.replace(record, **changes)
        self.node.accounts.users.add(record).result(30)
        return record

    def client(self, token: str | None = None, **headers: str) -> httpx.AsyncClient:
        """A client with this bearer, or root's; an empty one has none."""
        bearer = self.token if token is None else token
        fields = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app, raise_app_exceptions=False),
            base_url="http://node",
            headers={**fields, **headers},
        )

    def peer(self) -> httpx.AsyncClient:
        """A client that is another node of the cluster."""
        return self.client(self.mint(scope=SYNC))


MakeNode = Callable[..., AbstractAsyncContextManager[Running]]


@asynccontextmanager
async def running(
    folder: Path,
    *,
    member: object = None,
    wall: WallClock | None = None,
    repository: Repository | None = None,
    **changes: Any,  # noqa: ANN401 - passed on
) -> AsyncIterator[Running]:
    """A node in a folder, or of a repository; ``changes`` are fields of `Node`."""
    clock = wall or FakeClock()
    repository = repository or open_repository(folder, wall=clock)
    bus: Bus[Committed] = Bus()
    repository.listen(bus.publish_threadsafe)
    node = Node(
        repository=repository,
        member=cast("Member", member or NoMember()),
        accounts=Accounts(repository),
        signing_key=KEY,
        seal_secret=blake3(KEY.seed, derive_key_context="test seal").digest(),
        bus=bus,
        wall=clock,
        is_open=False,
        jwt_expiry=JWT_EXPIRY,
        started_ms=clock.now_ms(),
        folder=folder,
    )
    node = replace(node, **changes)
    gate = Gate(clock)
    gate.open(node)
    try:
        yield Running(node, create_app(gate))
    finally:
        bus.close()
        repository.close()


@pytest.fixture
def make_node() -> MakeNode:
    """`running`, for tests that want more than one node or another kind."""
    return running


@pytest.fixture
def loop() -> Iterator[asyncio.Runner]:
    """An event loop for the whole of a test."""
    with asyncio.Runner() as runner:
        yield runner


class Browser:
    """Calls a node from a test that is not async."""

    def __init__(self, runner: asyncio.Runner, here: Running) -> None:
        self._runner = runner
        self.here = here
        self.client = here.client()

    def __call__(self, method: str, url: str, **fields: Any) -> httpx.Response:  # noqa: ANN401 - passed on
        """Make a request as root; ``token`` says as whom else, "" as nobody."""
        token = fields.pop("token", None)
        request = self.client.build_request(method, url, **fields)
        if token is not None:
            del request.headers["authorization"]
        if token:
            request.headers["authorization"] = f"Bearer {token}"
        return self._runner.run(self.client.send(request))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something in the event loop of the node."""
        return self._runner.run(work)

    def raw(
        self, method: str, path: bytes, body: bytes = b"", token: str | None = None
    ) -> httpx.Response:
        """The same for a path that no URL parser may touch."""
        scope = {
            "type": "http",
            "method": method,
            "path": unquote(path.decode("ascii")),
            "raw_path": path,
            "query_string": b"",
            "headers": [
                (b"authorization", f"Bearer {token or self.here.token}".encode()),
                (b"content-length", b"%d" % len(body)),
            ],
        }
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        self._runner.run(self.here.app(scope, receive, send))
        content = b"".join(message.get("body", b"") for message in sent[1:])
        return httpx.Response(sent[0]["status"], headers=sent[0]["headers"], content=content)


@pytest.fixture
def call(loop: asyncio.Runner, tmp_path: Path) -> Iterator[Browser]:
    """A node of its own, called as root: ``call("GET", "/files/a.txt")``."""
    context = running(tmp_path)
    here = loop.run(context.__aenter__())
    yield Browser(loop, here)
    loop.run(context.__aexit__(None, None, None))
