"""Which paths a link takes: those that match a glob of the first list and none of the second."""

from collections.abc import Sequence

import msgspec

from aeorsync.core.globs import Globs


class Filter(msgspec.Struct, frozen=True):
    """What passes.

    Attributes:
        included: Only what matches one of these; None for everything.
        excluded: But nothing that matches one of these; None for no exception.
    """

    included: Globs | None = None
    excluded: Globs | None = None

    @classmethod
    def parse(
        cls, included: Sequence[str] | None = None, excluded: Sequence[str] | None = None
    ) -> "Filter":
        """Return the filter of two lists of globs; None and an empty list mean the same.

        Raises:
            BadRequestError: A list is too long, or one of its globs cannot be parsed.
        """
        return cls(
            Globs.parse(included) if included else None,
            Globs.parse(excluded) if excluded else None,
        )

    @property
    def is_everything(self) -> bool:
        """Whether everything passes."""
        return self.included is None and self.excluded is None

    def passes(self, path: str) -> bool:
        """Whether a path passes; nobody asks about the system namespace, no filter holds it up."""
        if self.included is not None and not self.included.matches(path):
            return False
        return self.excluded is None or not self.excluded.matches(path)
