"""Paths of this machine, as paths of the server that their folder is kept equal to.

    ~/docs/a.txt                                  /team/docs/a.txt on https://files.example:6830
    ~/docs/a (conflict 3f2a 2026-...).txt         the same path, and one version of it

So a conflict can be settled by naming the file that is to stay. Which version a file shows is told
by its content alone; a file that was changed since shows none.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import blake3

from aeorsync import config
from aeorsync.cli import remotely
from aeorsync.cli.remotely import Place
from aeorsync.client.model import ConflictVersion
from aeorsync.config.folders import parse_local
from aeorsync.config.state import state_folder
from aeorsync.config.values import Given
from aeorsync.core.paths import parse
from aeorsync.folder.copies import looks_like_copy, may_show
from aeorsync.folder.places import Note, Places


@dataclass(frozen=True, slots=True)
class Spot:
    """A path of this machine in a folder that is kept.

    Attributes:
        local: The file, absolute.
        note: Of its folder.
        path: On the server; of a conflict copy, that of the file it belongs to.
        is_copy: Whether the file is a conflict copy.
    """

    local: Path
    note: Note
    path: str
    is_copy: bool


def place(text: str, url: str | None, key: str | None) -> Place:
    """Return where something is meant to be: a path on a server, or of a folder that is kept.

    Args:
        text: A path or a URL of a server, or a path of this machine.
        url: The text of ``--url``; when given, no folder is looked for.
        key: The text of ``--key``; None if not given.

    Raises:
        CommandError: It cannot be a path.
        StartupError: The URL, the key or the login cannot be used.
    """
    is_url = text.startswith(("http://", "https://"))
    found = None if is_url or url is not None or not text.isprintable() else spot(text)
    if found is None:
        return remotely.place(text, url, key)
    node = config.target(found.note.url, key, profile=found.note.profile)
    return Place(node, parse(found.path), text.endswith("/"), found.local, found.is_copy)


def version_shown(file: Path, versions: Iterable[ConflictVersion]) -> ConflictVersion | None:
    """Return the version that a file of this machine shows; None if it shows none of them."""
    content = _content(file)
    for version in versions:
        told = version.target if version.kind == "symlink" else version.content_hash
        if not version.deleted and told == content:
            return version
    return None


def spot(text: str) -> Spot | None:
    """Return where a path of this machine is on a server; None if no folder that is kept has it.

    Args:
        text: A path, absolute or relative to the current folder.

    Raises:
        StartupError: It cannot be a path.
    """
    local = parse_local(Given(text, "PATH"))
    for _, note in Places(state_folder()).around(local):
        inside = local.relative_to(note.local).as_posix()
        original = _original(inside, note) if looks_like_copy(local.name) else None
        path = "/".join(
            part for part in (note.path.rstrip("/"), original or inside) if part != "."
        )
        return Spot(local, note, path or "/", is_copy=original is not None)
    return None


def _original(inside: str, note: Note) -> str | None:
    """The path that a conflict copy belongs to, as its folder noted it or as its name tells."""
    for conflict in note.conflicts:
        if inside in conflict.copies:
            return conflict.path
    folder, slash, name = inside.rpartition("/")
    for other in sorted(Path(note.local, folder).glob("*")):
        if not looks_like_copy(other.name) and may_show(name, other.name):
            return f"{folder}{slash}{other.name}"
    return None


def _content(file: Path) -> str | None:
    if file.is_symlink():
        return str(file.readlink())
    if not file.is_file():
        return None
    hasher = blake3.blake3()
    hasher.update_mmap(file)
    return hasher.hexdigest()
