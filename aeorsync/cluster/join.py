"""How this node becomes a member of a cluster: it asks one that is."""

from collections.abc import Callable
from dataclasses import dataclass
from ssl import SSLContext
from typing import Final

from aeorsync.cluster.peers import parse_address
from aeorsync.core import apikeys
from aeorsync.core.tokens import SigningKey
from aeorsync.errors import (
    AeorError,
    BadRequestError,
    NotFoundError,
    StartupError,
    UnavailableError,
    UntrustedError,
)
from aeorsync.remote.calls import Remote
from aeorsync.remote.connection import Connection, Mint
from aeorsync.remote.trust import TLS
from aeorsync.wire.links import JoinReply, JoinRequest

REFUSED: Final = 7
"""Exit code: the cluster said no."""
UNREACHABLE: Final = 8
"""Exit code: the cluster did not answer."""

Dial = Callable[[str, Mint | None], Remote]


@dataclass(frozen=True, slots=True)
class Joining:
    """Who wants to join.

    Attributes:
        node_id: Ours.
        own_url: Base URL at which the cluster can reach us.
        label: Our name, for people.
    """

    node_id: int
    own_url: str
    label: str | None = None


@dataclass(frozen=True, slots=True)
class JoinResult:
    """What a member hands to a new one.

    Attributes:
        signing_key: The cluster's key.
        responding_node_id: Who answered.
        is_foreign: Whether that is an AeorDB node, whose API keys are no use here.
    """

    signing_key: SigningKey
    responding_node_id: int
    is_foreign: bool = False


def dial(address: str, mint: Mint | None) -> Remote:
    """The way to an address over the network."""
    return Remote(Connection(address, mint))


def dialer(trust: SSLContext) -> Dial:
    """The same, for who believes other certificates than those of the system's authorities."""
    return lambda address, mint: Remote(Connection(address, mint, trust=trust))


async def join(target: str, secret: str, joining: Joining, dial: Dial = dial) -> JoinResult:
    """Join the cluster of the node at ``target``.

    Args:
        target: Its base URL.
        secret: A root API key, or a root token.
        joining: Who we are.
        dial: Makes the way to an address.

    Raises:
        StartupError: The cluster refused us, or did not answer.
    """
    request = JoinRequest(joining.own_url, joining.label, joining.node_id)
    try:
        reply, is_foreign = await _ask(parse_address(target), secret, request, dial)
    except UntrustedError as error:
        raise StartupError(f"cannot join: {error.message}", TLS) from error
    except UnavailableError as error:
        raise StartupError(f"cannot join: {error.message}", UNREACHABLE) from error
    except AeorError as error:
        raise StartupError(f"cannot join: {error.message}", REFUSED) from error
    if reply.responding_node_id == joining.node_id:
        raise StartupError(f"cannot join: {target} is this node itself", REFUSED)
    try:
        key = SigningKey.from_text(reply.signing_key)
    except BadRequestError as error:
        text = f"cannot join: {target} sent no signing key; {error.message}"
        raise StartupError(text, REFUSED) from error
    return JoinResult(key, reply.responding_node_id, is_foreign)


async def _ask(
    address: str, secret: str, request: JoinRequest, dial: Dial
) -> tuple[JoinReply, bool]:
    token = await _token(address, secret, dial)
    remote = dial(address, lambda: token)
    try:
        reply = await remote.join(request)
        return reply, await _is_foreign(remote)
    finally:
        await remote.close()


async def _is_foreign(remote: Remote) -> bool:
    """Whether a node that let us in knows no clock probe, as AeorDB nodes do not."""
    try:
        await remote.clock(0)
    except NotFoundError:
        return True
    except AeorError:
        return False
    return False


async def _token(address: str, secret: str, dial: Dial) -> str:
    if not secret.startswith(apikeys.PREFIX):
        return secret
    remote = dial(address, None)
    try:
        return await remote.token(secret)
    finally:
        await remote.close()
