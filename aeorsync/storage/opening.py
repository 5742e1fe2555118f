"""Opens the repository in a data folder, or says why it cannot be opened."""

from contextlib import suppress

from aeorsync.errors import AeorError, StartupError
from aeorsync.runtime.clock import SystemClock
from aeorsync.storage.embedded import EmbeddedStore
from aeorsync.storage.folder import DATA_LOCKED, DATA_UNUSABLE, DataFolder
from aeorsync.storage.identities import first_head
from aeorsync.storage.lock import LockedError
from aeorsync.storage.repository import Repository


def open_repository(folder: DataFolder, node_id: int) -> Repository:
    """The repository in a folder that exists; made when there is none.

    Args:
        folder: Where.
        node_id: Id of the node, if it is a new one.

    Raises:
        StartupError: Another process uses it, or it cannot be read.
    """
    try:
        return _open(folder, node_id)
    except LockedError as error:
        raise StartupError(error.message, DATA_LOCKED) from error
    except AeorError as error:
        raise StartupError(error.message, DATA_UNUSABLE) from error
    except OSError as error:
        text = f"{folder.path} cannot be used: {error.strerror}"
        raise StartupError(text, DATA_UNUSABLE) from error


def _open(folder: DataFolder, node_id: int) -> Repository:
    store = EmbeddedStore(folder.path, first_head(node_id))
    try:
        return Repository(store, SystemClock())
    except BaseException:
        with suppress(AeorError):
            store.close()
        raise
