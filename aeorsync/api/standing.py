"""``POST /sync/seen``: what became of versions that a reader holds.

    this node                                            answer
    ---------                                            ------
    shows it, alone or in a conflict                     stands
    holds what replaced or deleted it, or has            past
      forgotten that together with everybody
    anything else                                        neither: it has never seen it

A reader that finds less here than it knew may ask before it takes that for a deletion: a node that
was put back to an older copy, or lags behind, has not seen what it does not have.

What is asked about is proved by its ETag, so nobody learns of versions they were not given. Of
paths that are not theirs to read nothing is said.
"""

from collections.abc import Mapping
from enum import Enum

from starlette.responses import Response

from aeorsync.api import reach
from aeorsync.api.endpoint import Access, Call, Endpoint, Sees, answer
from aeorsync.api.node import Node
from aeorsync.api.seen import base
from aeorsync.core import access as rules
from aeorsync.core import paths
from aeorsync.core.access import Op
from aeorsync.core.knowledge import Knowledge
from aeorsync.core.merge import see
from aeorsync.core.paths import to_key
from aeorsync.core.versions import Dot, Entry, covers
from aeorsync.errors import (
    BadRequestError,
    DeniedError,
    InvalidFieldError,
    NotFoundError,
    TooLargeError,
)
from aeorsync.runtime import bridge
from aeorsync.wire import limits
from aeorsync.wire.protocol import Held, SeenReply, SeenRequest

_BITS = 64


class Fate(Enum):
    """What became of a version."""

    STANDS = "stands"
    PAST = "past"
    UNSEEN = "unseen"


async def seen(call: Call) -> Response:
    """Say what became of some versions."""
    reach.demand_somebody(call)
    request = await call.body(SeenRequest, limits.MAX_BLOBS_JSON)
    if len(request.versions) > limits.MAX_PAGE:
        raise TooLargeError(f"one request asks about at most {limits.MAX_PAGE} versions")
    access = call.caller.access
    fates = await bridge.run(_fates, call.node, request.versions, access)
    stands = [path for path, fate in fates.items() if fate is Fate.STANDS]
    return answer(SeenReply(stands, [path for path, fate in fates.items() if fate is Fate.PAST]))


def _fates(node: Node, versions: Mapping[str, Held], access: rules.Access) -> dict[str, Fate]:
    # Before the view is opened: what is known is in the trees by then.
    known = node.repository.known()
    with node.repository.view() as view:
        found = {}
        for text, held in versions.items():
            path = paths.parse(text)
            dot = _proved(node, path, held) if access.may(path, Op.READ) else None
            if dot is not None:
                found[text] = fate_of(view.entry(to_key(path)), dot, known)
    return found


def fate_of(entry: Entry | None, dot: Dot, known: Knowledge) -> Fate:
    """What became of the version that ``dot`` names, by what is at its path and what is known."""
    if entry is not None:
        sight = see(entry)
        if any(version.dot == dot for version in (sight.winner, *sight.losers)):
            return Fate.STANDS
        # One that says the same as another stands in for it.
        if covers(entry.context, dot):
            return Fate.PAST
    return Fate.PAST if known.get(dot[0], 0) >= dot[1] else Fate.UNSEEN


def _proved(node: Node, path: paths.TreePath, held: Held) -> Dot | None:
    """The dot of a version whose ETag was given out for this path; None for anything else."""
    incarnation, _, number = held.version.partition("-")
    try:
        dot = int(incarnation, 16), int(number, 16)
        vector = base(node, path, held.etag)
    except (ValueError, BadRequestError):
        return None
    is_right = held.version == f"{dot[0]:x}-{dot[1]:x}" and max(dot) < 1 << _BITS
    return dot if is_right and dot in vector else None


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "POST",
        "/sync/seen",
        seen,
        "Tell what became of versions that a reader holds.",
        access=Access.SYNC,
        request=SeenRequest,
        reply=SeenReply,
        errors=(
            BadRequestError,
            InvalidFieldError,
            DeniedError,
            NotFoundError,
            TooLargeError,
        ),
        sees=Sees.PRESENT,
    ),
)
