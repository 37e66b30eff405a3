"""The certificate for programs of this machine: who is convinced by it, and when it is made anew."""

from __future__ import annotations

import ssl
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dexmesh.apps.base.home import Home
from dexmesh.apps.base.me import Me
from dexmesh.apps.base.settings import MailSettings
from dexmesh.apps.mail.checks import check_certificate
from dexmesh.apps.mail.tls import DAY_S, LIFE_S, certificate_file, load_tls
from dexmesh.wire.address import format_address
from dexmesh.wire.keys import decode_key

ME = Me.of(decode_key("xpr2z2s3hnr0qzpk2u121uqjv15dc335v54pccqlqj6c5p840yy0.k"))
OTHER = Me.of(decode_key("mwrbxrdfh8jyhuc1pz6w3wsducmgxftw28ymck45g8r9p7syz7d0.k"))
SETTINGS = MailSettings(host_names=("Mail.Example", "10.1.2.3"))
NOW = float(int(time.time()))  # OpenSSL judges by the real clock


@pytest.fixture(name="home")
def _home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.mail.mkdir()
    return home


def shake_hands(server_context: ssl.SSLContext, client_context: ssl.SSLContext, name: str) -> str:
    """The TLS version both agree on, in memory. Raises ssl.SSLError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname=name)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    waiting = [client, server]
    for _ in range(10):
        for one in list(waiting):
            try:
                one.do_handshake()
                waiting.remove(one)
            except ssl.SSLWantReadError:
                pass
    assert not waiting
    return client.version() or ""


def trusting(home: Home) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(certificate_file(home)))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


@pytest.mark.parametrize(
    "name",
    ["localhost", "127.0.0.1", "::1", ME.key_name, ME.alt_name, format_address(ME.address),
     "mail.example", "10.1.2.3"],
)  # fmt: skip
def test_whoever_trusts_the_file_is_convinced_under_every_name_of_the_node(
    home: Home, name: str
) -> None:
    assert shake_hands(load_tls(home, ME, SETTINGS, NOW), trusting(home), name) == "TLSv1.3"


def test_another_name_or_another_certificate_convinces_nobody(home: Home, tmp_path: Path) -> None:
    context = load_tls(home, ME, SETTINGS, NOW)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(context, trusting(home), "elsewhere.example")
    elsewhere = Home(tmp_path / "other")
    elsewhere.mail.mkdir(parents=True)
    load_tls(elsewhere, ME, SETTINGS, NOW)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(context, trusting(elsewhere), "localhost")


def test_it_signs_no_other_certificates(home: Home) -> None:
    load_tls(home, ME, SETTINGS, NOW)
    assert trusting(home).get_ca_certs() == []


def test_old_versions_of_tls_are_refused(home: Home) -> None:
    assert load_tls(home, ME, SETTINGS, NOW).minimum_version is ssl.TLSVersion.TLSv1_2


def test_only_the_owner_can_read_the_key(home: Home) -> None:
    load_tls(home, ME, SETTINGS, NOW)
    assert certificate_file(home).stat().st_mode & 0o777 == 0o600
    assert [one.name for one in home.mail.iterdir()] == ["tls.pem"]


def test_it_is_kept_for_as_long_as_it_is_good(home: Home) -> None:
    load_tls(home, ME, SETTINGS, NOW)
    first = certificate_file(home).read_bytes()
    load_tls(home, ME, SETTINGS, NOW + LIFE_S - 31 * DAY_S)
    assert certificate_file(home).read_bytes() == first


@pytest.mark.parametrize("later", [LIFE_S - 29 * DAY_S, LIFE_S + DAY_S, -2 * DAY_S])
def test_it_is_made_anew_before_it_ends_and_when_the_clock_went_back(
    home: Home, later: float
) -> None:
    load_tls(home, ME, SETTINGS, NOW)
    first = certificate_file(home).read_bytes()
    load_tls(home, ME, SETTINGS, NOW + later)
    assert certificate_file(home).read_bytes() != first
    (finding,) = check_certificate(home, lambda: NOW + later)
    assert "is good" in finding.what


@pytest.mark.parametrize(
    ("me", "settings"), [(OTHER, SETTINGS), (ME, replace(SETTINGS, host_names=("new.example",)))]
)
def test_it_is_made_anew_when_the_names_change(home: Home, me: Me, settings: MailSettings) -> None:
    load_tls(home, ME, SETTINGS, NOW)
    context = load_tls(home, me, settings, NOW)
    name = (*settings.host_names, me.key_name)[0].lower()
    assert shake_hands(context, trusting(home), name)
    assert shake_hands(context, trusting(home), me.key_name)


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xfe", b"-----BEGIN CERTIFICATE-----\n", b"a\nb\nValid: x y\n"]
)
def test_a_file_that_is_no_certificate_is_replaced(home: Home, data: bytes) -> None:
    certificate_file(home).write_bytes(data)
    certificate_file(home).chmod(0o600)
    assert shake_hands(load_tls(home, ME, SETTINGS, NOW), trusting(home), "localhost")


def test_a_certificate_cut_short_is_replaced(home: Home) -> None:
    load_tls(home, ME, SETTINGS, NOW)
    path = certificate_file(home)
    path.write_bytes(path.read_bytes()[:-200])
    assert shake_hands(load_tls(home, ME, SETTINGS, NOW), trusting(home), "localhost")


def test_a_key_that_others_could_read_is_replaced(home: Home) -> None:
    load_tls(home, ME, SETTINGS, NOW)
    path = certificate_file(home)
    first = path.read_bytes()
    path.chmod(0o640)
    load_tls(home, ME, SETTINGS, NOW)
    assert path.read_bytes() != first
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_start_with_a_good_one_does_not_load_cryptography(home: Home) -> None:
    load_tls(home, ME, SETTINGS, NOW)
    code = (
        "import sys; from pathlib import Path; from dexmesh.apps.base.home import Home;"
        "from dexmesh.apps.base.me import Me; from dexmesh.apps.base.settings import MailSettings;"
        "from dexmesh.apps.mail.tls import load_tls; from dexmesh.wire.keys import decode_key;"
        f"load_tls(Home(Path({str(home.path)!r})), Me.of(decode_key({ME.key_name!r})),"
        f" MailSettings(host_names={SETTINGS.host_names!r}), {NOW});"
        "sys.exit('cryptography' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
