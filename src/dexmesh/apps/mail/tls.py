"""Make and keep the certificate by which programs of this machine can insist on STARTTLS.

Place     service.py, at its start -> here -> submission.py and imap/, which offer STARTTLS
Spec      docs/apps/mail.md §4 "Submission" (mutt and Thunderbird insist by default); RFC 3207
Keeps     key and certificate lie in one file that only the account can read; it is made anew before it
          ends and when the names of this node change
Not here  mail between nodes: the mesh seals it, and the address is the key
"""

from __future__ import annotations

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dexmesh.apps.base.home import Home
from dexmesh.apps.base.me import Me
from dexmesh.apps.base.settings import MailSettings
from dexmesh.config.files import write_secret_file
from dexmesh.wire.address import format_address

LIFE = timedelta(days=3650)  # ours
RENEW_BEFORE = timedelta(days=30)  # ours
_BACKDATED = timedelta(days=1)  # ours: clocks differ


def certificate_file(home: Home) -> Path:
    """Where key and certificate lie."""
    return home.mail / "tls.pem"


def load_tls(home: Home, me: Me, settings: MailSettings, unix_time: float) -> ssl.SSLContext:
    """What the servers on localhost need for STARTTLS. Blocks; raises OSError or HostError."""
    path, now = certificate_file(home), datetime.fromtimestamp(unix_time, UTC)
    names = ("localhost", me.key_name, me.alt_name, *settings.host_names)
    if not _is_good(path, names, now):
        write_secret_file(path, _make(names, me, now), overwrite=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(path)
    return context


def _is_good(path: Path, names: tuple[str, ...], now: datetime) -> bool:
    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (OSError, ValueError, x509.ExtensionNotFound):
        return False
    found = alternatives.value.get_values_for_type(x509.DNSName)
    return set(found) == set(names) and now < certificate.not_valid_after_utc - RENEW_BEFORE


def _make(names: tuple[str, ...], me: Me, now: datetime) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    addresses = ("127.0.0.1", "::1", format_address(me.address))
    alternatives = [
        *(x509.DNSName(name) for name in dict.fromkeys(names)),
        *(x509.IPAddress(ipaddress.ip_address(one)) for one in addresses),
    ]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + LIFE)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)
