"""When everything is asked for again over one connection, and whether the answer is believed."""

import asyncio

from aeorsync.cluster.cycle import Report
from aeorsync.cluster.peers import LinkRecord
from aeorsync.storage.repository import Repository


class Rounds:
    """The cycles of one connection that began at the recorded cursor. Lives in one event loop."""

    def __init__(self, repository: Repository, interval_s: float) -> None:
        """Begin with a connection; a round is due ``interval_s`` seconds after the one before."""
        self._repository = repository
        self._interval_s = interval_s
        self._clock = asyncio.get_running_loop().time
        self._last_at = self._clock()
        self._roots: tuple[str, str] | None = None

    def due_in_s(self) -> float:
        """Seconds until the next one; negative when it is overdue."""
        return self._last_at + self._interval_s - self._clock()

    def put_off(self) -> None:
        """Wait a whole interval from now."""
        self._last_at = self._clock()

    def is_doubtful(self, record: LinkRecord, report: Report, *, is_due: bool) -> bool:
        """Note one, and say whether the recorded cursor seems to hide something.

        When neither tree moved for a whole interval, the peer has told everything, and yet the
        trees differ, they are to be compared node by node.
        """
        self.put_off()
        if report.is_partial or record.is_filtered or not report.is_comparable:
            self._roots = None
            return False
        roots = (self._repository.head.root.hex(), report.root)
        is_stuck = is_due and roots == self._roots and roots[0] != roots[1]
        self._roots = roots
        return is_stuck
