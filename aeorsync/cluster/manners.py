"""Words with a peer before there is a link, and after."""

from typing import Final

from aeorsync.cluster.peers import LinkRecord, is_id
from aeorsync.cluster.site import Site
from aeorsync.cluster.terms import Removal
from aeorsync.errors import AeorError
from aeorsync.runtime.log import get_logger

INTRODUCE_S: Final = 1.0
"""Longest time a peer is given to say who it is."""
LEAVE_S: Final = 2.0
"""Longest time a peer is given to hear that the link to it was removed."""
_log = get_logger(__name__)


async def introduce(site: Site, address: str) -> int | None:
    """Ask who is there; None when nobody answers at once."""
    remote = site.dial(address)
    try:
        reply = await remote.clock(site.wall.now_ms(), deadline_s=INTRODUCE_S)
    except AeorError:
        return None
    finally:
        await remote.close()
    return reply.node_id if is_id(reply.node_id) else None


async def take_leave(site: Site, record: LinkRecord) -> Removal:
    """Ask a peer to drop its link to us; whatever comes of it is in the result."""
    remote = site.dial(record.address)
    try:
        # One that answers had a link to us, or has none already: either is what is wanted.
        await remote.leave(site.node_id, record.node_id, LEAVE_S)
    except AeorError as error:
        _log.warning("peer was not told", peer=record.address, why=error.message)
        return Removal(record.peer_id, peer_told=False, reason=error.message)
    finally:
        await remote.close()
    return Removal(record.peer_id, peer_told=True)
