"""``aeorsync start``: run a node until it is told to stop."""

import logging
from typing import Annotated, Any, Final

import typer

from aeorsync.config import SETTINGS, debugging, load

EPILOG: Final = """\
Examples:

aeorsync start -D nodeA.aeorsync

aeorsync start --auth disabled --host 127.0.0.1 -p 6831 -D nodeB.aeorsync --peers http://127.0.0.1:6830

AEORSYNC_JOIN_TOKEN=... aeorsync start -D nodeC.aeorsync --join https://nodeA.example:6830
"""


_SETTINGS: Final = {setting.name: setting for setting in SETTINGS}


def _option(name: str) -> Any:  # noqa: ANN401  # typer hides what an option is, too
    setting = _SETTINGS[name]
    default = f", default {setting.default}" if setting.default else ""
    return typer.Option(
        *setting.flags,
        metavar=setting.metavar,
        help=f"{setting.help} ({setting.env}{default})",
        show_default=False,
    )


def start(  # noqa: PLR0913  # one flag a setting; a test compares them with the table
    *,
    data: Annotated[str | None, _option("data")] = None,
    auth: Annotated[str | None, _option("auth")] = None,
    host: Annotated[str | None, _option("host")] = None,
    port: Annotated[str | None, _option("port")] = None,
    advertise_url: Annotated[str | None, _option("advertise_url")] = None,
    peers: Annotated[str | None, _option("peers")] = None,
    join: Annotated[str | None, _option("join")] = None,
    join_token: Annotated[str | None, _option("join_token")] = None,
    tls_cert: Annotated[str | None, _option("tls_cert")] = None,
    tls_key: Annotated[str | None, _option("tls_key")] = None,
    cors_origins: Annotated[str | None, _option("cors_origins")] = None,
    cluster_ca: Annotated[str | None, _option("cluster_ca")] = None,
    jwt_expiry: Annotated[str | None, _option("jwt_expiry")] = None,
    log_format: Annotated[str | None, _option("log_format")] = None,
    sync_interval: Annotated[str | None, _option("sync_interval")] = None,
    gc_interval: Annotated[str | None, _option("gc_interval")] = None,
    grave_retention: Annotated[str | None, _option("grave_retention")] = None,
    config: Annotated[str | None, _option("config")] = None,
) -> None:
    """Run a node until it is told to stop (Ctrl-C or SIGTERM).

    A flag wins over its environment variable (in brackets), that over the
    file of --config, and that over the default.
    """
    flags = locals()
    settings = load(flags)
    # Imported here: the server takes a while to load, and help and refusals need not wait for it.
    from aeorsync.runtime import memory  # noqa: PLC0415

    memory.search_seldom()  # what is imported stays
    from aeorsync.cli import banner  # noqa: PLC0415
    from aeorsync.runtime import log  # noqa: PLC0415
    from aeorsync.server import run  # noqa: PLC0415

    log.set_up(settings.log_format, level=logging.DEBUG if debugging() else logging.INFO)
    as_json = settings.log_format == "json"
    raise typer.Exit(run(settings, lambda ready: banner.show(ready, as_json=as_json)))
