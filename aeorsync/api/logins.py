"""`POST /auth/token` and `POST /auth/refresh`: how a client gets a token, and the next one."""

from msgspec import UNSET
from starlette.responses import Response

from aeorsync.api.endpoint import Access, Call, Endpoint, answer
from aeorsync.api.replies import RefreshRequest, TokenReply, TokenRequest
from aeorsync.core import apikeys, refresh, tokens
from aeorsync.core.apikeys import ApiKey, KeyRecord
from aeorsync.core.refresh import RefreshToken
from aeorsync.errors import (
    BadRequestError,
    InvalidFieldError,
    RateLimitedError,
    TooLargeError,
    UnauthorizedError,
)
from aeorsync.runtime import bridge
from aeorsync.storage.accounts import Accounts
from aeorsync.wire import limits

_NO_STORE = {"Cache-Control": "no-store"}


async def make_token(call: Call) -> Response:
    """Trade an API key for a token.

    What is wrong with a key is told only to who has all of it.
    """
    node = call.node
    request = await call.body(TokenRequest, limits.MAX_LOGIN_JSON)
    _count(call)
    key = ApiKey.parse(request.api_key)
    node.logins.take(key.half, node.wall.monotonic())
    record = await bridge.run(node.accounts.find, request.api_key)
    if record is None:
        raise apikeys.refusal()
    if record.is_revoked:
        raise UnauthorizedError("API key has been revoked")
    if not record.usable(node.wall.now_ms()):
        raise UnauthorizedError("API key has expired")
    if not await bridge.run(node.accounts.has_user, record):
        raise UnauthorizedError("The user of this API key was deactivated or deleted")
    chain = None
    if request.include_refresh:
        chain = await bridge.settle(node.accounts.chains.begin(record.key_id, record.expires_at))
    return _answer(call, record, chain)


async def refresh_token(call: Call) -> Response:
    """Trade a refresh token for a token and the next refresh token.

    Why one is refused is never told: all refusals carry the same text.
    """
    node = call.node
    request = await call.body(RefreshRequest, limits.MAX_LOGIN_JSON)
    _count(call)
    token = RefreshToken.parse(request.refresh_token)
    node.logins.take(token.name, node.wall.monotonic())
    record = await bridge.run(_key_of, node.accounts, token, node.wall.now_ms())
    if record is None:
        raise refresh.refusal()
    following = await bridge.settle(node.accounts.chains.rotate(token, record.expires_at))
    if following is None:
        raise refresh.refusal()
    return _answer(call, record, following)


def _key_of(accounts: Accounts, token: RefreshToken, now_ms: int) -> KeyRecord | None:
    """The key that a token's chain speaks for; None when it does not work any more."""
    chain = accounts.chains.get(token)
    record = None if chain is None else accounts.by_id(chain.key_id)
    if record is None or not record.usable(now_ms) or not accounts.has_user(record):
        return None
    return record


def _count(call: Call) -> None:
    """Count an attempt of the address that asks.

    Raises:
        RateLimitedError: It makes too many.
    """
    client = call.request.client
    host = client.host if client is not None else "unknown"
    call.node.address_logins.take(host, call.node.wall.monotonic())


def _answer(call: Call, record: KeyRecord, following: RefreshToken | None) -> Response:
    """A token of a key, which lives no longer than it, and what gives the next one."""
    node = call.node
    now_ms = node.wall.now_ms()
    life = min(node.jwt_expiry, max(1, (record.expires_at - now_ms) // 1000))
    token = tokens.mint(
        node.signing_key,
        record.user_id,
        issued=now_ms // 1000,
        expires=now_ms // 1000 + life,
        key_id=record.key_id,
        chain=None if following is None else refresh.mark(following.name),
    )
    text = UNSET if following is None else following.text
    return answer(TokenReply(token, life, text), headers=_NO_STORE)


ENDPOINTS = (
    Endpoint(
        "POST",
        "/auth/token",
        make_token,
        "Trade an API key for a token.",
        access=Access.OPEN,
        request=TokenRequest,
        reply=TokenReply,
        errors=(
            BadRequestError,
            InvalidFieldError,
            UnauthorizedError,
            RateLimitedError,
            TooLargeError,
        ),
    ),
    Endpoint(
        "POST",
        "/auth/refresh",
        refresh_token,
        "Trade a refresh token for a token and the next refresh token.",
        access=Access.OPEN,
        request=RefreshRequest,
        reply=TokenReply,
        errors=(
            BadRequestError,
            InvalidFieldError,
            UnauthorizedError,
            RateLimitedError,
            TooLargeError,
        ),
    ),
)
