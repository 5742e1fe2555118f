"""That what is committed is held: the other half of collecting garbage while writers go on.

Who stores a file asks which of its chunks are held, sends the others, and commits. A chunk that
was held when it was asked for may have been swept by the time of the commit, if nothing referred
to it. A version with missing chunks must never be acknowledged, so from the first sweep of this
process on, every operation's new files are looked up again, in the writer's thread, where no
sweep can come in between.

Two kinds need no look. What was stored by an upload that began after the last sweep had ended is
*proven*: nothing was swept since its first question. And what an operation took from the tree
itself (a rename, a copy) was in use all the time, so no sweep took it: if a chunk of that is
missing, it was damaged, which is no reason to refuse a rename. Bytes of what was deleted may be
gone, or may never have come here.
"""

from collections.abc import Callable, Collection
from itertools import islice

from aeorsync.core.versions import Content
from aeorsync.errors import CorruptError, UnavailableError
from aeorsync.storage.base import Store
from aeorsync.storage.content import Peeking, Reader, lacking
from aeorsync.storage.draft import Draft

_MAX_PROVEN = 4096


class Holdings:
    """Knows whether chunks may have been swept; `prove` from any thread, the rest the writer's."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._reader = Reader(Peeking(store))
        self._looks_twice = False
        self._sweeps = 0
        self._proven: dict[Content, int] = {}

    def prove(self) -> Callable[[Content], None]:
        """Begin to store a file; returns what is to be told its content in the end."""
        began = self._sweeps

        def ended(content: Content) -> None:
            if self._looks_twice:
                self._proven[content] = began

        return ended

    def begin_sweep(self) -> None:
        """Check every operation from now on; to be called before anything is swept."""
        self._looks_twice = True

    def end_sweep(self) -> None:
        """Take note that a sweep has ended, whether it succeeded or not.

        Not before: who begins while it goes on may be told that a chunk is held which goes.
        """
        self._sweeps += 1
        self._proven.clear()

    def check(self, draft: Draft) -> None:
        """Demand the chunks of what the operation under way brought.

        Raises:
            UnavailableError: Some were swept since they were stored or said to be held.
        """
        if not self._looks_twice:
            return
        brought = {content for content in draft.brought() if not self._is_proven(content)}
        if brought and self._lacks(brought) and self._lacks(brought - draft.knew()):
            raise UnavailableError(
                "some of these bytes were collected as garbage before they were committed;"
                " nothing was changed; send them again"
            )
        if len(self._proven) > _MAX_PROVEN:
            for content in list(islice(list(self._proven), _MAX_PROVEN // 2)):
                self._proven.pop(content, None)

    def _is_proven(self, content: Content) -> bool:
        return self._proven.get(content) == self._sweeps

    def _lacks(self, contents: Collection[Content]) -> bool:
        try:
            return bool(lacking(self._store, self._reader, contents)[0])
        except CorruptError:
            return True
