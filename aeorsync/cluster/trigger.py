"""Cycles that somebody asked for, one link each."""

import asyncio
from typing import Final

import msgspec

from aeorsync.cluster.link import Link
from aeorsync.cluster.peers import PeerResult, PeerSkipped
from aeorsync.errors import AeorError

TRIGGER_S: Final = 60.0
"""Longest time one peer's cycle may take when somebody waits for it."""


def moves(link: Link, *, is_push: bool) -> bool:
    """Whether data may move over a link in this direction."""
    return link.record.pushes if is_push else link.record.pulls


def skipped(link: Link, *, is_push: bool) -> PeerSkipped:
    """Say why a link was not asked."""
    state = link.peer_state()
    reason = state.reason or "not active"
    if not moves(link, is_push=is_push):
        word = "pushed" if is_push else "pulled"
        reason = f"nothing is {word}: its direction is {link.record.direction.value}"
    return PeerSkipped(state.node_id, state.state, reason)


async def cycle(link: Link, *, is_push: bool) -> PeerResult:
    """Run a whole cycle and wait for it; whatever goes wrong is in the result."""
    try:
        async with asyncio.timeout(TRIGGER_S):
            report = await (link.pusher.pushed() if is_push else link.pulled())
    except TimeoutError:
        return PeerResult(
            node_id=link.record.peer_id, ok=False, error=f"no end after {TRIGGER_S:g} s"
        )
    except AeorError as error:
        return PeerResult(node_id=link.record.peer_id, ok=False, error=error.message)
    return PeerResult(
        node_id=link.record.peer_id,
        ok=not report.is_partial,
        changes_applied=report.changed > 0,
        operations_applied=report.changed,
        conflicts_detected=report.conflicts,
        error=msgspec.UNSET if report.complaint is None else report.complaint,
    )
