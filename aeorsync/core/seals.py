"""Seals: the ETag of a path, which is what its reader has seen.

A seal carries the version vector of the entry it was read from. A later write that shows the seal
(``If-Match``, or as its base) says what its author knew, without any table on the server, and any
node of the cluster can read it.

    seal = base64url( vector ‖ tag )            no padding
    vector = msgpack array of [incarnation, n]  strictly ascending incarnations
    tag = first 8 bytes of BLAKE3(key = secret, path ‖ NUL ‖ vector)

*Not forgeable*: a made-up vector could claim to have seen versions it never saw and so delete
them; 64 bits are enough against guessing over HTTP. *Bound to its path*: the seal of one path
opens no other, so it tells nothing about paths its bearer may not read.
"""

import base64
import hmac
import itertools
import re
from typing import Annotated

import msgspec
from blake3 import blake3

from aeorsync.errors import UNREADABLE

Vector = tuple[tuple[int, int], ...]

MAX_SEAL = 4096  # characters
TAG_SIZE = 8  # bytes

_FORM = re.compile(r"[A-Za-z0-9_-]+\Z")
_Incarnation = Annotated[int, msgspec.Meta(ge=0)]
_Counter = Annotated[int, msgspec.Meta(ge=1)]

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(tuple[tuple[_Incarnation, _Counter], ...])


def seal(secret: bytes, path: str, vector: Vector) -> str:
    """Return the seal of ``vector``.

    Args:
        secret: 32 bytes, the same on every node of the cluster.
        path: Normal form.
        vector: Pairs of incarnation and highest counter seen, strictly ascending.
    """
    body = _ENCODER.encode(vector)
    return _to_text(body + _tag(secret, path, body))


def unseal(secret: bytes, path: str, text: str) -> Vector | None:
    """Return the vector sealed in ``text``; None for anything that was not sealed for ``path``."""
    # A remainder of one character spells no byte.
    if len(text) > MAX_SEAL or len(text) % 4 == 1 or not _FORM.match(text):
        return None
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    body, tag = raw[:-TAG_SIZE], raw[-TAG_SIZE:]
    if not hmac.compare_digest(tag, _tag(secret, path, body)) or _to_text(raw) != text:
        return None
    try:
        vector: Vector = _DECODER.decode(body)
    except UNREADABLE:
        return None
    is_ascending = all(one[0] < other[0] for one, other in itertools.pairwise(vector))
    return vector if is_ascending else None


def _tag(secret: bytes, path: str, body: bytes) -> bytes:
    # A path that is not Unicode was never sealed, but asking for it must not fail.
    text = path.encode(errors="surrogatepass")
    return blake3(text + b"\0" + body, key=secret).digest(TAG_SIZE)


def _to_text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
