"""Two processes with one node id: a data folder was copied, and the copy was started as well.

Each start of a node is a *run*, with an id of its own that it says with every call. Whoever is
called sees which runs of a node live:

    heard                                            so
    -----                                            --
    a new run                                        the node was started anew, maybe from a backup
    an older run, moments after a newer one began    a call that was on its way
    an older run, later than that                    both live: the newer one is the copy

The copy is refused, and told why, for as long as the other is heard: a call that was held up for
very long, as by a network that was cut, must not keep a node off that is alone. The copy's writes
cannot be taken for those of the other, since each run mints under an incarnation of its own; but
what one of the two wrote would be withheld from the other as its own echo, and members would be
counted wrong.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from aeorsync.errors import TwinError

TWIN_S: Final = 60.0
"""So long, in seconds, calls of a run that ended may be on their way."""
SILENT_S: Final = 300.0
"""A run that was not heard for so long, in seconds, has ended; a living one calls each minute."""
_REMEMBERED: Final = 100


@dataclass(slots=True)
class _Node:
    """Attributes: the run that counts, since when, when it was heard, those before it, copies."""

    run: int
    since: float
    heard: float
    past: list[int] = field(default_factory=list)
    copies: set[int] = field(default_factory=set)


class Twins:
    """The runs of other nodes. Belongs to one event loop."""

    def __init__(self, now: Callable[[], float]) -> None:
        """Begin with none.

        Args:
            now: Seconds that never go back.
        """
        self._now = now
        self._nodes: dict[int, _Node] = {}

    def hear(self, node_id: int, run: int) -> None:
        """Take note of a call.

        Raises:
            TwinError: It is from a copy.
        """
        now = self._now()
        node = self._nodes.setdefault(node_id, _Node(run, now, now))
        if run in node.copies and now - node.heard > SILENT_S:
            node.copies.remove(run)
        if run in node.copies:
            raise TwinError(
                f"node {node_id} runs twice, and this is the one that was started later: a copy of"
                " its data folder. Stop it; begin with an empty data folder and --join"
            )
        if run == node.run:
            node.heard = now
        elif run not in node.past:
            node.past = [*node.past, node.run][-_REMEMBERED:]
            node.run, node.since, node.heard = run, now, now
        elif now - node.since > TWIN_S:
            node.past.remove(run)
            node.copies.add(node.run)
            node.run, node.heard = run, now
