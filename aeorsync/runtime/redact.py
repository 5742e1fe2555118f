"""What a person or a log may be shown: secrets masked, nothing that acts on a terminal.

Text from peers, paths and callers ends up in logs. Whatever is not printable (control characters,
escape sequences, bidirectional and zero-width marks, lone surrogates) is shown as its escape, so a
line of a log is one line and says what it seems to say. Pure; safe from any thread.
"""

import re
from collections.abc import Mapping
from typing import Final

MASK: Final = "***"
SECRET_NAMES: Final = frozenset(
    {
        "api_key",
        "authorization",
        "cookie",
        "join_token",
        "password",
        "refresh_token",
        "root_key",
        "secret",
        "signing_key",
        "token",
    }
)
TEXT_MAX: Final = 16_384
DEPTH_MAX: Final = 4

# API keys, refresh tokens, bearer credentials, tokens in a query string: the word stays, what
# follows is masked.
_SECRET: Final = re.compile(
    r"""(aeor_[kr]_|bearer\s+|[?&;](?:api_key|join_token|refresh_token|token)=)[^\s&;"'<>]+""",
    re.IGNORECASE,
)
# A JWT wherever it stands; its first part is always base64 of '{"'.
_JWT: Final = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*")


def redact(text: str) -> str:
    """Return ``text`` on one line, masked, escaped and at most ``TEXT_MAX`` characters long."""
    if len(text) > TEXT_MAX:
        text = f"{text[:TEXT_MAX]}..."
    return printable(_JWT.sub(MASK, _SECRET.sub(rf"\1{MASK}", text)))


def printable(text: str) -> str:
    """Return ``text`` on one line, with what acts on a terminal escaped; nothing is masked."""
    return text if text.isprintable() else "".join(map(_shown, text))


def redact_value(name: str, value: object, depth: int = DEPTH_MAX) -> object:
    """Return ``value`` as plain JSON types without secrets, for the field called ``name``.

    Objects are shown by their ``repr``, so are containers nested deeper than ``depth``.
    """
    if value is None or isinstance(value, bool):
        return value
    if name.lower().replace("-", "_") in SECRET_NAMES:
        return MASK
    if isinstance(value, int | float):
        return value
    if depth and isinstance(value, Mapping):
        return {redact(str(k)): redact_value(str(k), v, depth - 1) for k, v in value.items()}
    if depth and isinstance(value, list | tuple | set | frozenset):
        return [redact_value("", item, depth - 1) for item in value]
    return redact(value if isinstance(value, str) else repr(value))


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")
