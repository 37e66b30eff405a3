"""What a configuration asks for arrives typed; what is wrong with it is said, all at once."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from dexmesh.config.scanner import MAX_NOTES
from dexmesh.config.settings import (
    DEFAULT_PIPE,
    AdminSettings,
    AllowedTunnel,
    AuthorizedPassword,
    ConnectTo,
    EtherPeer,
    LoggingSettings,
    PublicPeer,
    SecuritySettings,
    TunKind,
    TunSettings,
    UdpInterfaceSettings,
)
from dexmesh.wire.address import format_padded
from dexmesh.wire.keys import PrivateKey, address_of, encode_key
from tests.unit.config.samples import (
    EXIT,
    EXIT_TEXT,
    PEER,
    PEER_TEXT,
    PRIVATE,
    PUBLIC,
    config,
    connect,
    load,
    messages,
    peer,
    problems,
    udp,
    warnings,
)


def test_a_small_configuration_gets_the_defaults() -> None:
    settings = load(config()).settings
    assert settings.private_key == PrivateKey(PRIVATE)
    assert settings.public_key == PUBLIC
    assert settings.address == address_of(PUBLIC)
    assert settings.admin == AdminSettings("127.0.0.1", 11234, b"NONE")
    assert settings.udp_interfaces == ()
    assert settings.tun.kind is TunKind.NONE
    assert settings.security == SecuritySettings()
    assert settings.logging == LoggingSettings()
    assert settings.dns_seeds == ()
    assert (settings.pipe, settings.no_background) == (DEFAULT_PIPE, False)


def test_no_secret_shows_when_settings_are_printed() -> None:
    value = connect("192.0.2.1:1", peer(password="hush-hush"))
    value |= {"authorizedPasswords": [{"password": "hush-hush", "user": "a"}]}
    value["admin"]["password"] = "hush-hush"
    shown = repr(load(value))
    assert "hush" not in shown
    assert PRIVATE.hex() not in shown


# Identity


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (None, "there is no privateKey"),
        ("12ab", "not 64 hex digits"),
        ("zz" * 32, "not 64 hex digits"),
        (" " * 64, "not 64 hex digits"),
        (12, "privateKey must be text"),
        ("00" * 31 + "02", "does not start with fc"),
    ],
)
def test_a_private_key_that_cannot_be_used_is_refused(key: Any, said: str) -> None:
    (problem,) = problems(config(privateKey=key))
    assert said in problem.message
    assert PRIVATE.hex() not in problem.message


def test_derived_values_that_fit_are_silent_and_others_are_warned_about() -> None:
    right = config(publicKey=encode_key(PUBLIC), ipv6=format_padded(address_of(PUBLIC)))
    assert warnings(right) == []
    found = warnings(config(publicKey=PEER_TEXT, ipv6="fc00::1"))
    assert [text.split(" is not ")[0] for text in found] == ["publicKey", "ipv6"]


# Admin


@pytest.mark.parametrize(
    ("admin", "said"),
    [
        (None, "there is no admin section"),
        ({}, "admin has no bind"),
        ({"bind": "localhost:11234"}, "not a name"),
        ({"bind": "127.0.0.1"}, "no port"),
        ({"bind": "127.0.0.1:x"}, "port must be a number"),
        ({"bind": "127.0.0.1:70000"}, "port must be a number"),
        ({"bind": "junk stuff"}, "not an address"),
        ({"bind": 5}, "bind must be text"),
        ([], "admin must be a dictionary"),
        ({"bind": "127.0.0.1:1", "password": "x" * 54}, "54 bytes"),
    ],
)
def test_an_admin_section_nobody_can_use_is_refused(admin: Any, said: str) -> None:
    (message,) = messages(config(admin=admin))
    assert said in message


def test_an_admin_password_may_be_absent_or_as_long_as_clients_can_use() -> None:
    assert load(config(admin={"bind": "[::1]:5"})).settings.admin == AdminSettings("::1", 5, None)
    long = {"bind": "127.0.0.1:5", "password": "x" * 53}
    assert load(config(admin=long)).settings.admin.password == b"x" * 53


def test_an_open_admin_port_on_the_network_is_warned_about() -> None:
    value = config(admin={"bind": "0.0.0.0:11234", "password": "NONE"})
    assert "steer" in warnings(value)[0]
    value["admin"]["password"] = "something"
    assert warnings(value) == []


# Who is let in


def test_authorized_passwords_keep_their_order_and_restrictions() -> None:
    fc = format_padded(address_of(PEER))
    entries = [{"password": "one"}, {"password": "two", "user": "b", "ipv6": fc}]
    assert load(config(authorizedPasswords=entries)).settings.authorized_passwords == (
        AuthorizedPassword(b"one"),
        AuthorizedPassword(b"two", b"b", address_of(PEER)),
    )


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("text", "must be a dictionary"),
        ({}, "no password"),
        ({"password": 5}, "password must be text"),
        ({"password": ""}, "0 bytes"),
        ({"password": "x" * 65}, "65 bytes"),
        ({"password": "x", "user": 1}, "user must be text"),
        ({"password": "x", "ipv6": "2001:db8::1"}, "not the address of a node"),
        ({"password": "x", "ipv6": "nonsense"}, "not the address of a node"),
    ],
)
def test_an_authorized_password_that_lets_nobody_in_is_refused(entry: Any, said: str) -> None:
    (message,) = messages(config(authorizedPasswords=[entry]))
    assert said in message


def test_one_login_twice_is_refused_and_points_at_the_first() -> None:
    entries = [{"password": "a", "user": "u"}, {"password": "b", "user": "u"}]
    (message,) = messages(config(authorizedPasswords=entries))
    assert "already, in line 9" in message


def test_a_shared_password_only_warns() -> None:
    entries = [{"password": "a", "user": "u"}, {"password": "a", "user": "v"}]
    value = config(authorizedPasswords=entries)
    assert "same password" in warnings(value)[0]
    assert len(load(value).settings.authorized_passwords) == 2


# Interfaces and peers


def test_a_udp_interface_arrives_with_its_peers() -> None:
    credential = peer(login="me", peerName="Ann", version=20, contact="ann@example.org")
    value = connect("192.0.2.1:7", credential)
    value["interfaces"]["UDPInterface"][0] |= {"dscp": 46}
    assert load(value).settings.udp_interfaces == (
        UdpInterfaceSettings(
            "0.0.0.0",
            5000,
            4,
            dscp=46,
            connect_to=(ConnectTo("192.0.2.1", 7, PEER, b"secret", b"me", "Ann", 20),),
        ),
    )
    assert warnings(value) == []


def test_a_single_interface_may_stand_without_a_list() -> None:
    value = config(interfaces={"UDPInterface": {}})
    assert load(value).settings.udp_interfaces == (UdpInterfaceSettings("0.0.0.0", 0, 4),)


@pytest.mark.parametrize(
    ("bind", "endpoint", "host", "port"),
    [
        ("0.0.0.0:1", "192.0.2.1:7", "192.0.2.1", 7),
        ("[::]:1", "[2001:DB8::0:1]:7", "2001:db8::1", 7),
        ("0.0.0.0:1", "Peer.Example.org:7", "peer.example.org", 7),
        ("[::]:1", "localhost:7", "localhost", 7),
        ("0.0.0.0:1", "0.0.0.0:7", "127.0.0.1", 7),
        ("[::]:1", "[::]:7", "::1", 7),
    ],
)
def test_peers_are_called_by_address_or_name(
    bind: str, endpoint: str, host: str, port: int
) -> None:
    (interface,) = load(connect(endpoint, peer(), bind)).settings.udp_interfaces
    assert [(to.host, to.port) for to in interface.connect_to] == [(host, port)]


@pytest.mark.parametrize(
    ("bind", "endpoint", "said"),
    [
        ("0.0.0.0:1", "192.0.2.1", "port is missing"),
        ("0.0.0.0:1", "peer.example.org", "port is missing"),
        ("0.0.0.0:1", "192.0.2.1:0", "port 0"),
        ("0.0.0.0:1", "192.0.2.1:65536", "port must be a number"),
        ("0.0.0.0:1", "192.0.2.1:-5", "port must be a number"),
        ("0.0.0.0:1", "192.0.2.1:٣", "port must be a number"),
        ("0.0.0.0:1", "300.1.2.3:5", "not an address"),
        ("0.0.0.0:1", "-bad-.example:5", "not an address"),
        ("0.0.0.0:1", ":5", "not an address"),
        ("0.0.0.0:1", "01:02:03:04:05:06", "not an address"),
        ("[::]:1", "2001:db8::1", "port is missing"),
        ("[::]:1", "[2001:db8::1]", "port is missing"),
        ("[::]:1", "[2001:db8::1", "brackets"),
        ("[::]:1", "[2001:db8::1]x", "brackets"),
        ("[::]:1", "[name]:5", "not an address"),
        ("[::]:1", "[fe80::1%eth0]:5", "zone"),
        ("0.0.0.0:1", "[2001:db8::1]:5", "IPv6 address under an IPv4 bind"),
        ("[::]:1", "192.0.2.1:5", "IPv4 address under an IPv6 bind"),
    ],
)
def test_an_endpoint_that_cannot_be_called_is_refused(bind: str, endpoint: str, said: str) -> None:
    (problem,) = problems(connect(endpoint, peer(), bind))
    assert said in problem.message
    assert problem.hint


@pytest.mark.parametrize(
    ("credential", "said"),
    [
        ("text", "must be a dictionary"),
        (peer(publicKey=None), "no publicKey"),
        (peer(publicKey="short.k"), "52 characters"),
        (peer(publicKey="0" * 52 + ".k"), "not a valid cjdns public key"),
        (peer(publicKey=7), "publicKey must be text"),
        (peer(password=None), "no password"),
        (peer(password="x" * 65), "65 bytes"),
        (peer(publicKey=encode_key(PUBLIC)), "own key"),
        (peer(login=5), "login must be text"),
        (peer(version="20"), "version must be a whole number"),
    ],
)
def test_a_credential_that_cannot_work_is_refused(credential: Any, said: str) -> None:
    (message,) = messages(connect("192.0.2.1:7", credential))
    assert said in message


@pytest.mark.parametrize(
    ("element", "said"),
    [
        ("text", "must be a dictionary"),
        ({"bind": "eth0"}, "not a name"),
        ({"bind": 5}, "bind must be text"),
        ({"dscp": 64}, "dscp is out of range"),
        ({"beacon": 3}, "beacon is out of range"),
        ({"beacon": "2"}, "beacon must be a whole number"),
        ({"beaconPort": 0}, "beaconPort is out of range"),
        ({"connectTo": []}, "connectTo must be a dictionary"),
        ({"beaconDevices": "all"}, "beaconDevices must be a list"),
    ],
)
def test_an_interface_that_cannot_be_made_is_refused(element: Any, said: str) -> None:
    (message,) = messages(udp(element))
    assert said in message


def test_a_beacon_without_its_parts_is_switched_off_with_a_warning() -> None:
    value = udp({"beacon": 2, "beaconDevices": ["all"]}, {"beacon": 1, "beaconPort": 64512})
    assert [interface.beacon for interface in load(value).settings.udp_interfaces] == [0, 0]
    assert [text.split(":")[0] for text in warnings(value)] == [
        "beacon without beaconPort",
        "beacon without beaconDevices",
    ]


def test_a_beacon_with_its_parts_is_no_matter_for_a_warning() -> None:
    value = udp({"beacon": 2, "beaconDevices": ["all", "eth0"], "beaconPort": 64512})
    (interface,) = load(value).settings.udp_interfaces
    assert (interface.beacon, interface.beacon_port) == (2, 64512)
    assert interface.beacon_devices == ("all", "eth0")
    assert warnings(value) == []


@pytest.mark.parametrize(
    ("element", "said"),
    [
        ({"bind": "[::]:5000", "beaconPort": 64512}, "beacons need an IPv4 bind"),
        ({"bind": "0.0.0.0:64512", "beaconPort": 64512}, "is the port of the links too"),
    ],
)
def test_a_beacon_that_cannot_be_sent_is_refused(element: dict[str, Any], said: str) -> None:
    parts = {"beacon": 1, "beaconDevices": ["all"]}
    (message,) = messages(udp({**parts, **element}))
    assert said in message
    assert messages(udp({**parts, **element, "beacon": 0})) == []


def test_a_repeated_endpoint_counts_once_with_a_warning() -> None:
    credential = json.dumps(peer())
    text = json.dumps(connect("192.0.2.1:7", peer())).replace(
        f'"192.0.2.1:7": {credential}', f'"192.0.2.1:7": {credential}, "192.0.2.1:7": {credential}'
    )
    (interface,) = load(text).settings.udp_interfaces
    assert len(interface.connect_to) == 1
    assert "second time" in warnings(text)[0]


def test_ethernet_is_understood_and_said_to_be_ignored() -> None:
    element = {"bind": "eth0", "connectTo": {"01:02:03:0A:0b:06": peer()}}
    value = config(interfaces={"ETHInterface": element})
    (interface,) = load(value).settings.ether_interfaces
    assert interface.connect_to == (EtherPeer(bytes([1, 2, 3, 10, 11, 6]), PEER, b"secret"),)
    assert "Ethernet" in warnings(value)[0]
    element["connectTo"] = {"192.0.2.1:5": peer()}
    assert "not a MAC address" in messages(value)[0]


# Router


def test_the_router_section_arrives_whole() -> None:
    tunnel = {"publicKey": EXIT_TEXT, "ip4Address": "10.0.0.2", "ip4Prefix": 24, "ip4Alloc": 32}
    router = {
        "interface": {"type": "TUNInterface", "tunDevice": "tun0"},
        "supernodes": [PEER_TEXT],
        "dnsSeeds": ["seed.example.org"],
        "publicPeer": {"id": "PUB1_x", "ipv4": "192.0.2.1"},
        "ipTunnel": {"allowedConnections": [tunnel], "outgoingConnections": [EXIT_TEXT]},
    }
    settings = load(config(router=router)).settings
    assert settings.tun == TunSettings(TunKind.TUN, device="tun0")
    assert settings.supernodes == (PEER,)
    assert settings.dns_seeds == ("seed.example.org",)
    assert settings.public_peer == PublicPeer("PUB1_x", "192.0.2.1")
    assert settings.ip_tunnel.allowed == (AllowedTunnel(EXIT, "10.0.0.2", 24, 32),)
    assert settings.ip_tunnel.outgoing == (EXIT,)


@pytest.mark.parametrize(
    ("router", "said"),
    [
        ([], "router must be a dictionary"),
        ({"interface": {"type": "SocketInterface"}}, "socketFullPath"),
        ({"interface": {"type": "TUNInterface", "tunDevice": "x" * 16}}, "no name of a device"),
        ({"interface": {"type": "TUNInterface", "tunDevice": "../x"}}, "no name of a device"),
        ({"supernodes": ["junk"]}, "52 characters"),
        ({"supernodes": [5]}, "every element of supernodes must be text"),
        ({"ipTunnel": {"outgoingConnections": ["junk"]}}, "52 characters"),
        ({"ipTunnel": {"allowedConnections": [{"publicKey": EXIT_TEXT}]}}, "gives no address"),
        ({"ipTunnel": {"allowedConnections": [{"ip4Address": "10.0.0.1"}]}}, "no publicKey"),
    ],
)
def test_a_router_section_with_a_mistake_is_refused(router: Any, said: str) -> None:
    (message,) = messages(config(router=router))
    assert said in message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ip4Address": "::1"}, "not an IPv4 address"),
        ({"ip6Address": "10.0.0.1"}, "not an IPv6 address"),
        ({"ip4Prefix": "24"}, "ip4Prefix must be a whole number"),
        ({"ip4Prefix": 33}, "ip4Prefix is out of range"),
        ({"ip6Alloc": 129}, "ip6Alloc is out of range"),
    ],
)
def test_a_tunnel_with_a_mistake_is_refused(change: dict[str, Any], said: str) -> None:
    tunnel = {"publicKey": EXIT_TEXT, "ip4Address": "10.0.0.2"} | change
    (message,) = messages(config(router={"ipTunnel": {"allowedConnections": [tunnel]}}))
    assert said in message


def test_an_unknown_kind_of_interface_only_warns() -> None:
    value = config(router={"interface": {"type": "Banana"}})
    assert load(value).settings.tun.kind is TunKind.NONE
    assert "no known type" in warnings(value)[0]


# Security, logging, the rest


@pytest.mark.parametrize(
    ("entries", "settings"),
    [
        ([], SecuritySettings()),
        ([{"setuser": "mesh"}], SecuritySettings("mesh", keep_net_admin=False)),
        ([{"setuser": "mesh", "keepNetAdmin": 1}], SecuritySettings("mesh")),
        ([{"setuser": "mesh", "exemptAngel": 1}], SecuritySettings("mesh")),
        ([{"setuser": 0}], SecuritySettings(None, keep_net_admin=False)),
        ([{"chroot": 0}, {"nofiles": 1}], SecuritySettings(chroot=None, nofiles=True)),
        ([{"chroot": "/x"}, {"noforks": 0}], SecuritySettings(chroot="/x", noforks=False)),
        (
            [{"seccomp": 0}, {"setupComplete": 0}],
            SecuritySettings(seccomp=False, setup_complete=False),
        ),
    ],
)
def test_security_follows_the_list_and_its_defaults(
    entries: list[dict[str, Any]], settings: SecuritySettings
) -> None:
    assert load(config(security=entries)).settings.security == settings


def test_an_unknown_security_entry_is_warned_about_by_number() -> None:
    value = config(security=[{"nofiles": 0}, {"banana": 1}])
    assert warnings(value) == ["unrecognized entry in security at index 1"]


def test_a_security_entry_of_the_wrong_type_is_refused() -> None:
    assert messages(config(security={"nofiles": 1})) == ["security must be a list of dictionaries"]
    assert messages(config(security=[{"setuser": 5}])) == ["setuser is out of range"]


def test_our_own_settings_live_under_one_key() -> None:
    own = {"logLevel": "debug", "logFormat": "json", "statusInterval": 60, "colour": 1}
    value = config(dexmesh=own, logging={"logTo": "stdout"}, noBackground=1, pipe="x.sock")
    settings = load(value).settings
    assert settings.logging == LoggingSettings(True, "debug", "json", 60)
    assert (settings.no_background, settings.pipe) == (True, "x.sock")
    assert warnings(value) == ['unknown key "colour" in dexmesh is ignored']


@pytest.mark.parametrize(
    "own", [{"logLevel": "loud"}, {"logFormat": "xml"}, {"statusInterval": -1}, {"logLevel": 3}]
)
def test_a_mistake_in_our_own_settings_is_refused(own: dict[str, Any]) -> None:
    assert len(messages(config(dexmesh=own))) == 1


def test_unknown_keys_warn_with_a_suggestion_and_switched_off_ones_are_silent() -> None:
    value = config(authorisedPasswords=[], _disabled_admin={}, _disabled_x=1)
    (warning,) = load(value).warnings
    assert warning.message == 'unknown key "authorisedPasswords" in the top level is ignored'
    assert warning.hint == 'Did you mean "authorizedPasswords"?'
    assert warning.line == 8


def test_the_same_unknown_key_in_many_peers_is_one_warning() -> None:
    entries = {f"192.0.2.{n}:7": peer(shoeSize=n) for n in range(1, 100)}
    assert warnings(udp({"connectTo": entries})) == [
        'unknown key "shoeSize" in connectTo entries is ignored (99 times)'
    ]


def test_all_mistakes_come_at_once_in_the_order_of_the_file() -> None:
    text = f"""{{
    "privateKey": "junk",
    "admin": {{"bind": "nowhere"}},
    "authorizedPasswords": [{{"user": "a"}}],
    "interfaces": {{"UDPInterface": [
        {{"bind": "0.0.0.0:5", "connectTo": {{
            "192.0.2.1": {{"password": "x", "publicKey": "{PEER_TEXT}"}},
            "192.0.2.2:5": {{"password": true}}
        }} }}
    ]}},
    "noBackground": "1",
    "version": 2
}}"""
    found = problems(text)
    assert [problem.line for problem in found] == [2, 3, 4, 7, 8, 8, 11]
    assert str(found[0]).startswith("test.conf:2:19: privateKey is not 64 hex digits\n    ")
    assert all(problem.file == "test.conf" for problem in found)


def test_a_large_peer_list_is_no_problem() -> None:
    peers = {f"10.{n // 250}.{n % 250}.1:5000": peer(peerName=f"peer {n}") for n in range(400)}
    value = udp({"connectTo": peers})
    text = json.dumps(value)
    assert len(text) > 40_000
    began = time.process_time()
    (interface,) = load(text).settings.udp_interfaces
    assert len(interface.connect_to) == 400
    assert time.process_time() - began < 2.0


def test_passwords_of_any_bytes_survive() -> None:
    text = json.dumps(config(authorizedPasswords=[{"password": "HERE"}]))
    (entry,) = load(text.replace("HERE", r"\xff\x00~")).settings.authorized_passwords
    assert entry.password == b"\xff\x00~"


def test_a_file_of_nothing_but_mistakes_is_judged_quickly() -> None:
    began = time.process_time()
    found = messages(config(authorizedPasswords=[""] * 200_000))
    assert len(found) == MAX_NOTES
    assert time.process_time() - began < 10.0
