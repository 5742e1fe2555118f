"""Which names may travel.

A local name that the server would refuse, and a name of the server that the disk cannot hold,
become troubles: nothing is renamed, cut short or guessed.
"""

import unicodedata

from aeorsync.core import paths
from aeorsync.core.versions import MAX_TARGET
from aeorsync.errors import BadRequestError, NotFoundError
from aeorsync.folder import temps


def flaw(path: str) -> str | None:
    """What is wrong with a path, as a sentence for a person; None when nothing is.

    Args:
        path: Relative to the folder; a name that is not UTF-8 has lone surrogates in it.
    """
    if temps.is_temp(path.rpartition("/")[2]):
        return "The name is reserved for temporary files."
    try:
        if paths.parse("/" + path) != "/" + path:
            return "The path contains an empty name."
    except NotFoundError:
        return "The name is reserved for the server's own records."
    except BadRequestError as error:
        if any("\udc80" <= char <= "\udcff" for char in path):
            return "The name is not UTF-8."
        return error.message
    return None


def variants(name: str) -> set[str]:
    """Other spellings that some disks take for the same name: case, Unicode's normal forms."""
    spellings = {name.swapcase(), name.lower(), name.upper()}
    spellings |= {unicodedata.normalize(form, name) for form in ("NFC", "NFD")}
    return {spelling for spelling in spellings if len(spelling.encode()) <= paths.MAX_NAME} - {
        name
    }


def target_flaw(target: str) -> str | None:
    """What is wrong with the target of a link; None when nothing is."""
    try:
        size = len(target.encode())
    except UnicodeEncodeError:
        return "The target of the link is not UTF-8."
    if not 0 < size <= MAX_TARGET:
        return f"The target of the link is empty, or longer than {MAX_TARGET} bytes."
    return "The target of the link contains a NUL." if "\0" in target else None
