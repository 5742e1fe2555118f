"""Refresh tokens: how a client stays logged in without keeping its API key at hand.

    aeor_r_660e8400e29b41d4 9f86d081884c7d65 0123…ef      ``aeor_r_`` and 64 hex digits
           |                |                |
           |                |                secret, 128 random bits
           |                chain, 64 random bits
           first half of the UUID of the API key

Each is good for one use, which gives the next one: a *chain*, of which the cluster keeps one
record with the digest of the token that is good now, and of the one before. Nobody learns the name
of a chain but by holding one of its tokens. So a token that names a chain and is not the good one
was used before: either its holder is a thief, or the holder of the good one is. The chain ends.

    token of the chain               is
    ------------------               --
    good now                         good: the next one takes its place
    the one before, within 60 s      good once more: the answer may have been lost on its way. The
                                     one that was given then is good no longer
    any other                        reused: the chain is revoked, for ever

The one before counts only while the good one was never used: once it was, it *is* the one before.
"""

import hmac
import re
from collections.abc import Sequence
from enum import Enum
from uuid import UUID

import msgspec
from blake3 import blake3

from aeorsync.core.apikeys import Digest
from aeorsync.errors import UNREADABLE, BadRequestError, UnauthorizedError

PREFIX = "aeor_r_"
LIFE_MS = 30 * 86_400_000
GRACE_MS = 60_000
MAX_CHAINS = 20
"""Of one key; the one that was refreshed longest ago makes room."""
SECRET_SIZE = 24  # bytes of chain and first secret together
MAX_RECORD = 4096  # bytes of JSON

_FORM = re.compile(r"aeor_r_([0-9a-f]{16})([0-9a-f]{16})[0-9a-f]{32}\Z")
_CONTEXT = "aeorsync 2026 refresh token digest v1"
_MARK_CONTEXT = "aeorsync 2026 refresh chain mark v1"


class RefreshToken(msgspec.Struct, frozen=True):
    """A token as its holder has it.

    Attributes:
        half: First 16 hex digits of the UUID of the key.
        chain: Names the chain, with ``half``; 16 hex digits.
        text: All of it; a secret.
    """

    half: str
    chain: str
    text: str

    @classmethod
    def parse(cls, text: str) -> "RefreshToken":
        """Return the token that ``text`` spells.

        Raises:
            UnauthorizedError: It is none; the same error as for every token that is not good.
        """
        if not (form := _FORM.match(text)):
            raise refusal()
        return cls(half=form[1], chain=form[2], text=text)

    @property
    def name(self) -> str:
        """Of the record of its chain."""
        return f"{self.half}-{self.chain}"

    @property
    def digest(self) -> str:
        """What a record keeps instead of it, in hex."""
        return blake3(self.text.encode(), derive_key_context=_CONTEXT).hexdigest()

    def __repr__(self) -> str:
        return f"RefreshToken({PREFIX}{self.half}…)"


def first(key_id: UUID, secret: bytes) -> RefreshToken:
    """Return the first token of a new chain; ``secret`` is 24 random bytes."""
    return RefreshToken.parse(f"{PREFIX}{key_id.hex[:16]}{secret.hex()}")


def following(token: RefreshToken, secret: bytes) -> RefreshToken:
    """Return another token of the same chain; ``secret`` is 16 random bytes."""
    return RefreshToken.parse(f"{PREFIX}{token.half}{token.chain}{secret.hex()}")


def refusal() -> UnauthorizedError:
    """Return the one error for every token that is not good."""
    return UnauthorizedError("Invalid refresh token; log in with the API key again")


class Chain(msgspec.Struct, frozen=True, kw_only=True):
    """What the cluster keeps of the refresh tokens that came one from the other.

    Attributes:
        key_id: The API key they were made with; its rules and its end are theirs.
        current: Digest of the token that is good.
        rotated_at: When the one before was used first; milliseconds since the Unix epoch.
        expires_at: Until when it is good; milliseconds since the Unix epoch.
        previous: Digest of the one it was given for; None for the first.
        is_revoked: Whether the chain has ended; for ever.
    """

    key_id: UUID
    current: Digest
    rotated_at: int
    expires_at: int
    previous: Digest | None = None
    is_revoked: bool = False

    @classmethod
    def from_json(cls, body: bytes) -> "Chain":
        """Return the record ``body`` holds.

        Raises:
            BadRequestError: It holds none.
        """
        try:
            return _DECODER.decode(body)
        except UNREADABLE as error:
            raise BadRequestError("A record of refresh tokens cannot be read.") from error

    def to_json(self) -> bytes:
        """Return the record as JSON; equal records have equal bytes."""
        return msgspec.json.encode(self)


_DECODER = msgspec.json.Decoder(Chain)


def mark(name: str) -> str:
    """Return what tells a chain, by the name of its record, in tokens; 16 hex digits.

    Who reads it there cannot end the chain by pretending to have one of its refresh tokens.
    """
    return blake3(name.encode(), derive_key_context=_MARK_CONTEXT).hexdigest(8)


class Standing(Enum):
    """What a token is to its chain."""

    GOOD = "it gets the next one"
    OVER = "its chain has ended, or nobody refreshed it in time"
    REUSED = "somebody has used it before: its chain has to end"


def standing(chain: Chain, token: RefreshToken, now_ms: int) -> Standing:
    """Return what a token is to the chain it names; see the table at the top."""
    if chain.is_revoked or now_ms >= chain.expires_at:
        return Standing.OVER
    digest = token.digest
    if hmac.compare_digest(digest, chain.current):
        return Standing.GOOD
    is_previous = chain.previous is not None and hmac.compare_digest(digest, chain.previous)
    if is_previous and abs(now_ms - chain.rotated_at) <= GRACE_MS:
        return Standing.GOOD
    return Standing.REUSED


def begin(token: RefreshToken, key_id: UUID, now_ms: int, until_ms: int) -> Chain:
    """Return the chain that begins with a token; ``until_ms`` is when its key expires."""
    return Chain(
        key_id=key_id,
        current=token.digest,
        rotated_at=now_ms,
        expires_at=min(now_ms + LIFE_MS, until_ms),
    )


def rotate(
    chain: Chain, old: RefreshToken, new: RefreshToken, now_ms: int, until_ms: int
) -> Chain:
    """Return the chain after a good token was used; the arguments are those of `begin`."""
    fresh = begin(new, chain.key_id, now_ms, until_ms)
    # Who uses the one before again gets no more time for it.
    is_again = old.digest == chain.previous
    rotated_at = chain.rotated_at if is_again else now_ms
    return msgspec.structs.replace(fresh, previous=old.digest, rotated_at=rotated_at)


def join_records(versions: Sequence[Chain]) -> Chain:
    """Return what holds of a record that several nodes changed at once.

    One token was used on two of them, which is once too often; so the chain has ended.
    """
    if len(set(versions)) == 1:
        return versions[0]
    return msgspec.structs.replace(versions[0], is_revoked=True)
