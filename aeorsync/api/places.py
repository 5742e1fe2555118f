"""Places in the history of the tree, as callers hold them: where a reader of changes stands.

    whom no rule binds    a root in hex, or a cursor (`core.cursors`); the number of a feed row
    whom rules bind       the same, sealed

A root names all files, a row of the feed counts all changes, a cursor may hold a path that its
reader may not know. So whom rules bind gets them encrypted: equal places have equal seals, and a
seal tells no more than that something changed. It opens only under the rules it was made under:
who may see more, or less, than before is to start again.

Sealed with AES-SIV, which needs no nonce, under a key made from the cluster's.
"""

from dataclasses import dataclass
from typing import TypeVar

import msgspec
from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from aeorsync.core.access import Access
from aeorsync.core.cursors import Cursor
from aeorsync.storage.base import Head

T = TypeVar("T")

_CONTEXT = "aeorsync 2026 places of readers whom rules bind v1"
_KEY_SIZE = 64
_BLOCK, _KEY_BLOCK = 64, 512
"""A place takes a whole number of these bytes, the latter where it holds a path: its length is not
to tell that of a path."""
_MAX_TEXT = 32_768


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Where a reader of changes stands.

    Attributes:
        cursor: On its way.
        exact: Whether it has exactly one state of the tree, and not the sum of pages.
    """

    cursor: Cursor
    exact: bool


class _Row(msgspec.Struct, frozen=True, array_like=True):
    """A row of the feed, and the epoch it was numbered in."""

    seq: int
    epoch: int


_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class Places:
    """Seals places for one caller, and opens what was sealed for them.

    Attributes:
        secret: 32 bytes, the same on every node of the cluster.
        access: What the caller may do.
    """

    secret: bytes
    access: Access

    def root(self, root: str) -> str:
        """The name of a root, hex: itself, or one that tells only whether two are equal."""
        if self.access.is_everything:
            return root
        keyed = blake3(b"root\0" + self.access.digest, key=blake3(self._key()).digest())
        return keyed.update(root.encode()).hexdigest()

    def seal_place(self, place: Place) -> str:
        """Hex digits that stand for a place on the way through changes."""
        return self._seal(b"place", _encode(place), _KEY_BLOCK if place.cursor.key else _BLOCK)

    def open_place(self, text: str) -> Place | None:
        """The place that some text stands for; None for any other text."""
        return _decode(self._open(b"place", text), Place)

    def at(self, head: Head, epoch: int) -> str:
        """The place of a reader who has all of a head, of a run of the database."""
        if self.access.is_everything:
            return head.root.hex()
        return self.seal_place(Place(Cursor(epoch, head.seq), exact=True))

    def seal_row(self, seq: int, epoch: int) -> str:
        """Hex digits that stand for a row of the feed."""
        return self._seal(b"row", _encode(_Row(seq, epoch)), 32)

    def open_row(self, text: str) -> tuple[int, int] | None:
        """The row, and the epoch, that some text stands for; None for any other text."""
        row = _decode(self._open(b"row", text), _Row)
        return None if row is None else (row.seq, row.epoch)

    def _seal(self, purpose: bytes, data: bytes, block: int) -> str:
        padded = data + b"\x80" + b"\0" * (-(len(data) + 1) % block)
        return AESSIV(self._key()).encrypt(padded, [purpose, self.access.digest]).hex()

    def _open(self, purpose: bytes, text: str) -> bytes | None:
        if not text or len(text) > _MAX_TEXT:
            return None
        try:
            sealed = bytes.fromhex(text)
            padded = AESSIV(self._key()).decrypt(sealed, [purpose, self.access.digest])
        except (ValueError, InvalidTag):
            return None
        return padded.rstrip(b"\0")[:-1]

    def _key(self) -> bytes:
        return blake3(self.secret, derive_key_context=_CONTEXT).digest(_KEY_SIZE)


def _decode(data: bytes | None, shape: type[T]) -> T | None:
    return None if data is None else msgspec.msgpack.decode(data, type=shape)
