"""The one table of all settings.

The loader, the help of the command line and the test of ``docs/operations.md`` are driven by it.
"""

from typing import Final

import msgspec

WEEK: Final = 7 * 24 * 3600
MAX_RETENTION_S: Final = 3650 * 24 * 3600


class Setting(msgspec.Struct, frozen=True):
    """One thing a node can be told.

    Attributes:
        name: Its name here, and of the field of ``Settings`` it becomes.
        flags: Its flags on the command line, the long one last.
        toml: Its dotted key in the TOML file; empty for what must not or cannot stand there.
        default: The text it has when nobody says otherwise; empty for none.
        help: One line for a person.
        metavar: What the value looks like, for the help.
        kind: The type it has in the TOML file (a list may be written as one comma text).
    """

    name: str
    flags: tuple[str, ...]
    toml: str
    default: str
    help: str
    metavar: str
    kind: type[str | int | list[str]] = str

    @property
    def flag(self) -> str:
        """Return the long flag."""
        return self.flags[-1]

    @property
    def env(self) -> str:
        """Return the environment variable."""
        return f"AEORSYNC_{self.name.upper()}"


SETTINGS: Final = (
    Setting(
        name="data",
        flags=("-D", "--database"),
        toml="storage.database",
        default="data.aeorsync",
        help="Folder that holds all data of this node; made if missing.",
        metavar="FOLDER",
    ),
    Setting(
        name="auth",
        flags=("--auth",),
        toml="auth.mode",
        default="self",
        help="Who may call: self (keys kept by this node), disabled, or file:///path/to/identity.",
        metavar="MODE",
    ),
    Setting(
        name="host",
        flags=("--host",),
        toml="server.host",
        default="0.0.0.0",  # noqa: S104  # a sync server is there to be reached
        help="Address to listen on.",
        metavar="ADDRESS",
    ),
    Setting(
        name="port",
        flags=("-p", "--port"),
        toml="server.port",
        default="6830",
        help="Port to listen on, 0 to 65535; 0 takes any free one.",
        metavar="PORT",
        kind=int,
    ),
    Setting(
        name="advertise_url",
        flags=("--advertise-url",),
        toml="server.advertise_url",
        default="",
        help="URL under which other nodes reach this one.",
        metavar="URL",
    ),
    Setting(
        name="peers",
        flags=("--peers",),
        toml="cluster.peers",
        default="",
        help="URLs of nodes to keep in step with, separated by commas.",
        metavar="URL,...",
        kind=list,
    ),
    Setting(
        name="join",
        flags=("--join",),
        toml="cluster.join",
        default="",
        help="URL of a node whose cluster to join; needs a join token.",
        metavar="URL",
    ),
    Setting(
        name="join_token",
        flags=("--join-token",),
        toml="",
        default="",
        help="Root token of the cluster to join. Give it by the environment: flags show in ps.",
        metavar="TOKEN",
    ),
    Setting(
        name="tls_cert",
        flags=("--tls-cert",),
        toml="server.tls.cert",
        default="",
        help="PEM file with the certificate chain; needs the key too.",
        metavar="FILE",
    ),
    Setting(
        name="tls_key",
        flags=("--tls-key",),
        toml="server.tls.key",
        default="",
        help="PEM file with the private key; needs the certificate too.",
        metavar="FILE",
    ),
    Setting(
        name="cors_origins",
        flags=("--cors-origins",),
        toml="server.cors.origins",
        default="",
        help="Origins whose web pages may call, separated by commas; * for all.",
        metavar="ORIGIN,...",
        kind=list,
    ),
    Setting(
        name="cluster_ca",
        flags=("--cluster-ca",),
        toml="cluster.ca",
        default="",
        help="PEM file of the authorities that sign peers' certificates, instead of the system's.",
        metavar="FILE",
    ),
    Setting(
        name="jwt_expiry",
        flags=("--jwt-expiry",),
        toml="auth.jwt_expiry_seconds",
        default=str(WEEK),
        help=f"Seconds a token is good for, 60 to {4 * WEEK}.",
        metavar="SECONDS",
        kind=int,
    ),
    Setting(
        name="log_format",
        flags=("--log-format",),
        toml="server.log_format",
        default="pretty",
        help="How to log to stderr: pretty (for people) or json (one object a line).",
        metavar="FORMAT",
    ),
    Setting(
        name="sync_interval",
        flags=("--sync-interval",),
        toml="cluster.sync_interval_seconds",
        default="30",
        help="Seconds between pulls from each peer when no event asks for one, 1 to 3600.",
        metavar="SECONDS",
        kind=int,
    ),
    Setting(
        name="gc_interval",
        flags=("--gc-interval",),
        toml="storage.gc_interval_hours",
        default="24",
        help="Hours till garbage is collected at the latest, 0 to 8760; 0: only when asked to.",
        metavar="HOURS",
        kind=int,
    ),
    Setting(
        name="grave_retention",
        flags=("--grave-retention",),
        toml="storage.grave_retention",
        default="30d",
        help="How long deletions are remembered at least, like 30d, 12h, 90m or 10s.",
        metavar="TIME",
    ),
    Setting(
        name="config",
        flags=("-c", "--config"),
        toml="",
        default="",
        help="TOML file with settings; flags and the environment win over it.",
        metavar="FILE",
    ),
)
