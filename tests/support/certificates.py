"""Certificates made on the fly: an authority, and what it signs."""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Authority:
    """Signs certificates; ``file`` is what its believers are given."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = _name(name)
        self._key = generate_private_key(SECP256R1())
        self.file = folder / f"{name}.pem"
        constraint = x509.BasicConstraints(ca=True, path_length=None)
        certificate = (
            _draft(self._name, DAY).public_key(self._key.public_key()).issuer_name(self._name)
        ).add_extension(constraint, critical=True)
        signed = certificate.sign(self._key, hashes.SHA256())
        self.file.write_bytes(signed.public_bytes(Encoding.PEM))

    def issue(self, host: str, lasts: timedelta = DAY) -> tuple[str, ...]:
        """Flags of a node whose certificate is for a host (an address or a name)."""
        key = generate_private_key(SECP256R1())
        try:
            name: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            name = x509.DNSName(host)
        certificate = (
            _draft(_name(host), lasts).public_key(key.public_key()).issuer_name(self._name)
        ).add_extension(x509.SubjectAlternativeName([name]), critical=False)
        signed = certificate.sign(self._key, hashes.SHA256())
        stem = f"{self.file.stem}-{signed.serial_number:x}"
        cert, private = self._folder / f"{stem}.crt", self._folder / f"{stem}.key"
        cert.write_bytes(signed.public_bytes(Encoding.PEM))
        private.write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        )
        return "--tls-cert", str(cert), "--tls-key", str(private)


def _draft(subject: x509.Name, lasts: timedelta) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 2 * DAY)
        .not_valid_after(now + lasts)
    )
