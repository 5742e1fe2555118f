"""`/system/users`: whom keys speak for, for a root key without rules.

Root itself is none of them. What a user may do at most is their `rules`; deactivating or deleting
one ends all their keys with the next request, on every node.
"""

from uuid import UUID

import msgspec
from msgspec import UNSET
from starlette.responses import Response

from aeorsync.api.endpoint import Call, Endpoint, answer
from aeorsync.api.key_replies import (
    UserDeleted,
    UserPatch,
    UserReply,
    UserRequest,
    UsersReply,
    user_replies,
)
from aeorsync.api.keys import id_of
from aeorsync.api.node import Node
from aeorsync.core.keyrules import read_rules
from aeorsync.core.users import (
    UserRecord,
    check_email,
    check_tags,
    check_username,
    duplicates,
)
from aeorsync.errors import (
    BadRequestError,
    ConflictError,
    DeniedError,
    InvalidFieldError,
    NotFoundError,
)
from aeorsync.runtime import bridge, chance
from aeorsync.storage.users import no_user


async def make_user(call: Call) -> Response:
    """Make a user."""
    request = await call.body(UserRequest)
    now = call.node.wall.now_ms()
    user = UserRecord(
        user_id=chance.uuid(),
        username=check_username(request.username),
        created_at=now,
        updated_at=now,
        email=None if request.email is None else check_email(request.email),
        tags=check_tags(request.tags or ()),
        rules=read_rules(request.rules or ()),
        is_active=request.is_active,
    )
    await bridge.settle(call.node.accounts.users.add(user))
    return answer(await bridge.run(_reply, call.node, user.user_id), 201)


async def list_users(call: Call) -> Response:
    """List the users."""
    return answer(UsersReply(await bridge.run(_replies, call.node)))


async def show_user(call: Call) -> Response:
    """Show a user."""
    return answer(await bridge.run(_reply, call.node, id_of(call, "user_id")))


async def change_user(call: Call) -> Response:
    """Change a user."""
    changes = _changes(await call.body(UserPatch))
    user_id = id_of(call, "user_id")
    users = call.node.accounts.users
    await bridge.settle(users.change(user_id, lambda old: msgspec.structs.replace(old, **changes)))
    return answer(await bridge.run(_reply, call.node, user_id))


async def delete_user(call: Call) -> Response:
    """Delete a user, and revoke all their keys."""
    user_id = id_of(call, "user_id")
    await bridge.settle(call.node.accounts.remove_user(user_id))
    return answer(UserDeleted(deleted=True, user_id=user_id))


def _changes(patch: UserPatch) -> dict[str, object]:
    """What a patch sets.

    Raises:
        BadRequestError: Something of it is not what it should be, or it sets nothing.
    """
    changes: dict[str, object] = {}
    if patch.username is not UNSET:
        changes["username"] = check_username(patch.username)
    if patch.email is not UNSET:
        changes["email"] = None if patch.email is None else check_email(patch.email)
    if patch.tags is not UNSET:
        changes["tags"] = check_tags(patch.tags)
    if patch.rules is not UNSET:
        changes["rules"] = read_rules(patch.rules)
        changes["bounds"] = ()
    if patch.is_active is not UNSET:
        changes["is_active"] = patch.is_active
    if not changes:
        raise BadRequestError("say what to change: username, email, tags, rules or is_active")
    return changes


def _replies(node: Node) -> list[UserReply]:
    users = node.accounts.users.all()
    return user_replies(users, duplicates(users))


def _reply(node: Node, user_id: UUID) -> UserReply:
    for reply in _replies(node):
        if reply.user_id == user_id:
            return reply
    raise no_user()


_ERRORS = (BadRequestError, InvalidFieldError, DeniedError, ConflictError)
ENDPOINTS = (
    Endpoint(
        "POST",
        "/system/users",
        make_user,
        "Make a user.",
        request=UserRequest,
        reply=UserReply,
        status=201,
        errors=_ERRORS,
    ),
    Endpoint(
        "GET",
        "/system/users",
        list_users,
        "List the users.",
        reply=UsersReply,
        errors=_ERRORS[2:3],
    ),
    Endpoint(
        "GET",
        "/system/users/{user_id}",
        show_user,
        "Show a user.",
        reply=UserReply,
        errors=(BadRequestError, DeniedError, NotFoundError),
    ),
    Endpoint(
        "PATCH",
        "/system/users/{user_id}",
        change_user,
        "Change a user: name, address, tags, rules, or whether their keys work.",
        request=UserPatch,
        reply=UserReply,
        errors=(*_ERRORS, NotFoundError),
    ),
    Endpoint(
        "DELETE",
        "/system/users/{user_id}",
        delete_user,
        "Delete a user, and revoke all their keys.",
        reply=UserDeleted,
        errors=(BadRequestError, DeniedError, NotFoundError),
    ),
)
