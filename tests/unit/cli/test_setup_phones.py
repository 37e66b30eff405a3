"""`dexmesh setup` for phones as a user runs it, with programs that are what the test says they are."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from dexmesh.apps.base.home import Home
from dexmesh.apps.base.settings import AppSettings, PhoneSettings, save_settings
from dexmesh.cli import setup_checks, setup_phone_facts
from dexmesh.cli.config import load_file
from dexmesh.wire.address import format_address
from tests.unit.cli.conftest import Run, install

BOB = "fcbc:b27::1"
# What the real ones print: linphonec lists its friends when it is asked, baresip counts its lines.
LINPHONE = """case $1 in --version) echo "version: 5.1.65"; exit;; esac
cat > /dev/null
grep -q '^sip_port=-1$' linphonerc || exit 3
grep -c '^bind_address=::1$' linphonerc | grep -q 2 || exit 4
grep '^.friend_' linphonerc | sed 's/.*/****** Friend 0 *******/'"""
BARESIP = """case $1 in -h) echo "baresip v1.0.0 Copyright (C)"; exit;; esac
grep -q '^sip_listen 127.0.0.1:0$' config || exit 3
grep -q '^net_interface' config && exit 4
echo "Populated $(grep -cv '^#' accounts) account"
echo "Populated $(grep -cv '^#' contacts) contacts\""""


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder with modules of baresip."""
    folder = tmp_path / "modules"
    folder.mkdir()
    for name in ("alsa", "g711", "stdio"):
        (folder / f"{name}.so").touch()
    monkeypatch.setattr(setup_phone_facts, "MODULE_FOLDERS", (str(folder),))
    monkeypatch.setattr(setup_phone_facts, "MODULE_FOLDERS_BY_MACHINE", str(tmp_path / "none"))
    return folder


@pytest.fixture
def phones(programs: Path, modules: Path, run: Run, tmp_path: Path) -> Path:
    """linphonec and baresip are installed, and bob is in the address book."""
    for name in ("sed", "tr"):
        (programs / name).symlink_to(f"/bin/{name}")
    install(programs, "linphonec", LINPHONE)
    install(programs, "baresip", BARESIP)
    (tmp_path / "apps").mkdir()
    done = run("contact", "add", "bob", f"bob@[IPv6:{BOB}]", "--no-check", "--no-request")
    assert done.exit_code == 0, done.stderr
    return programs


def test_linphonerc_is_printed_with_the_contacts_and_read_by_linphone_apart_from_the_user(
    run: Run, phones: Path, config_file: Path
) -> None:
    done = run("setup", "linphone", "--config", config_file, "--user", "root", "--name", "Ann")
    assert done.exit_code == 0, done.stderr
    assert "with linphone 5.1.65," in done.stdout
    assert f'url="bob" <sip:bob@[{BOB}]>' in done.stdout
    assert 'contact="Ann" <sip:root@[fc' in done.stdout
    assert "sip_port=5060\n" in done.stdout
    assert "is content" in done.stderr
    assert "phone-firewall" in done.stderr


def test_writing_makes_the_folder_without_which_linphone_does_not_listen(
    run: Run, phones: Path, config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "someone"
    monkeypatch.setattr(setup_phone_facts, "home_of", lambda _user: str(home))
    data = home / ".local" / "share" / "linphone"
    command = ("setup", "linphone", "--config", config_file)
    assert f"mkdir -p {data}" in run(*command).stderr
    assert not home.exists()
    target = home / ".config" / "linphone" / "linphonerc"
    assert run(*command, "--write", target).exit_code == 0
    assert data.is_dir()
    assert target.read_text().startswith("# Calls over the mesh")


@pytest.mark.parametrize(
    ("complaint", "told"),
    [
        ("liblinphone-error-Bad contact url: x", "Bad contact url: x"),
        ("belle-sip-error-fast_header_address parser error for [x]", "parser error for [x]"),
    ],
)
def test_what_linphone_complains_of_is_shown_and_written_nowhere(
    run: Run, phones: Path, config_file: Path, tmp_path: Path, complaint: str, told: str
) -> None:
    install(phones, "linphonec", f"{LINPHONE}\necho '{complaint}' >&2")
    target = tmp_path / "linphonerc"
    done = run("setup", "linphone", "--config", config_file, "--write", target)
    assert done.exit_code == 1
    assert told in done.stderr
    assert not target.exists()


def test_a_contact_that_linphone_does_not_take_is_noticed(
    run: Run, phones: Path, config_file: Path
) -> None:
    install(phones, "linphonec", LINPHONE.replace("grep '^.friend_'", "grep absent"))
    done = run("setup", "linphone", "--config", config_file)
    assert done.exit_code == 1
    assert "of 1 contacts it takes 0" in done.stderr


def test_the_linphone_of_the_desktop_has_another_file(
    run: Run, phones: Path, config_file: Path
) -> None:
    command = ("setup", "linphone", "--config", config_file, "--user", "root", "--json")
    assert json.loads(run(*command).stdout)["path"].endswith("/.linphonerc")
    shown = json.loads(run(*command, "--program", "linphone").stdout)
    assert shown["path"].endswith("/.config/linphone/linphonerc")
    (phones / "linphonec").unlink()
    assert run(*command).exit_code == 1
    install(phones, "linphone", "exit 9  # it may not even be started")
    shown = json.loads(run(*command).stdout)
    assert shown["path"].endswith("/.config/linphone/linphonerc")
    assert shown["check"]["is_ok"] is None
    assert run(*command, "--program", "twinkle").exit_code == 2


def test_the_three_files_of_baresip_go_into_a_folder_that_may_be_new(
    run: Run, phones: Path, config_file: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "baresip"
    done = run("setup", "baresip", "--config", config_file, "--write", folder, "--name", "Ann")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == ""
    assert sorted(one.name for one in folder.iterdir()) == ["accounts", "config", "contacts"]
    assert f'"bob" <sip:bob@[{BOB}]>' in (folder / "contacts").read_text()
    assert '"Ann" <sip:' in (folder / "accounts").read_text()
    text = (folder / "config").read_text()
    assert "module g711.so\n" in text
    assert "module opus.so" not in text
    (folder / "accounts").write_text("mine\n")
    refused = run("setup", "baresip", "--config", config_file, "--write", folder, "--name", "Ann")
    assert refused.exit_code == 1
    assert (folder / "accounts").read_text() == "mine\n"


def test_one_file_of_baresip_alone_can_be_printed(
    run: Run, phones: Path, config_file: Path, tmp_path: Path
) -> None:
    command = ("setup", "baresip", "--config", config_file)
    done = run(*command, "--file", "contacts")
    assert done.stdout.endswith(f'\n"bob" <sip:bob@[{BOB}]>\n')
    assert "sip_listen" not in done.stdout
    whole = run(*command).stdout
    assert whole.count("Place: ") == 3
    assert run(*command, "--file", "contacts", "--write", tmp_path).exit_code == 2


def test_json_of_baresip_has_every_file(run: Run, phones: Path, config_file: Path) -> None:
    shown = json.loads(run("setup", "baresip", "--config", config_file, "--json").stdout)
    assert [Path(one["path"]).name for one in shown["files"]] == ["config", "accounts", "contacts"]
    assert shown["files"][0]["check"] == {"by": "baresip -f FOLDER -t 1", "is_ok": True, "said": ""}
    assert shown["address"].startswith("sip:")


@pytest.mark.parametrize(
    ("complaint", "told"),
    [
        (r"printf '\033[31mmodule x.so: No such file\n\033[;m'", "module x.so: No such file"),
        ("exit 99", "exit code 99"),
    ],
)
def test_what_baresip_complains_of_is_shown_and_written_nowhere(
    run: Run, phones: Path, config_file: Path, tmp_path: Path, complaint: str, told: str
) -> None:
    install(phones, "baresip", BARESIP.replace("grep -q '^sip", f"{complaint}\ngrep -q '^sip"))
    done = run("setup", "baresip", "--config", config_file, "--write", tmp_path / "new")
    assert done.exit_code == 1
    assert told in done.stderr
    assert not (tmp_path / "new").exists()


def test_a_phone_that_is_not_installed_is_named_with_the_way_to_get_it(
    run: Run, programs: Path, modules: Path, config_file: Path
) -> None:
    for name, package in (("linphone", "linphone-cli"), ("baresip", "baresip-core")):
        done = run("setup", name, "--config", config_file)
        assert done.exit_code == 1
        assert f"apt-get install {package}" in done.stderr


def test_the_mesh_device_is_found_by_the_address_of_the_node(
    run: Run, phones: Path, config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = load_file(config_file).settings.address
    table = tmp_path / "if_inet6"
    table.write_text(f"{1:032x} 01 80 10 80       lo\n{address.hex()} 04 08 00 80     mesh7\n")
    monkeypatch.setattr(setup_phone_facts, "IF_INET6", table)
    command = ("setup", "baresip", "--config", config_file)
    assert "net_interface mesh7\n" in run(*command, "--file", "config").stdout
    table.unlink()
    done = run(*command, "--file", "config")
    assert "net_interface tun0\n" in done.stdout
    assert "the node does not run" in done.stderr


def test_our_own_phone_on_the_same_port_is_told(
    run: Run, phones: Path, config_file: Path, tmp_path: Path
) -> None:
    settings = AppSettings(load_file(config_file).settings.public_key, phone=PhoneSettings(True))
    save_settings(Home(tmp_path / "apps"), settings)
    done = run("setup", "linphone", "--config", config_file)
    assert "the phone of dexmesh is on" in done.stderr


def test_the_rules_let_contacts_in_and_only_root_can_have_them_checked(
    run: Run, phones: Path, config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(phones, "nft", "case $1 in -c) ;; *) exit 1;; esac")
    done = run("setup", "phone-firewall", "--config", config_file)
    assert done.exit_code == 0
    assert f"            {BOB},\n" in done.stdout
    own = format_address(load_file(config_file).settings.address)
    assert f"ip6 daddr {own} ip6 saddr != @contacts" in done.stdout
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "only root may ask nft" in run("setup", "phone-firewall", "--config", config_file).stderr


def test_a_phone_that_never_ends_is_given_up(
    run: Run, phones: Path, config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup_checks, "LIMIT_S", 0.5)
    install(phones, "baresip", BARESIP.replace("grep -q '^sip", "exec sleep 60\ngrep -q '^sip"))
    (phones / "sleep").symlink_to("/bin/sleep")
    done = run("setup", "baresip", "--config", config_file)
    assert done.exit_code == 0
    assert "could not check it" in done.stderr
