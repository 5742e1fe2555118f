"""What a person asks of a running node, by the same connection that nodes use."""

from pathlib import Path
from typing import Any

import msgspec

from aeorsync.errors import UNREADABLE, BadRequestError
from aeorsync.remote.asking import CALL_S
from aeorsync.remote.connection import Connection
from aeorsync.remote.trust import load_trust


async def ask(  # noqa: PLR0913  # what a call consists of
    url: str,
    bearer: str | None,
    method: str,
    path: str,
    body: object = None,
    *,
    authorities: Path | None = None,
    deadline_s: float = CALL_S,
) -> dict[str, Any]:
    """Make one call and return the JSON object of its answer; a list comes as its ``items``.

    Args:
        url: Base URL of the node.
        bearer: API key or token; None to send none.
        method: HTTP method.
        path: With its query, percent-encoded.
        body: Sent as JSON; None for no body.
        authorities: PEM file of those whose certificates to believe; None for the system's.
        deadline_s: Longest time until the answer is here, in seconds.

    Raises:
        AeorError: See `remote.connection`; BadRequestError when the answer is no JSON object.
    """
    trust = None if authorities is None else load_trust(authorities)
    connection = Connection(url, None if bearer is None else lambda: bearer, trust=trust)
    sent = b"" if body is None else msgspec.json.encode(body)
    try:
        answer = await connection.call(method, path, sent, deadline_s=deadline_s)
    finally:
        await connection.close()
    try:
        told = msgspec.json.decode(answer, type=dict[str, Any] | list[Any])
    except UNREADABLE as error:
        raise BadRequestError(f"{url} answered something else than a node does") from error
    return {"items": told} if isinstance(told, list) else told
