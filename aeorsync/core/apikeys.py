"""API keys: what a person or program trades for a token.

    aeor_k_660e8400e29b41d4_0123…ef      ``aeor_k_``, 16 hex digits, ``_``, 64 hex digits
           |                |
           |                secret, 256 random bits
           first half of the key's UUID: finds the record, proves nothing

The text is shown once, when the key is made. The record keeps its digest only. A password would
need a slow hash because it can be guessed; 256 random bits cannot, so BLAKE3 is enough and a
login costs microseconds, not 19 MiB and 30 ms.
"""

import hmac
import re
from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

import msgspec
from blake3 import blake3

from aeorsync.core.access import NOTHING, Access
from aeorsync.core.tokens import ROOT
from aeorsync.errors import UNREADABLE, BadRequestError, UnauthorizedError

PREFIX = "aeor_k_"
SECRET_SIZE = 32  # bytes
MAX_RECORD = 1 << 20  # bytes of JSON

_FORM = re.compile(r"aeor_k_([0-9a-f]{16})_[0-9a-f]{64}\Z")
_CONTEXT = "aeorsync 2025 api key digest v1"

Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]


class ApiKey(msgspec.Struct, frozen=True):
    """A key as its holder has it.

    Attributes:
        half: First 16 hex digits of the key's UUID; two keys may share them.
        text: All of it; a secret.
    """

    half: str
    text: str

    @classmethod
    def parse(cls, text: str) -> "ApiKey":
        """Return the key that ``text`` spells.

        Raises:
            UnauthorizedError: It is none; the same error as for a wrong key.
        """
        if not (form := _FORM.match(text)):
            raise refusal()
        return cls(half=form[1], text=text)

    def __repr__(self) -> str:
        return f"ApiKey({PREFIX}{self.half}_…)"


def make(key_id: UUID, secret: bytes) -> str:
    """Return the text of a new key.

    Args:
        key_id: A random UUID.
        secret: 32 random bytes.
    """
    return f"{PREFIX}{key_id.hex[:16]}_{secret.hex()}"


def digest(text: str) -> bytes:
    """Return the 32 bytes a record keeps instead of the key ``text``."""
    return blake3(text.encode(), derive_key_context=_CONTEXT).digest()


def refusal() -> UnauthorizedError:
    """Return the one error for a malformed, unknown and wrong key."""
    return UnauthorizedError("Invalid API key")


class KeyRule(msgspec.Struct, frozen=True):
    """One rule of a key as it is stored and listed; `core.access` gives it meaning.

    Attributes:
        glob: Paths the rule is about.
        permitted: Eight flags, ``crudlify`` or ``-`` each.
    """

    glob: str
    permitted: str


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What the cluster keeps of a key, in the system namespace.

    Attributes:
        key_id: Names the key.
        key_hash: Hex of the digest of its text.
        user_id: Whom the key speaks for; the nil UUID is root.
        created_at: Milliseconds since the Unix epoch.
        expires_at: Milliseconds since the Unix epoch.
        is_revoked: Whether the key was withdrawn; for ever.
        label: For people.
        rules: In order, the first match decides; none means no restriction.
        bounds: Further lists of rules, all of which have to allow, too: those of the keys it was
            made with.
        made_by: The key it was made with; None when that is not known, or there was none.
        leans_on_user: Whether it was made by a user who had nothing but the rules of their own, so
            that it may do nothing when these are gone.
    """

    key_id: UUID
    key_hash: Digest
    user_id: UUID
    created_at: int
    expires_at: int
    is_revoked: bool = False
    label: str | None = None
    rules: tuple[KeyRule, ...] = ()
    bounds: tuple[tuple[KeyRule, ...], ...] = ()
    made_by: UUID | None = None
    leans_on_user: bool = False

    @property
    def is_limited(self) -> bool:
        """Whether rules of its own, or of keys it was made with, bind it."""
        return bool(self.rules) or any(self.bounds)

    @classmethod
    def from_json(cls, body: bytes) -> "KeyRecord":
        """Return the record ``body`` holds.

        Raises:
            BadRequestError: It holds none.
        """
        if len(body) > MAX_RECORD:
            raise BadRequestError("A key record is too long.")
        try:
            return _DECODER.decode(body)
        except UNREADABLE as error:
            raise BadRequestError("A key record cannot be read.") from error

    def to_json(self) -> bytes:
        """Return the record as JSON; equal records have equal bytes."""
        return msgspec.json.encode(self)

    def is_opened_by(self, key: ApiKey) -> bool:
        """Whether ``key`` is the key of this record, in a time that tells nothing."""
        return hmac.compare_digest(digest(key.text), bytes.fromhex(self.key_hash))

    def usable(self, now_ms: int) -> bool:
        """Whether the key is neither revoked nor expired."""
        return not self.is_revoked and now_ms < self.expires_at


def access_of(record: KeyRecord, user: Sequence[Sequence[KeyRule]] = ()) -> Access:
    """What the bearer of a key may do.

    A key of a user who is not root, where nothing was granted to either, opens nothing.

    Args:
        record: Of the key.
        user: The lists of rules of its user: what was granted to them, and what else binds them.

    Raises:
        BadRequestError: A rule cannot be read.
    """
    lists = [*user, record.rules, *record.bounds]
    access = Access.of([(rule.glob, rule.permitted) for rule in rules] for rules in lists)
    if record.user_id == ROOT:
        return access
    needs_user = record.leans_on_user or not record.is_limited
    return NOTHING if needs_user and not any(user[:1]) else access


_DECODER = msgspec.json.Decoder(KeyRecord)


def join_records(versions: Sequence[KeyRecord]) -> KeyRecord:
    """Return what holds of a record that several nodes changed at once, the shown version first.

    Whatever is shown of it, what takes something away stands: a revocation, rules, an earlier end.
    """
    shown = versions[0]
    if len(versions) == 1:
        return shown
    others = [rules for one in versions[1:] for rules in (one.rules, *one.bounds) if rules]
    fresh = (*shown.bounds, *(rules for rules in others if rules != shown.rules))
    return msgspec.structs.replace(
        shown,
        is_revoked=any(one.is_revoked for one in versions),
        expires_at=min(one.expires_at for one in versions),
        bounds=tuple(dict.fromkeys(fresh)),
        leans_on_user=any(one.leans_on_user for one in versions),
    )
