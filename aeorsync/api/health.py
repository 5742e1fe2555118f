"""How the node is, for load balancers and people."""

import shutil
from pathlib import Path
from typing import Literal

from starlette.responses import Response

from aeorsync import __version__
from aeorsync.api.endpoint import Access, Call, Endpoint, answer
from aeorsync.api.replies import HealthReply
from aeorsync.runtime import bridge

DEGRADED = 0.90
UNHEALTHY = 0.98

Status = Literal["healthy", "degraded", "unhealthy"]


def judge(used: float) -> Status:
    """The word for a disk of which this share, 0 to 1, is in use."""
    if used > UNHEALTHY:
        return "unhealthy"
    return "degraded" if used > DEGRADED else "healthy"


def disk_use(folder: Path | None) -> float:
    """The share of the disk below a folder that is in use, as ordinary users see it."""
    if folder is None:
        return 0.0
    usage = shutil.disk_usage(folder)
    return usage.used / max(1, usage.used + usage.free)


async def health(call: Call) -> Response:
    """Say how the node is."""
    used = await bridge.run(disk_use, call.node.folder)
    return answer(HealthReply(judge(used), __version__))


ENDPOINTS = tuple(
    Endpoint(
        method,
        "/system/health",
        health,
        "How the node is: by the disk space it has left.",
        access=Access.OPEN,
        reply=HealthReply,
        needs_ready=False,
    )
    for method in ("GET", "HEAD")
)
