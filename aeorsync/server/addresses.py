"""Under which URL others reach this node."""

import contextlib
import socket

from aeorsync.config import Settings


def own_url(settings: Settings, port: int) -> str:
    """The URL under which others reach this node, as far as we can tell."""
    if settings.advertise_url:
        return settings.advertise_url
    scheme = "https" if settings.tls_cert else "http"
    host = settings.host
    if host in ("0.0.0.0", "::", "127.0.0.1", "::1", "localhost"):  # noqa: S104
        host = _reachable_host(settings.join)
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def _reachable_host(join_url: str | None) -> str:
    """Our address as the node at ``join_url`` sees it; localhost when nobody is to be joined."""
    if join_url is None:
        return "localhost"
    host, _, port = join_url.partition("://")[2].partition("/")[0].rpartition(":")
    host = host or join_url.partition("://")[2].partition("/")[0]
    with contextlib.suppress(OSError, ValueError):
        info = socket.getaddrinfo(
            host.strip("[]"), int(port) if port.isdigit() else 80, type=socket.SOCK_DGRAM
        )[0]
        with socket.socket(info[0], socket.SOCK_DGRAM) as probe:
            # Connecting a datagram socket sends nothing; it only chooses our address.
            probe.connect(info[4])
            address: str = probe.getsockname()[0]
            return "localhost" if address in ("127.0.0.1", "::1") else address
    return "localhost"
