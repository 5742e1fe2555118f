"""Healthy, laggy or unhealthy: the whole table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeorsync.cluster.peers import PeerState, SyncStatus
from aeorsync.cluster.verdict import LAGGY_MS, UNHEALTHY_MS, Verdict, judge, lag_ms

NOW = 1_700_000_000_000
LONG_AGO = NOW - 10**9


def peer(
    node_id: int = 1,
    state: str = "active",
    behind_ms: int | None = None,
    failures: int = 0,
    *,
    enabled: bool = True,
) -> PeerState:
    return PeerState(
        node_id=node_id,
        address="http://b:1",
        label=None,
        state=state,
        last_sync_at=LONG_AGO,
        sync_status=SyncStatus(consecutive_failures=failures),
        sync_paths=None,
        reason=None,
        since=LONG_AGO,
        enabled=enabled,
        behind_since=None if behind_ms is None else NOW - behind_ms,
    )


@pytest.mark.parametrize(
    ("state", "behind_ms", "failures", "word"),
    [
        ("active", None, 0, "good"),
        ("active", 0, 0, "good"),
        ("active", LAGGY_MS - 1, 0, "good"),
        ("active", LAGGY_MS, 0, "laggy"),
        # Much to take over is no illness.
        ("active", 10**8, 0, "laggy"),
        ("active", UNHEALTHY_MS - 1, 1, "good"),
        ("active", UNHEALTHY_MS, 1, "unhealthy"),
        ("disconnected", 0, 1, "good"),
        ("disconnected", UNHEALTHY_MS - 1, 1, "good"),
        ("disconnected", UNHEALTHY_MS, 1, "unhealthy"),
        ("honeymoon", UNHEALTHY_MS, 0, "unhealthy"),
        ("honeymoon", LAGGY_MS, 0, "good"),
        # A clock that was set back since.
        ("active", -5, 0, "good"),
        ("disconnected", -5, 3, "good"),
    ],
)
def test_what_is_said_of_a_peer(
    state: str, behind_ms: int | None, failures: int, word: str
) -> None:
    verdict = judge([peer(3, state, behind_ms, failures)], NOW, LONG_AGO)
    assert (verdict.unhealthy == (3,)) is (word == "unhealthy")
    assert (verdict.laggy == (3,)) is (word == "laggy")
    assert verdict.is_healthy is (word != "unhealthy")


def test_a_node_without_peers_is_healthy() -> None:
    assert judge([], NOW, LONG_AGO) == Verdict((), (), 0)


def test_a_paused_link_is_not_looked_at() -> None:
    paused = peer(3, "disconnected", 10**9, 7, enabled=False)
    assert judge([paused], NOW, LONG_AGO) == Verdict((), (), 0)


def test_a_node_that_has_just_started_gives_its_links_time() -> None:
    old = peer(3, "disconnected", 10**9, 1)
    assert judge([old], NOW, NOW - UNHEALTHY_MS + 1).is_healthy
    assert not judge([old], NOW, NOW - UNHEALTHY_MS).is_healthy


def test_the_mean_is_of_the_peers_from_which_data_comes() -> None:
    peers = [peer(1), peer(2, behind_ms=3000), peer(3, "disconnected", 10**9)]
    assert judge(peers, NOW, LONG_AGO) == Verdict((3,), (), 1500)


@given(
    st.lists(
        st.builds(
            peer,
            node_id=st.integers(1, 99),
            state=st.sampled_from(["active", "honeymoon", "disconnected"]),
            behind_ms=st.none() | st.integers(-(10**6), 10**9),
            failures=st.integers(0, 3),
            enabled=st.booleans(),
        ),
        unique_by=lambda peer: peer.node_id,
    )
)
def test_nobody_is_both_laggy_and_unhealthy_and_who_is_in_step_is_neither(
    peers: list[PeerState],
) -> None:
    verdict = judge(peers, NOW, LONG_AGO)
    assert not set(verdict.unhealthy) & set(verdict.laggy)
    good = {p.node_id for p in peers if not p.enabled or lag_ms(p, NOW) == 0}
    assert not good & {*verdict.unhealthy, *verdict.laggy}
    assert verdict.mean_lag_ms >= 0
