"""What `dexmesh doctor` says about mail: the service, its ports, its home, what waits."""

from __future__ import annotations

import os
import pwd
import socket
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dexmesh.apps.base.findings import Finding, Level
from dexmesh.apps.base.home import Home
from dexmesh.apps.base.me import Me
from dexmesh.apps.base.settings import AppSettings, MailSettings, NamesSettings
from dexmesh.apps.mail import checks
from dexmesh.errors import AppError, NoServiceError, PermissionNeededError
from dexmesh.wire.address import format_address, format_padded
from dexmesh.wire.keys import decode_key

KEY = decode_key("mwrbxrdfh8jyhuc1pz6w3wsducmgxftw28ymck45g8r9p7syz7d0.k")
ME = Me.of(KEY)
DAY_S = 86_400.0


def settings(**mail: Any) -> AppSettings:
    """Mail on, at ports that are free unless the test takes them."""
    ports = {"receive_port": 39_025, "submission_ports": (), "imap_port": 0}
    account = pwd.getpwuid(os.geteuid()).pw_name
    given: dict[str, Any] = {"is_on": True, "account": account, **ports, **mail}
    return AppSettings(KEY, MailSettings(**given), NamesSettings(is_on=False))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home as `mail on` makes it."""
    one = Home(tmp_path / "apps")
    for folder in (one.path, one.mail, one.contacts):
        folder.mkdir(mode=0o700)
    return one


def answer(monkeypatch: pytest.MonkeyPatch, **calls: dict[str, Any] | Exception) -> None:
    """The service says this; a call is named with _ for the dot."""

    def ask(_home: Home, call: str) -> dict[str, Any]:
        said = calls.get(call.replace(".", "_"), {})
        if isinstance(said, Exception):
            raise said
        return said

    monkeypatch.setattr(checks, "_ask", ask)


def only(findings: Iterator[Finding]) -> Finding:
    (finding,) = findings
    return finding


def test_a_service_that_does_not_run_is_said_with_what_starts_it(home: Home) -> None:
    finding = only(checks.check_service(home, ME, settings()))
    assert finding.level is Level.WRONG
    assert "dexmesh up" in finding.todo


def test_a_foreign_program_on_our_port_is_named(home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = list(checks.check_service(home, ME, settings(submission_ports=(port,))))
    held = next(one for one in found if one.name == "mail.port")
    assert f"127.0.0.1:{port}" in held.what
    assert f"process {os.getpid()}" in held.what
    assert "submission_ports" in held.todo


def test_ports_of_the_running_service_are_ours_and_a_missing_one_is_told(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = f"[{format_address(ME.address)}]:39025"
    answer(monkeypatch, service_status={"listening": [{"where": where}]})
    found = list(checks.check_service(home, ME, settings(imap_port=39_143)))
    assert [one.level for one in found if where in one.what] == [Level.OK]
    missing = [one for one in found if "39143" in one.what]
    assert [one.level for one in missing] == [Level.WRONG, Level.WRONG]


@pytest.mark.parametrize(
    ("error", "level"),
    [(AppError("busy"), Level.WRONG), (PermissionNeededError("not yours", "sudo"), Level.NOTE)],
)
def test_a_service_that_cannot_be_asked_is_not_called_well(
    error: Exception, level: Level, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, service_status=error, mail_queue=error)
    assert only(checks.check_service(home, ME, settings())).level is level
    assert only(checks.check_waiting(home)).level is level


def test_a_home_that_others_can_look_into_is_wrong(home: Home) -> None:
    assert only(checks.check_home(home, settings())).level is Level.OK
    home.mail.chmod(0o750)
    finding = only(checks.check_home(home, settings()))
    assert finding.todo == f"chmod 700 {home.mail}"
    home.mail.chmod(0o700)
    passwords = home.mail / "passwords"
    passwords.touch(0o644)
    passwords.chmod(0o644)
    assert only(checks.check_home(home, settings())).todo == f"chmod 600 {passwords}"
    assert stat.S_IMODE(passwords.stat().st_mode) == 0o644  # nothing is changed


def test_a_home_of_somebody_else_and_one_that_is_not_there_are_wrong(home: Home) -> None:
    other = next(one.pw_name for one in pwd.getpwall() if one.pw_uid != os.geteuid())
    assert "does not belong" in only(checks.check_home(home, settings(account=other))).what
    gone = Home(home.path / "none")
    assert only(checks.check_home(gone, settings())).level is Level.WRONG
    assert only(checks.check_room(gone)).level is Level.WRONG


class Disk:
    """What statvfs says."""

    f_frsize = 4096
    f_files = 1_000_000
    f_favail = 500_000
    f_bavail = 10_000_000
    f_flag = 0

    def __init__(self, **facts: int) -> None:
        for name, value in facts.items():
            setattr(self, name, value)


@pytest.mark.parametrize(
    ("disk", "level"),
    [
        (Disk(), Level.OK),
        (Disk(f_bavail=100_000), Level.NOTE),
        (Disk(f_bavail=1000), Level.WRONG),
        (Disk(f_favail=5000), Level.NOTE),
        (Disk(f_favail=10), Level.WRONG),
        (Disk(f_files=0, f_favail=0), Level.OK),
        (Disk(f_flag=os.ST_RDONLY), Level.WRONG),
    ],
)
def test_room_on_the_disk_is_judged(
    disk: Disk, level: Level, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _path: disk)
    assert only(checks.check_room(home)).level is level


def test_mail_that_waits_for_a_day_is_worth_a_line() -> None:
    waiting: list[dict[str, Any]] = [{"since_unix": 0.0}, {"since_unix": 2.5 * DAY_S}, {}]
    finding = only(checks.judge_waiting(waiting, 3 * DAY_S))
    assert finding.level is Level.NOTE
    assert "1 mail could" in finding.what
    assert "for 3" in finding.what
    waiting += [{"kind": "text", "since_unix": 0.5 * DAY_S}] * 2
    assert "1 mail and 2 texts could" in only(checks.judge_waiting(waiting, 3 * DAY_S)).what
    assert only(checks.judge_waiting([], 0.0)).level is Level.OK


def test_contacts_that_cannot_answer_are_told_in_the_words_of_the_check(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports = [
        {"is_wrong": True, "sentences": ["bob cannot answer."]},
        {"is_wrong": False, "sentences": ["fine"]},
    ]
    answer(monkeypatch, mail_queue={"waiting": []}, reach_reports={"reports": reports})
    said = [one.what for one in checks.check_waiting(home)]
    assert "bob cannot answer." in said
    assert "fine" not in said
    answer(monkeypatch, mail_queue=NoServiceError("", ""))
    assert list(checks.check_waiting(home)) == []


@pytest.mark.parametrize("spelling", [format_address, format_padded])
def test_stock_opensmtpd_on_the_mesh_address_is_told_about_start_order(
    spelling: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, switch = tmp_path / "smtpd.conf", tmp_path / "ip_nonlocal_bind"
    monkeypatch.setattr(checks, "SMTPD_FILES", (str(config),))
    monkeypatch.setattr(checks, "NONLOCAL_BIND", switch)
    switch.write_text("0\n")
    assert list(checks.check_start_order(ME.address)) == []
    config.write_text("listen on lo\n")
    assert list(checks.check_start_order(ME.address)) == []
    config.write_text(f'listen on lo\nlisten  on {spelling(ME.address)} hostname "x"\n')
    assert "ip_nonlocal_bind=1" in only(checks.check_start_order(ME.address)).todo
    switch.write_text("1\n")
    assert list(checks.check_start_order(ME.address)) == []


def test_mail_that_is_off_is_one_note(home: Home) -> None:
    found = [one for check in checks.checks(home, settings(is_on=False)) for one in check()]
    assert [one.name for one in found] == ["mail.on"]


def certificate(days: float) -> bytes:
    """One that is good for so long."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    end = datetime.now(UTC) + timedelta(days=days)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1)
    builder = builder.not_valid_before(end - timedelta(days=400)).not_valid_after(end)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def test_a_certificate_is_judged_by_its_end(home: Home) -> None:
    assert list(checks.check_certificate(home)) == []
    file = home.mail / "tls.pem"
    for data, level in (
        (certificate(100), Level.OK),
        (certificate(3), Level.NOTE),
        (certificate(-1), Level.WRONG),
        (b"no certificate", Level.WRONG),
    ):
        file.write_bytes(data)
        assert only(checks.check_certificate(home)).level is level
