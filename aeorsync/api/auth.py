"""Who is asking, and whether they may.

    nothing, or no bearer                       401
    forged, expired, foreign                    401
    of a key that is revoked, expired, unknown  401
    scope ``sync`` outside /sync                403
    not root where root is needed               403
    a key with rules where root is needed       403
    a node that was removed                     403
    auth disabled, called from elsewhere        403
    auth disabled                               root; on /sync a peer

What a caller may do to which paths is in the record of the key, and is read from there however
the key was shown; `api.reach` holds callers to it. A token of somebody who is not root and that
names no key opens nothing.

The bearer may be a token or the API key itself, and may come as ``?token=`` where no tree is
synced. Where auth is disabled, the loopback address is all that protects the node, and a web page
reaches it through a name of its own; so the host that was asked for has to be loopback, too.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from starlette.types import Scope

from aeorsync.api.endpoint import Access
from aeorsync.api.members import caller_id, caller_run
from aeorsync.api.node import Caller, Node
from aeorsync.core import access as rules
from aeorsync.core import apikeys, tokens
from aeorsync.core.access import EVERYTHING, NOTHING
from aeorsync.core.apikeys import KeyRecord
from aeorsync.core.tokens import ROOT, SYNC, Claims
from aeorsync.errors import BadRequestError, DeniedError, UnauthorizedError
from aeorsync.runtime import bridge
from aeorsync.storage.views import is_system_key
from aeorsync.storage.writer import Committed

MAX_REMEMBERED = 1024
_PLAIN = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\[\]@:]+)(?::[0-9]*)?\Z")
"""A host and its port, and nothing around them that a parser may overlook."""
NOBODY = Caller(UUID(int=(1 << 128) - 1), access=NOTHING)
"""Whoever calls an open endpoint."""

T = TypeVar("T")
_PEER = Caller(ROOT, is_peer=True)
_ROOT = Caller(ROOT)


@dataclass(frozen=True, slots=True)
class _Known:
    """A key record, or that there is none, as of one state of the system namespace.

    Attributes:
        age: Of that state.
        record: The record.
        access: What it opens; None where its rules cannot be read.
    """

    age: int
    record: KeyRecord | None
    access: rules.Access | None


@dataclass(slots=True)
class _Memory:
    """What was looked up before; the eldest is forgotten first."""

    claims: dict[str, Claims] = field(default_factory=dict)
    keys: dict[UUID | bytes, _Known] = field(default_factory=dict)
    chains: dict[str, tuple[int, bool]] = field(default_factory=dict)


class Authenticator:
    """Tells callers apart; remembers what costs time to find out.

    *Nothing is believed too long*: a token is looked at anew for expiry on each request, and a
    key record is forgotten as soon as anything in the system namespace changes.
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        self._memory = _Memory()
        self._age = 0
        # Before event streams are woken: what they ask then is to be answered anew.
        node.repository.listen(self._notice, first=True)

    async def caller(self, scope: Scope, access: Access) -> Caller:
        """Who makes a request, after checking that they may.

        Args:
            scope: Of the request; ``raw_path`` begins with one slash.
            access: What the endpoint demands.

        Raises:
            UnauthorizedError: Nobody we know.
            DeniedError: Somebody who may not.
            RemovedError: A node that was removed from the cluster.
            TwinError: A copy of another node.
        """
        caller = await self._known(scope, access)
        node_id = caller_id(scope) if caller.is_peer else None
        if node_id is not None:
            roster = self.node.member.roster
            await roster.refuse_removed(node_id)
            run = caller_run(scope)
            if run is not None:
                roster.twins.hear(node_id, run)
        return caller

    async def _known(self, scope: Scope, access: Access) -> Caller:
        if self.node.is_open:
            _check_local(scope)
        if access is Access.OPEN:
            return NOBODY
        is_sync = scope["raw_path"].startswith(b"/sync/")
        if self.node.is_open:
            return _PEER if is_sync else _ROOT
        text = _bearer(scope, in_query=access is not Access.SYNC)
        if text.startswith(apikeys.PREFIX):
            caller = await self._key_holder(text)
        else:
            caller = await self._token_holder(text, is_sync=is_sync)
        if access is Access.ROOT and not caller.is_root:
            raise DeniedError("Root access required")
        return caller

    async def _token_holder(self, token: str, *, is_sync: bool) -> Caller:
        claims = self._claims(token)
        if claims.scope == SYNC and not is_sync:
            raise DeniedError("Token scope 'sync' cannot access this endpoint")
        if claims.key_id is None:
            access = EVERYTHING if claims.is_root else NOTHING
            return Caller(claims.subject, claims.is_peer, access=access)
        key_id = claims.key_id
        record, access = await self._known_key(key_id, lambda: self.node.accounts.by_id(key_id))
        if record.user_id != claims.subject or await self._is_cut_off(key_id, claims.chain):
            raise UnauthorizedError("Invalid or expired token")
        is_peer = claims.is_peer and access.is_everything
        return Caller(claims.subject, is_peer, key_id, access)

    async def _key_holder(self, text: str) -> Caller:
        record, access = await self._known_key(
            apikeys.digest(text), lambda: self.node.accounts.find(text)
        )
        return Caller(record.user_id, key_id=record.key_id, access=access)

    async def _known_key(
        self, name: UUID | bytes, find: Callable[[], KeyRecord | None]
    ) -> tuple[KeyRecord, rules.Access]:
        """The record of a key that may be used, and what it opens.

        Raises:
            UnauthorizedError: There is none, or it may not be used.
            DeniedError: Its rules cannot be read.
        """
        known = self._memory.keys.get(name)
        if known is None or known.age != self._age:
            known = await bridge.run(self._look_up, self._age, find)
            _remember(self._memory.keys, name, known)
        record = known.record
        if record is None or not record.usable(self.node.wall.now_ms()):
            raise UnauthorizedError("The API key is unknown, revoked or expired")
        if known.access is None:
            # To serve it without its rules would be to serve it everything.
            raise DeniedError("This node cannot apply the rules of this API key")
        return record, known.access

    async def _is_cut_off(self, key_id: UUID, chain: str | None) -> bool:
        """Whether the chain of refresh tokens that a token came with was revoked."""
        if chain is None:
            return False
        age, is_revoked = self._memory.chains.get(chain, (-1, False))
        if age != self._age:
            age = self._age
            is_revoked = await bridge.run(self.node.accounts.chains.is_revoked, key_id, chain)
            _remember(self._memory.chains, chain, (age, is_revoked))
        return is_revoked

    def _look_up(self, age: int, find: Callable[[], KeyRecord | None]) -> _Known:
        record = find()
        try:
            access = None if record is None else self.node.accounts.access(record)
        except BadRequestError:
            return _Known(age, record, None)
        # Without its user a key is as good as revoked.
        return _Known(age, None if access is None else record, access)

    def _claims(self, token: str) -> Claims:
        now = self.node.wall.now_ms() // 1000
        claims = self._memory.claims.get(token)
        if claims is None or claims.expires + tokens.LEEWAY <= now:
            claims = tokens.verify(self.node.signing_key, token, now)
            if claims.scope not in {None, SYNC}:
                # Whoever narrowed it did so on purpose, so it does not open everything here.
                raise UnauthorizedError("Invalid or expired token")
            _remember(self._memory.claims, token, claims)
        return claims

    def _notice(self, committed: Committed) -> None:
        # In the writer thread, and before whoever revoked the key hears that it is done.
        if any(is_system_key(change.key) for change in committed.changes):
            self._age += 1


def query_token(query: bytes) -> str | None:
    """The token in a query string."""
    if b"token=" not in query:
        return None
    values = parse_qs(query.decode("latin-1")).get("token")
    return values[-1] if values else None


def _bearer(scope: Scope, *, in_query: bool) -> str:
    header: bytes | None = None
    for name, value in scope["headers"]:
        if name == b"authorization":
            header = value
    if header is not None:
        kind, _, text = header.partition(b" ")
        if kind.lower() == b"bearer" and text:
            return text.strip().decode("latin-1")
    elif in_query and (token := query_token(scope["query_string"])):
        return token
    raise UnauthorizedError("Missing or invalid Authorization header")


def _check_local(scope: Scope) -> None:
    """Refuse what a web page of elsewhere sent, by whatever name it found us.

    Raises:
        DeniedError: The host asked for, or the page that asks, is not on this machine.
    """
    fields = scope["headers"]
    hosts = [f"//{value.decode('latin-1')}" for name, value in fields if name == b"host"]
    origins = [value.decode("latin-1") for name, value in fields if name == b"origin"]
    if not hosts or not all(map(_is_loopback, (*hosts, *origins))):
        text = "auth is disabled: ask by localhost or a loopback address, from this machine"
        raise DeniedError(text)


def _is_loopback(url: str) -> bool:
    try:
        parts = urlsplit(url)
        name = parts.hostname or ""
        if not _PLAIN.match(parts.netloc):
            return False
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


def _remember(memory: dict[Any, T], key: object, value: T) -> None:
    memory.pop(key, None)
    memory[key] = value
    if len(memory) > MAX_REMEMBERED:
        memory.pop(next(iter(memory)), None)
