"""`/auth/keys/admin`: the keys of everybody, for a root key without rules.

One with rules is refused: it could make itself wider by another, or learn what others may see.
"""

from starlette.responses import Response

from aeorsync.api.endpoint import Call, Endpoint, answer, parse_body
from aeorsync.api.key_replies import (
    AdminKeyMade,
    KeyPatch,
    KeyRequest,
    KeyRevoked,
    KeysReply,
    KeyUpdated,
    admin_key_made,
    key_item,
)
from aeorsync.api.keys import (
    NO_STORE,
    WITH_MADE,
    change,
    id_of,
    mint,
    revoke,
    usernames,
)
from aeorsync.api.node import Caller, Node
from aeorsync.api.parameters import Query
from aeorsync.errors import (
    BadRequestError,
    ConflictError,
    DeniedError,
    InvalidFieldError,
    NotFoundError,
)
from aeorsync.runtime import bridge
from aeorsync.wire.limits import MAX_JSON


async def make_key(call: Call) -> Response:
    """Make a key for a user, or a root key."""
    data = await call.bytes(MAX_JSON)
    request = parse_body(data, KeyRequest) if data.strip() else KeyRequest()
    text, record = await mint(call, request)
    return answer(admin_key_made(text, record), 201, NO_STORE)


async def list_keys(call: Call) -> Response:
    """List all keys."""
    return answer(await bridge.run(_list, call.node, call.caller))


async def revoke_key(call: Call) -> Response:
    """Revoke a key."""
    is_wide = Query(call.request.scope["query_string"]).flag("with_made")
    return await revoke(call, id_of(call, "key_id"), with_made=is_wide)


async def change_key(call: Call) -> Response:
    """Change a key."""
    patch = await call.body(KeyPatch)
    return await change(call, id_of(call, "key_id"), patch)


def _list(node: Node, caller: Caller) -> KeysReply:
    names = usernames(node.accounts)
    return KeysReply(
        [
            key_item(record, names, caller.key_id, shows_bounds=True)
            for record in node.accounts.all()
        ]
    )


ENDPOINTS = (
    Endpoint(
        "POST",
        "/auth/keys/admin",
        make_key,
        "Make a key for a user, or without one a root key.",
        request=KeyRequest,
        reply=AdminKeyMade,
        status=201,
        errors=(BadRequestError, InvalidFieldError, DeniedError, NotFoundError, ConflictError),
    ),
    Endpoint(
        "GET",
        "/auth/keys/admin",
        list_keys,
        "List the keys of everybody.",
        reply=KeysReply,
        errors=(DeniedError,),
    ),
    Endpoint(
        "DELETE",
        "/auth/keys/admin/{key_id}",
        revoke_key,
        "Revoke any key, for ever and on all nodes.",
        reply=KeyRevoked,
        errors=(BadRequestError, DeniedError, NotFoundError, ConflictError),
        parameters=(WITH_MADE,),
    ),
    Endpoint(
        "PATCH",
        "/auth/keys/admin/{key_id}",
        change_key,
        "Change the label, the rules or the end of any key.",
        request=KeyPatch,
        reply=KeyUpdated,
        errors=(BadRequestError, InvalidFieldError, DeniedError, NotFoundError, ConflictError),
    ),
)
