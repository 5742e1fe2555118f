r"""The one normal form of a path, and the only code that decides whether a name is allowed.

A path is text: ``/`` is the root, everything else is ``/a/b``, without a trailing slash. Names
are kept exactly as given (no Unicode normalisation, no trimming): what is not allowed is
refused, never repaired.

    given             becomes        why
    -----             -------        ---
    a/b  //a/b/       /a/b           slashes at either end carry no name
    a//b              refused        a component is empty
    a/../b  a/./b     refused        only links are resolved, by `resolve_link`
    a\0b  a\x85b      refused        NUL, C0, DEL and C1 controls
    %2e%2e  a%00      refused        would be one of the above if decoded once more
    a%2Fb  100%25     itself         a percent sign is a letter like any other

The *system namespace* is the folder ``/.aeordb-system``. To anybody but a peer it does not
exist, in any spelling that some file system or normaliser takes for the same name.

A *key* is the form under which the tree sorts: components joined by NUL, so that a folder's
entries are contiguous and come right after the folder.
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import NewType
from urllib.parse import unquote, unquote_to_bytes

from aeorsync.errors import BadRequestError, NotFoundError

TreePath = NewType("TreePath", str)

MAX_PATH = 4096  # bytes of UTF-8, leading slash included
MAX_NAME = 255  # bytes of UTF-8
MAX_ESCAPED = 4 * MAX_PATH  # bytes of a percent-encoded path
MAX_DECODINGS = 3  # how often a later reader might decode again by mistake

ROOT = TreePath("/")
SYSTEM = TreePath("/.aeordb-system")

# Ordinary names, already in normal form. What may need care (`%`, non-ASCII, a first name that
# may be the system's) does not match and takes the slow way.
_ORDINARY = re.compile(r"(?!/\\*\.[aA])(?:/(?!\.{1,2}(?:/|\Z))[ -$&-.0-~]{1,255}+)+\Z")
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_SYSTEM_FOLDED = re.compile(r"[/\\]*\.aeordb-system[. ]*(?:[:/\\].*)?\Z", re.DOTALL)
# Ignored by some file systems when they compare names, though not of category Cf.
_IGNORABLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def parse(text: str, *, allow_system: bool = False) -> TreePath:
    """Return the normal form of ``text``.

    Args:
        text: A path, already percent-decoded.
        allow_system: Accept the system namespace, in its one exact spelling.

    Raises:
        BadRequestError: A name is empty, too long, or forbidden.
        NotFoundError: The path lies in the system namespace.
    """
    # As a URL has it after the prefix of its route, without the slash in front.
    usual = text if text[:1] == "/" else "/" + text
    if len(usual) <= MAX_PATH and _ORDINARY.match(usual):
        return TreePath(usual)
    inner = text.strip("/")
    if not inner:
        return ROOT
    # Control characters and surrogates go first: everything below may encode and print names.
    if _FORBIDDEN.search(inner):
        raise BadRequestError("The path contains a control character or is not Unicode text.")
    if len(inner.encode()) >= MAX_PATH:
        raise BadRequestError(f"The path is longer than {MAX_PATH} bytes.")
    names = inner.split("/")
    path = TreePath("/" + inner)
    # Before the rest of the path is looked at: what is wrong in there nobody is to learn.
    _check_system(path, names[0], allow_system=allow_system)
    for component in names:
        _check_name(component)
    return path


def _check_name(component: str) -> None:
    if not component:
        raise BadRequestError("The path contains an empty name.")
    if len(component.encode()) > MAX_NAME:
        raise BadRequestError(f"A name in the path is longer than {MAX_NAME} bytes.")
    if component in {".", ".."}:
        raise BadRequestError("The path contains '.' or '..'.")
    for decoded in _decodings(component):
        if _FORBIDDEN.search(decoded) or not {".", ".."}.isdisjoint(decoded.split("/")):
            raise BadRequestError("A name in the path is percent-encoded twice.")


def _check_system(path: TreePath, first: str, *, allow_system: bool) -> None:
    if not any(map(_is_system_name, (first, *_decodings(first)))):
        return
    if not allow_system:
        raise NotFoundError("no such path")
    if not is_inside(path, SYSTEM):
        raise BadRequestError("The system namespace has only one spelling.")


def _decodings(component: str) -> Iterable[str]:
    """Yield what ``component`` becomes when it is wrongly decoded again, and again."""
    for _ in range(MAX_DECODINGS):
        decoded = unquote(component)
        if decoded == component:
            return
        yield decoded
        component = decoded


def decode(raw: bytes) -> str:
    """Percent-decode the raw bytes of a URL path, exactly once.

    Raises:
        BadRequestError: An escape is incomplete, or the result is not UTF-8.
    """
    if len(raw) > MAX_ESCAPED:
        raise BadRequestError(f"The path is longer than {MAX_PATH} bytes.")
    if _BAD_ESCAPE.search(raw):
        raise BadRequestError("The path contains an incomplete percent escape.")
    try:
        return unquote_to_bytes(raw).decode()
    except UnicodeDecodeError as error:
        raise BadRequestError("The path is not UTF-8.") from error


def is_system(path: str) -> bool:
    """Whether ``path`` lies in the system namespace, in any spelling."""
    # Ordinary paths are told apart without folding: reads ask this for every entry.
    if path.isascii() and not path.startswith(("/.a", "/.A", "/\\")):
        return False
    return _is_system_name(path.removeprefix("/").partition("/")[0])


def _is_system_name(first: str) -> bool:
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", first).casefold())
    visible = _IGNORABLE.sub("", folded)
    if not visible.isascii():
        visible = "".join(char for char in visible if unicodedata.category(char) != "Cf")
    return _SYSTEM_FOLDED.match(visible) is not None


def to_key(path: TreePath) -> bytes:
    """Return the key the tree sorts ``path`` by; the root's is empty."""
    return path[1:].replace("/", "\0").encode()


def from_key(key: bytes) -> TreePath:
    """Return the path of a key that `to_key` made or `parse_key` accepted."""
    return TreePath("/" + key.decode().replace("\0", "/"))


def parse_key(key: bytes, *, allow_system: bool) -> TreePath:
    """Return the path of a key that came from elsewhere.

    Raises:
        BadRequestError: The key is not the one key of an allowed path.
        NotFoundError: The path lies in the system namespace.
    """
    try:
        text = key.decode()
    except UnicodeDecodeError as error:
        raise BadRequestError("The key is not UTF-8.") from error
    if "/" in text:
        raise BadRequestError("The key contains a slash.")
    normal = "/" + text.replace("\0", "/")
    path = parse(normal, allow_system=allow_system)
    # `parse` forgives slashes at the ends; a key with such ends would be a second name.
    if path != normal:
        raise BadRequestError("The key contains an empty name.")
    return path


def name(path: TreePath) -> str:
    """Return the last component; the root's is empty."""
    return path.rpartition("/")[2]


def parent(path: TreePath) -> TreePath:
    """Return the folder that holds ``path``; the root's is the root."""
    return TreePath(path.rpartition("/")[0] or "/")


def join(path: TreePath, component: str) -> TreePath:
    """Return the path of the entry ``component`` (a name from the tree, trusted) in ``path``."""
    return TreePath(f"/{component}" if path == ROOT else f"{path}/{component}")


def ancestors(path: TreePath) -> list[TreePath]:
    """Return the folders above ``path``, nearest first, without the root."""
    found = []
    while (path := parent(path)) != ROOT:
        found.append(path)
    return found


def is_inside(path: TreePath, folder: TreePath) -> bool:
    """Whether ``path`` is ``folder`` or lies anywhere beneath it."""
    return folder in {ROOT, path} or path.startswith(folder + "/")


def resolve_link(link_path: TreePath, target: str) -> TreePath | None:
    """Return where a link leads, by its text alone.

    A relative target starts at the link's folder, an absolute one at the root of the tree; ``.``
    and ``..`` are resolved. None when it leaves the root, is no allowed path, or lies in the
    system namespace.
    """
    if not target or len(target) > MAX_PATH:
        return None
    base = [] if target.startswith("/") else to_names(parent(link_path))
    for component in target.split("/"):
        if component == "..":
            if not base:
                return None
            base.pop()
        elif component not in {"", "."}:
            base.append(component)
    try:
        return parse("/" + "/".join(base))
    except (BadRequestError, NotFoundError):
        return None


def to_names(path: TreePath) -> list[str]:
    """Return the components of ``path``, outermost first; the root has none."""
    return path[1:].split("/") if path != ROOT else []
