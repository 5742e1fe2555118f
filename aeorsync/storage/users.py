"""Users, as the tree has them now."""

from collections.abc import Callable
from concurrent.futures import Future
from uuid import UUID

import msgspec

from aeorsync.core import users
from aeorsync.core.users import UserRecord, fold
from aeorsync.errors import ConflictError, NotFoundError
from aeorsync.storage.draft import Draft
from aeorsync.storage.registers import Edit, Register, Shape
from aeorsync.storage.repository import Repository

SHAPE = Shape("users", UserRecord.from_json, users.join_records, users.MAX_RECORD)

Change = Callable[[UserRecord], UserRecord]


class Users:
    """The users of the cluster. Blocking; safe from any thread."""

    def __init__(self, repository: Repository) -> None:
        """Look into a repository."""
        self._users = Register(repository, SHAPE)

    def get(self, user_id: UUID) -> UserRecord | None:
        """The record of a user, active or not; None for root, too."""
        record = self._users.get(str(user_id))
        return record if record is not None and record.user_id == user_id else None

    def all(self) -> list[UserRecord]:
        """All users, oldest first."""
        found = [record for name, record in self._users.all() if name == str(record.user_id)]
        return sorted(found, key=lambda record: (record.created_at, record.user_id))

    def add(self, record: UserRecord) -> "Future[UserRecord]":
        """Write a new user.

        Raises:
            ConflictError: By the future: another has the name.
        """

        def operation(found: Edit[UserRecord]) -> UserRecord:
            _demand_free(found, record)
            found.put(str(record.user_id), record)
            return record

        return self._users.commit(operation)

    def change(self, user_id: UUID, change: Change) -> "Future[UserRecord]":
        """Change the record of a user; ``change`` is given what holds of it now.

        Raises:
            ConflictError: By the future: another has the name.
            NotFoundError: By the future: there is no such user.
        """

        def operation(found: Edit[UserRecord]) -> UserRecord:
            old = found.get(str(user_id))
            if old is None:
                raise no_user()
            new = msgspec.structs.replace(change(old), updated_at=found.draft.now_ms)
            if fold(new.username) != fold(old.username):
                _demand_free(found, new)
            found.put(str(user_id), new)
            return new

        return self._users.commit(operation)

    def edit(self, draft: Draft) -> "UsersEdit":
        """The users as a draft has them; in the writer's thread only."""
        return UsersEdit(self._users.edit(draft))


class UsersEdit:
    """The users as one draft has them."""

    def __init__(self, found: Edit[UserRecord]) -> None:
        self._found = found

    def get(self, user_id: UUID) -> UserRecord | None:
        """The record of a user."""
        return self._found.get(str(user_id))

    def remove(self, user_id: UUID) -> None:
        """Delete a user, for ever.

        Raises:
            NotFoundError: There is none.
        """
        if self.get(user_id) is None:
            raise no_user()
        self._found.remove(str(user_id))


def no_user() -> NotFoundError:
    """Return the error for a user that is not there."""
    return NotFoundError("there is no such user")


def _demand_free(found: Edit[UserRecord], wanted: UserRecord) -> None:
    for name in found.names():
        other = found.get(name)
        if other is None or other.user_id == wanted.user_id:
            continue
        if fold(other.username) == fold(wanted.username):
            raise ConflictError(f"there is a user {other.username} already; nothing was changed")
