"""Puts a node together, in order, and takes it apart again: the only place that names concretes.

    listen -> open the data (join first, if asked) -> links -> ready
    SIGTERM or SIGINT -> refuse what is new -> end streams and links -> drain -> close the store

The socket listens before the data is opened, so a port in use is found before anything is
written, and ``/system/health`` answers from the first moment on.
"""

import asyncio
import contextlib
import errno
import resource
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyfastcdc  # noqa: F401  # a first write must not wait for it, nor for a free descriptor
import uvicorn
import uvloop
from blake3 import blake3

from aeorsync import __version__
from aeorsync.api.app import create_app
from aeorsync.api.cors import Cors
from aeorsync.api.exchange import sweep
from aeorsync.api.gate import Gate
from aeorsync.api.jobs import open_board, runner
from aeorsync.api.meter import Meter
from aeorsync.api.node import Node
from aeorsync.cluster.join import dial, dialer
from aeorsync.cluster.member import Member
from aeorsync.cluster.tally import Tally
from aeorsync.config import AuthMode, Exit, Settings
from aeorsync.core import tokens
from aeorsync.core.tokens import ROOT, SigningKey
from aeorsync.errors import AeorError, CorruptError, StartupError
from aeorsync.remote.trust import load_trust
from aeorsync.runtime import bridge
from aeorsync.runtime.bus import Bus
from aeorsync.runtime.clock import SystemClock, WallClock
from aeorsync.runtime.log import get_logger
from aeorsync.runtime.memory import keep_spare, search_seldom, share_arenas
from aeorsync.runtime.tasks import Supervisor
from aeorsync.server.addresses import own_url
from aeorsync.server.housekeeping import keeping_time
from aeorsync.server.opening import Data, fingerprint, open_data
from aeorsync.server.protocol import BoundedProtocol
from aeorsync.storage.folder import DataFolder
from aeorsync.storage.foreign import FILE_NAME, ForeignBook
from aeorsync.storage.ledger import Ledger
from aeorsync.storage.writer import Committed

PEER_TOKEN_SECONDS = 300
DRAIN_SECONDS = 20
FIRST_KEYS_SECONDS = 10
_BACKLOG = 1024

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ready:
    """A node that has just become ready.

    Attributes:
        version: Of this package.
        url: Where it answers.
        data: Its data folder.
        node_id: Its id.
        root_key: The root key, when it was made just now; it cannot be had again.
        joined: URL of the node that let it into a cluster just now.
        is_open: Whether auth is disabled.
    """

    version: str
    url: str
    data: Path
    node_id: int
    root_key: str | None
    joined: str | None
    is_open: bool


def run(settings: Settings, announce: Callable[[Ready], None]) -> int:
    """Run a node until it is told to stop.

    Args:
        settings: How.
        announce: Called once, when the node is ready.

    Returns:
        The exit code.

    Raises:
        StartupError: It could not start; nothing half-made is left behind.
    """
    folder = DataFolder(settings.data)
    folder.check()
    _allow_many_files()
    share_arenas()
    keep_spare()
    try:
        with _listen(settings) as listener:
            return uvloop.run(_serve(settings, folder, listener, announce))
    except CorruptError as error:
        raise StartupError(error.message, Exit.DATA_UNUSABLE) from error


def _allow_many_files() -> None:
    """Take all the file descriptors we may have: each connection and each pack holds one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _listen(settings: Settings) -> socket.socket:
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # With the protocol named, asyncio turns Nagle's algorithm off: no waiting answers.
        listener = socket.socket(family, kind, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        if error.errno == errno.EADDRINUSE:
            text = f"{where} is in use; stop what runs there, or choose another --port"
        else:
            text = f"cannot listen on {where}: {error.strerror}"
        raise StartupError(text, Exit.PORT_IN_USE) from error
    return listener


class _Server(uvicorn.Server):
    """Uvicorn, with the signals left to us so that a clean stop exits 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def _web_server(settings: Settings, app: object) -> _Server:
    try:
        config = uvicorn.Config(
            app,  # type: ignore[arg-type]  # uvicorn's own ASGI types are narrower
            http=BoundedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            # Limits and audits go by the socket address; a header could claim any.
            proxy_headers=False,
            backlog=_BACKLOG,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=DRAIN_SECONDS,
            ssl_certfile=settings.tls_cert,
            ssl_keyfile=settings.tls_key,
        )
        config.load()
    except (OSError, ssl.SSLError) as error:
        text = f"the TLS certificate or key cannot be used: {error}"
        raise StartupError(text, Exit.TLS) from error
    return _Server(config)


async def _serve(
    settings: Settings,
    folder: DataFolder,
    listener: socket.socket,
    announce: Callable[[Ready], None],
) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    gate = Gate(SystemClock())
    web = _web_server(settings, create_app(gate, Cors(frozenset(settings.cors_origins))))
    serving = asyncio.create_task(web.serve(sockets=[listener]))

    async def drain() -> None:
        web.should_exit = True
        await serving

    try:
        port = listener.getsockname()[1]
        async with _running(settings, folder, gate, port, drain) as ready:
            search_seldom()
            announce(ready)
            log.info("ready", url=ready.url, data=str(ready.data), node=ready.node_id)
            await _until_stopped(stop, serving)
            log.info("stopping", data=str(ready.data))
    finally:
        await drain()
    log.info("stopped")
    return Exit.OK


async def _until_stopped(stop: asyncio.Event, serving: "asyncio.Task[None]") -> None:
    """Wait until we are told to stop.

    Raises:
        StartupError: The web server ended by itself.
    """
    wish = asyncio.create_task(stop.wait())
    await asyncio.wait({wish, serving}, return_when=asyncio.FIRST_COMPLETED)
    wish.cancel()
    if serving.done():
        await serving
        raise StartupError("the web server stopped by itself; see the log", Exit.FAILED)


@contextlib.asynccontextmanager
async def _running(
    settings: Settings,
    folder: DataFolder,
    gate: Gate,
    port: int,
    drain: Callable[[], Awaitable[None]],
) -> AsyncIterator[Ready]:
    """The node itself, from its first byte read to its last byte written.

    Args:
        settings: How.
        folder: Where.
        gate: Let requests through while the node is there.
        port: Where it listens.
        drain: Waits until every request under way has been answered.
    """
    wall = SystemClock()
    way = dialer(load_trust(settings.cluster_ca)) if settings.cluster_ca else dial
    data = await open_data(settings, folder, gate, port, way)
    bus: Bus[Committed] = Bus()
    data.repository.listen(bus.publish_threadsafe)
    foreign = await bridge.run(_open_book, folder)
    meter = Meter()
    data.repository.listen(meter.note_commit)
    tally = Tally(await bridge.run(Ledger, folder.path / "ledger.sqlite3", wall.now_ms()), wall)
    # Without changes: it only wakes who listens, so that they look.
    tally.listen(lambda: bus.publish(Committed(data.repository.head, ())))
    member = Member(
        data.repository,
        mint=lambda: _peer_token(data.key, wall),
        wall=wall,
        sync_interval_s=settings.sync_interval,
        own_url=own_url(settings, port),
        foreign=foreign,
        tally=tally,
        commits=bus,
        grave_retention_s=settings.grave_retention,
        dial=way,
    )
    node = Node(
        repository=data.repository,
        member=member,
        accounts=data.accounts,
        signing_key=data.key,
        seal_secret=blake3(data.key.seed, derive_key_context="aeorsync 2026 etag seal").digest(),
        bus=bus,
        wall=wall,
        is_open=settings.auth == AuthMode.DISABLED,
        jwt_expiry=settings.jwt_expiry,
        started_ms=wall.now_ms(),
        folder=folder.path,
        tally=tally,
        meter=meter,
        gc_interval=settings.gc_interval,
    )
    supervisor = Supervisor()
    try:
        await member.start()
        await _carry_out_join(folder, member, data, bus)
        for url in settings.peers:
            await _add_peer(member, url)
        await _prepare(node, folder)
        gate.open(node)
        supervisor.start("tasks", partial(node.tasks.serve, runner(node)))
        supervisor.start("timetable", keeping_time(node))
        yield Ready(
            version=__version__,
            url=own_url(settings, port),
            data=folder.path.absolute(),
            node_id=member.node_id,
            root_key=data.new_root_key,
            joined=data.joined,
            is_open=node.is_open,
        )
    finally:
        gate.close()
        bus.close()
        node.collector.stop()
        await supervisor.stop("timetable")
        await supervisor.stop("tasks")
        await member.stop()
        await drain()
        await bridge.run(foreign.close)
        await bridge.run(tally.ledger.close)
        await bridge.run(data.repository.close)


async def _prepare(node: Node, folder: DataFolder) -> None:
    """Clear up what the last run left, and begin to take tasks."""
    await bridge.run(sweep, folder.path)
    await open_board(node)


def _open_book(folder: DataFolder) -> ForeignBook:
    try:
        return ForeignBook(folder.path / FILE_NAME)
    except AeorError as error:
        raise StartupError(error.message, Exit.DATA_UNUSABLE) from error


async def _carry_out_join(
    folder: DataFolder, member: Member, data: Data, bus: Bus[Committed]
) -> None:
    granted = await bridge.run(folder.granted)
    if granted is None:
        return
    # An AeorDB node is no member: it acknowledges nothing. Its link learns its id.
    known = None if granted.is_foreign else granted.node_id
    with bus.listen() as commits:
        await member.admit(granted.address, "Join target", known)
        note = fingerprint(data.key)
        await bridge.run(data.repository.set_note, "joined", granted.address, note)
        await bridge.run(folder.forget_grant)
        # The cluster's keys arrive with the first entries; before, nobody could log in here.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_KEYS_SECONDS):
                while not await bridge.run(data.accounts.has_keys):
                    await anext(commits)


async def _add_peer(member: Member, url: str) -> None:
    try:
        await member.add_peer(url)
    except AeorError as error:
        log.warning("peer not added", url=url, reason=error.message)


def _peer_token(key: SigningKey, wall: WallClock) -> str:
    now = wall.now_ms() // 1000
    return tokens.mint(
        key, subject=ROOT, issued=now, expires=now + PEER_TOKEN_SECONDS, scope="sync"
    )
