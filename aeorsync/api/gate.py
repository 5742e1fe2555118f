"""What is answered before the node is: the server listens first, then opens its data.

    starting    `GET /system/health` 200, all else 503, both with where the start stands
    failed      both 500
    open        the node answers

A node that is shutting down is as good as starting.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from starlette.responses import Response

from aeorsync import __version__
from aeorsync.api.endpoint import answer
from aeorsync.api.node import Node
from aeorsync.api.replies import StartingReply
from aeorsync.runtime.clock import WallClock

_STATUSES = {"starting": (200, 503), "failed": (500, 500)}


@dataclass(frozen=True, slots=True)
class _Stand:
    """Where the start stands."""

    status: Literal["starting", "failed"]
    phase: str
    message: str
    progress: float
    updated_ms: int


class Gate:
    """Closed until the node is ready. `report` may be called from any thread."""

    def __init__(self, wall: WallClock) -> None:
        self._wall = wall
        self._started_ms = wall.now_ms()
        self._began = wall.monotonic()
        self._stand = _Stand("starting", "opening", "The node is starting.", 0.0, self._started_ms)
        self._node: Node | None = None

    @property
    def node(self) -> Node | None:
        """The node, once it is ready."""
        return self._node

    def report(self, phase: str, message: str, progress: float) -> None:
        """Say where the start stands.

        Args:
            phase: One word for programs.
            message: One sentence for a person.
            progress: 0 to 1.
        """
        now = self._wall.now_ms()
        self._stand = _Stand("starting", phase, message, min(max(progress, 0.0), 1.0), now)

    def fail(self, message: str) -> None:
        """Say that the node will not be ready."""
        self._stand = replace(
            self._stand,
            status="failed",
            phase="startup_failed",
            message=message,
            updated_ms=self._wall.now_ms(),
        )

    def open(self, node: Node) -> None:
        """Let requests through to the node."""
        self._node = node

    def close(self) -> None:
        """Let no further request through; those inside go on."""
        self._node = None
        self.report("stopping", "The node is shutting down.", 0.0)

    def refusal(self, *, is_health: bool) -> Response:
        """The answer while there is no node."""
        stand = self._stand
        reply = StartingReply(
            status=stand.status,
            phase=stand.phase,
            message=stand.message,
            version=__version__,
            started_at=_rfc3339(self._started_ms),
            updated_at=_rfc3339(stand.updated_ms),
            progress=stand.progress,
            eta=None,
            elapsed_ms=int((self._wall.monotonic() - self._began) * 1000),
        )
        as_health, as_other = _STATUSES[stand.status]
        return answer(reply, as_health if is_health else as_other)


def _rfc3339(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
