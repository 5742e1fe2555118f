"""Renames that never destroy anything: Linux' ``renameat2``, and what stands in for it.

    call            what it promises
    ----            ----------------
    rename_new      the new name must be free, else FileExistsError and nothing happened
    exchange        both names swap what they stand for, at once; nothing is without a name

Names are single components in folders that are held open. Visible at once; durable after
`durable.sync_handle` of the folders.

A file system without ``renameat2`` (NFS, some of FUSE): `rename_new` links and unlinks, which is
as safe for files; `exchange` says that it cannot (`NoExchangeError`).
"""

import errno
import os
from collections.abc import Callable
from functools import cache
from typing import Final

_NOREPLACE: Final = 1
_EXCHANGE: Final = 2
_MISSING: Final = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}


class NoExchangeError(OSError):
    """The file system cannot swap two names; nothing happened."""


@cache
def _find() -> Callable[..., int] | None:
    import ctypes  # noqa: PLC0415  # takes a while, and a pass that renames nothing needs none

    library = ctypes.CDLL(None, use_errno=True)
    function = getattr(library, "renameat2", None)
    if function is None:
        return None
    path = ctypes.c_char_p
    function.argtypes = [ctypes.c_int, path, ctypes.c_int, path, ctypes.c_uint]
    function.restype = ctypes.c_int
    call: Callable[..., int] = function
    return call


def _late(*values: object) -> int:
    """The call itself, looked for when it is first made."""
    call = _find()
    if call is None:
        import ctypes  # noqa: PLC0415  # loaded by now

        ctypes.set_errno(errno.ENOSYS)
        return -1
    return call(*values)


_renameat2: Callable[..., int] | None = _late


def rename_new(folder: int, name: str, to_folder: int, to_name: str) -> None:
    """Give an entry another name, which must be free.

    Raises:
        FileExistsError: It is not; nothing happened.
        OSError: The system refused; nothing happened.
    """
    if not _rename(folder, name, to_folder, to_name, _NOREPLACE):
        # Only files and links: nobody can link folders, and that is an error here as well.
        os.link(name, to_name, src_dir_fd=folder, dst_dir_fd=to_folder, follow_symlinks=False)
        os.unlink(name, dir_fd=folder)


def exchange(folder: int, name: str, to_folder: int, to_name: str) -> None:
    """Let two names swap what they stand for.

    Raises:
        NoExchangeError: The file system cannot; nothing happened.
        OSError: The system refused, one of them is not there; nothing happened.
    """
    if not _rename(folder, name, to_folder, to_name, _EXCHANGE):
        raise NoExchangeError(errno.EOPNOTSUPP, "this file system cannot swap two names")


def replace(folder: int, name: str, to_folder: int, to_name: str) -> None:
    """Give an entry another name, in place of whatever has it."""
    os.rename(name, to_name, src_dir_fd=folder, dst_dir_fd=to_folder)


def _rename(folder: int, name: str, to_folder: int, to_name: str, flags: int) -> bool:
    """Call the system; False when it has no such call."""
    if _renameat2 is None:
        return False
    if not _renameat2(folder, os.fsencode(name), to_folder, os.fsencode(to_name), flags):
        return True
    import ctypes  # noqa: PLC0415  # loaded by now

    code = ctypes.get_errno()
    if code in _MISSING:
        return False
    raise OSError(code, os.strerror(code), name, None, to_name)
