"""Why a packet goes no further: the reasons of the data plane, by the same numbers.

Place     rust/engine/src/drop.rs counts -> here they get names -> admin, metrics, `dexmesh status`
Spec      numbers 1-16 are the CryptoAuth errors of docs/protocol/01 §13; the rest are ours
Keeps     same names and numbers as rust/engine/src/drop.rs (checked in tests/qa)
"""

from __future__ import annotations

from enum import IntEnum


class DropReason(IntEnum):
    """A reason for which a packet goes no further."""

    CRYPTO_RUNT = 1
    CRYPTO_NO_SESSION = 2
    CRYPTO_KEY_PACKET_ESTABLISHED = 5
    CRYPTO_WRONG_PERMANENT_KEY = 6
    CRYPTO_ADDRESS_RESTRICTED = 7
    CRYPTO_AUTH_REQUIRED = 8
    CRYPTO_UNRECOGNIZED_AUTH = 9
    CRYPTO_STRAY_KEY = 10
    CRYPTO_HANDSHAKE_OPEN_FAILED = 11
    CRYPTO_ZERO_TEMP_KEY = 12
    CRYPTO_INVALID_PACKET = 13
    CRYPTO_REPLAY = 14
    CRYPTO_OPEN_FAILED = 15
    CRYPTO_STALE_SESSION = 16
    LINK_UNKNOWN_ENDPOINT = 20
    LINK_HANDSHAKE_RATE_LIMITED = 21
    LINK_OWN_KEY = 22
    LINK_KEY_NOT_MESH = 23
    LINK_NOT_ESTABLISHED = 24
    LINK_SWITCH_FULL = 25
    LINK_INTERFACE_GONE = 26
    LINK_OVERSIZE = 27
    SWITCH_RUNT = 40
    SWITCH_MALFORMED_ADDRESS = 41
    SWITCH_RETURN_PATH_INVALID = 42
    SWITCH_LABEL_SHIFT_OVERFLOW = 43
    SWITCH_NO_PEER = 44
    SWITCH_PEER_DOWN = 45
    ROUTER_RUNT = 50
    ROUTER_UNKNOWN_HANDLE = 51
    ROUTER_BAD_COUNTER = 52
    ROUTER_PLAINTEXT_RUNT = 53
    ROUTER_SESSION_TABLE_FULL = 54
    ROUTER_UNHANDLED_CONTENT_TYPE = 55
    ROUTER_BAD_KEY = 56
    ROUTER_HANDSHAKE_RATE_LIMITED = 57
    ROUTER_CONTENT_BEFORE_HANDSHAKE = 58
    TUN_RUNT = 60
    TUN_NOT_IPV6 = 61
    TUN_WRONG_SOURCE = 62
    TUN_OUTSIDE_MESH = 63
    TUN_TOO_BIG = 64
    TUN_BAD_OFFLOAD = 65
    TUN_NO_ROUTE = 66
    TUN_PARKED_REPLACED = 67
    TUN_PARKING_FULL = 68
    TUN_WRITE_FAILED = 69
    SEND_WOULD_BLOCK = 70
    SEND_FAILED = 71
    SEND_OVERSIZE = 72
    EVENT_RING_FULL = 80


# What each reason means, for people.
EXPLANATIONS: dict[DropReason, str] = {
    DropReason.CRYPTO_RUNT: "A crypto message shorter than its header.",
    DropReason.CRYPTO_NO_SESSION: "Data for a crypto session that has no keys yet.",
    DropReason.CRYPTO_KEY_PACKET_ESTABLISHED: "A KEY packet in an established session.",
    DropReason.CRYPTO_WRONG_PERMANENT_KEY: "The permanent key in a handshake is not the session's.",
    DropReason.CRYPTO_ADDRESS_RESTRICTED: "The credential may only be used from another address.",
    DropReason.CRYPTO_AUTH_REQUIRED: "A credential is required and none was recognised.",
    DropReason.CRYPTO_UNRECOGNIZED_AUTH: "A credential was given and is unknown.",
    DropReason.CRYPTO_STRAY_KEY: "A KEY packet although we sent no HELLO.",
    DropReason.CRYPTO_HANDSHAKE_OPEN_FAILED: "A handshake packet that does not open.",
    DropReason.CRYPTO_ZERO_TEMP_KEY: "A temporary key of zeros.",
    DropReason.CRYPTO_INVALID_PACKET: (
        "A handshake packet that repeats or contradicts an earlier one."
    ),
    DropReason.CRYPTO_REPLAY: "A counter seen before, or too old.",
    DropReason.CRYPTO_OPEN_FAILED: "A data packet that does not open.",
    DropReason.CRYPTO_STALE_SESSION: "The session was reset while the packet was being opened.",
    DropReason.LINK_UNKNOWN_ENDPOINT: (
        "A datagram from an unknown endpoint that cannot begin a link."
    ),
    DropReason.LINK_HANDSHAKE_RATE_LIMITED: "Too many handshakes from one source prefix.",
    DropReason.LINK_OWN_KEY: "A handshake with our own key.",
    DropReason.LINK_KEY_NOT_MESH: "A handshake with a key whose address is not in fc00::/8.",
    DropReason.LINK_NOT_ESTABLISHED: (
        "Not for our router, on a link that is not established (docs/protocol/04 §5.3)."
    ),
    DropReason.LINK_SWITCH_FULL: "The switch has no free interface number for another peer.",
    DropReason.LINK_INTERFACE_GONE: "The interface the datagram belongs to is gone.",
    DropReason.LINK_OVERSIZE: "A datagram longer than a link message may be.",
    DropReason.SWITCH_RUNT: "A switch packet shorter than its header.",
    DropReason.SWITCH_MALFORMED_ADDRESS: (
        "A label whose next director cannot be followed (error 1)."
    ),
    DropReason.SWITCH_RETURN_PATH_INVALID: "A way back that does not fit (error 10).",
    DropReason.SWITCH_LABEL_SHIFT_OVERFLOW: "More than 63 bits of label consumed.",
    DropReason.SWITCH_NO_PEER: "No peer at the interface the label names (error 1).",
    DropReason.SWITCH_PEER_DOWN: "The peer the label names is unresponsive (error 8).",
    DropReason.ROUTER_RUNT: "A packet for our router that is too short to say what it is.",
    DropReason.ROUTER_UNKNOWN_HANDLE: "A session handle we did not hand out.",
    DropReason.ROUTER_BAD_COUNTER: "A handle followed by a counter below 4.",
    DropReason.ROUTER_PLAINTEXT_RUNT: (
        "A session plaintext shorter than its data header (and handle)."
    ),
    DropReason.ROUTER_SESSION_TABLE_FULL: "The session table is full of busier sessions.",
    DropReason.ROUTER_UNHANDLED_CONTENT_TYPE: "A content type nobody here handles.",
    DropReason.ROUTER_BAD_KEY: (
        "A session handshake with our own key, or a key whose address is not in fc00::/8."
    ),
    DropReason.ROUTER_HANDSHAKE_RATE_LIMITED: "Too many session handshakes in a short time.",
    DropReason.ROUTER_CONTENT_BEFORE_HANDSHAKE: (
        "Content that may not be carried before the handshake is done."
    ),
    DropReason.TUN_RUNT: "A TUN packet shorter than its header says.",
    DropReason.TUN_NOT_IPV6: "A TUN packet that is not IPv6.",
    DropReason.TUN_WRONG_SOURCE: "A TUN packet whose source is not our address.",
    DropReason.TUN_OUTSIDE_MESH: "A TUN packet whose destination is outside fc00::/8.",
    DropReason.TUN_TOO_BIG: "A TUN packet longer than the MTU (answered with packet-too-big).",
    DropReason.TUN_BAD_OFFLOAD: "A superframe from the TUN that cannot be segmented.",
    DropReason.TUN_NO_ROUTE: "No route was found while the packet was parked.",
    DropReason.TUN_PARKED_REPLACED: "A newer packet to the same address took its parking place.",
    DropReason.TUN_PARKING_FULL: "No parking place was left.",
    DropReason.TUN_WRITE_FAILED: "There is no TUN, or it refused the packet.",
    DropReason.SEND_WOULD_BLOCK: "The socket would have blocked.",
    DropReason.SEND_FAILED: "The socket refused the packet.",
    DropReason.SEND_OVERSIZE: "A packet longer than a link can carry.",
    DropReason.EVENT_RING_FULL: "The ring of events to Python was full.",
}
