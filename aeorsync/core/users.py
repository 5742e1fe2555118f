"""Users: whom keys speak for, and what all keys of one of them may do at most.

The record is a JSON file in the system namespace. Root is not among them: it has no record, no
name to change and no limits.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from uuid import UUID

import msgspec

from aeorsync.core.apikeys import KeyRule
from aeorsync.errors import UNREADABLE, BadRequestError

ROOT_NAME = "root"
MAX_NAME = 64  # characters
MAX_EMAIL = 254  # characters
MAX_TAGS = 32
MAX_RECORD = 1 << 20  # bytes of JSON


class UserRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What the cluster keeps of a user.

    Attributes:
        user_id: Names the user for ever; never nil, which is root.
        username: For people; two nodes may have given one name to two users.
        created_at: Milliseconds since the Unix epoch.
        updated_at: Milliseconds since the Unix epoch.
        email: For people; nothing is ever sent to it.
        tags: For people and programs.
        rules: What all keys of the user may do at most; none leaves it to the rules of each key,
            and a key without any may do nothing.
        bounds: Further lists of rules that have to allow, too: those that were set on several
            nodes at once. They grant nothing.
        is_active: Whether any key of the user works.
    """

    user_id: UUID
    username: str
    created_at: int
    updated_at: int
    email: str | None = None
    tags: tuple[str, ...] = ()
    rules: tuple[KeyRule, ...] = ()
    bounds: tuple[tuple[KeyRule, ...], ...] = ()
    is_active: bool = True

    @classmethod
    def from_json(cls, body: bytes) -> "UserRecord":
        """Return the record ``body`` holds.

        Raises:
            BadRequestError: It holds none.
        """
        if len(body) > MAX_RECORD:
            raise BadRequestError("A user record is too long.")
        try:
            return _DECODER.decode(body)
        except UNREADABLE as error:
            raise BadRequestError("A user record cannot be read.") from error

    def to_json(self) -> bytes:
        """Return the record as JSON; equal records have equal bytes."""
        return msgspec.json.encode(self)

    @property
    def limits(self) -> tuple[tuple[KeyRule, ...], ...]:
        """All lists of rules that bind the user's keys; the first is what was granted."""
        return self.rules, *self.bounds


_DECODER = msgspec.json.Decoder(UserRecord)


def join_records(versions: Sequence[UserRecord]) -> UserRecord:
    """Return what holds of a record that several nodes changed at once, the shown version first.

    Whatever is shown of it, what takes something away stands: the end of activity, and rules.
    """
    shown = versions[0]
    if len(versions) == 1:
        return shown
    # Keys without rules of their own may do nothing then; the others stay bound by the rest.
    granted = shown.rules if all(one.rules for one in versions) else ()
    lists = [rules for one in versions for rules in (one.rules, *one.bounds) if rules]
    return msgspec.structs.replace(
        shown,
        is_active=all(one.is_active for one in versions),
        rules=granted,
        bounds=tuple(dict.fromkeys(rules for rules in lists if rules != granted)),
    )


def check_username(name: str) -> str:
    """Return a name in its one spelling (NFC).

    Raises:
        BadRequestError: It is empty, over 64 characters, reserved, could be taken for an id, or
            has anything but letters, digits and ``.-_+@`` in it.
    """
    name = unicodedata.normalize("NFC", name)
    if not name or len(name) > MAX_NAME:
        raise BadRequestError(f"a username has 1 to {MAX_NAME} characters")
    if not all(letter.isalnum() or letter in ".-_+@" for letter in name):
        raise BadRequestError("a username consists of letters, digits and . - _ + @")
    if not name[0].isalnum():
        raise BadRequestError("a username begins with a letter or a digit")
    if fold(name) == ROOT_NAME:
        raise BadRequestError("root is not a name to give")
    if _is_uuid(name):
        raise BadRequestError("a username must not look like an id")
    return name


def fold(name: str) -> str:
    """Return what two names have in common that nobody should have to tell apart."""
    return unicodedata.normalize("NFKC", name).casefold()


def duplicates(users: Iterable[UserRecord]) -> set[UUID]:
    """Return the ids of those whose name an older one has, as two nodes gave it at once."""
    seen: set[str] = set()
    found: set[UUID] = set()
    for user in sorted(users, key=lambda one: (one.created_at, one.user_id)):
        if (name := fold(user.username)) in seen:
            found.add(user.user_id)
        seen.add(name)
    return found


def check_email(email: str) -> str:
    """Return an address that is shaped like one.

    Raises:
        BadRequestError: It is not.
    """
    local, at, domain = email.rpartition("@")
    is_plain = email.isprintable() and not any(letter.isspace() for letter in email)
    if not (local and at and domain) or not is_plain or len(email) > MAX_EMAIL:
        raise BadRequestError("email must be an address like ada@example.org")
    return email


def check_tags(tags: Sequence[str]) -> tuple[str, ...]:
    """Return tags, each once, in order.

    Raises:
        BadRequestError: There are too many, or one is empty, too long or cannot be seen.
    """
    if len(tags) > MAX_TAGS:
        raise BadRequestError(f"there are more than {MAX_TAGS} tags")
    for tag in tags:
        if not tag.strip() or len(tag) > MAX_NAME or not tag.isprintable():
            raise BadRequestError(f"a tag has 1 to {MAX_NAME} characters that can be seen")
    return tuple(dict.fromkeys(tags))


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
