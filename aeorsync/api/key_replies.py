"""Bodies of `/auth/keys` and `/system/users`.

Times are milliseconds since the Unix epoch, where nothing else is said.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from aeorsync.core.apikeys import KeyRecord, KeyRule
from aeorsync.core.users import UserRecord


class KeyRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A key to be made.

    Attributes:
        label: For people.
        expires_in_days: 1 to 3650, what is beyond is taken for these; 730 if not given.
        rules: Objects of one glob and its flags each, in order; none means no restriction but
            those of the user and of the key it is made with.
        user_id: Whom it is to speak for; only root may name another than themselves.
    """

    label: str | None = None
    expires_in_days: int | None = None
    rules: list[dict[str, str]] | None = None
    user_id: UUID | None = None


class KeyPatch(msgspec.Struct, frozen=True, kw_only=True):
    """What to change of a key; for all but the label one has to be root."""

    label: str | UnsetType | None = UNSET
    expires_in_days: int | UnsetType = UNSET
    rules: list[dict[str, str]] | UnsetType = UNSET


class KeyMade(msgspec.Struct, frozen=True, kw_only=True):
    """A key that was made; its text cannot be had again."""

    key_id: UUID
    key: str
    label: str | None
    expires_at: int
    rules: tuple[KeyRule, ...]
    user_id: UUID
    created_at: int


class AdminKeyMade(msgspec.Struct, frozen=True, kw_only=True):
    """The same as AeorDB's administrators get it.

    Attributes:
        key_id: Names it.
        api_key: Its text, which cannot be had again.
        user_id: Whom it speaks for.
        created_at: RFC 3339.
        label: For people.
        expires_at: When it ends.
        rules: In order.
    """

    key_id: UUID
    api_key: str
    user_id: UUID
    created_at: str
    label: str | None
    expires_at: int
    rules: tuple[KeyRule, ...]


class KeyItem(msgspec.Struct, frozen=True, kw_only=True):
    """A key as it is listed.

    Attributes:
        key_id: Names it.
        user_id: Whom it speaks for.
        username: Their name; null when they were deleted.
        created_at: When it was made.
        is_revoked: Whether it was withdrawn, for ever.
        expires_at: When it ends.
        label: For people.
        rules: In order.
        bounds: Lists of rules that bind it, too, as they bound the key it was made with; empty for
            who asks with a key that has rules.
        made_by: The key it was made with; null when there was none, or who asks may not see it.
        is_current: Whether it is the one that asks.
    """

    key_id: UUID
    user_id: UUID
    username: str | None
    created_at: int
    is_revoked: bool
    expires_at: int
    label: str | None
    rules: tuple[KeyRule, ...]
    bounds: tuple[tuple[KeyRule, ...], ...]
    made_by: UUID | None
    is_current: bool


class KeysReply(msgspec.Struct, frozen=True):
    """Keys, oldest first."""

    items: list[KeyItem]


class KeyRevoked(msgspec.Struct, frozen=True):
    """A key that works no more, and how many others that were made with it."""

    revoked: bool
    key_id: UUID
    others: int


class KeyUpdated(msgspec.Struct, frozen=True, kw_only=True):
    """A key that was changed."""

    updated: bool
    key_id: UUID
    label: str | None
    expires_at: int
    rules: tuple[KeyRule, ...]


class UserName(msgspec.Struct, frozen=True):
    """A user by name."""

    user_id: UUID
    username: str


class UserNames(msgspec.Struct, frozen=True):
    """Users by name, oldest first."""

    items: list[UserName]


class UserRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A user to be made.

    Attributes:
        username: 1 to 64 letters, digits and ``.-_+@``.
        email: For people.
        tags: For people and programs.
        rules: What all their keys may do at most; see `KeyRequest`.
        is_active: Whether their keys work.
    """

    username: str
    email: str | None = None
    tags: list[str] | None = None
    rules: list[dict[str, str]] | None = None
    is_active: bool = True


class UserPatch(msgspec.Struct, frozen=True, kw_only=True):
    """What to change of a user."""

    username: str | UnsetType = UNSET
    email: str | UnsetType | None = UNSET
    tags: list[str] | UnsetType = UNSET
    rules: list[dict[str, str]] | UnsetType = UNSET
    is_active: bool | UnsetType = UNSET


class UserReply(msgspec.Struct, frozen=True, kw_only=True):
    """A user.

    Attributes:
        user_id: Names them for ever.
        username: For people.
        email: For people; nothing is sent to it.
        tags: For people and programs.
        rules: What all their keys may do at most.
        bounds: Further lists of rules that bind them: those set on several nodes at once. Setting
            ``rules`` again clears them.
        is_active: Whether their keys work.
        created_at: When they were made.
        updated_at: When they were last changed.
        is_duplicate: Whether an older user has the same name, as two nodes gave it at once.
    """

    user_id: UUID
    username: str
    email: str | None
    tags: tuple[str, ...]
    rules: tuple[KeyRule, ...]
    bounds: tuple[tuple[KeyRule, ...], ...]
    is_active: bool
    created_at: int
    updated_at: int
    is_duplicate: bool


class UsersReply(msgspec.Struct, frozen=True):
    """Users, oldest first."""

    items: list[UserReply]


class UserDeleted(msgspec.Struct, frozen=True):
    """A user who is gone, with all their keys."""

    deleted: bool
    user_id: UUID


def key_made(text: str, record: KeyRecord) -> KeyMade:
    """What is told once of a key that was made."""
    return KeyMade(
        key_id=record.key_id,
        key=text,
        label=record.label,
        expires_at=record.expires_at,
        rules=record.rules,
        user_id=record.user_id,
        created_at=record.created_at,
    )


def admin_key_made(text: str, record: KeyRecord) -> AdminKeyMade:
    """The same, for `POST /auth/keys/admin`."""
    made = datetime.fromtimestamp(record.created_at / 1000, UTC)
    return AdminKeyMade(
        key_id=record.key_id,
        api_key=text,
        user_id=record.user_id,
        created_at=made.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        label=record.label,
        expires_at=record.expires_at,
        rules=record.rules,
    )


def key_item(
    record: KeyRecord, names: Mapping[UUID, str], current: UUID | None, *, shows_bounds: bool
) -> KeyItem:
    """A key as it is listed.

    Args:
        record: Of the key.
        names: Names of users by id.
        current: The key that asks.
        shows_bounds: Whether who asks may know what bound others.
    """
    return KeyItem(
        key_id=record.key_id,
        user_id=record.user_id,
        username=names.get(record.user_id),
        created_at=record.created_at,
        is_revoked=record.is_revoked,
        expires_at=record.expires_at,
        label=record.label,
        rules=record.rules,
        bounds=record.bounds if shows_bounds else (),
        made_by=record.made_by,
        is_current=record.key_id == current,
    )


def user_replies(records: Iterable[UserRecord], duplicates: set[UUID]) -> list[UserReply]:
    """Users as they are listed; ``duplicates`` are those whose name an older one has."""
    return [
        UserReply(**msgspec.structs.asdict(record), is_duplicate=record.user_id in duplicates)
        for record in records
    ]
