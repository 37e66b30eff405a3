"""Play the configurations cjdns v20.7 was given, and compare what it made of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from nacl.bindings import crypto_scalarmult_base

from dexmesh.config.dialect import read_document
from dexmesh.config.reader import load_settings
from dexmesh.config.settings import SecuritySettings, Settings, TunKind, TunSettings
from dexmesh.config.write import clean
from dexmesh.wire.address import format_padded
from dexmesh.wire.keys import PrivateKey, encode_key
from tests.vectors.loading import load

VECTORS = load("config.json")
DIALECT = VECTORS["json_dialect"]

# Where v20.7 refuses and we accept: the union of 09 section 1.4, and what ours makes of it.
ACCEPTED_BY_US_ALONE = {
    "v2 leading newline": '{\n  "version" : 2\n}\n',
    "v2 leading comment": '{\n  "version" : 2\n}\n',
    "v2 escape n": '{\n  "version" : 2,\n  "a" : "x\\x0Ay"\n}\n',  # standard JSON escape
    "v1 negative": '{\n  "a" : -5,\n  "version" : 2\n}\n',  # follows the strict grammar
}


def named(name: str) -> dict[str, Any]:
    return next(vector for vector in DIALECT if vector["name"] == name)


def test_all_inputs_are_played() -> None:
    assert len(DIALECT) == 39
    assert {vector["name"] for vector in DIALECT} >= set(ACCEPTED_BY_US_ALONE)


@pytest.mark.parametrize("vector", DIALECT, ids=lambda vector: vector["name"])
def test_a_configuration_means_the_same_to_us(vector: dict[str, Any]) -> None:
    document = read_document(vector["input"].encode(), "vector")
    if vector["exit"] == 0:
        assert document.problems == ()
        assert clean(document) == vector["stdout"]
    elif vector["name"] in ACCEPTED_BY_US_ALONE:
        assert document.problems == ()
        assert clean(document) == ACCEPTED_BY_US_ALONE[vector["name"]]
    else:
        assert document.problems


@pytest.mark.parametrize(
    "name", [v["name"] for v in DIALECT if v["exit"] and v["name"] not in ACCEPTED_BY_US_ALONE]
)
def test_a_refused_configuration_says_where_and_what_to_do(name: str) -> None:
    for problem in read_document(named(name)["input"].encode(), "vector").problems:
        assert problem.line >= 1
        assert problem.hint


@pytest.mark.parametrize("vector", [v for v in DIALECT if v["exit"] == 0], ids=lambda v: v["name"])
def test_a_clean_configuration_stays_as_it_is(vector: dict[str, Any]) -> None:
    document = read_document(vector["stdout"].encode(), "vector")
    assert document.dialect == "strict"
    assert clean(document) == vector["stdout"]


# conf_to_rpc: the calls cjdroute made say what a configuration means


def settings_of(capture: dict[str, Any]) -> Settings:
    """Ours of the same text; the private key was left out of the capture, so another stands in."""
    config = capture["config_without_privateKey_and_pipe"]
    key = _private_key()
    return load_settings(
        json.dumps(config | {"privateKey": key.hex()}).encode(), "vector", crypto_scalarmult_base
    ).settings


def _private_key() -> PrivateKey:
    identities = load("cryptoauth.json")["identities"]
    return PrivateKey.from_hex(identities["A"]["private"])


def calls(capture: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [call["args"] for call in capture["calls"] if call["call"] == name]


@pytest.mark.parametrize("capture", VECTORS["conf_to_rpc"])
def test_authorized_passwords_are_those_the_original_adds(capture: dict[str, Any]) -> None:
    ours = [
        {"user": (entry.user or b"").decode(), "password": entry.password.decode()}
        for entry in settings_of(capture).authorized_passwords
    ]
    added = calls(capture, "AuthorizedPasswords_add")
    assert ours == [{"user": args["user"], "password": args["password"]} for args in added]


@pytest.mark.parametrize("capture", VECTORS["conf_to_rpc"])
def test_interfaces_and_peers_are_those_the_original_makes(capture: dict[str, Any]) -> None:
    interfaces = settings_of(capture).udp_interfaces
    binds = [f"{interface.bind_host}:{interface.bind_port}" for interface in interfaces]
    assert binds == [args["bindAddress"] for args in calls(capture, "UDPInterface_new")]
    ours = [
        {
            "address": peer.endpoint,
            "interfaceNumber": number,
            "password": peer.password.decode(),
            "publicKey": encode_key(peer.public_key),
            "login": (peer.login or b"").decode(),
            "peerName": peer.peer_name,
        }
        for number, interface in enumerate(interfaces)
        for peer in interface.connect_to
    ]
    assert ours == calls(capture, "UDPInterface_beginConnection")


@pytest.mark.parametrize("capture", VECTORS["conf_to_rpc"])
def test_beacons_are_switched_as_the_original_does(capture: dict[str, Any]) -> None:
    (interface,) = settings_of(capture).udp_interfaces
    states = [args["state"] for args in calls(capture, "UDPInterface_beacon")]
    devices = [args["devices"] for args in calls(capture, "UDPInterface_setBroadcastDevices")]
    assert [interface.beacon] == (states or [0])
    assert list(interface.beacon_devices) == (devices[0] if devices else [])


@pytest.mark.parametrize("capture", VECTORS["conf_to_rpc"])
def test_device_and_tunnels_are_those_the_original_asks_for(capture: dict[str, Any]) -> None:
    settings = settings_of(capture)
    (tun,) = calls(capture, "Core_initTunnel")
    assert settings.tun == TunSettings(TunKind.TUN, device=tun["desiredTunName"])
    outgoing = [args["publicKeyOfNodeToConnectTo"] for args in calls(capture, "IpTunnel_connectTo")]
    assert [encode_key(key) for key in settings.ip_tunnel.outgoing] == outgoing
    ours = [
        {
            "publicKey": encode_key(tunnel.public_key),
            "ip4Address": tunnel.ip4_address,
            "ip4Prefix": tunnel.ip4_prefix,
            "ip4Alloc": tunnel.ip4_alloc,
            "ip6Address": tunnel.ip6_address,
            "ip6Prefix": tunnel.ip6_prefix,
            "ip6Alloc": tunnel.ip6_alloc,
            "publicKeyOfAuthorizedNode": encode_key(tunnel.public_key),
        }
        for tunnel in settings.ip_tunnel.allowed
    ]
    assert ours == calls(capture, "IpTunnel_allowConnection")


@pytest.mark.parametrize("capture", VECTORS["conf_to_rpc"])
def test_switched_off_security_stays_off(capture: dict[str, Any]) -> None:
    assert settings_of(capture).security == SecuritySettings(
        user=None, keep_net_admin=False, chroot=None, noforks=False, seccomp=False
    )


def test_a_key_of_the_vectors_derives_to_its_address() -> None:
    identities = load("cryptoauth.json")["identities"]
    config = {
        "privateKey": identities["A"]["private"],
        "publicKey": identities["A"]["public_key_string"],
        "ipv6": identities["A"]["ipv6"],
        "admin": {"bind": "127.0.0.1:1"},
        "version": 2,
    }
    loaded = load_settings(json.dumps(config).encode(), "vector", crypto_scalarmult_base)
    assert loaded.warnings == ()
    assert format_padded(loaded.settings.address) == identities["A"]["ipv6"]
