"""`/auth/keys`: the keys of the one who asks. `api.admin_keys` is about those of everybody.

    who asks with                          sees, renames and revokes
    -------------                          -------------------------
    a key without rules or bounds          all keys of its user
    a key with rules or bounds             itself, and the keys that were made with it
    root, without rules                    by id: any key

Whoever is not to see a key is told that it is not there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import msgspec
from msgspec import UNSET
from starlette.responses import Response

from aeorsync.api.endpoint import Access, Call, Endpoint, Parameter, answer
from aeorsync.api.key_replies import (
    KeyItem,
    KeyMade,
    KeyPatch,
    KeyRequest,
    KeyRevoked,
    KeyUpdated,
    UserName,
    UserNames,
    key_item,
    key_made,
)
from aeorsync.api.node import Caller, Node
from aeorsync.api.parameters import Query
from aeorsync.core import minting
from aeorsync.core.apikeys import KeyRecord
from aeorsync.core.keyrules import read_rules
from aeorsync.core.tokens import ROOT
from aeorsync.core.users import ROOT_NAME
from aeorsync.errors import (
    BadRequestError,
    ConflictError,
    DeniedError,
    InvalidFieldError,
    NotFoundError,
)
from aeorsync.runtime import bridge
from aeorsync.storage.accounts import Accounts, new_key, no_key

NO_STORE = {"Cache-Control": "no-store"}


async def make_key(call: Call) -> Response:
    """Make a key."""
    text, record = await mint(call, await call.body(KeyRequest))
    return answer(key_made(text, record), 201, NO_STORE)


async def list_keys(call: Call) -> Response:
    """List the keys of the one who asks."""
    return answer(await bridge.run(_list, call.node, call.caller))


async def list_names(call: Call) -> Response:
    """List whom the one who asks may make keys for."""
    names = await bridge.run(usernames, call.node.accounts)
    user = call.caller.user
    if not call.caller.is_root:
        names = {user: names[user]} if user in names else {}
    return answer(UserNames([UserName(*pair) for pair in names.items()]))


async def revoke_key(call: Call) -> Response:
    """Revoke a key."""
    is_wide = Query(call.request.scope["query_string"]).flag("with_made")
    key_id = id_of(call, "key_id")
    await bridge.run(_demand_own, call.node, call.caller, key_id)
    return await revoke(call, key_id, with_made=is_wide)


async def change_key(call: Call) -> Response:
    """Rename a key; root may change what it opens, too."""
    patch = await call.body(KeyPatch)
    key_id = id_of(call, "key_id")
    await bridge.run(_demand_own, call.node, call.caller, key_id)
    is_bare = patch.rules is UNSET and patch.expires_in_days is UNSET
    if not is_bare and not call.caller.is_root:
        raise DeniedError("only a root key without rules changes what a key opens, or its end")
    return await change(call, key_id, patch)


async def mint(call: Call, request: KeyRequest) -> tuple[str, KeyRecord]:
    """Make a key within the limits of the one that asks; returns its text and its record.

    Raises:
        BadRequestError: The label or a rule is none.
        DeniedError: For somebody else, by who is not root; or by who may do nothing at all.
        NotFoundError: There is no such user.
    """
    caller, node = call.caller, call.node
    user_id = caller.user if request.user_id is None else request.user_id
    if user_id != caller.user and not caller.is_root:
        raise DeniedError("only root makes keys for others")
    if caller.access.is_nobody or (caller.key_id is None and not caller.is_root):
        raise DeniedError("nothing was granted to this key, so there is nothing to pass on")
    now = node.wall.now_ms()
    text, record = new_key(
        KeyRecord(
            key_id=ROOT,
            key_hash="0" * 64,
            user_id=user_id,
            created_at=now,
            expires_at=minting.end_ms(now, request.expires_in_days),
            label=minting.check_label(request.label),
            rules=read_rules(request.rules or ()),
        )
    )
    return text, await bridge.settle(await bridge.run(node.accounts.add, record, caller.key_id))


async def revoke(call: Call, key_id: UUID, *, with_made: bool) -> Response:
    """Revoke a key that the caller may revoke.

    Args:
        call: The request.
        key_id: The key.
        with_made: Revoke all that were made with it, too, directly or not.

    Raises:
        ConflictError: It is kept in an identity file.
        NotFoundError: There is no such key.
    """
    accounts = call.node.accounts
    known = await bridge.run(accounts.all)
    if all(record.key_id != key_id for record in known):
        raise no_key()
    others = minting.descendants(known, key_id) if with_made else set()
    was = {record.key_id for record in known if record.is_revoked}
    await bridge.settle(accounts.revoke([key_id, *sorted(others)]))
    return answer(KeyRevoked(revoked=True, key_id=key_id, others=len(others - was)))


async def change(call: Call, key_id: UUID, patch: KeyPatch) -> Response:
    """Change a key that the caller may change.

    Raises:
        BadRequestError: The label or a rule is none, or nothing was asked for.
        ConflictError: It is kept in an identity file.
        NotFoundError: There is no such key.
    """
    changes: dict[str, object] = {}
    if patch.label is not UNSET:
        changes["label"] = minting.check_label(patch.label)
    if patch.rules is not UNSET:
        changes["rules"] = read_rules(patch.rules)
    if patch.expires_in_days is not UNSET:
        now = call.node.wall.now_ms()
        changes["expires_at"] = minting.end_ms(now, patch.expires_in_days)
    if not changes:
        raise BadRequestError("say what to change: label, rules or expires_in_days")
    record = await bridge.settle(
        call.node.accounts.change(key_id, lambda old: msgspec.structs.replace(old, **changes))
    )
    return answer(
        KeyUpdated(
            updated=True,
            key_id=key_id,
            label=record.label,
            expires_at=record.expires_at,
            rules=record.rules,
        )
    )


def id_of(call: Call, name: str) -> UUID:
    """The id in the path of a request.

    Raises:
        BadRequestError: It is none.
    """
    try:
        return UUID(call.request.scope["path_params"][name])
    except ValueError as error:
        raise BadRequestError("an id is a UUID") from error


def usernames(accounts: Accounts) -> dict[UUID, str]:
    """Names of all users by id, root first."""
    named = {user.user_id: user.username for user in accounts.users.all()}
    return {ROOT: ROOT_NAME, **named}


@dataclass(frozen=True, slots=True)
class _Own:
    """The keys that a caller may know of."""

    records: Sequence[KeyRecord]
    is_limited: bool


def _own(node: Node, caller: Caller) -> _Own:
    known = node.accounts.all()
    asking = next((one for one in known if one.key_id == caller.key_id), None)
    if asking is None or not asking.is_limited:
        return _Own([one for one in known if one.user_id == caller.user], is_limited=False)
    ids = minting.descendants(known, asking.key_id) | {asking.key_id}
    return _Own([one for one in known if one.key_id in ids], is_limited=True)


def _list(node: Node, caller: Caller) -> list[KeyItem]:
    own, names = _own(node, caller), usernames(node.accounts)
    items = (
        key_item(record, names, caller.key_id, shows_bounds=not own.is_limited)
        for record in own.records
    )
    ids = {record.key_id for record in own.records}
    # The id of a key that they may not know of is nothing to tell.
    return [
        item if item.made_by in ids else msgspec.structs.replace(item, made_by=None)
        for item in items
    ]


def _demand_own(node: Node, caller: Caller, key_id: UUID) -> None:
    """Demand that a caller may know of a key.

    Raises:
        NotFoundError: They may not, or it is not there.
    """
    if caller.is_root:
        return
    if all(record.key_id != key_id for record in _own(node, caller).records):
        raise no_key()


WITH_MADE = Parameter(
    "with_made",
    {"type": "boolean", "default": False},
    "Revoke all keys that were made with it, too, directly or not.",
)
ENDPOINTS = (
    Endpoint(
        "POST",
        "/auth/keys",
        make_key,
        "Make a key, of no more than the one that asks may do.",
        access=Access.USER,
        request=KeyRequest,
        reply=KeyMade,
        status=201,
        errors=(BadRequestError, InvalidFieldError, DeniedError, NotFoundError, ConflictError),
    ),
    Endpoint(
        "GET",
        "/auth/keys",
        list_keys,
        "List the keys of the one who asks, those that were revoked too.",
        access=Access.USER,
        reply=list[KeyItem],
    ),
    Endpoint(
        "GET",
        "/auth/keys/users",
        list_names,
        "List whom the one who asks may make keys for.",
        access=Access.USER,
        reply=UserNames,
    ),
    Endpoint(
        "DELETE",
        "/auth/keys/{key_id}",
        revoke_key,
        "Revoke a key, for ever and on all nodes.",
        access=Access.USER,
        reply=KeyRevoked,
        errors=(BadRequestError, NotFoundError, ConflictError),
        parameters=(WITH_MADE,),
    ),
    Endpoint(
        "PATCH",
        "/auth/keys/{key_id}",
        change_key,
        "Rename a key; for root also: change its rules, or when it ends.",
        access=Access.USER,
        request=KeyPatch,
        reply=KeyUpdated,
        errors=(BadRequestError, InvalidFieldError, DeniedError, NotFoundError, ConflictError),
    ),
)
