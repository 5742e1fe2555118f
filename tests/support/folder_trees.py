"""What is in a folder or on a server, in one form, so that both can be compared."""

import ctypes
import os
import re
import stat
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import blake3
import httpx

from aeorsync.folder.copies import looks_like_copy

TEMP_PREFIX: Final = ".aeorsync-tmp-"
_MARK: Final = re.compile(r" \(conflict [0-9a-f]+ [0-9 -]+\)( \d+)?(?=\.[^./]*\Z|\Z)")
_AT_FDCWD: Final = -100
_NOREPLACE: Final = 1
_EXCHANGE: Final = 2
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True, order=True)
class Leaf:
    """What is at one path: a file by the hash of its bytes, a link by its target, a folder."""

    kind: str
    content: str = ""
    executable: bool = False
    mtime_ns: int = 0


FOLDER = Leaf("folder")
Tree = dict[str, Leaf]
Versions = dict[str, set[str]]


@dataclass(frozen=True, slots=True)
class Seen:
    """A folder as a person sees it, and as its conflict copies tell.

    Attributes:
        tree: Everything but conflict copies, by path.
        copies: Contents of the conflict copies, by the path they belong to.
        temps: Temporary files somebody left.
    """

    tree: Tree
    copies: Versions
    temps: list[str]


def digest(body: bytes) -> str:
    """The name of a content."""
    return blake3.blake3(body).hexdigest()


def link_name(target: str) -> str:
    """The name of a link's content, never that of a file."""
    return f"link:{target}"


def leaf_at(path: Path) -> Leaf | None:
    """What is at a path; None for nothing, or nothing that takes part."""
    try:
        found = path.lstat()
        if stat.S_ISDIR(found.st_mode):
            return FOLDER
        if stat.S_ISLNK(found.st_mode):
            return Leaf("link", link_name(str(path.readlink())))
        if not stat.S_ISREG(found.st_mode):
            return None
        body = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Leaf("file", digest(body), bool(found.st_mode & 0o100), found.st_mtime_ns)


def walk(root: Path) -> Tree:
    """Everything below a folder, by its path relative to it."""
    found: Tree = {}
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(folder, name)
            if (leaf := leaf_at(path)) is not None:
                found[path.relative_to(root).as_posix()] = leaf
    return found


def look(root: Path, files: Container[str] = ()) -> Seen:
    """See a folder.

    Args:
        root: The folder.
        files: Paths that are files, whatever their names look like: a conflict copy in a folder
            that somebody renamed is one.
    """
    tree = walk(root)
    temps = [path for path in tree if TEMP_PREFIX in path]
    beside = {path for path in tree if _is_copy(path) and path not in files}
    copies: Versions = {}
    for path in beside:
        copies.setdefault(original_of(path), set()).add(tree[path].content)
    return Seen({path: leaf for path, leaf in tree.items() if path not in beside}, copies, temps)


def original_of(path: str) -> str:
    """The path that a conflict copy belongs to; of everything else, the path itself."""
    return _MARK.sub("", path)


def _is_copy(path: str) -> bool:
    return looks_like_copy(path.rpartition("/")[2])


def look_at_server(client: httpx.Client, top: str) -> Seen:
    """See a path on a server, its conflicts as copies."""
    tree: Tree = {}
    _list(client, top, "", tree)
    copies: Versions = {}
    listed = client.get("/sync/conflicts").raise_for_status().json()
    assert not listed["more"]
    for item in listed["items"]:
        path = str(item["path"]).removeprefix(f"{top}/")
        if not str(item["path"]).startswith(f"{top}/"):
            continue
        versions = client.get(f"/sync/conflicts{quote(item['path'])}").raise_for_status().json()
        for version in versions["versions"]:
            # A folder that a file stands in place of holds nothing that a copy could show.
            if not (version["is_winner"] or version["deleted"] or version["kind"] == "directory"):
                copies.setdefault(path, set()).add(_content(version, version["kind"]))
    return Seen(tree, copies, [])


def _list(client: httpx.Client, top: str, folder: str, tree: Tree) -> None:
    answer = client.get(f"/files{quote(top)}/{quote(folder)}", params={"limit": 100_000})
    if answer.status_code == 404 and not folder:
        return
    for item in answer.raise_for_status().json()["items"]:
        path = f"{folder}/{item['name']}" if folder else str(item["name"])
        match item["entry_type"]:
            case 2:
                tree[path] = Leaf("file", _content(item, "file"), bool(item["executable"]))
            case 8:
                tree[path] = Leaf("link", _content(item, "symlink"))
            case _:
                tree[path] = FOLDER
                _list(client, top, path, tree)


def _content(item: dict[str, Any], kind: str) -> str:
    return link_name(item["target"]) if kind == "symlink" else str(item["content_hash"])


def without_times(tree: Tree) -> Tree:
    """A tree as one compares it with a server, which tells times in milliseconds only."""
    return {path: Leaf(leaf.kind, leaf.content, leaf.executable) for path, leaf in tree.items()}


def differences(one: Tree, other: Tree, limit: int = 20) -> list[str]:
    """What differs between two trees, for a person."""
    paths = [
        path for path in sorted(one.keys() | other.keys()) if one.get(path) != other.get(path)
    ]
    shown = [f"{path}: {one.get(path)} / {other.get(path)}" for path in paths[:limit]]
    return shown + ([f"... {len(paths) - limit} more"] if len(paths) > limit else [])


def move_new(source: Path, target: Path) -> bool:
    """Rename in one step unless something is there; whether it was done."""
    return _rename(source, target, _NOREPLACE)


def exchange(one: Path, other: Path) -> bool:
    """Let two names change places in one step; whether it was done."""
    return _rename(one, other, _EXCHANGE)


def _rename(source: Path, target: Path, flags: int) -> bool:
    names = os.fsencode(source), os.fsencode(target)
    failed: int = _libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], flags)
    return failed == 0
