"""Reading on past a chunk that is damaged here, with the help of peers."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from aeorsync.api.node import Node
from aeorsync.runtime import bridge
from aeorsync.storage.content import LostChunkError

P = ParamSpec("P")
T = TypeVar("T")


async def rescued(node: Node, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call blocking code that reads chunks; where one is lost, fetch it and call again.

    Raises:
        LostChunkError: No peer could give it in time.
    """
    tried: set[bytes] = set()
    while True:
        try:
            return await bridge.run(read, *args, **kwargs)
        except LostChunkError as error:
            # The same chunk again: it does not last here, and no peer can help that.
            if error.chunks <= tried or not await node.member.rescue(error.chunks):
                text = f"{error.message}, and no peer that can be reached could give it"
                raise LostChunkError(text, error.chunks) from error
            tried |= error.chunks
