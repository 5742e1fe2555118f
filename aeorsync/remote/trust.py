"""Whose certificates we believe, and in plain words why one is not believed.

A peer by ``https://`` must show a certificate for the very host of its address, signed by one of
the system's authorities or, where a file of authorities is given, by one of those *instead*: a
cluster with an authority of its own is not opened by whoever can get a certificate elsewhere. A
file may hold several, so who wants both puts both in it.
"""

import ssl
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from aeorsync.errors import StartupError, UntrustedError

TLS: Final = 9
"""Exit code: a certificate, key or file of authorities cannot be used."""

_SELF_SIGNED: Final = (18, 19)
_NO_AUTHORITY: Final = (2, 20, 21)
_WRONG_NAME: Final = (62, 64)
# What OpenSSL calls an answer that is no TLS at all.
_NO_TLS: Final = frozenset(
    {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST"}
)


@cache
def system_trust() -> ssl.SSLContext:
    """Believe the system's authorities; made once, since reading them takes a while."""
    return ssl.create_default_context()


def load_trust(authorities: Path) -> ssl.SSLContext:
    """Believe a file of authorities (PEM) instead of the system's.

    Raises:
        StartupError: The file cannot be read, or holds no certificate.
    """
    try:
        return ssl.create_default_context(cafile=authorities)
    except ssl.SSLError as error:
        text = f"--cluster-ca {authorities} holds no certificate in PEM form"
        raise StartupError(text, TLS) from error
    except OSError as error:
        text = f"--cluster-ca {authorities} cannot be read: {error.strerror}"
        raise StartupError(text, TLS) from error


def distrust(address: str, error: BaseException) -> UntrustedError | None:
    """What a failed connection says about the peer's certificate; None when nothing.

    Args:
        address: Base URL of the peer.
        error: As it was raised; what caused it is looked at, too.
    """
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return UntrustedError(f"{address} {_why(cause)}")
        if isinstance(cause, ssl.SSLError):
            return UntrustedError(f"{address} {_why_not_tls(cause)}")
    return None


def _why(error: ssl.SSLCertVerificationError) -> str:
    match error.verify_code:
        case 9:
            return "shows a certificate that is not valid yet; compare the clocks of both machines"
        case 10:
            return "shows a certificate that has expired; renew it there"
        case code if code in _SELF_SIGNED or code in _NO_AUTHORITY:
            own = "a self-signed certificate" if code in _SELF_SIGNED else "a certificate"
            return (
                f"shows {own} of an authority that is not trusted here;"
                " give that authority by --cluster-ca"
            )
        case code if code in _WRONG_NAME:
            return (
                "shows a certificate for another host; use an address that is in the certificate,"
                " or one with this address in it"
            )
        case _:
            return f"shows a certificate that cannot be verified: {error.verify_message}"


def _why_not_tls(error: ssl.SSLError) -> str:
    if error.reason in _NO_TLS:
        return "does not speak TLS; if it serves plain HTTP, its address begins with http://"
    return f"failed in the TLS handshake: {error.reason or error}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error, what caused it, and so on."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        yield cause
        seen.add(id(cause))
        cause = cause.__cause__ or cause.__context__
