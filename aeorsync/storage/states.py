"""What a path is to become, and what is to be seen there, without their history."""

import msgspec

from aeorsync.core.merge import Sight, see
from aeorsync.core.versions import NO_CONTENT, Content, Entry, Kind, Version


class State(msgspec.Struct, frozen=True):
    """What a path is to become; a `Version` without its history."""

    kind: Kind
    deleted: bool = False
    content: Content = NO_CONTENT
    target: str = ""
    content_type: str = ""
    executable: bool = False
    mtime: int = 0
    created: int = 0
    base: bytes = b""


def state_of(version: Version, **changes: object) -> State:
    """The state a version left, with some of it changed."""
    fields = {name: getattr(version, name) for name in State.__struct_fields__}
    return State(**{**fields, "kind": Kind(version.kind), **changes})


def sight_of(entry: Entry | None) -> Sight | None:
    """What readers see of an entry, if it is live."""
    sight = None if entry is None else see(entry)
    return sight if sight is not None and sight.is_live else None
