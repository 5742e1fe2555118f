"""`POST /auth/token`: an API key becomes a token."""

from starlette.responses import Response

from aeorsync.api.endpoint import Access, Call, Endpoint, answer
from aeorsync.api.replies import TokenReply, TokenRequest
from aeorsync.core import apikeys, tokens
from aeorsync.core.apikeys import ApiKey
from aeorsync.errors import BadRequestError, InvalidFieldError, RateLimitedError, UnauthorizedError
from aeorsync.runtime import bridge


async def make_token(call: Call) -> Response:
    """Trade an API key for a token.

    What is wrong with a key is told only to who has all of it.
    """
    node = call.node
    request = await call.body(TokenRequest)
    now_s = node.wall.monotonic()
    client = call.request.client
    node.address_logins.take(client.host if client is not None else "unknown", now_s)
    key = ApiKey.parse(request.api_key)
    node.logins.take(key.half, now_s)
    record = await bridge.run(node.accounts.find, request.api_key)
    if record is None:
        raise apikeys.refusal()
    now_ms = node.wall.now_ms()
    if record.is_revoked:
        raise UnauthorizedError("API key has been revoked")
    if not record.usable(now_ms):
        raise UnauthorizedError("API key has expired")
    life = min(node.jwt_expiry, max(1, (record.expires_at - now_ms) // 1000))
    now = now_ms // 1000
    token = tokens.mint(
        node.signing_key,
        record.user_id,
        issued=now,
        expires=now + life,
        key_id=record.key_id,
    )
    return answer(TokenReply(token, life), headers={"Cache-Control": "no-store"})


ENDPOINTS = (
    Endpoint(
        "POST",
        "/auth/token",
        make_token,
        "Trade an API key for a token.",
        access=Access.OPEN,
        request=TokenRequest,
        reply=TokenReply,
        errors=(BadRequestError, InvalidFieldError, UnauthorizedError, RateLimitedError),
    ),
)
