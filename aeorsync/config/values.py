"""Texts from people, parsed once into the values of ``Settings``.

Every parser takes a ``Given`` and raises nothing but ``StartupError`` with ``Exit.CONFIG``, whose
message names where the text came from.
"""

import ipaddress
import re
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from aeorsync.errors import StartupError

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}
LogFormat = Literal["pretty", "json"]


class Exit(IntEnum):
    """How the process ends; ``docs/operations.md`` lists what to do about each."""

    OK = 0
    FAILED = 1
    USAGE = 2
    CONFIG = 3
    DATA_LOCKED = 4
    DATA_UNUSABLE = 5
    PORT_IN_USE = 6
    JOIN_REFUSED = 7
    JOIN_UNREACHABLE = 8
    TLS = 9
    NODE_UNREACHABLE = 10
    NODE_REFUSED = 11
    NOT_FOUND = 12
    DAMAGED = 20
    BAD_ARCHIVE = 21
    CONFLICTS = 30
    PROBLEMS = 31
    MASS_DELETION = 32
    FOLDER_GONE = 33
    INTERRUPTED = 130


class AuthMode(StrEnum):
    """Where the keys that callers prove themselves with are kept."""

    SELF = "self"
    DISABLED = "disabled"
    FILE = "file"


class Given(msgspec.Struct, frozen=True):
    """A value as text, and where a person would go to change it."""

    text: str
    origin: str

    def refused(self, reason: str) -> StartupError:
        """Return the error that says where this text came from and why it cannot be used."""
        return refused(f"{self.origin}: {self.text!r:.200} {reason}")


def refused(message: str) -> StartupError:
    """Return the error for settings that cannot be used."""
    return StartupError(message, Exit.CONFIG)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``; in doubt, no."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def parse_whole(given: Given, low: int, high: int) -> int:
    """Return a number from ``low`` to ``high``, both included."""
    if re.fullmatch(r"-?[0-9]{1,18}", given.text) and low <= int(given.text) <= high:
        return int(given.text)
    raise given.refused(f"is not a whole number from {low} to {high}")


def parse_duration(given: Given, low: int, high: int) -> int:
    """Return a time in seconds, from ``low`` to ``high``: a whole number with s, m, h or d."""
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", given.text.strip().lower())
    if match and low <= (seconds := int(match[1]) * _SECONDS[match[2]]) <= high:
        return seconds
    longest = f"{high // _SECONDS['d']}d"
    raise given.refused(f"is not a time from {low}s to {longest}, like 30d, 12h, 90m or 10s")


def parse_path(given: Given) -> Path:
    """Return a path, with a leading ``~`` replaced; nothing is looked up on disk."""
    # A line break or an escape in a name given here is a mistake in quoting, never a wish.
    if not given.text or not given.text.isprintable():
        raise given.refused("is not the name of a file or folder")
    try:
        return Path(given.text).expanduser()
    except RuntimeError as error:
        raise given.refused("names a home folder that is not known") from error


def parse_optional_path(given: Given) -> Path | None:
    """Return a path, or None for an empty text."""
    return parse_path(given) if given.text else None


def parse_url(given: Given) -> str:
    """Return an ``http`` or ``https`` URL with a host and without a slash at its end."""
    if "@" in given.text:
        # The text is not repeated: it may hold a password.
        raise refused(f"{given.origin}: a URL here must hold no user name or password")
    try:
        parts = urlsplit(given.text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise given.refused("is not a URL") from error
    if parts.scheme not in {"http", "https"} or not host:
        raise given.refused("is not a URL like http://host:6830 or https://host")
    if not re.fullmatch(r"[\w.:%\[\]-]+", parts.netloc) or not _is_plain(given.text):
        raise given.refused("is a URL with a character that does not belong there")
    if parts.query or parts.fragment:
        raise given.refused("must end with its path, without ? or #")
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}"


def parse_optional_url(given: Given) -> str | None:
    """Return a URL, or None for an empty text."""
    return parse_url(Given(given.text.strip(), given.origin)) if given.text else None


def parse_urls(given: Given) -> tuple[str, ...]:
    """Return the URLs of a comma list, each once, in their order."""
    texts = [text.strip() for text in given.text.split(",")]
    urls = [parse_url(Given(text, given.origin)) for text in texts if text]
    return tuple(dict.fromkeys(urls))


def parse_origins(given: Given) -> tuple[str, ...]:
    """Return the origins of a comma list, each once, in their order; ``*`` stands for all."""
    texts = [text.strip() for text in given.text.split(",")]
    return tuple(dict.fromkeys(_origin(Given(text, given.origin)) for text in texts if text))


def _origin(given: Given) -> str:
    if given.text == "*":
        return given.text
    if urlsplit(parse_url(given)).path or given.text.endswith("/"):
        raise given.refused("is not an origin like https://app.example: leave the path out")
    return parse_url(given).lower()


def parse_host(given: Given) -> str:
    """Return an address or a host name, without brackets."""
    host = given.text.removeprefix("[").removesuffix("]")
    is_address = ":" in host and _is_address(host)
    if (is_address and _is_plain(host)) or re.fullmatch(r"[A-Za-z0-9._-]{1,253}", host):
        return host
    raise given.refused("is not an address or a host name (the port is a setting of its own)")


def _is_plain(text: str) -> bool:
    return text.isprintable() and " " not in text


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def parse_log_format(given: Given) -> LogFormat:
    """Return a format of ``runtime.log``."""
    match given.text:
        case "pretty" | "json" as known:
            return known
        case _:
            raise given.refused("is not a log format: use pretty or json")


def parse_auth(given: Given) -> tuple[AuthMode, Path | None]:
    """Return where keys are kept, and the file if it is one."""
    match given.text.lower():
        case "self" | "./":
            return AuthMode.SELF, None
        case "disabled" | "false" | "null" | "no" | "0":
            return AuthMode.DISABLED, None
        case word if word.startswith("file://"):
            return AuthMode.FILE, parse_path(Given(given.text[len("file://") :], given.origin))
        case _:
            raise given.refused(
                "is not an auth mode: use self (or ./), disabled (or false, null, no, 0),"
                " or file:///path/to/identity"
            )
