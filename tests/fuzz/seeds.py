"""Write the first inputs of every target, from the captured vectors: `python -m tests.fuzz.seeds`.

Place     tests/vectors/*.json -> here -> tests/fuzz/corpus
Keeps     a few inputs a target, chosen for what differs; run again it writes the same files
Not here  what fuzzers found (`tools/fuzz merge` takes over what adds something)
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from dexmesh.apps.call.native import encode_rtp
from dexmesh.wire.control import checksum
from tests.fuzz.corpus import keep
from tests.fuzz.media_targets import media_seeds
from tests.unit.apps.call.sip.torture import INVALID, VALID
from tests.unit.apps.call.sip.world import request_text
from tests.unit.config import samples
from tests.vectors.loading import load

MOST_SEEDS = 12  # of one kind
SWITCH = load("switch.json")
ROUTING = load("routing.json")
ADMIN = load("admin.json")
CONFIG = load("config.json")
CRYPTO = load("cryptoauth.json")


def main() -> None:
    """Every target gets its own."""
    for target, seeds in SEEDS.items():
        for data in spread(list(seeds)):
            keep(target, data)


def spread(seeds: list[bytes]) -> list[bytes]:
    """At most so many of them, from beginning to end."""
    unique = list(dict.fromkeys(seeds))
    step = max(1, -(-len(unique) // MOST_SEEDS))
    return unique[::step]


def hexes(cases: Iterable[dict[str, object]], *names: str) -> Iterator[bytes]:
    """The bytes behind these keys, where there are any."""
    for case in cases:
        for name in names:
            value = case.get(name)
            if isinstance(value, str):
                yield bytes.fromhex(value)


def control_packets() -> list[bytes]:
    """Frames from their checksum on."""
    packets = [
        *hexes(SWITCH["control_exchanges_live"]["cases"], "request", "response"),
        *hexes(SWITCH["control_unsolicited_live"]["cases"], "packet"),
        *hexes(SWITCH["control_constructed"]["cases"], "packet"),
    ]
    return [packet[16:] for packet in packets]


def routing_contents() -> list[bytes]:
    """Captured messages, and queries with something wrong."""
    return [
        *hexes(ROUTING["messages"], "content"),
        *hexes(ROUTING["responder_cases"]["cases"], "query", "content"),
    ]


def record(kind: int, label: int, content: bytes) -> bytes:
    """One event of `node_events`."""
    return bytes([kind]) + label.to_bytes(8, "big") + len(content).to_bytes(2, "big") + content


def conversations() -> Iterator[bytes]:
    """A few events in a row."""
    frames = [frame[2:] for frame in control_packets()]
    for number, content in enumerate(routing_contents()):
        frame = frames[number % len(frames)]
        yield record(0x20, 0x15, content) + record(0x11, 0x15, frame) + record(0x42, 0x13, content)


def steps(*parts: tuple[int, int, bytes], head: bytes = b"") -> bytes:
    """The records of tests/fuzz/rust/targets."""
    records = (bytes([k, n]) + len(body).to_bytes(2, "little") + body for k, n, body in parts)
    return head + b"".join(records)


def streams_of_sound() -> Iterator[bytes]:
    """Speech in order, in gaps and jumps, digits, and datagrams as they are."""
    speech, digit = (1 << 5, 2, bytes(range(160))), (1 << 5 | 8, 3, b"\5\n\0\xa0")
    packet = encode_rtp(0, False, 9, 1600, 7, b"sound")
    yield steps(*[speech] * 12)
    yield steps(speech, (3 << 5, 1, b"\xff"), (7, 9, b""), speech, (1 << 5, 79, b"x"), speech)
    yield steps(
        speech, digit, (4, 1, b""), speech, (5, 40, b""), *[speech] * 3, (6, 1, b""), speech
    )
    yield steps((3, 0, packet), (3, 0, packet[:11]), (3, 0, b"\xb1" + packet[1:]), speech)


def switched_packets() -> list[bytes]:
    """What a switch was given."""
    return [
        *hexes(SWITCH["switching"]["cases"], "in"),
        *hexes(SWITCH["control_exchanges_live"]["cases"], "request"),
    ]


def tcp(sequence: int, payload: bytes, flags: int = 0x10) -> bytes:
    """A TCP packet over IPv6 between mesh addresses, with its checksum."""
    addresses = bytes([0xFC]) * 32
    start = b"\1\1\2\2" + sequence.to_bytes(4, "big") + bytes(4) + bytes([0x50, flags, 1, 1])
    segment = start + bytes(4) + payload
    pseudo = addresses + len(segment).to_bytes(4, "big") + bytes([0, 0, 0, 6])
    segment = start + checksum(pseudo + segment).to_bytes(2, "big") + bytes(2) + payload
    return (
        bytes([0x60, 0, 0, 0]) + len(segment).to_bytes(2, "big") + b"\6\x2a" + addresses + segment
    )


def crypto_plays() -> Iterator[bytes]:
    """Handshakes that come to an end and go wrong, with every setting."""
    whole = [(1, 0, b"a"), (5, 0, b"b"), (1, 0, b"c"), (5, 0, b"d"), (1, 0, b"e")]
    for settings in range(0, 32, 3):
        yield steps(*whole, (3, settings, b""), (7, 70, b""), (5, 0, b"x"), head=bytes([settings]))
    for scenario in CRYPTO["scenarios"][::12]:
        packets = list(hexes(scenario["steps"], "hex"))[:4]
        yield steps(*((0, 0, packet) for packet in packets), head=b"\0")


def sip_conversations() -> Iterator[bytes]:
    """Calls to us and from us, answered, cancelled, acknowledged, one after the other."""
    for branch in ("z9hG4bK1", "old"):
        invite, cancel = request_text("INVITE", branch), request_text("CANCEL", branch)
        ack = request_text("ACK", branch, to_tag="bob")
        for status in (1, 2, 4):
            events = [(0, invite), (1, b"x" * status), (0x10, ack), (0x20, cancel), (0x50, ack)]
            yield b"".join(steps_of(kind, body) for kind, body in events)
        calls = [
            (2, b"\1"),
            (3, b"\0"),
            (0x13, b"\0\0"),
            (0x13, b"\0xy"),
            (0x22, b"\0"),
            (0x33, b"\1"),
        ]
        yield b"".join(steps_of(kind, body) for kind, body in calls)


def steps_of(kind: int, content: bytes) -> bytes:
    """One record of `sip_conversations`."""
    return bytes([kind]) + len(content).to_bytes(2, "big") + content


def config_texts() -> list[bytes]:
    """Every dialect, and files that are right."""
    dialects = [case["input"].encode() for case in CONFIG["json_dialect"]]
    return [*dialects, *good_configs()]


def good_configs() -> list[bytes]:
    """Files that make settings."""
    return [
        as_file(samples.config()),
        as_file(samples.connect("192.0.2.1:5000", samples.peer())),
        as_file(samples.connect("[2001:db8::1]:5", samples.peer(login="me"), "[::]:5")),
        as_file(samples.config(authorizedPasswords=[{"password": "x", "user": "y"}])),
    ]


def as_file(value: dict[str, Any]) -> bytes:
    return json.dumps(value, indent=2).encode()


def node_texts() -> list[bytes]:
    """Addresses, keys, labels, nodes."""
    node = ROUTING["nodes"][0]
    return [
        node["public_key"].encode(),
        node["private_key"].encode(),
        node["ipv6"].encode(),
        b"0000.0000.0000.0133",
        b"v20.0000.0000.0000.0013." + node["public_key"].encode(),
        b"z7zz",
        b"fc00::1",
    ]


SCHEME_BYTES = [
    *hexes(SWITCH["encoding_schemes"]["schemes"], "serialized"),
    *hexes(SWITCH["encoding_schemes"]["deserialize"], "hex"),
]
SEEDS: dict[str, Iterable[bytes]] = {
    "admin_datagrams": [
        *hexes(ADMIN["open_core_calls"], "request_hex"),
        *hexes(ADMIN["password_core_calls"], "request_hex"),
    ],
    "admin_logins": [
        b'{"addr": "127.0.0.1", "port": 11234, "password": "NONE", "cjdnsPath": "/x"}',
        b'{"addr": "::1", "port": 1, "password": null}',
        b"{}",
        b"[",
        b'{"password": "\\ud800"}',
    ],
    "admin_replies": hexes(ADMIN["open_core_calls"], "response_hex"),
    "beacons": [frame[18:] for frame in hexes(SWITCH["beacons"]["cases"], "frame")]
    + list(hexes(SWITCH["beacons"]["cases"], "payload")),
    "bencode_values": [*hexes(ADMIN["open_core_calls"], "request_hex"), *routing_contents()],
    "config_documents": config_texts(),
    "config_edits": config_texts()[::3] + good_configs(),
    "config_settings": config_texts()[::3] + good_configs(),
    "control_frames": control_packets(),
    "dht_messages": routing_contents(),
    "endpoint_texts": [b"0.0.0.0:5000", b"[::]:5000", b"peer.example.org:5", b"192.0.2.1"],
    "ethernet_frames": [
        *hexes(SWITCH["ethernet_frames"]["cases"], "frame"),
        *hexes(SWITCH["beacons"]["cases"], "frame"),
    ],
    "fixed_headers": [
        *hexes(SWITCH["switch_headers"]["cases"], "hex"),
        bytes.fromhex("10000100"),
        bytes(range(68)),
    ],
    "node_events": conversations(),
    "node_texts": node_texts(),
    "schemes_and_labels": [
        bytes.fromhex("0000000000000133") + bytes.fromhex("0000000000000013") + packed
        for packed in SCHEME_BYTES
    ],
    "seed_records": [
        *hexes(SWITCH["dns_seed"]["cases"], "binary"),
        *(case["txt"].encode() for case in SWITCH["dns_seed"]["cases"] if "txt" in case),
    ],
    "sip_conversations": sip_conversations(),
    "sip_messages": [*list(VALID.values())[:7:2], *list(INVALID.values())[:9:3]],
    "cryptoauth_packets": crypto_plays(),
    "ip_headers": [tcp(1, b"payload"), b"\x61" + bytes(60), b"\x45" + bytes(30)],
    "link_datagrams": [
        steps((2, number, b""), (3, number + 1, b""), (6, number, b"\1" * number))
        for number in range(0, 12, 2)
    ]
    + [
        steps((0, 0, packet), (1, 0, packet))
        for packet in hexes(CRYPTO["scenarios"][0]["steps"], "hex")
    ],
    "offload_join": [
        steps((0, 0, tcp(5, b"x" * 90)), (2, 0, tcp(95, b"y" * 90)), head=b"\0"),
        steps((0, 0, tcp(5, b"x" * 90)), (1, 47, bytes([1 ^ 5])), head=b"\1"),
    ],
    "offload_split": [
        bytes.fromhex("01040000 1e00 2800 1000".replace(" ", "")) + tcp(5, b"x" * 90),
        bytes(10) + tcp(5, b"x" * 90),
        bytes.fromhex("01050000 1e00 2800 0600".replace(" ", "")) + tcp(5, b"x" * 90),
    ],
    "session_packets": [
        steps((2, 0, content), (1, 0, b"\0\0\x12\x67\x10\0\1\0" + content), (0, 6, content))
        for content in routing_contents()
    ],
    "switch_frames": [b"\2" + packet for packet in switched_packets()],
    "switch_packets": [
        steps((0, 0, packet), (1, 0, packet[12:]), (3, 0, packet)) for packet in switched_packets()
    ],
    "tun_packets": [
        steps((kind, 1, b"x" * 20), (0, 0, tcp(1, b"")), (kind | 8, 12, b"x" * 1300))
        for kind in range(4)
    ],
    "varints": hexes(ROUTING["varint"], "hex"),
    "version_lists": hexes(ROUTING["version_list"], "hex"),
    **media_seeds(),
    "media_streams": streams_of_sound(),
}

if __name__ == "__main__":
    main()
