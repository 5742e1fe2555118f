"""Bearer tokens: JWTs signed with the cluster's Ed25519 key.

Every node of a cluster holds the same 32-byte seed, so each can check what any other signed.

    claim     type                 meaning
    -----     ----                 -------
    sub       UUID                 whom the token speaks for; the nil UUID is root
    iss       "aeordb"             exactly
    iat exp   whole seconds        issued, expires
    scope     "sync" or absent     with root: a peer of the cluster, and nothing else
    key_id    UUID or absent       the API key whose rules limit the bearer
    chain     16 hex or absent     marks the chain of refresh tokens it came with (`core.refresh`)

Why a token is refused is never told: all refusals carry the same text. Time is an argument.
"""

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec
from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from aeorsync.errors import BadRequestError, UnauthorizedError

ROOT = UUID(int=0)
SYNC = "sync"
ISSUER = "aeordb"
ALGORITHM = "EdDSA"

SEED_SIZE = 32  # bytes
MAX_TOKEN = 4096  # characters
LEEWAY = 60  # seconds that clocks may differ before an expired token is refused

_FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\Z")
# Times are checked here and not there: that library reads the wall clock and takes floats.
_JWT_OPTIONS: Any = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The cluster's key; whoever has its seed is the cluster.

    Attributes:
        seed: 32 secret bytes, never printed.
    """

    seed: bytes = field(repr=False)
    _private: Ed25519PrivateKey = field(init=False, repr=False, compare=False)
    _public: Ed25519PublicKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.seed) != SEED_SIZE:
            raise BadRequestError(f"A signing key has {SEED_SIZE} bytes.")
        private = Ed25519PrivateKey.from_private_bytes(self.seed)
        object.__setattr__(self, "_private", private)
        object.__setattr__(self, "_public", private.public_key())

    @classmethod
    def from_text(cls, text: str) -> "SigningKey":
        """Return the key whose seed ``text`` spells in standard base64.

        Raises:
            BadRequestError: It is no base64 of 32 bytes.
        """
        try:
            seed = base64.b64decode(text.strip(), validate=True)
        except (binascii.Error, ValueError) as error:
            raise BadRequestError("A signing key must be base64.") from error
        return cls(seed)

    @classmethod
    def from_file(cls, text: str) -> "SigningKey":
        """Return the key that a file holds: `from_text`, and maybe a line that checks it.

        Raises:
            BadRequestError: It holds no key, or another one than it says.
        """
        seed, _, rest = text.strip().partition("\n")
        key = cls.from_text(seed)
        if rest.strip() and rest.split() != ["check", key.fingerprint]:
            raise BadRequestError("The signing key does not match the check beside it.")
        return key

    def to_file(self) -> str:
        """Return what `from_file` reads; a secret."""
        return f"{self.to_text()}\ncheck {self.fingerprint}\n"

    def to_text(self) -> str:
        """Return the seed in standard base64, 44 characters; a secret."""
        return base64.b64encode(self.seed).decode()

    @property
    def fingerprint(self) -> str:
        """Tells keys apart without giving them away; 16 hex digits, for people."""
        context = "aeorsync 2026 key fingerprint for people"
        return blake3(self.seed, derive_key_context=context).hexdigest(8)

    def sign(self, claims: dict[str, str | int]) -> str:
        """Return a token that carries ``claims``."""
        import jwt  # noqa: PLC0415 - see below

        return jwt.encode(claims, self._private, algorithm=ALGORITHM, sort_headers=False)

    def open(self, token: str) -> dict[str, Any]:
        """Return the claims of a token this key signed; their types are not checked.

        Raises:
            ValueError: This key did not sign it, or not as ours, or it is not JSON.
        """
        # With all it needs it takes long to load, and a node starts, and serves API keys, without.
        import jwt  # noqa: PLC0415

        try:
            claims: dict[str, Any] = jwt.decode(
                token, self._public, algorithms=[ALGORITHM], issuer=ISSUER, options=_JWT_OPTIONS
            )
        except jwt.PyJWTError as error:
            raise ValueError("this key did not sign it, or not as ours") from error
        return claims


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What a verified token says.

    Attributes:
        subject: The user; `ROOT` is root.
        issued: Seconds since the Unix epoch.
        expires: Seconds since the Unix epoch.
        scope: ``sync`` or absent; other words mean nothing.
        key_id: The API key whose rules limit the bearer.
        chain: Mark of the chain of refresh tokens it came with; it ends when that is revoked.
    """

    subject: UUID = msgspec.field(name="sub")
    issued: int = msgspec.field(name="iat")
    expires: int = msgspec.field(name="exp")
    scope: str | None = None
    key_id: UUID | None = None
    chain: str | None = None

    @property
    def is_root(self) -> bool:
        """Whether the subject is root; a peer is, too."""
        return self.subject == ROOT

    @property
    def is_peer(self) -> bool:
        """Whether this is a node of the cluster."""
        return self.is_root and self.scope == SYNC


def mint(  # noqa: PLR0913  # one parameter a claim
    key: SigningKey,
    subject: UUID,
    *,
    issued: int,
    expires: int,
    scope: str | None = None,
    key_id: UUID | None = None,
    chain: str | None = None,
) -> str:
    """Return a token; ``issued`` and ``expires`` are seconds since the Unix epoch."""
    claims: dict[str, str | int] = {
        "sub": str(subject),
        "iss": ISSUER,
        "iat": issued,
        "exp": expires,
    }
    if scope is not None:
        claims["scope"] = scope
    if key_id is not None:
        claims["key_id"] = str(key_id)
    if chain is not None:
        claims["chain"] = chain
    return key.sign(claims)


def verify(key: SigningKey, token: str, now: int) -> Claims:
    """Return what ``token`` says, if ``key`` signed it and it has not expired.

    Args:
        key: The cluster's key.
        token: As sent, without ``Bearer``.
        now: Seconds since the Unix epoch; a token lives `LEEWAY` seconds longer than it says.

    Raises:
        UnauthorizedError: For every other token, with one text.
    """
    # The form goes first: everything after it may be slow or deep for a token made to be.
    if len(token) > MAX_TOKEN or not _FORM.match(token):
        raise _refusal()
    try:
        claims = msgspec.convert(key.open(token), Claims)
    except (msgspec.ValidationError, ValueError) as error:
        raise _refusal() from error
    if claims.expires + LEEWAY <= now:
        raise _refusal()
    return claims


def _refusal() -> UnauthorizedError:
    return UnauthorizedError("Invalid or expired token")
