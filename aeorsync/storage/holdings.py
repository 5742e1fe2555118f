"""That what is committed is held: the other half of collecting garbage while writers go on.

Who stores a file asks which of its chunks are held, sends the others, and commits. A chunk that
was held when it was asked for may have been swept by the time of the commit, if nothing referred
to it. A version with missing chunks must never be acknowledged, so from the first sweep of this
process on, every operation's new files are looked up again, in the writer's thread, where no
sweep can come in between.

What an operation took from the tree itself (a rename, a copy, an undelete) was in use all the
time, so no sweep took it: if a chunk of that is missing, it was damaged, which is no reason to
refuse a rename.
"""

from collections.abc import Collection

from aeorsync.core.versions import Content
from aeorsync.errors import CorruptError, UnavailableError
from aeorsync.storage.base import Store
from aeorsync.storage.content import Peeking, Reader, lacking
from aeorsync.storage.draft import Draft


class Holdings:
    """Belongs to the writer's thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._reader = Reader(Peeking(store))
        self._looks_twice = False

    def look_twice(self) -> None:
        """Check every operation from now on; to be called before anything is swept."""
        self._looks_twice = True

    def check(self, draft: Draft) -> None:
        """Demand the chunks of what the operation under way brought.

        Raises:
            UnavailableError: Some were swept since they were stored or said to be held.
        """
        if not self._looks_twice:
            return
        brought = draft.brought()
        if brought and self._lacks(brought) and self._lacks(brought - draft.knew()):
            raise UnavailableError(
                "some of these bytes were collected as garbage before they were committed;"
                " nothing was changed; send them again"
            )

    def _lacks(self, contents: Collection[Content]) -> bool:
        try:
            return bool(lacking(self._store, self._reader, contents)[0])
        except CorruptError:
            return True
