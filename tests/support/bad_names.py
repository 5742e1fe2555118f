r"""Names and paths that have hurt others, in one list, and what becomes of each, everywhere.

    KEPT       accepted, and given back byte for byte
    TIDIED     slashes at its ends, which carry no name: what people give is the path without
               them; a peer, an archive or a disk has no such names, so there it is refused
    REFUSED    400
    HIDDEN     404: another spelling of the system namespace, which nobody is to learn of

`as_key` is how a peer would have it in its tree, `on_disk` whether a Linux disk can hold it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final


class Verdict(Enum):
    """What becomes of a path."""

    KEPT = "kept"
    TIDIED = "tidied"
    REFUSED = "refused"
    HIDDEN = "hidden"


@dataclass(frozen=True)
class Name:
    """One of them.

    Attributes:
        text: The path, relative to the root; lone surrogates stand for bytes that are no UTF-8.
        verdict: What becomes of it.
    """

    text: str
    verdict: Verdict

    @property
    def raw(self) -> bytes:
        """Its bytes; a lone surrogate that came from no byte is encoded as it is."""
        try:
            return self.text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            return self.text.encode("utf-8", "surrogatepass")

    @property
    def is_text(self) -> bool:
        """Whether it can be sent in JSON."""
        return not any("\ud800" <= char <= "\udfff" for char in self.text)

    @property
    def as_key(self) -> bytes:
        """The key of a tree, without any check."""
        return self.raw.replace(b"/", b"\0")

    @property
    def escaped(self) -> bytes:
        """All of it percent-encoded, as it stands in a URL; slashes as they are."""
        return b"".join(b"/" if byte == 0x2F else b"%%%02X" % byte for byte in self.raw)

    @property
    def on_disk(self) -> bool:
        """Whether a disk can hold it, as the names it consists of."""
        parts = self.raw.split(b"/")
        are_names = all(0 < len(part) <= 255 and part not in {b".", b".."} for part in parts)
        return are_names and b"\0" not in self.raw and len(self.raw) < 3000


_KEPT: Final = (
    *("...", " leading", "trailing ", "trailing.", "a.", "100%", "a%2Fb", "a%25", "a+b", "a?b#c"),
    *("a:b", "a::$DATA", "dir::$INDEX_ALLOCATION", "C:x", "C:\\x", "\\\\host\\share", "\\\\?\\"),
    *("a\\b", "..\\b", "\\", "CON", "nul.txt", "COM1", "COM\u00b9", "LPT0", "AUX.", "PROGRA~1"),
    *("\u00e9", "e\u0301", "\ufb01", "fi", "\u00df", "SS", "ss", "\u0130", "\u0131", "I", "i"),
    *("\u212a", "K", "k", "\u017f", "s", "Aa", "aA", "\ufeff", "a\u200bb", "a\u200cb"),
    *("\u202egnp.exe", "\u2066x\u2069", "\uff0f", "\uff0e\uff0e", "\u2024\u2024", "\u2215"),
    *(
        "-",
        "--",
        "-rf",
        "--help",
        "-o/tmp/x",
        "~",
        "~root",
        "$HOME",
        "$(id)",
        "`id`",
        "a;id",
        "a|b",
    ),
    *("a&b", "*", "?", "[a]", "{a,b}", "!", "#x", "'", '"', "a'b\"c", "<img src=x onerror=1>"),
    *("javascript:1", "=cmd", "+1", "@x", "%s{0}", "%n", "{}", "${jndi:x}", "[x](y)", "null"),
    *("x" * 255, "\u00e9" * 127, "\U0001f389" * 63, "d/" * 300 + "x", ".hidden", ".git/config"),
    *(".gIt/x", ".stfolder", ".aeorsyncignore/x", "a (conflict 7 2026-01-01 00-00-00).txt"),
    *(".aeordb-system2", "aeordb-system", "a/.aeordb-system", ".aeordb", "\u65e5\u672c\u8a9e"),
    *("constructor", "__proto__", "CON.", "a\u0301\u0327", "\u1e9e", "\u0390", "\U000e0041"),
    *("%", "%%", "%zz", "a%2", "%41", "a\xa0b", "a\u3000b", "\u2028"),
)
_TIDIED: Final = ("a/", "d/a//", "trail/", "x" * 255 + "/")
_REFUSED: Final = (
    *(".", "..", "../a", "a/..", "a/../b", "a/./b", "./a", "a/.", "a//b", "d///e", "a/../../b"),
    *("\0", "a\0b", "a\nb", "a\rb", "a\r", "a\r\nb", "a\tb", "\x1b[31m", "\x07", "\x01", "a\x1f"),
    *("a\x7f", "a\x80b", "a\x85b", "a\x9bb", "\x9b31m"),
    *(
        "%2e%2e",
        "%2e%2e/a",
        "%2e",
        "a%00",
        "a%0a",
        "..%2fa",
        "%252e%252e",
        "%25252e%25252e",
        "%7f",
    ),
    *("%c2%85", "..%2F..", "%2e%2e%2f", "a%2f..%2fb"),
    *("x" * 256, "\u00e9" * 128, "x" * 4096, "/".join(["y" * 200] * 21), "d/" * 2048 + "x"),
    *(
        "x" * 65536,
        "a\udcff",
        "\udcc0\udcae\udcc0\udcae",
        "\udcff\udcfe",
        "a\ud800",
        "\udced\udca0\udc80",
    ),
)
_HIDDEN: Final = (
    *(".aeordb-system", ".aeordb-system/x", ".aeordb-system/api-keys/x.json"),
    *(
        ".AeorDB-System",
        ".AEORDB-SYSTEM/x",
        ".aeordb-system.",
        ".aeordb-system ",
        ".aeordb-system. /x",
    ),
    *(".aeordb-system::$DATA", ".aeordb-system:x", ".aeordb-system\\x", "\\.aeordb-system"),
    *(
        "\uff0eaeordb-system",
        ".aeordb\u200c-system",
        ".aeordb\u200d-system",
        "\ufeff.aeordb-system",
    ),
    *(".aeordb-\u017fystem", ".aeordb\u034f-system", ".aeordb-system\ufe0f", "%2eaeordb-system"),
    *(
        ".aeordb%2dsystem/x",
        "%252eaeordb-system",
        "\u2024aeordb-system",
        "\uff0e\uff41eordb-system",
    ),
)


def _all() -> Iterator[Name]:
    for verdict, texts in (
        (Verdict.KEPT, _KEPT),
        (Verdict.TIDIED, _TIDIED),
        (Verdict.REFUSED, _REFUSED),
        (Verdict.HIDDEN, _HIDDEN),
    ):
        for text in texts:
            yield Name(text, verdict)


NAMES: Final = tuple(_all())
KEPT: Final = tuple(name for name in NAMES if name.verdict is Verdict.KEPT)
