"""Repairs that somebody waits for, over several links at once."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from aeorsync.cluster.link import Link
from aeorsync.errors import AeorError
from aeorsync.wire.nodes import PeerAside, RepairResult

REPAIR_S: Final = 300.0
"""Longest time anybody waits for a repair."""


@dataclass(frozen=True, slots=True)
class Repaired:
    """What came of it.

    Attributes:
        results: Of the active links.
        skipped: The others.
    """

    results: list[RepairResult]
    skipped: list[PeerAside]


async def repair_all(links: Sequence[Link]) -> Repaired:
    """Compare trees over each active link, side by side."""
    asked = [link for link in links if link.is_active and not link.standing.is_foreign]
    results = await asyncio.gather(*(_repair(link) for link in asked))
    aside = [link.peer_state() for link in links if link not in asked]
    return Repaired(
        list(results),
        [PeerAside(state.node_id, state.state, state.reason or "not active") for state in aside],
    )


async def _repair(link: Link) -> RepairResult:
    node_id = link.record.peer_id
    try:
        async with asyncio.timeout(REPAIR_S):
            report = await link.mender.repaired()
    except TimeoutError:
        text = f"no end after {REPAIR_S:g} s; it goes on in the background"
        return RepairResult(node_id=node_id, ok=False, error=text)
    except AeorError as error:
        return RepairResult(node_id=node_id, ok=False, error=error.message)
    return RepairResult(
        node_id=node_id,
        ok=report.complaint is None,
        equal=report.is_equal,
        round_trips=report.round_trips,
        nodes=report.nodes,
        bytes=report.bytes,
        keys_compared=report.compared,
        keys_repaired=report.changed,
        conflicts_detected=report.conflicts,
        chunks_fetched=report.chunks,
        peer_asked=report.asked_peer,
        error=msgspec.UNSET if report.complaint is None else report.complaint,
    )
