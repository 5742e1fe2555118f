"""Cycles that somebody asks for, and waits for."""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from aeorsync.cluster.link import Link
from aeorsync.cluster.peers import PeerResult, PeerSkipped, TriggerReport
from aeorsync.errors import AeorError

TRIGGER_S: Final = 60.0
"""Longest time one peer's cycle may take when somebody waits for it."""


async def run_cycles(
    links: Sequence[Link], *, force_activate: bool, is_push: bool
) -> TriggerReport:
    """Run a cycle over every active link and wait for it, at most `TRIGGER_S` each.

    Args:
        links: Those that are meant.
        force_activate: Activate the others first, whatever their clocks say.
        is_push: Bring there what they lack, instead of pulling what we lack.
    """
    able = [link for link in links if _moves(link, is_push=is_push)]
    asleep = [link for link in able if not link.is_active]
    forced = [link for link in asleep if force_activate and link.record.enabled]
    for link in forced:
        link.force()
    asked = [link for link in able if link.is_active or link in forced]
    results = await asyncio.gather(*(_cycle(link, is_push=is_push) for link in asked))
    skipped = [link for link in links if link not in asked]
    good = sum(result.ok for result in results)
    return TriggerReport(
        peers_synced=good,
        peers_failed=len(results) - good,
        peers_skipped=len(skipped),
        results=tuple(results),
        skipped=tuple(_skipped(link, is_push=is_push) for link in skipped),
        forced_active=tuple(link.record.peer_id for link in forced if link.is_active),
    )


def _moves(link: Link, *, is_push: bool) -> bool:
    return link.record.pushes if is_push else link.record.pulls


def _skipped(link: Link, *, is_push: bool) -> PeerSkipped:
    state = link.peer_state()
    reason = state.reason or "not active"
    if not _moves(link, is_push=is_push):
        word = "pushed" if is_push else "pulled"
        reason = f"nothing is {word}: its direction is {link.record.direction.value}"
    return PeerSkipped(state.node_id, state.state, reason)


async def _cycle(link: Link, *, is_push: bool) -> PeerResult:
    if is_push and link.standing.is_foreign:
        text = "nothing can be pushed to an AeorDB node: it pulls"
        return PeerResult(node_id=link.record.peer_id, ok=False, error=text)
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
