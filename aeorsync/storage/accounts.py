"""API keys, whom they speak for, and how they are traded and renewed.

    /.aeordb-system/api-keys/<key id>.json           `core.apikeys.KeyRecord`    here
    /.aeordb-system/users/<user id>.json             `core.users.UserRecord`     `storage.users`
    /.aeordb-system/refresh/<half>-<chain>.json      `core.refresh.Chain`        `storage.chains`

The records are files in the system namespace, so they replicate to every node by the same code as
all files.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from uuid import UUID

import msgspec

from aeorsync.core import apikeys, minting
from aeorsync.core.access import Access
from aeorsync.core.apikeys import ApiKey, KeyRecord
from aeorsync.core.tokens import ROOT
from aeorsync.errors import BadRequestError, ConflictError, NotFoundError
from aeorsync.runtime import chance
from aeorsync.storage.chains import Chains
from aeorsync.storage.registers import Edit, Register, Shape
from aeorsync.storage.repository import Repository
from aeorsync.storage.users import Users

SHAPE = Shape("api-keys", KeyRecord.from_json, apikeys.join_records, apikeys.MAX_RECORD)
KEYS = SHAPE.path
ROOT_KEY_DAYS = 3650
MAX_KEYS = 1000
"""Of one user, those that no longer work included until they are swept; of root, only those that
keys with rules made."""
MAX_NEW = apikeys.MAX_RECORD // 4
"""Bytes of a new record: it may grow when nodes change it at once, and must stay readable."""
DAY_MS = 86_400_000
KEPT_MS = 90 * DAY_MS
"""How long a key that no longer works is still listed."""

Change = Callable[[KeyRecord], KeyRecord]


class Accounts:
    """API keys, as the tree has them now, and those of an identity file.

    Attributes:
        users: Whom keys speak for.
        chains: The refresh tokens of keys.
    """

    def __init__(self, repository: Repository, given: tuple[KeyRecord, ...] = ()) -> None:
        """Look keys up in a repository.

        Args:
            repository: Its system namespace holds the records.
            given: Records from elsewhere, valid on this node only.
        """
        self._keys = Register(repository, SHAPE)
        self._given = given
        self.users = Users(repository)
        self.chains = Chains(repository)

    def save(self, record: KeyRecord) -> "Future[None]":
        """Write a key record; on every node once it has replicated."""
        return self._keys.commit(lambda keys: keys.put(str(record.key_id), record))

    def find(self, text: str) -> KeyRecord | None:
        """The record of the key with this text, usable or not; None for an unknown key.

        Raises:
            UnauthorizedError: The text is not shaped like a key.
        """
        key = ApiKey.parse(text)
        half = f"{key.half[:8]}-{key.half[8:12]}-{key.half[12:]}"
        for record in (*self._given, *(found for _, found in self._keys.all(half))):
            if record.is_opened_by(key):
                return record
        return None

    def by_id(self, key_id: UUID) -> KeyRecord | None:
        """The record of a key."""
        return self._given_by_id(key_id) or self._keys.get(str(key_id))

    def all(self) -> list[KeyRecord]:
        """All keys, those that no longer work too, oldest first."""
        found = [*self._given, *(record for _, record in self._keys.all())]
        return sorted(found, key=lambda record: (record.created_at, record.key_id))

    def access(self, record: KeyRecord) -> Access | None:
        """What a key opens; None when its user is gone or was deactivated.

        Raises:
            BadRequestError: A rule cannot be read.
        """
        if record.user_id == ROOT:
            return apikeys.access_of(record)
        user = self.users.get(record.user_id)
        is_active = user is not None and user.is_active
        return apikeys.access_of(record, user.limits) if user and is_active else None

    def has_user(self, record: KeyRecord) -> bool:
        """Whether the user of a key is there and active; root always is."""
        if record.user_id == ROOT:
            return True
        user = self.users.get(record.user_id)
        return user is not None and user.is_active

    def add(self, record: KeyRecord, maker: UUID | None = None) -> "Future[KeyRecord]":
        """Write a new key, within the limits that the one it is made with has at that moment.

        Args:
            record: As it was asked for.
            maker: The key it is made with; None for root without one.

        Returns:
            By the future: the record as it was written.

        Raises:
            BadRequestError: By the future: its rules, and those it inherits, are too long.
            ConflictError: The user has too many.
            DeniedError: By the future: the maker passed through too many hands.
            NotFoundError: By the future: the user, or the maker, is gone.
        """
        asking = None if maker is None else self.by_id(maker)
        if record.user_id != ROOT or (asking is not None and asking.is_limited):
            self._demand_room(record.user_id)

        def operation(keys: Edit[KeyRecord]) -> KeyRecord:
            user = self.users.edit(keys.draft).get(record.user_id)
            if record.user_id != ROOT and (user is None or not user.is_active):
                raise NotFoundError("there is no such user, or they were deactivated")
            made = minting.inherit(record, self._maker(keys, maker))
            if len(made.to_json()) > MAX_NEW:
                text = "the rules, and those of the keys it comes from, are too long"
                raise BadRequestError(text)
            keys.put(str(made.key_id), made)
            return made

        return self._keys.commit(operation)

    def change(self, key_id: UUID, change: Change) -> "Future[KeyRecord]":
        """Change the record of a key; ``change`` is given what holds of it now.

        Raises:
            ConflictError: It is kept in the identity file of this node.
            NotFoundError: By the future: there is no such key.
        """
        self._demand_kept(key_id)

        def operation(keys: Edit[KeyRecord]) -> KeyRecord:
            old = keys.get(str(key_id))
            if old is None:
                raise no_key()
            new = change(old)
            keys.put(str(key_id), new)
            return new

        return self._keys.commit(operation)

    def revoke(self, key_ids: Sequence[UUID]) -> "Future[int]":
        """Revoke keys, and end their chains of refresh tokens, in one commit.

        Returns:
            By the future, how many of them were not revoked before.

        Raises:
            ConflictError: One is kept in the identity file of this node.
        """
        for key_id in key_ids:
            self._demand_kept(key_id)
        return self._keys.commit(lambda keys: self._revoke(keys, key_ids))

    def remove_user(self, user_id: UUID) -> "Future[None]":
        """Delete a user and revoke all their keys, in one commit.

        Raises:
            NotFoundError: By the future: there is no such user.
        """

        def operation(keys: Edit[KeyRecord]) -> None:
            self.users.edit(keys.draft).remove(user_id)
            self._revoke(keys, [one.key_id for one in _of_user(keys, user_id)])

        return self._keys.commit(operation)

    def reset_root(self, now_ms: int) -> tuple[str, int]:
        """Revoke every root key and make a new one, in one commit; durable on return. Blocking.

        Returns:
            The new key's text, which cannot be had again, and how many keys were revoked.
        """
        text, record = new_root_key(now_ms)

        def operation(keys: Edit[KeyRecord]) -> int:
            revoked = self._revoke(keys, [one.key_id for one in _of_user(keys, ROOT)])
            keys.put(str(record.key_id), record)
            return revoked

        return text, self._keys.commit(operation).result()

    def has_keys(self) -> bool:
        """Whether any key exists."""
        return not self._keys.is_empty()

    def sweep(self, now_ms: int) -> "Future[tuple[int, int]]":
        """Forget chains that are over, and keys that have not worked for `KEPT_MS`.

        Returns:
            By the future: how many chains, how many keys.
        """
        over = self.chains.over(now_ms)
        useless = [name for name, record in self._keys.all() if not record.usable(now_ms)]

        def operation(keys: Edit[KeyRecord]) -> tuple[int, int]:
            idle = [name for name in useless if _is_idle(keys, name, now_ms)]
            for name in idle:
                keys.remove(name)
            return self.chains.edit(keys.draft).sweep(over, now_ms), len(idle)

        return self._keys.commit(operation)

    def _revoke(self, keys: Edit[KeyRecord], key_ids: Sequence[UUID]) -> int:
        count = 0
        chains = self.chains.edit(keys.draft)
        for key_id in key_ids:
            old = keys.get(str(key_id))
            if old is not None and not old.is_revoked:
                keys.put(str(key_id), msgspec.structs.replace(old, is_revoked=True))
                count += 1
            chains.remove_all(key_id)
        return count

    def _maker(self, keys: Edit[KeyRecord], key_id: UUID | None) -> KeyRecord | None:
        if key_id is None:
            return None
        maker = self._given_by_id(key_id) or keys.get(str(key_id))
        if maker is None or not maker.usable(keys.draft.now_ms):
            raise NotFoundError("the key it is made with has been revoked")
        return maker

    def _demand_room(self, user_id: UUID) -> None:
        keys = [record for record in self.all() if record.user_id == user_id]
        if sum(user_id != ROOT or bool(record.bounds) for record in keys) >= MAX_KEYS:
            raise ConflictError(
                f"there are {MAX_KEYS} keys of this user; those that expired or were revoked are"
                f" forgotten after {KEPT_MS // DAY_MS} days"
            )

    def _demand_kept(self, key_id: UUID) -> None:
        if self._given_by_id(key_id) is not None:
            raise ConflictError(
                "this key is kept in the identity file of this node; change it there"
            )

    def _given_by_id(self, key_id: UUID) -> KeyRecord | None:
        return next((record for record in self._given if record.key_id == key_id), None)


def _of_user(keys: Edit[KeyRecord], user_id: UUID) -> list[KeyRecord]:
    records = (keys.get(name) for name in keys.names())
    return [record for record in records if record is not None and record.user_id == user_id]


def _is_idle(keys: Edit[KeyRecord], name: str, now_ms: int) -> bool:
    """Whether a key has not worked for so long that nobody wants to see it listed."""
    record = keys.get(name)
    if record is None or record.usable(now_ms):
        return False
    changed = keys.changed_at(name) if record.is_revoked else record.expires_at
    return now_ms - changed > KEPT_MS


def no_key() -> NotFoundError:
    """Return the one error for a key that is not there, and one that is somebody else's."""
    return NotFoundError("there is no such key")


def new_key(record: KeyRecord) -> tuple[str, KeyRecord]:
    """Make a key.

    Args:
        record: What is to be kept of it, but for its id and digest.

    Returns:
        The key's text, which is nowhere else and cannot be had again, and its record.
    """
    key_id = chance.uuid()
    text = apikeys.make(key_id, chance.token_bytes(32))
    digest = apikeys.digest(text).hex()
    return text, msgspec.structs.replace(record, key_id=key_id, key_hash=digest)


def new_root_key(now_ms: int, label: str = "root") -> tuple[str, KeyRecord]:
    """Make a root key; see `new_key`."""
    record = KeyRecord(
        key_id=ROOT,
        key_hash="0" * 64,
        user_id=ROOT,
        created_at=now_ms,
        expires_at=now_ms + ROOT_KEY_DAYS * DAY_MS,
        label=label,
    )
    return new_key(record)
