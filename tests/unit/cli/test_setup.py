"""`dexmesh setup` as a user runs it, with programs that are what the test says they are."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from dexmesh.apps.base.home import HOME_VARIABLE, Home
from dexmesh.apps.base.me import Me
from dexmesh.apps.base.settings import AppSettings, MailSettings, load_settings, save_settings
from dexmesh.cli import places, setup_checks, setup_facts
from dexmesh.cli.config import load_file
from dexmesh.wire.keys import encode_key
from tests.unit.admin.fake import FakeNode
from tests.unit.cli.conftest import Run, install
from tests.unit.config.samples import PUBLIC

SMTPD = (
    'case $1 in -h) echo "version: OpenSMTPD 7.5.0p0" >&2;; -n) echo "configuration OK" >&2;; esac'
)
S_NAIL = 'case $1 in -V) echo "s-nail v14.9.24, 2022-03-26";; esac'
MUTT = 'case $1 in -v) echo "Mutt 2.2.12 (2023-09-09)";; esac'


def key_of(config_file: Path) -> str:
    """The public key in a configuration."""
    return encode_key(load_file(config_file).settings.public_key)


def switch_mail_on(tmp_path: Path, config_file: Path) -> None:
    """An apps.toml that says so."""
    home = Home(tmp_path / "apps")
    home.path.mkdir()
    key = load_file(config_file).settings.public_key
    save_settings(home, AppSettings(key, MailSettings(is_on=True)))


def test_what_is_printed_is_the_configuration_and_all_else_goes_to_standard_error(
    run: Run, programs: Path, config_file: Path
) -> None:
    install(programs, "smtpd", SMTPD)
    done = run("setup", "opensmtpd", "--config", config_file)
    assert done.exit_code == 0
    assert "# The mail server of" in done.stdout
    assert "OpenSMTPD 7.5.0p0" in done.stdout
    assert key_of(config_file) in done.stdout
    assert "start order" not in done.stdout
    assert "start order" in done.stderr
    assert "`smtpd -n -f FILE` is content: configuration OK" in done.stderr


def test_a_text_that_the_program_refuses_is_shown_and_fails(
    run: Run, programs: Path, config_file: Path, tmp_path: Path
) -> None:
    install(
        programs, "smtpd", SMTPD.replace('"configuration OK" >&2', '"$3:1: syntax" >&2; exit 1')
    )
    target = tmp_path / "smtpd.conf"
    done = run("setup", "opensmtpd", "--config", config_file, "--write", target)
    assert done.exit_code == 1
    assert "refuses it: FILE:1: syntax" in done.stderr
    assert not target.exists()


def test_a_program_that_is_not_installed_is_named_with_the_way_to_get_it(
    run: Run, programs: Path, config_file: Path
) -> None:
    for name, package in (("opensmtpd", "opensmtpd"), ("mailrc", "s-nail"), ("mutt", "mutt")):
        done = run("setup", name, "--config", config_file)
        assert done.exit_code == 1
        assert f"apt-get install {package}" in done.stderr


def test_json_has_the_text_the_place_and_the_judgement(
    run: Run, programs: Path, config_file: Path
) -> None:
    install(programs, "s-nail", S_NAIL)
    done = run("setup", "mailrc", "--config", config_file, "--json", "--user", "root")
    shown = json.loads(done.stdout)
    assert shown["program"] == "mailrc"
    assert shown["for"] == "stock"
    assert shown["check"] == {"by": "s-nail -:u -# -X exit", "is_ok": True, "said": ""}
    assert shown["path"].endswith("/.mailrc")
    assert shown["address"] in shown["text"]


def test_s_nail_is_refused_by_what_it_says_since_its_exit_code_says_nothing(
    run: Run, programs: Path, config_file: Path
) -> None:
    complaint = 'echo "s-nail: bogus: unknown command" >&2'
    install(programs, "s-nail", S_NAIL.replace("esac", f"*) {complaint};; esac"))
    done = run("setup", "mailrc", "--config", config_file)
    assert done.exit_code == 1
    assert "unknown command" in done.stderr


def test_bsd_mailx_is_taken_where_it_is_mailx_and_nothing_better_is_there(
    run: Run, programs: Path, config_file: Path
) -> None:
    install(programs, "bsd-mailx", "exit 0")
    (programs / "mailx").symlink_to(programs / "bsd-mailx")
    assert "with bsd-mailx" in run("setup", "mailrc", "--config", config_file).stdout
    install(programs, "s-nail", S_NAIL)
    done = run("setup", "mailrc", "--config", config_file)
    assert "with s-nail 14.9.24," in done.stdout
    assert "`mailx` is another program here" in done.stderr


def test_neomutt_that_calls_itself_mutt_is_recognised(
    run: Run, programs: Path, config_file: Path
) -> None:
    install(programs, "mutt", MUTT)
    assert "[IPv6:" in run("setup", "mutt", "--config", config_file).stdout
    install(programs, "mutt", MUTT.replace("Mutt 2.2.12", "NeoMutt 20220429"))
    done = run("setup", "mutt", "--config", config_file)
    assert "neomutt 20220429" in done.stdout
    assert "[IPv6:" not in done.stdout


def test_a_wrong_program_name_is_wrong_usage(run: Run, programs: Path, config_file: Path) -> None:
    for name in ("mailrc", "mutt"):
        done = run("setup", name, "--program", "pine", "--config", config_file)
        assert done.exit_code == 2
        assert "'pine' is neither" in done.stderr


def test_the_mail_node_is_the_server_where_it_is_on(
    run: Run, programs: Path, config_file: Path, tmp_path: Path
) -> None:
    install(programs, "mutt", MUTT)
    command = ("setup", "mutt", "--config", config_file, "--json")
    assert json.loads(run(*command).stdout)["for"] == "stock"
    assert json.loads(run(*command, "--for", "node").stdout)["for"] == "node"
    switch_mail_on(tmp_path, config_file)
    assert json.loads(run(*command).stdout)["for"] == "node"
    assert json.loads(run(*command, "--for", "stock").stdout)["for"] == "stock"


def test_the_maildir_is_named_only_to_its_owner(
    run: Run, programs: Path, config_file: Path, tmp_path: Path
) -> None:
    install(programs, "mutt", MUTT)
    switch_mail_on(tmp_path, config_file)
    maildir = tmp_path / "apps" / "mail" / "users" / "daemon" / "Maildir"
    maildir.mkdir(parents=True)
    command = ("setup", "mutt", "--config", config_file, "--user", "daemon")
    if os.geteuid() != 0:
        assert str(maildir) not in run(*command).stdout
        return
    assert "imap://daemon@localhost" in run(*command).stdout
    os.chown(maildir, 1, 1)  # daemon, everywhere
    assert str(maildir) in run(*command).stdout
    with (tmp_path / "apps" / "apps.toml").open("a") as file:
        file.write('[[mail.users]]\nname = "daemon"\nmbox = "/var/mail/daemon"\n')
    assert 'set spoolfile="/var/mail/daemon"' in run(*command).stdout


def test_a_configuration_that_nobody_named_is_not_taken_for_that_of_the_apps(
    run: Run,
    programs: Path,
    config_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(places, "SYSTEM_CONFIG", config_file)
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "apps"))
    switch_mail_on(tmp_path, config_file)
    home = Home(tmp_path / "apps")
    save_settings(home, AppSettings(FakeNode().key, load_settings(home).mail))
    theirs, found = (Me.of(key).literal for key in (FakeNode().key, PUBLIC))
    assert f"user-domain={theirs}" in run("setup", "alpine").stdout
    named = run("setup", "alpine", "--config", config_file)
    assert f"user-domain={found}" in named.stdout


def test_a_key_stands_for_a_configuration_that_may_not_be_read(
    run: Run, programs: Path, config_file: Path
) -> None:
    done = run("setup", "alpine")
    assert done.exit_code == 1
    assert "--key" in done.stderr
    done = run("setup", "alpine", "--key", key_of(config_file))
    assert done.exit_code == 0
    assert "user-domain=[IPv6:fc" in done.stdout
    assert run("setup", "alpine", "--key", "x.k").exit_code == 2


def test_a_user_no_mail_can_have_is_wrong_usage(
    run: Run, programs: Path, config_file: Path
) -> None:
    done = run("setup", "alpine", "--config", config_file, "--user", "a b")
    assert done.exit_code == 2
    assert "no user name" in done.stderr


def test_a_file_is_replaced_only_when_told_and_what_was_there_is_kept(
    run: Run, programs: Path, config_file: Path, tmp_path: Path
) -> None:
    target = tmp_path / "pinerc"
    command = ("setup", "alpine", "--config", config_file, "--write", target)
    assert run(*command).exit_code == 0
    text = target.read_text()
    assert text.startswith("# Mail over the mesh with alpine")
    assert run(*command).exit_code == 0  # the same once more: nothing to ask
    target.write_text("mine\n")
    refused = run(*command)
    assert refused.exit_code == 1
    assert "--yes" in refused.stderr
    assert target.read_text() == "mine\n"
    done = run(*command, "--yes", "--json")
    assert target.read_text() == text
    backup = Path(json.loads(done.stdout)["backup"])
    assert backup.read_text() == "mine\n"
    target.write_text("mine again\n")
    run(*command, "--yes")
    copies = sorted(tmp_path.glob("pinerc.before-dexmesh-*"))
    assert [copy.read_text() for copy in copies] == ["mine\n", "mine again\n"]


def test_thunderbird_without_our_node_is_told_what_it_needs(
    run: Run, programs: Path, config_file: Path
) -> None:
    done = run("setup", "thunderbird", "--config", config_file)
    assert done.exit_code == 1
    assert "IMAP" in done.stderr
    done = run("setup", "thunderbird", "--config", config_file, "--for", "node", "--xml")
    assert done.exit_code == 0
    assert done.stdout.startswith("<?xml")


def test_a_checker_that_never_ends_is_given_up(
    run: Run, programs: Path, config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup_checks, "LIMIT_S", 0.2)
    install(programs, "mutt", MUTT.replace("esac", "*) exec sleep 60;; esac"))
    (programs / "sleep").symlink_to("/bin/sleep")
    done = run("setup", "mutt", "--config", config_file)
    assert done.exit_code == 0
    assert "could not check it" in done.stderr


def test_a_host_name_in_a_comment_of_hosts_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = "127.0.0.1 localhost  # mole\n127.0.1.1 hill burrow\n"
    monkeypatch.setattr(Path, "read_text", lambda *_args, **_options: text)
    assert setup_facts._is_in_hosts("burrow")
    assert not setup_facts._is_in_hosts("mole")
    assert not setup_facts._is_in_hosts("bur")
