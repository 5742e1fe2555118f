"""API keys.

Their records are files in the system namespace, so they replicate to every node by the same code
as all files.
"""

import secrets
from collections.abc import Iterator
from concurrent.futures import Future
from uuid import UUID, uuid4

import msgspec

from aeorsync.core import apikeys
from aeorsync.core.apikeys import ApiKey, KeyRecord
from aeorsync.core.merge import see
from aeorsync.core.paths import SYSTEM, TreePath, join, name
from aeorsync.core.tokens import ROOT
from aeorsync.core.versions import Entry
from aeorsync.storage.changes import FileState, put_file
from aeorsync.storage.draft import Draft
from aeorsync.storage.repository import Repository

KEYS = join(SYSTEM, "api-keys")
ROOT_KEY_DAYS = 3650
_DAY_MS = 86_400_000


class Accounts:
    """API keys, as the tree has them now, and those of an identity file."""

    def __init__(self, repository: Repository, given: tuple[KeyRecord, ...] = ()) -> None:
        """Look keys up in a repository.

        Args:
            repository: Its system namespace holds the records.
            given: Records from elsewhere, valid on this node only.
        """
        self._repository = repository
        self._given = given

    def save(self, record: KeyRecord) -> "Future[None]":
        """Write a key record; on every node once it has replicated."""
        data = record.to_json()
        content = self._repository.store_small(data)

        def operation(draft: Draft) -> None:
            put_file(draft, _path(record.key_id), FileState(content, "application/json"))

        return self._repository.commit(operation)

    def find(self, text: str) -> KeyRecord | None:
        """The record of the key with this text, usable or not; None for an unknown key.

        Raises:
            UnauthorizedError: The text is not shaped like a key.
        """
        key = ApiKey.parse(text)
        for record in self._given:
            if record.is_opened_by(key):
                return record
        for record in self._records(key.half):
            if record.is_opened_by(key):
                return record
        return None

    def by_id(self, key_id: UUID) -> KeyRecord | None:
        """The record of a key."""
        for record in self._given:
            if record.key_id == key_id:
                return record
        with self._repository.view() as view:
            entry = view.live_entry(_path(key_id))
        return None if entry is None else self._read(entry)

    def reset_root(self, now_ms: int) -> tuple[str, int]:
        """Revoke every root key and make a new one, in one commit; durable on return. Blocking.

        Returns:
            The new key's text, which cannot be had again, and how many keys were revoked.
        """
        text, record = new_root_key(now_ms)
        roots = [old for old in self._records() if old.user_id == ROOT and not old.is_revoked]
        changed = [record, *(msgspec.structs.replace(old, is_revoked=True) for old in roots)]
        contents = [self._repository.store_small(one.to_json()) for one in changed]

        def operation(draft: Draft) -> None:
            for one, content in zip(changed, contents, strict=True):
                put_file(draft, _path(one.key_id), FileState(content, "application/json"))

        self._repository.commit(operation).result()
        return text, len(roots)

    def has_keys(self) -> bool:
        """Whether any key exists."""
        with self._repository.view() as view:
            return next(view.children(KEYS, system=True), None) is not None

    def _records(self, half: str = "") -> Iterator[KeyRecord]:
        """The records of keys whose text begins with so many digits of an id."""
        with self._repository.view() as view:
            children = list(view.children(KEYS, system=True))
        for child in children:
            # A record's name begins with the id that the key's text begins with.
            if child.entry is not None and name(child.path).replace("-", "").startswith(half):
                yield self._read(child.entry)

    def _read(self, entry: Entry) -> KeyRecord:
        """The record an entry holds; revoked for ever if any of its versions is.

        Two nodes may have changed a record at once: whatever is shown of it, a revocation stands.
        """
        sight = see(entry)
        record, *others = (
            KeyRecord.from_json(b"".join(self._repository.read(version.content)))
            for version in (sight.winner, *sight.losers)
            if not version.deleted
        )
        if any(other.is_revoked for other in others):
            return msgspec.structs.replace(record, is_revoked=True)
        return record


def new_root_key(now_ms: int, label: str = "root") -> tuple[str, KeyRecord]:
    """Make a root key.

    Returns:
        The key's text, which is nowhere else and cannot be had again, and its record.
    """
    key_id = uuid4()
    text = apikeys.make(key_id, secrets.token_bytes(32))
    record = KeyRecord(
        key_id=key_id,
        key_hash=apikeys.digest(text).hex(),
        user_id=ROOT,
        created_at=now_ms,
        expires_at=now_ms + ROOT_KEY_DAYS * _DAY_MS,
        is_revoked=False,
        label=label,
        rules=(),
    )
    return text, record


def _path(key_id: UUID) -> TreePath:
    return join(KEYS, f"{key_id}.json")
