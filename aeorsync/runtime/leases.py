"""Who else has a file open: Linux' leases, asked for and given back at once."""

import errno
import fcntl


def is_open_for_writing(handle: int) -> bool:
    """Whether some program has a file open for writing, or mapped so; False when unknown.

    It is unknown for files of other users, and where the system or its disk has no leases.

    Args:
        handle: The file, open for reading only.
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        return False
    try:
        import signal  # noqa: PLC0415  # takes a while, and is seldom needed

        # A lease is granted only when nobody has. Should somebody open the file while we hold
        # it, a signal that is ignored by default says so.
        fcntl.fcntl(handle, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return error.errno in {errno.EAGAIN, errno.EWOULDBLOCK}
    fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False
