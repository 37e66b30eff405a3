"""Read and write LAN beacons, and say which of them to act on.

Place     the beacon socket and broadcast Ethernet frames (ether.py) hand in; mesh/ makes peers
Spec      docs/protocol/04 §9.1
Keeps     bytes behind a beacon are ignored; a beacon that is not acted on has one stated reason
Not here  when beacons are sent, and what becomes of the peer (04 §9.2)
"""

from __future__ import annotations

import struct
from enum import Enum, IntEnum
from typing import Final

from dexmesh.errors import DecodeError, UsageError
from dexmesh.values import dataclass
from dexmesh.wire.keys import KEY_BYTES, PublicKey, is_node_key
from dexmesh.wire.versions import is_compatible

BEACON_BYTES: Final = 56
UDP_BEACON_BYTES: Final = 64
BEACON_PASSWORD_BYTES: Final = 20

_BEACON = struct.Struct(f">I{BEACON_PASSWORD_BYTES}s{KEY_BYTES}s")
_UDP_PREFIX = struct.Struct(">IBBH")
_UDP_MAGIC: Final = 0xFFFFFFFC
_LINK_VERSION: Final = 0


class BeaconState(IntEnum):
    """What an interface does about beacons; the numbers of configuration and admin (04 §9.2)."""

    OFF = 0
    ACCEPT = 1
    SEND_AND_ACCEPT = 2


class BeaconVerdict(Enum):
    """What to do with a beacon that could be read."""

    ACCEPT = "make a peer of the sender, or learn its password"
    OFF = "beacons are switched off"
    NOT_A_NODE = "the key has no address in fc00::/8"
    OWN = "our own beacon came back"
    INCOMPATIBLE = "the sender's protocol version is too old"


@dataclass(frozen=True, slots=True)
class Beacon:
    """`version` of the protocol, the `password` that lets the hearer in (20 bytes), and the key."""

    version: int
    password: bytes
    key: PublicKey

    def encode(self) -> bytes:
        """56 bytes; `UsageError` for a password or key of another length."""
        if len(self.password) != BEACON_PASSWORD_BYTES or len(self.key) != KEY_BYTES:
            raise UsageError("beacon needs a password of 20 bytes and a key of 32")
        return _BEACON.pack(self.version, self.password, self.key)


@dataclass(frozen=True, slots=True)
class UdpBeacon:
    """A beacon as a datagram. `port` is that of the sender's data socket, at the source's host."""

    port: int
    beacon: Beacon

    def encode(self) -> bytes:
        """64 bytes."""
        return _UDP_PREFIX.pack(_UDP_MAGIC, _LINK_VERSION, 0, self.port) + self.beacon.encode()


def decode_beacon(data: bytes) -> Beacon:
    """The beacon in the first 56 bytes; `DecodeError` when there are fewer."""
    if len(data) < BEACON_BYTES:
        raise DecodeError("beacon is cut off")
    version, password, key = _BEACON.unpack_from(data)
    return Beacon(version, password, PublicKey(key))


def decode_udp_beacon(data: bytes) -> UdpBeacon:
    """The beacon in a datagram to the beacon port; `DecodeError` when it is none."""
    if len(data) < UDP_BEACON_BYTES:
        raise DecodeError("beacon is cut off")
    magic, link_version, reserved, port = _UDP_PREFIX.unpack_from(data)
    if magic != _UDP_MAGIC:
        raise DecodeError("not a beacon")
    if link_version != _LINK_VERSION or reserved != 0:
        raise DecodeError("beacon of another link version")
    return UdpBeacon(port, decode_beacon(data[_UDP_PREFIX.size :]))


def judge_beacon(beacon: Beacon, own_key: PublicKey, state: BeaconState) -> BeaconVerdict:
    """Whether an interface in this state acts on the beacon, and if not, why (04 §9.1)."""
    if state is BeaconState.OFF:
        return BeaconVerdict.OFF
    if not is_node_key(beacon.key):
        return BeaconVerdict.NOT_A_NODE
    if beacon.key == own_key:
        return BeaconVerdict.OWN
    if not is_compatible(beacon.version):
        return BeaconVerdict.INCOMPATIBLE
    return BeaconVerdict.ACCEPT
