"""Servers that a person has logged in to, each with its key, under a name.

    $XDG_CONFIG_HOME/aeorsync/profiles.json     else ~/.config/aeorsync/profiles.json

    {"profiles": {"default": {"url": "https://files.example:6830", "key": "aeor_k_..."}}}

The file is for its owner alone (mode 0600) and is not used otherwise. A key is only ever sent to
the server it was stored with.
"""

import json
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from aeorsync.config.values import Exit, refused
from aeorsync.errors import StartupError
from aeorsync.runtime import durable

DEFAULT_PROFILE: Final = "default"
PROFILE_VARIABLE: Final = "AEORSYNC_PROFILE"
HOME_VARIABLE: Final = "XDG_CONFIG_HOME"
FILE_NAME: Final = "profiles.json"
_NAME: Final = re.compile(r"[\w.-]{1,64}\Z")
_MAX_BYTES: Final = 1 << 20
_FOR_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class Profile(msgspec.Struct, frozen=True):
    """A server and how to be let in.

    Attributes:
        name: Under which it is stored.
        url: Of the server, without a slash at its end.
        key: API key or token; None where the server wants none. Not in the ``repr``.
        cluster_ca: PEM file of the authorities to believe; None for the system's.
    """

    name: str
    url: str
    key: str | None
    cluster_ca: Path | None = None

    def __repr__(self) -> str:
        return f"Profile({self.name!r}, {self.url!r})"


class Profiles:
    """What is stored; read when it is asked for, written as a whole."""

    def __init__(self, file: Path | None) -> None:
        """Look at nothing yet.

        Args:
            file: Where they are; None where this user has no place for them.
        """
        self.file = file

    @classmethod
    def find(cls, environment: Mapping[str, str] = os.environ) -> "Profiles":
        """Those of the user whose environment it is."""
        home = environment.get(HOME_VARIABLE, "")
        if not home.startswith("/"):  # the standard says to ignore a relative one
            home = f"{environment['HOME']}/.config" if environment.get("HOME") else ""
        return cls(Path(home) / "aeorsync" / FILE_NAME if home else None)

    def all(self) -> list[Profile]:
        """Return all, by name.

        Raises:
            StartupError: The file cannot be read, or others can.
        """
        return [self._load()[name] for name in sorted(self._load())]

    def get(self, name: str) -> Profile | None:
        """Return one; None if there is none of that name."""
        return next((profile for profile in self.all() if profile.name == name), None)

    def save(self, profile: Profile) -> Path:
        """Store one, in place of any of its name; returns the file.

        Raises:
            StartupError: It cannot be written, or the name cannot be one.
        """
        check_name(profile.name)
        ca = profile.cluster_ca
        kept = msgspec.structs.replace(profile, cluster_ca=None if ca is None else ca.absolute())
        return self._write({**self._load(), profile.name: kept})

    def remove(self, name: str) -> bool:
        """Forget one; returns whether there was one."""
        told = self._load()
        if told.pop(name, None) is None:
            return False
        self._write(told)
        return True

    def _load(self) -> dict[str, Profile]:
        if self.file is None:
            return {}
        try:
            with self.file.open("rb") as file:
                facts = os.fstat(file.fileno())
                body = file.read(_MAX_BYTES)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise refused(f"{self.file}: cannot be read: {error.strerror}") from error
        if facts.st_mode & _FOR_OTHERS:
            raise refused(
                f"{self.file}: others may read it, and it holds keys; chmod 600 it, and think of"
                " new keys"
            )
        try:
            return _parsed(json.loads(body))
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            # What is wrong in there is not repeated: it may be a key.
            raise refused(
                f"{self.file}: is not what aeorsync login writes; remove it and log in again"
            ) from error

    def _write(self, told: Mapping[str, Profile]) -> Path:
        if self.file is None:
            raise refused(f"no home folder is known to store the key in; set {HOME_VARIABLE}")
        body = json.dumps({"profiles": {one.name: _plain(one) for one in told.values()}}, indent=2)
        try:
            durable.make_folders(self.file.parent, mode=0o700)
            durable.write_once(self.file, body.encode() + b"\n", mode=0o600)
        except OSError as error:
            raise StartupError(
                f"{self.file}: cannot be written: {error.strerror}; nothing was stored",
                Exit.FAILED,
            ) from error
        return self.file


def _parsed(told: Any) -> dict[str, Profile]:  # noqa: ANN401  # any JSON
    return {name: _one(name, one) for name, one in dict(told["profiles"]).items()}


def _one(name: str, told: Mapping[str, object]) -> Profile:
    """One stored login.

    Raises:
        TypeError: It is none.
    """
    url, key, ca = told["url"], told.get("key"), told.get("cluster_ca")
    if not (isinstance(url, str) and isinstance(key, str | None) and isinstance(ca, str | None)):
        raise TypeError(name)
    return Profile(name, url, key, None if ca is None else Path(ca))


def _plain(profile: Profile) -> dict[str, str]:
    told = {"url": profile.url, "key": profile.key, "cluster_ca": profile.cluster_ca}
    return {word: str(value) for word, value in told.items() if value is not None}


def check_name(name: str) -> str:
    """Return a name for a profile.

    Raises:
        StartupError: It cannot be one.
    """
    if not _NAME.match(name):
        raise refused(
            f"--profile: {name!r:.80} is not a name: use letters, digits, dot, dash, underscore"
        )
    return name
