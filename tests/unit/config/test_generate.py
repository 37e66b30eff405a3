"""A new configuration is right, different every time, and readable by the original."""

from __future__ import annotations

import json
import os
import random
import subprocess
from typing import Any

import pytest

from dexmesh.config.generate import LOWEST_PORT, generate, seeded_source
from dexmesh.config.reader import load_settings
from dexmesh.config.settings import AdminSettings, SecuritySettings, Settings, TunKind
from dexmesh.wire.base32 import ALPHABET
from tests.unit.config.samples import derive


def fresh(seed: int = 1, *, ethernet: bool = False) -> str:
    return generate(random.Random(seed).randbytes, derive, ethernet=ethernet)


def settings_of(text: str) -> Settings:
    loaded = load_settings(text.encode(), "new", derive)
    assert loaded.warnings == ()
    return loaded.settings


@pytest.mark.parametrize("seed", range(5))
def test_a_new_configuration_can_be_started_without_a_warning(seed: int) -> None:
    settings = settings_of(fresh(seed))
    assert settings.address[0] == 0xFC
    assert settings.admin == AdminSettings("127.0.0.1", 11234, b"NONE")
    assert settings.tun.kind is TunKind.TUN
    assert settings.security == SecuritySettings()
    four, six = settings.udp_interfaces
    assert (four.bind_host, six.bind_host) == ("0.0.0.0", "::")
    assert four.bind_port == six.bind_port
    assert four.bind_port >= LOWEST_PORT
    (user,) = settings.authorized_passwords
    assert user.user == b"first-peer"
    assert len(user.password) == 31
    assert set(user.password.decode()) <= set(ALPHABET)


def test_two_configurations_share_no_secret() -> None:
    one, two = settings_of(fresh(1)), settings_of(fresh(2))
    assert one.private_key != two.private_key
    assert one.authorized_passwords != two.authorized_passwords
    assert one.udp_interfaces[0].bind_port != two.udp_interfaces[0].bind_port


def test_ethernet_is_switched_off_unless_asked_for() -> None:
    assert settings_of(fresh()).ether_interfaces == ()
    text = fresh(ethernet=True)
    assert len(load_settings(text.encode(), "new", derive).settings.ether_interfaces) == 1
    assert fresh().replace("_disabled_ETHInterface", "ETHInterface") == text


def test_nobody_is_let_in_from_the_local_network_unless_it_is_asked_for() -> None:
    four, six = settings_of(fresh()).udp_interfaces
    assert (four.beacon, six.beacon) == (0, 0)


def test_finding_peers_in_the_local_network_is_one_digit_away() -> None:
    text = fresh().replace('"beacon": 0,', '"beacon": 2,', 1)
    assert text == generate(random.Random(1).randbytes, derive, beacon=2)
    four, six = settings_of(text).udp_interfaces
    assert (four.beacon, four.beacon_devices, four.beacon_port) == (2, ("all",), 64512)
    assert six.beacon == 0


def test_the_credential_block_in_the_comments_is_right() -> None:
    text = fresh()
    lines = [line.strip().removeprefix("//") for line in text.splitlines()]
    start = next(n for n, line in enumerate(lines) if "YOUR.ADDRESS" in line)
    block: dict[str, Any] = json.loads("{" + "".join(lines[start : start + 6]) + "}")
    settings = settings_of(text)
    ((endpoint, credential),) = block.items()
    assert endpoint == f"YOUR.ADDRESS:{settings.udp_interfaces[0].bind_port}"
    assert credential["password"].encode() == settings.authorized_passwords[0].password
    assert credential["login"].encode() == settings.authorized_passwords[0].user


def test_one_seed_gives_one_configuration() -> None:
    def made(seed: bytes) -> str:
        return generate(seeded_source(seed), derive)

    assert made(b"a" * 64) == made(b"a" * 64)
    assert made(b"a" * 64) != made(b"b" * 64)
    with pytest.raises(ValueError, match="64 bytes"):
        seeded_source(b"a" * 63)


@pytest.mark.interop
@pytest.mark.skipif("CJDROUTE" not in os.environ, reason="CJDROUTE names no cjdroute")
def test_the_original_reads_a_new_configuration_and_agrees_on_it() -> None:
    text = fresh()
    done = subprocess.run(
        [os.environ["CJDROUTE"], "--cleanconf"],
        input=text.encode(),
        capture_output=True,
        check=True,
    )
    assert done.stderr == b""
    cleaned = load_settings(done.stdout, "cleaned", derive).settings
    assert cleaned == settings_of(text)


@pytest.mark.interop
@pytest.mark.skipif("CJDROUTE" not in os.environ, reason="CJDROUTE names no cjdroute")
def test_a_configuration_made_by_the_original_can_be_started() -> None:
    done = subprocess.run([os.environ["CJDROUTE"], "--genconf"], capture_output=True, check=True)
    loaded = load_settings(done.stdout, "original", derive)
    assert loaded.settings.tun.kind is TunKind.TUN
    assert [w.message for w in loaded.warnings if "unknown key" in w.message] == []
