"""Getting to know a peer's clock: probes in a row, and one more with each heartbeat."""

from collections import deque
from typing import Final

from aeorsync.core.links import ClockEstimate, ClockSample, estimate
from aeorsync.errors import AeorError, BadRequestError
from aeorsync.remote.calls import Remote
from aeorsync.runtime.clock import WallClock
from aeorsync.wire.links import ClockReply

BURST: Final = 5
"""Probes in a row when a link begins."""
PATIENCE: Final = 3
"""Heartbeats in a row without an answer to their probes, after which nothing is known any more."""
_SAMPLES: Final = 8
_MAX_READING: Final = (1 << 63) - 1


class ClockOffError(AeorError):
    """The clocks stopped to agree while the link was active."""


class Acquaintance:
    """The last comparisons with one peer's clock. Belongs to the event loop."""

    def __init__(self, wall: WallClock) -> None:
        """Begin with nothing known; ``wall`` is our clock."""
        self._wall = wall
        self._samples: deque[ClockSample] = deque(maxlen=_SAMPLES)

    @property
    def estimate(self) -> ClockEstimate:
        """What the comparisons say together."""
        return estimate(self._samples)

    def forget(self) -> None:
        """Begin anew: what was measured over another connection says little about this one."""
        self._samples.clear()

    async def probe(self, remote: Remote) -> ClockReply:
        """Compare the clocks once; returns who answered.

        Raises:
            UnavailableError: Nobody did, in time.
            BadRequestError: The answer makes no sense.
        """
        began, sent = self._wall.monotonic(), self._wall.now_ns() / 1e6
        reply = await remote.clock(int(sent))
        if not all(0 < reading <= _MAX_READING for reading in (reply.t1, reply.t2)):
            raise BadRequestError(f"{remote.address} answered with an impossible time")
        # Measured by the clock that never jumps: a step of the wall clock is no round trip.
        returned = sent + (self._wall.monotonic() - began) * 1e3
        self._samples.append(ClockSample(sent, reply.t1, reply.t2, returned))
        return reply
