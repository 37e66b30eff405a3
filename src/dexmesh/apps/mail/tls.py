"""Make and keep the certificate by which programs of this machine can insist on STARTTLS.

Place     service.py, at its start -> here -> submission.py and imap/, which offer STARTTLS
Spec      docs/apps/mail.md §4 "Submission" (mutt and Thunderbird insist by default); RFC 3207
Keeps     key and certificate lie in one file that only the account can read; it is made anew before it
          ends, when the names of this node change, and when it is damaged or others could read it
Not here  mail between nodes: the mesh seals it, and the address is the key

The file says in plain words, before the key, what the certificate is for and until when: so a start
that needs no new one does not load `cryptography`. PEM readers skip such lines (RFC 7468 §2).
"""

from __future__ import annotations

import ipaddress
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from dexmesh.apps.base.home import Home
from dexmesh.apps.base.me import Me
from dexmesh.apps.base.settings import MailSettings
from dexmesh.config.files import is_exposed, write_secret_file
from dexmesh.wire.address import format_address

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate, GeneralName

DAY_S = 86_400.0
LIFE_S = 3650 * DAY_S  # ours
RENEW_BEFORE_S = 30 * DAY_S  # ours
BACKDATED_S = DAY_S  # ours: clocks differ

_ABOUT = "Made by dexmesh for the mail programs of this machine; removed, it is made anew."
_MOST_BYTES = 1 << 20


def certificate_file(home: Home) -> Path:
    """Where key and certificate lie."""
    return home.mail / "tls.pem"


def load_tls(home: Home, me: Me, settings: MailSettings, unix_time: float) -> ssl.SSLContext:
    """What the servers on localhost need for STARTTLS. Blocks; raises OSError or HostError."""
    path, names = certificate_file(home), _names(me, settings)
    if _is_good(path, names, unix_time):
        try:
            return _context(path)
        except ssl.SSLError:
            pass  # damaged: made anew
    write_secret_file(path, _make(names, unix_time), overwrite=True)
    return _context(path)


def _names(me: Me, settings: MailSettings) -> tuple[str, ...]:
    """Everything a program of this machine may call us by."""
    own = ("localhost", "127.0.0.1", "::1", me.key_name, me.alt_name, format_address(me.address))
    return tuple(dict.fromkeys((*own, *(name.lower() for name in settings.host_names))))


def _context(path: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(path)
    return context


# --- Is it still good? --------------------------------------------------------------------------------


def _preface(names: tuple[str, ...], begins: int, ends: int) -> str:
    return f"{_ABOUT}\nNames: {' '.join(names)}\nValid: {begins} {ends}\n"


def _is_good(path: Path, names: tuple[str, ...], unix_time: float) -> bool:
    """Whether that file is ours, for these names, and valid long enough from now on."""
    try:
        if is_exposed(path):
            return False
        with path.open("rb") as file:
            lines = file.read(_MOST_BYTES).decode("ascii").splitlines()
        begins, ends = map(int, lines[2].removeprefix("Valid: ").split())
    except (OSError, ValueError, IndexError):
        return False
    is_ours = lines[:3] == _preface(names, begins, ends).splitlines()
    return is_ours and begins <= unix_time < ends - RENEW_BEFORE_S


# --- Make one -----------------------------------------------------------------------------------------


def _make(names: tuple[str, ...], unix_time: float) -> bytes:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    begins, ends = int(unix_time - BACKDATED_S), int(unix_time + LIFE_S)
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = _sign(key, names, begins, ends).public_bytes(Encoding.PEM)
    return _preface(names, begins, ends).encode("ascii") + private + public


def _sign(
    key: EllipticCurvePrivateKey, names: tuple[str, ...], begins: int, ends: int
) -> Certificate:
    """A certificate that speaks for itself alone: whoever trusts it, trusts no other through it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    public = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(begins, UTC))
        .not_valid_after(datetime.fromtimestamp(ends, UTC))
        .add_extension(x509.SubjectAlternativeName(map(_alternative, names)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )


def _alternative(name: str) -> GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
