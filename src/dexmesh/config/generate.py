"""Write a new, commented cjdroute.conf.

Place     cli/ (`cjdroute --genconf`, `dexmesh config new`) -> here
Spec      docs/protocol/09 section 2 "Keys" (column "gen"), section 6 "--genconf"
Keeps     every cjdns can read the result; the only input is the random source, so that one
          seed always gives one configuration
Not here  writing it to a file (config/files.py)
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from string import Template

from dexmesh.values import dataclass
from dexmesh.wire.address import format_padded
from dexmesh.wire.base32 import ALPHABET
from dexmesh.wire.keys import KEY_BYTES, PublicKey, address_of, encode_key, is_node_key

RandomSource = Callable[[int], bytes]
"""Gives that many random bytes."""

SEED_BYTES = 64
PASSWORD_CHARACTERS = 31
LOWEST_PORT = 1025

_PORTS = 65536 - LOWEST_PORT


@dataclass(frozen=True, slots=True)
class _Identity:
    private_key: bytes
    public_key: PublicKey


def generate(
    random_source: RandomSource,
    derive: Callable[[bytes], bytes],
    *,
    ethernet: bool = False,
    beacon: int = 0,
) -> str:
    """A new configuration: key, one UDP port for both families, passwords.

    `ethernet` switches the Ethernet section on, as `--eth` does. `beacon` is 0, 1 or 2 as in the
    file: closed unless somebody decides otherwise, since it lets in whoever is on the cable.
    """
    identity = _draw_identity(random_source, derive)
    port = _draw_port(random_source)
    passwords = [_draw_password(random_source) for _ in range(4)]
    return Template(_TEXT).substitute(
        private_key=identity.private_key.hex(),
        public_key=encode_key(identity.public_key),
        address=format_padded(address_of(identity.public_key)),
        port=port,
        password=passwords[0],
        spare_1=passwords[1],
        spare_2=passwords[2],
        spare_3=passwords[3],
        beacon=beacon,
        ethernet="ETHInterface" if ethernet else "_disabled_ETHInterface",
    )


def seeded_source(seed: bytes) -> RandomSource:
    """A random source that gives the same bytes for the same seed (64 bytes), for ever.

    Our own derivation: the original's is not reproduced.
    """
    if len(seed) != SEED_BYTES:
        raise ValueError("a seed has 64 bytes")
    given = 0

    def draw(size: int) -> bytes:
        nonlocal given
        given += 1
        label = b"dexmesh genconf" + given.to_bytes(8, "big")
        return hashlib.shake_256(label + seed).digest(size)

    return draw


def _draw_identity(random_source: RandomSource, derive: Callable[[bytes], bytes]) -> _Identity:
    """A key pair whose address starts with fc; one in 256 does."""
    while True:
        private_key = random_source(KEY_BYTES)
        public_key = PublicKey(derive(private_key))
        if is_node_key(public_key):
            return _Identity(private_key, public_key)


def _draw_port(random_source: RandomSource) -> int:
    return LOWEST_PORT + int.from_bytes(random_source(8), "big") % _PORTS


def _draw_password(random_source: RandomSource) -> str:
    return "".join(ALPHABET[byte & 31] for byte in random_source(PASSWORD_CHARACTERS))


_TEXT = """\
{
    // KEEP THIS FILE SECRET. Whoever has the private key is this node.
    "privateKey": "$private_key",

    // Derived from the private key and shown for your convenience. Tell them to anybody.
    "publicKey": "$public_key",
    "ipv6": "$address",

    // Who may connect to this node. Give every peer an entry of its own: then you can tell them
    // apart, and shut one out by removing its entry. Hand over this block, with your address:
    //
    //     "YOUR.ADDRESS:$port": {
    //         "login": "first-peer",
    //         "password": "$password",
    //         "publicKey": "$public_key",
    //         "peerName": "a name for this node"
    //     }
    "authorizedPasswords": [
        {"password": "$password", "user": "first-peer"}

        // More passwords, made for you and not used yet (put a comma behind the entry above):
        // {"password": "$spare_1", "user": "second-peer"},
        // {"password": "$spare_2", "user": "third-peer"},
        // {"password": "$spare_3", "user": "fourth-peer"}
    ],

    // Where programs ask this node questions and steer it. Leave it on this machine. With the
    // password NONE every local user can; any other password goes into ~/.cjdnsadmin too.
    "admin": {
        "bind": "127.0.0.1:11234",
        "password": "NONE"
    },

    "interfaces": {
        // Links over the internet or any other IP network. One element per address family.
        "UDPInterface": [
            {
                // A firewall must let this UDP port in, if others are to connect to this node.
                "bind": "0.0.0.0:$port",

                // Peers to call. Paste the blocks they gave you here, with commas between them.
                "connectTo": {
                },

                // Finding peers in the local network, without passwords: every node there that
                // does the same is let in. 0 is off, 1 listens, 2 announces this node too.
                "beacon": $beacon,

                // Where to announce: names of devices, or "all".
                "beaconDevices": ["all"],

                // Must be the same on all nodes.
                "beaconPort": 64512
            },
            {
                "bind": "[::]:$port",

                // Peers with an IPv6 address, written "[2001:db8::1]:5000".
                "connectTo": {
                }
            }
        ],

        // Links straight over Ethernet, without IP. Take the "_disabled_" off to use it.
        "$ethernet": [
            {
                // Name of a device, or "all".
                "bind": "all",

                // Peers by MAC address: "01:02:03:04:05:06": {"password": ..., "publicKey": ...}
                "connectTo": {
                },

                "beacon": 0
            }
        ]
    },

    "router": {
        // Route servers, as public keys. Empty: routes are found without.
        "supernodes": [
        ],

        // The device programs reach the mesh through. Add "tunDevice": "NAME" to choose its name.
        "interface": {
            "type": "TUNInterface"
        },

        // Carrying ordinary IPv4 and IPv6 through the mesh.
        "ipTunnel": {
            // Nodes that may use this one as exit, with the addresses they get:
            // {"publicKey": "....k", "ip4Address": "192.168.1.24", "ip4Prefix": 24}
            "allowedConnections": [
            ],

            // Exits this node uses, as public keys.
            "outgoingConnections": [
            ]
        }
    },

    // What the program gives up once everything is set up.
    "security": [
        // Become this user, keeping only the right to change network devices.
        {"setuser": "nobody", "keepNetAdmin": 1},

        // See nothing of the file system but this directory.
        {"chroot": "/var/run/"},

        // 1: open no file or socket any more. TUN and interfaces can then not be made again.
        {"nofiles": 0},

        // 1: start no other program.
        {"noforks": 1},

        // 1: use no system call but the needed ones, where this is supported.
        {"seccomp": 1},

        // Leave it at 1.
        {"setupComplete": 1}
    ],

    "logging": {
        // Take the slashes off to write the log to the terminal.
        // "logTo": "stdout"
    },

    // Settings only dexmesh reads; other programs skip them.
    "dexmesh": {
        // debug, info, warning or error
        "logLevel": "info",
        // text, json, or auto: text on a terminal
        "logFormat": "auto",
        // Seconds between two status lines in the log, 0 for none.
        "statusInterval": 0
    },

    // 1: `cjdroute` stays in the foreground, as with --nobg.
    "noBackground": 0,

    // 2: this file follows the strict rules (every comma in its place).
    "version": 2
}
"""
