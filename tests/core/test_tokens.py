"""Only tokens this key signed for us, in this one form and in their time, are accepted."""

import base64
import json
from typing import Any
from uuid import UUID

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from aeorsync.core import tokens
from aeorsync.core.tokens import ROOT, Claims, SigningKey
from aeorsync.errors import BadRequestError, UnauthorizedError

KEY = SigningKey(bytes(range(32)))
OTHER = SigningKey(bytes(32))
USER = UUID("660e8400-e29b-41d4-a716-446655440000")
NOW = 1_700_000_000
CLAIMS: dict[str, Any] = {"sub": str(USER), "iss": "aeordb", "iat": NOW, "exp": NOW + 300}


def _sign(claims: object, headers: dict[str, Any] | None = None) -> str:
    private = Ed25519PrivateKey.from_private_bytes(KEY.seed)
    return jwt.api_jws.PyJWS().encode(
        json.dumps(claims).encode(), private, algorithm="EdDSA", headers=headers
    )


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@given(
    st.uuids(),
    st.integers(0, 2**33),
    st.integers(1, 2**20),
    st.sampled_from([None, "sync", "other"]),
    st.none() | st.uuids(),
)
def test_what_is_minted_is_what_is_verified(
    subject: UUID, issued: int, life: int, scope: str | None, key_id: UUID | None
) -> None:
    expires = issued + life
    token = tokens.mint(KEY, subject, issued=issued, expires=expires, scope=scope, key_id=key_id)
    assert tokens.verify(KEY, token, issued) == Claims(
        subject=subject, issued=issued, expires=expires, scope=scope, key_id=key_id
    )


def test_a_token_has_the_form_of_the_wire() -> None:
    token = tokens.mint(KEY, ROOT, issued=NOW, expires=NOW + 300, scope="sync")
    head, body, _ = (part + "=" * (-len(part) % 4) for part in token.split("."))
    assert json.loads(base64.urlsafe_b64decode(head)) == {"typ": "JWT", "alg": "EdDSA"}
    assert json.loads(base64.urlsafe_b64decode(body)) == {
        "sub": "00000000-0000-0000-0000-000000000000",
        "iss": "aeordb",
        "iat": NOW,
        "exp": NOW + 300,
        "scope": "sync",
    }


def test_the_helper_of_this_file_signs_acceptable_tokens() -> None:
    assert tokens.verify(KEY, _sign(CLAIMS), NOW).subject == USER


@pytest.mark.parametrize(
    "claims",
    [
        *({name: value for name, value in CLAIMS.items() if name != left} for left in CLAIMS),
        CLAIMS | {"iss": "AeorDB"},
        CLAIMS | {"iss": ["aeordb"]},
        CLAIMS | {"exp": NOW + 300.0},
        CLAIMS | {"exp": float("inf")},
        CLAIMS | {"exp": str(NOW + 300)},
        CLAIMS | {"exp": True},
        CLAIMS | {"exp": None},
        CLAIMS | {"iat": NOW + 0.0},
        CLAIMS | {"iat": False},
        CLAIMS | {"sub": "root"},
        CLAIMS | {"sub": "share:" + str(USER)},
        CLAIMS | {"sub": ""},
        CLAIMS | {"sub": 0},
        CLAIMS | {"aud": "somebody"},
        CLAIMS | {"scope": ["sync"]},
        CLAIMS | {"key_id": "x"},
        CLAIMS | {"exp": NOW - 60},
        [],
        "text",
        None,
    ],
)
def test_a_signed_token_with_other_claims_is_refused(claims: object) -> None:
    with pytest.raises(UnauthorizedError, match=r"^Invalid or expired token$"):
        tokens.verify(KEY, _sign(claims), NOW)


_HEAD, _BODY, _SIGNATURE = _sign(CLAIMS).split(".")


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "a.b.c",
        f"{_HEAD}.{_BODY}.",
        f"{_HEAD}.{_BODY}",
        f" {_HEAD}.{_BODY}.{_SIGNATURE}",
        f"{_HEAD}.{_BODY}.{_SIGNATURE}\n",
        f"{_HEAD}.{_BODY}.{_SIGNATURE}.x",
        f"{_HEAD}.{_part(CLAIMS | {'sub': str(ROOT)})}.{_SIGNATURE}",
        f"{_part({'typ': 'JWT', 'alg': 'none'})}.{_BODY}.{_SIGNATURE}",
        f"{_part({'typ': 'JWT', 'alg': 'none'})}.{_BODY}.",
        f"{_part({'alg': 'ES256'})}.{_BODY}.{_SIGNATURE}",
        f"{_part({'alg': None})}.{_BODY}.{_SIGNATURE}",
        f"{_part([])}.{_BODY}.{_SIGNATURE}",
        _sign(CLAIMS, {"crit": ["b64"], "b64": False}),
        "é.é.é",
        "\ud800.a.b",
        "aeor_k_0123456789abcdef_" + "0" * 64,
        base64.urlsafe_b64encode(b"[" * 2700).decode() + ".AAAA.AAAA",
        base64.urlsafe_b64encode(b'{"a":' * 540).decode() + ".AAAA.AAAA",
        _sign(CLAIMS | {"note": "x" * 3000}),
    ],
)
def test_a_forged_or_malformed_token_is_refused(token: str) -> None:
    with pytest.raises(UnauthorizedError, match=r"^Invalid or expired token$"):
        tokens.verify(KEY, token, NOW)


def test_a_shared_secret_made_of_the_public_key_is_refused() -> None:
    public = Ed25519PrivateKey.from_private_bytes(KEY.seed).public_key().public_bytes_raw()
    with pytest.raises(UnauthorizedError):
        tokens.verify(KEY, jwt.encode(CLAIMS, public, algorithm="HS256"), NOW)


def test_a_token_of_another_cluster_is_refused() -> None:
    token = tokens.mint(OTHER, ROOT, issued=NOW, expires=NOW + 300)
    with pytest.raises(UnauthorizedError):
        tokens.verify(KEY, token, NOW)


def test_a_token_lives_a_minute_longer_than_it_says() -> None:
    token = tokens.mint(KEY, USER, issued=NOW, expires=NOW + 300)
    tokens.verify(KEY, token, NOW + 359)
    with pytest.raises(UnauthorizedError):
        tokens.verify(KEY, token, NOW + 360)


@pytest.mark.parametrize(
    ("subject", "scope", "is_root", "is_peer"),
    [
        (ROOT, None, True, False),
        (ROOT, "sync", True, True),
        (ROOT, "Sync", True, False),
        (USER, "sync", False, False),
        (USER, None, False, False),
    ],
)
def test_a_peer_is_root_with_the_sync_scope(
    subject: UUID, scope: str | None, *, is_root: bool, is_peer: bool
) -> None:
    token = tokens.mint(KEY, subject, issued=NOW, expires=NOW + 1, scope=scope)
    claims = tokens.verify(KEY, token, NOW)
    assert (claims.is_root, claims.is_peer) == (is_root, is_peer)


@given(st.text(max_size=60))
def test_any_text_is_refused_in_the_same_way(text: str) -> None:
    with pytest.raises(UnauthorizedError, match=r"^Invalid or expired token$"):
        tokens.verify(KEY, text, NOW)


@given(st.binary(min_size=32, max_size=32))
def test_a_signing_key_survives_its_text(seed: bytes) -> None:
    text = SigningKey(seed).to_text()
    assert len(text) == 44
    assert SigningKey.from_text(text + "\n") == SigningKey(seed)


@pytest.mark.parametrize("text", ["", "A" * 43, "A" * 44, "é" * 44, "A" * 40 + "*" * 4, "-" * 44])
def test_text_that_is_no_signing_key_is_refused(text: str) -> None:
    with pytest.raises(BadRequestError):
        SigningKey.from_text(text)


def test_a_signing_key_never_prints_its_seed() -> None:
    assert repr(KEY) == "SigningKey()"
