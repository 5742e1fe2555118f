"""The tree in another state: of the past, or as a fork has it.

A `Lens` turns the view of the present into the view of that state, and the draft of the present
into one that writes to it. A repository looked at through a lens (`Repository.through`) serves
whoever serves the present, unchanged.
"""

from dataclasses import dataclass
from typing import Protocol

from aeorsync.errors import BadRequestError
from aeorsync.storage.draft import Draft
from aeorsync.storage.views import View


class Lens(Protocol):
    """Another state of the tree."""

    def view(self, view: View) -> View:
        """That state, for readers; closing it closes ``view``."""

    def draft(self, draft: Draft, /) -> Draft:
        """That state, for a writer.

        Raises:
            BadRequestError: It cannot be written.
            NotFoundError: It is gone.
        """


@dataclass(frozen=True, slots=True)
class PastLens:
    """A tree of the past, which nobody can write.

    Attributes:
        root: Root of its live entries.
        graves: Root of its deletions.
    """

    root: bytes
    graves: bytes

    def view(self, view: View) -> View:
        """See `Lens`."""
        return view.at(self.root, self.graves)

    def draft(self, _draft: Draft, /) -> Draft:
        """See `Lens`."""
        raise BadRequestError("the past cannot be written; make a fork of the snapshot")
