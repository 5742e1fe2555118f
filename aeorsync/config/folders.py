"""Folders to keep equal to a server: the ``[[sync]]`` tables of ``aeorsync.toml``.

    [[sync]]
    local = "~/docs"
    remote = "https://files.example:6830/docs"
    profile = "work"          # of aeorsync login; without it AEORSYNC_KEY or the default profile
    direction = "both"        # or pull, push
    include = ["*.txt"]       # nothing else
    exclude = ["build/"]      # not these
    max_delete = "50%"        # or a number of files
    delete_local = true       # what is deleted there is deleted here
    delete_remote = true      # and the other way round

| asked by | file |
| --- | --- |
| ``--config FILE`` | that one |
| ``AEORSYNC_CONFIG`` | that one |
| nobody | ``$XDG_CONFIG_HOME/aeorsync/aeorsync.toml``, else ``~/.config/aeorsync/aeorsync.toml`` |

Never one in the current folder: what somebody put there must not decide what your keys are used
for. The settings of a node may stand in the same file; they are left alone here. Every refusal is
a ``StartupError`` with ``Exit.CONFIG`` that names the table and the key.
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import msgspec

from aeorsync.config import files, values
from aeorsync.config.table import SETTINGS
from aeorsync.config.values import Given, refused
from aeorsync.core.paths import TreePath, parse
from aeorsync.core.reconcile import Direction
from aeorsync.errors import BadRequestError
from aeorsync.folder.options import DeleteLimit, Options

CONFIG_VARIABLE: Final = "AEORSYNC_CONFIG"
HOME_VARIABLE: Final = "XDG_CONFIG_HOME"
FILE_NAME: Final = "aeorsync.toml"
_DEFAULT_LIMIT: Final = DeleteLimit()

KEYS: Final[Mapping[str, type]] = {
    "local": str,
    "remote": str,
    "profile": str,
    "direction": str,
    "include": list,
    "exclude": list,
    "max_delete": object,
    "delete_local": bool,
    "delete_remote": bool,
}
_WORDS: Final[Mapping[type, str]] = {
    str: "a text",
    list: "a list of texts",
    bool: "true or false",
}


class Remote(msgspec.Struct, frozen=True):
    """A path on a server.

    Attributes:
        url: Of the server, without a slash at its end.
        path: On it; the root by default.
    """

    url: str
    path: TreePath

    def __str__(self) -> str:
        return f"{self.url}{self.path}"


class SyncFolder(msgspec.Struct, frozen=True):
    """One folder and what it is to be kept equal to.

    Attributes:
        local: Absolute path.
        remote: Where it is on a server.
        profile: Which stored login to use; None for the default.
        direction: Which side's changes count.
        include: Globs of all that takes part; none for everything.
        exclude: Globs of what does not take part.
        max_delete: From where on a pass stops and asks.
        delete_local: Whether to delete here what was deleted there.
        delete_remote: Whether to delete there what was deleted here.
    """

    local: Path
    remote: Remote
    profile: str | None = None
    direction: Direction = Direction.BOTH
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    max_delete: DeleteLimit = _DEFAULT_LIMIT
    delete_local: bool = True
    delete_remote: bool = True

    def options(self, limit: DeleteLimit, *, dry_run: bool = False) -> Options:
        """How to go about it, with some limit in place of its own."""
        return Options(
            direction=self.direction,
            include=self.include,
            exclude=self.exclude,
            delete_local=self.delete_local,
            delete_remote=self.delete_remote,
            max_delete=limit,
            dry_run=dry_run,
        )


def find(flag: str | None, environment: Mapping[str, str] = os.environ) -> Path:
    """Return the file that lists folders, whether it is there or not.

    Raises:
        StartupError: What was given is not the name of a file.
    """
    if flag:
        return values.parse_path(Given(flag, "--config"))
    if told := environment.get(CONFIG_VARIABLE):
        return values.parse_path(Given(told, CONFIG_VARIABLE))
    home = environment.get(HOME_VARIABLE) or "~/.config"
    return values.parse_path(Given(home, HOME_VARIABLE)) / "aeorsync" / FILE_NAME


def load(file: Path) -> tuple[SyncFolder, ...]:
    """Return the folders that a file lists, in its order.

    Raises:
        StartupError: The file, a table, a key or a value cannot be used; or two folders overlap.
    """
    told = files.read(file)
    known = {"sync"} | {setting.toml.split(".")[0] for setting in SETTINGS if setting.toml}
    for key in told:
        if key not in known:
            raise refused(f"{file}: there is no setting {key!r}{files.meant(key, sorted(known))}")
    tables = told.get("sync", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise refused(f"{file}: sync must be written as tables: [[sync]]")
    folders = [_folder(table, f"{file}: sync {n}") for n, table in enumerate(tables, 1)]
    _check_apart(folders, file)
    return tuple(folders)


def parse_local(given: Given) -> Path:
    """Return an absolute path of a folder; nothing is looked up on disk.

    Raises:
        StartupError: It is not the name of a folder.
    """
    return Path(os.path.normpath(values.parse_path(given).absolute()))


def parse_remote(given: Given) -> Remote:
    """Return the server and the path on it that a URL names.

    Raises:
        StartupError: It is not such a URL.
    """
    match = re.fullmatch(r"([^/?#]*//[^/]*)(/.*)?", given.text.strip())
    if not match:
        raise given.refused("is not a URL like http://host:6830/path")
    url = values.parse_url(Given(match[1], given.origin))
    try:
        names = unquote(match[2] or "/", errors="strict").strip("/")
        return Remote(url, parse(f"/{names}"))
    except UnicodeDecodeError as error:
        raise given.refused("has a path that is not UTF-8") from error
    except BadRequestError as error:
        raise given.refused(f"has a path that no server takes: {error.message}") from error


def parse_direction(given: Given) -> Direction:
    """Return which side's changes count.

    Raises:
        StartupError: It is none of the three words.
    """
    try:
        return Direction(given.text)
    except ValueError as error:
        raise given.refused("is not a direction: use both, pull or push") from error


def parse_max_delete(given: Given) -> DeleteLimit:
    """Return from where on a pass stops and asks: a number of files, or a share like ``50%``.

    Raises:
        StartupError: It is neither.
    """
    try:
        return DeleteLimit.parse(given.text)
    except BadRequestError as error:
        raise given.refused("is neither a number of files nor a share from 0% to 100%") from error


def parse_globs(texts: Sequence[str], origin: str) -> tuple[str, ...]:
    """Return patterns in gitignore syntax, one each.

    Raises:
        StartupError: One is empty or holds a line break.
    """
    for text in texts:
        if not text.strip() or not text.isprintable():
            raise Given(text, origin).refused("is not a pattern")
    return tuple(texts)


def _folder(table: Mapping[str, object], origin: str) -> SyncFolder:
    for key, value in table.items():
        _check(key, value, origin)
    for key in ("local", "remote"):
        if key not in table:
            raise refused(f"{origin}: {key} is missing")

    def text(key: str, default: str) -> Given:
        return Given(str(table.get(key, default)), f"{origin}.{key}")

    def globs(key: str) -> tuple[str, ...]:
        told = table.get(key, [])
        return parse_globs(told if isinstance(told, list) else [], f"{origin}.{key}")

    if not text("local", "").text.startswith(("/", "~")):
        raise text("local", "").refused("is not an absolute path, nor one that begins with ~")
    return SyncFolder(
        local=parse_local(text("local", "")),
        remote=parse_remote(text("remote", "")),
        profile=text("profile", "").text or None,
        direction=parse_direction(text("direction", "both")),
        include=globs("include"),
        exclude=globs("exclude"),
        max_delete=parse_max_delete(text("max_delete", "50%")),
        delete_local=table.get("delete_local", True) is True,
        delete_remote=table.get("delete_remote", True) is True,
    )


def _check(key: str, value: object, origin: str) -> None:
    """Refuse a key that is not known, or a value of the wrong type."""
    if key not in KEYS:
        raise refused(f"{origin}: there is no setting {key!r}{files.meant(key, KEYS)}")
    wanted = KEYS[key]
    # True is an int to Python, not to a person.
    is_right = type(value) in ({int, str} if wanted is object else {wanted})
    if isinstance(value, list):
        is_right = is_right and all(isinstance(item, str) for item in value)
    if not is_right:
        words = _WORDS.get(wanted, "a whole number or a text like 50%")
        raise refused(f"{origin}.{key}: must be {words}, not {value!r:.60}")


def _check_apart(folders: Sequence[SyncFolder], file: Path) -> None:
    """Refuse folders in each other: each would upload the other's conflict copies."""
    for n, one in enumerate(folders):
        for m, other in enumerate(folders[:n]):
            if one.local.is_relative_to(other.local) or other.local.is_relative_to(one.local):
                raise refused(
                    f"{file}: sync {m + 1} and {n + 1} overlap: {other.local} and {one.local}"
                )
