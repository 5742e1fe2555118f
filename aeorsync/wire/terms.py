"""What peers agree on: the terms of a link, and its end."""

import msgspec

from aeorsync.wire.protocol import NodeId


class PeerTerms(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What may be said of a link; what is left out stays as it is. Checked by `cluster.terms`.

    Attributes:
        label: Its name, for people; null for none.
        sync_paths: Globs of what to take; null or empty for everything.
        excludes: Globs of what not to take after all; null or empty for no exception.
        direction: ``both``, ``pull`` (never offer) or ``push`` (never take).
        enabled: False pauses the link.
        compression: ``zstd``, ``gzip`` or ``none``, of what the peer answers.
        bandwidth_limit: Thousands of bytes a second for what is fetched and sent; 0 for no limit.
    """

    label: str | msgspec.UnsetType | None = msgspec.UNSET
    sync_paths: list[str] | msgspec.UnsetType | None = msgspec.UNSET
    excludes: list[str] | msgspec.UnsetType | None = msgspec.UNSET
    direction: str | msgspec.UnsetType = msgspec.UNSET
    enabled: bool | msgspec.UnsetType = msgspec.UNSET
    compression: str | msgspec.UnsetType = msgspec.UNSET
    bandwidth_limit: int | msgspec.UnsetType = msgspec.UNSET


class PeerRequest(PeerTerms, frozen=True, kw_only=True, omit_defaults=True):
    """A peer to be added.

    Attributes:
        address: Base URL at which it answers.
        node_id: Whom to expect there; null to ask.
    """

    address: str = ""
    node_id: NodeId | None = None


class PeerPatch(PeerTerms, frozen=True, kw_only=True, omit_defaults=True):
    """Changes to a link.

    Attributes:
        address: Base URL at which the peer answers from now on.
    """

    address: str | msgspec.UnsetType = msgspec.UNSET


class LeaveRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Forget your link to me.

    Attributes:
        node_id: Who is leaving.
        told: Who is meant; another node that answers at that address by now changes nothing.
    """

    node_id: NodeId
    told: NodeId | None = None


class LeaveReply(msgspec.Struct, frozen=True):
    """Whether there was such a link."""

    removed: bool
