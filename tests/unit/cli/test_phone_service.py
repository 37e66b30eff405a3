"""`dexmesh phone on | off | status | dnd | auto-answer | waiting | devices`."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dexmesh.apps.base.home import HOME_VARIABLE, Home
from dexmesh.apps.base.settings import PhoneSettings, load_settings
from dexmesh.apps.call.sound import device
from dexmesh.cli import phone_service
from dexmesh.cli.output import Exit
from dexmesh.errors import SoundError
from dexmesh.wire.address import format_address, parse_address
from dexmesh.wire.keys import address_of
from tests.unit.cli.conftest import Run
from tests.unit.cli.phone_world import Person, PhoneWorld
from tests.unit.config.samples import PUBLIC

ME = pwd.getpwuid(os.geteuid())
USER = ME.pw_name if ME.pw_uid else "nobody"


@pytest.fixture(autouse=True)
def apps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Where the apps would keep everything."""
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "apps"))
    return Home(tmp_path / "apps")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PhoneWorld]:
    world = PhoneWorld(tmp_path / "world")
    monkeypatch.setenv(HOME_VARIABLE, str(world.alice.home.path))
    yield world
    world.close()


def _on(run: Run, config_file: Path, *more: str) -> Any:
    return run("phone", "on", "--account", USER, "--config", config_file, *more)


# On and off


def test_on_works_without_mail_and_says_what_comes_next(
    run: Run, config_file: Path, apps: Home
) -> None:
    done = _on(run, config_file)
    assert done.exit_code == 0, done.stderr
    address = format_address(address_of(PUBLIC))
    assert f"sip:{USER}@[{address}]" in done.stdout
    assert ".cjdns.alt" in done.stdout
    assert "dexmesh up" in done.stderr
    assert "dexmesh phone" in done.stderr
    assert "udp dport { 5060, 7078-7099 } accept" in done.stderr
    assert "tcp dport { 5060 } accept" in done.stderr
    assert "on no other" in done.stderr
    settings = load_settings(apps)
    assert (settings.phone.is_on, settings.mail.is_on) == (True, False)
    assert [user.name for user in settings.mail.users] == [USER]


def test_on_again_changes_nothing_and_mail_is_left_as_it_is(
    run: Run, config_file: Path, apps: Home
) -> None:
    assert run("mail", "on", "--account", USER, "--config", config_file).exit_code == 0
    told = json.loads(_on(run, config_file, "--json", "--user", "Bob").stdout)
    assert list(told["users"]) == [USER, "bob"]
    assert (told["on"], told["running"]) == (True, False)
    assert told["ports"][0] == {"protocol": "udp", "ports": "5060, 7078-7099"}
    before = apps.settings_file.stat().st_ino
    assert json.loads(_on(run, config_file, "--json").stdout) == told
    assert apps.settings_file.stat().st_ino == before
    assert run("phone", "off").stdout == "the phone is off\n"
    assert json.loads(run("phone", "off", "--json").stdout)["on"] is False
    settings = load_settings(apps)
    assert (settings.phone.is_on, settings.mail.is_on) == (False, True)


def test_the_interface_with_the_mesh_address_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "if_inet6"
    table.write_text(
        "00000000000000000000000000000001 01 80 10 80       lo\n"
        "fc00000000000000000000000000000b 07 08 00 80     tun7\n"
    )
    monkeypatch.setattr(phone_service, "INTERFACES", table)
    assert phone_service.interface_of(parse_address("fc00::b")) == "tun7"
    assert phone_service.interface_of(parse_address("fc00::c")) is None
    lines = phone_service.firewall_lines(PhoneSettings(port=5070, media_ports=(9000, 9010)), "tun7")
    assert lines[1].endswith('iifname "tun7" udp dport { 5070, 9000-9011 } accept')
    monkeypatch.setattr(phone_service, "INTERFACES", tmp_path / "none")
    assert phone_service.interface_of(parse_address("fc00::b")) is None


def test_on_refuses_a_name_that_cannot_be(run: Run, config_file: Path, apps: Home) -> None:
    done = _on(run, config_file, "--user", "a b")
    assert done.exit_code == Exit.FAILED
    assert "cannot be the name" in done.stderr
    assert not apps.settings_file.exists()


def test_off_without_settings_is_an_error(run: Run) -> None:
    assert run("phone", "off").exit_code == Exit.CONFIG


# Status


def test_status_says_whether_it_is_off_or_does_not_run(run: Run, config_file: Path) -> None:
    done = run("phone", "status")
    assert done.exit_code == Exit.NO_NODE
    assert "dexmesh phone on" in done.stderr
    _on(run, config_file)
    done = run("phone", "status")
    assert (done.exit_code, "although the phone is on" in done.stderr) == (Exit.NO_NODE, True)
    assert "`dexmesh up` or `dexmesh mail serve` starts it" in done.stderr
    assert json.loads(run("phone", "status", "--json").stdout) == {
        "running": False,
        "on": True,
        "home": os.environ[HOME_VARIABLE],
    }


def test_status_of_a_phone_that_runs(run: Run, world: PhoneWorld) -> None:
    shown = run("phone", "status").stdout
    address = format_address(world.alice.me.address)
    assert f"called as\tsip:alice@[{address}]" in shown
    assert "rings\tfor contacts" in shown
    assert "none: `dexmesh phone` is one" in shown
    assert "PCMU, PCMA" in shown
    told = json.loads(run("phone", "status", "--json").stdout)
    assert (told["running"], told["address"], told["bells"]) == (True, address, 0)
    with Person(world.alice).at_desk():
        assert "phones that ring\t1" in run("phone", "status").stdout


# Switches


@pytest.mark.parametrize(
    ("command", "switch", "words"),
    [
        ("dnd", "do_not_disturb", "do not disturb is on: nothing rings, callers get the voicemail"),
        ("auto-answer", "auto_answer", "answered by whatever phone of yours"),
        ("waiting", "call_waiting", "call waiting is on"),
    ],
)
def test_switches_are_shown_and_changed_for_one_user(
    run: Run, world: PhoneWorld, command: str, switch: str, words: str
) -> None:
    assert words not in run("phone", command).stdout
    assert words in run("phone", command, "on").stdout
    assert words in run("phone", command).stdout
    told = json.loads(run("phone", command, "--json").stdout)
    assert {name for name, is_on in told.items() if is_on} == {switch}
    assert getattr(world.alice.service.phone.settings_of("alice"), switch) is True
    assert words not in run("phone", command, "off").stdout
    done = run("phone", command, "perhaps")
    assert done.exit_code == Exit.USAGE
    assert "perhaps" in done.stderr


def test_another_user_has_other_switches(run: Run, world: PhoneWorld) -> None:
    bobs = ("--home", world.bob.home.path)
    assert run("phone", "dnd", "on", "--user", "ben", *bobs).exit_code == 0
    assert "is off" in run("phone", "dnd", "--user", "bob", *bobs).stdout
    assert "is on" in run("phone", "dnd", "--user", "ben", *bobs).stdout
    assert run("phone", "dnd", "--user", "eve", *bobs).exit_code == Exit.FAILED


# Devices


def test_devices_are_listed_by_number(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    cards = device.Cards("ALSA", ("Speaker", "Headset"), ("Headset",))
    monkeypatch.setattr(device, "list_cards", lambda: cards)
    assert run("phone", "devices").stdout.splitlines() == [
        "loudspeaker\t0\tSpeaker",
        "loudspeaker\t1\tHeadset",
        "microphone\t0\tHeadset",
    ]
    told = json.loads(run("phone", "devices", "--json").stdout)
    assert told == {"system": "ALSA", "playback": ["Speaker", "Headset"], "capture": ["Headset"]}


def test_a_machine_without_sound_says_what_to_do(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "list_cards", lambda: device.Cards("Null", (), ()))
    done = run("phone", "devices")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "--no-sound" in done.stderr

    def fail() -> device.Cards:
        raise SoundError("sound cards need miniaudio", "install it")

    monkeypatch.setattr(device, "list_cards", fail)
    done = run("phone", "devices")
    assert done.exit_code == Exit.FAILED
    assert "install it" in done.stderr
