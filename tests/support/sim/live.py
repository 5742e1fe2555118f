"""A node as it runs: links, event streams, the application that answers. One life of it."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from blake3 import blake3

from aeorsync.api.app import App, create_app
from aeorsync.api.gate import Gate
from aeorsync.api.node import Node as Answering
from aeorsync.cluster.member import Member
from aeorsync.cluster.tally import Tally
from aeorsync.core import tokens
from aeorsync.core.tokens import ROOT, SigningKey
from aeorsync.errors import AeorError
from aeorsync.remote.calls import Remote
from aeorsync.remote.connection import Connection, Mint
from aeorsync.runtime import chance
from aeorsync.runtime.bus import Bus
from aeorsync.storage.accounts import Accounts
from aeorsync.storage.shelf import Shelf
from aeorsync.storage.writer import Committed
from tests.support.sim.net import HERE, Network, Place, Way
from tests.support.sim.nodes import RETENTION_S, Node

KEY = SigningKey(b"k" * 32)
TOKEN_S = 300


class Live:
    """One life of a node.

    Attributes:
        place: Which node, and which life.
        member: Its links; None until it has started.
        app: What answers its requests; None while it does not.
    """

    def __init__(self, node: Node, network: Network, sync_interval_s: float) -> None:
        self.node = node
        self.place: Place = (node.id, node.life)
        self.member: Member | None = None
        self.app: App | None = None
        self.tasks: list[asyncio.Task[Any]] = []
        self._network = network
        self._sync_interval_s = sync_interval_s
        network.place_at(address(node.id), self)

    async def start(self) -> None:
        """Run, as `server` does it."""
        node, wall = self.node, self.node.clock
        bus: Bus[Committed] = Bus()
        node.repository.listen(bus.publish_threadsafe)
        tally = Tally(wall=wall)
        tally.listen(lambda: bus.publish(Committed(node.repository.head, ())))
        member = Member(
            node.repository,
            mint=self._token,
            wall=wall,
            sync_interval_s=self._sync_interval_s,
            own_url=address(node.id),
            grave_retention_s=RETENTION_S,
            commits=bus,
            dial=self._dial,
            jitter=chance.fraction,
            tally=tally,
        )
        answering = Answering(
            repository=node.repository,
            member=member,
            accounts=Accounts(node.repository),
            signing_key=KEY,
            seal_secret=blake3(KEY.seed, derive_key_context="aeorsync 2026 etag seal").digest(),
            bus=bus,
            wall=wall,
            is_open=False,
            jwt_expiry=3600,
            started_ms=wall.now_ms(),
            tally=tally,
            offers=node.offers,
            shelf=Shelf(wall.monotonic),
        )
        gate = Gate(wall)
        await member.start()
        gate.open(answering)
        self.member = member
        self.app = create_app(gate)

    async def asked(self, call: Callable[[Member], Coroutine[Any, Any, object]]) -> None:
        """Somebody wants something of its links; it may refuse."""
        if self.member is not None:
            with suppress(AeorError):
                await call(self.member)

    def _token(self) -> str:
        now = self.node.clock.now_ms() // 1000
        return tokens.mint(KEY, subject=ROOT, issued=now, expires=now + TOKEN_S, scope=tokens.SYNC)

    def _dial(self, at: str, mint: Mint | None) -> Remote:
        return Remote(Connection(at, mint, Way(self._network, at)))


def address(node_id: int) -> str:
    """Where a node answers."""
    return f"http://node{node_id}.test"


def here() -> Place | None:
    """Whose code is running."""
    return HERE.get()
