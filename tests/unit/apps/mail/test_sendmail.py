"""The program `sendmail`: how other programs call it, and that it loses nothing."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from dexmesh.apps.mail import sendmail
from dexmesh.apps.mail.proto.headers import parse_header


def test_the_options_of_mailx_git_and_cron_are_understood() -> None:
    assert sendmail.parse_options(["-i", "-t"]).takes_from_header
    assert sendmail.parse_options(["-oi", "-oem", "-fme@x", "bob"]).sender == "me@x"
    assert sendmail.parse_options(["-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root"]).full_name
    assert sendmail.parse_options(["-bp"]).mode == "p"


def test_bare_literals_in_the_header_are_recipients() -> None:
    header = parse_header(
        b'To: bob@[IPv6:fc00::1],\r\n\t"B" <ann@"[IPv6:fc00::2]">\r\nBcc: eve@[IPv6:fc00::3]\r\n'
    )
    found = sendmail.recipients_of(sendmail.Options(takes_from_header=True), header)
    assert found == ("bob@[IPv6:fc00::1]", "ann@[IPv6:fc00::2]", "eve@[IPv6:fc00::3]")


def test_a_lone_dot_ends_the_message() -> None:
    assert sendmail.before_lone_dot(b"a\n.\nb\n") == b"a\n"
    assert sendmail.before_lone_dot(b"a\n..\nb\n") == b"a\n..\nb\n"


def test_a_message_nobody_takes_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> None:
        raise ConnectionRefusedError("nobody")

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sendmail, "_connect", refuse)
    text = io.TextIOWrapper(io.BytesIO(b"Subject: x\n\nFrom here on\nkept\n"))
    monkeypatch.setattr(sys, "stdin", text)
    assert sendmail.main(["bob@[IPv6:fc00::1]"]) == sendmail.EX_TEMPFAIL
    kept = tmp_path / "dead.letter"
    assert b"\n>From here on\nkept\n" in kept.read_bytes()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert "dexmesh up" in capsys.readouterr().err
