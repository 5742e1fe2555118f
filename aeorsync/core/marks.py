"""Which of very many ids were marked, in about two bytes for each.

A Bloom filter over ids that are hashes already, so their own bytes say where they are noted. It
never forgets an id; it claims about one in four hundred that were never marked. That is the right
way round for collecting garbage: what is claimed wrongly stays until the next run, which has
another salt and so claims others.
"""

import struct

_BITS_EACH = 16
_MIN_BITS = 1 << 16
_words = struct.Struct(">4Q").unpack


class Marks:
    """A set of 32-byte hashes that holds at least what was added."""

    def __init__(self, expected: int, salt: int) -> None:
        """Start with none.

        Args:
            expected: How many will be added, about; more of them only cost precision.
            salt: 0 to 2**64 - 1; which ids are claimed wrongly depends on it.
        """
        # Odd, so that the salt moves every residue.
        self._size = max(_MIN_BITS, expected * _BITS_EACH) | 1
        self._bits = bytearray(self._size // 8 + 1)
        self._salt = salt

    def add(self, name: bytes) -> None:
        """Mark an id."""
        bits, size, salt = self._bits, self._size, self._salt
        for word in _words(name):
            at = (word ^ salt) % size
            bits[at >> 3] |= 1 << (at & 7)

    def __contains__(self, name: bytes) -> bool:
        """Whether an id was marked, or looks as if it was."""
        bits, size, salt = self._bits, self._size, self._salt
        for word in _words(name):
            at = (word ^ salt) % size
            if not bits[at >> 3] & 1 << (at & 7):
                return False
        return True
