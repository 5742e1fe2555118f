"""Whether this node is in step with its peers, in one word.

    paused by a person                                       not looked at
    in step                                                  good
    behind for `LAGGY_MS`, data flows                        laggy
    behind for `UNHEALTHY_MS`, and data does not flow        unhealthy

*Behind* is measured from the moment we were last known to have all the peer has: its news came, or
the connection that would have brought news broke. So a cluster in which nothing happens is in step
however long that lasts. Data does not flow where the link is not active, or its cycles fail.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from aeorsync.cluster.peers import PeerState
from aeorsync.core.links import LinkState

LAGGY_MS: Final = 5_000
UNHEALTHY_MS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """How this node stands to its peers.

    Attributes:
        unhealthy: Node ids of the peers from which data should come and does not.
        laggy: Node ids of those from which it comes too slowly.
        mean_lag_ms: How far behind the peers we are from which data comes, on average.
    """

    unhealthy: tuple[int, ...]
    laggy: tuple[int, ...]
    mean_lag_ms: int

    @property
    def is_healthy(self) -> bool:
        """Whether data comes from every peer from which it should."""
        return not self.unhealthy


def lag_ms(peer: PeerState, now_ms: int) -> int:
    """For how long we may have lacked something of a peer's; 0 in step."""
    return 0 if peer.behind_since is None else max(0, now_ms - peer.behind_since)


def judge(peers: Iterable[PeerState], now_ms: int, started_ms: int) -> Verdict:
    """Judge the links of a node.

    Args:
        peers: How they stand.
        now_ms: What time it is, in milliseconds since the Unix epoch.
        started_ms: When the node was ready, likewise; before that nobody could be heard of.
    """
    unhealthy: list[int] = []
    laggy: list[int] = []
    lags: list[int] = []
    for peer in peers:
        if not peer.enabled:
            continue
        lag = lag_ms(peer, now_ms)
        waited = min(lag, max(0, now_ms - started_ms))
        flows = peer.state == LinkState.ACTIVE.value
        flows = flows and peer.sync_status.consecutive_failures == 0
        if flows:
            lags.append(lag)
        if not flows and waited >= UNHEALTHY_MS:
            unhealthy.append(peer.node_id)
        elif flows and waited >= LAGGY_MS:
            laggy.append(peer.node_id)
    return Verdict(tuple(unhealthy), tuple(laggy), sum(lags) // len(lags) if lags else 0)
