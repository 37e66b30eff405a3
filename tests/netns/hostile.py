"""What the machines of a flood run: a recorder, an attacker, and both ends of a paced stream.

Place     tests/netns/test_hostile_flood.py starts `hostile.py COMMAND ...` inside its machines
Keeps     nothing of ours is imported: an attacker has only sockets; every loop has an end
Not here  what the node makes of it (the test)

    record FILE PORT COUNT                   write datagrams to or from a UDP port to FILE, hex, one a line
    flood FILE TARGET PORT COUNT SEED [SPOOFED:PORT ...]
    send ADDRESS PORT RATE SECONDS           numbered datagrams, RATE a second
    receive ADDRESS PORT FILE SECONDS        what arrived: the time it was sent, one a line
"""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ALL_PROTOCOLS = 0x0003
IP_BYTES, UDP_BYTES = 20, 8
VARIANTS = 4096  # prepared before the flood, then sent over and over
BURST = 64
OWN_PORTS = 16
STREAM_BYTES = 1000


def record(file: str, port: str, count: str) -> None:
    """Datagrams as they pass the network card, both ways."""
    link = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ALL_PROTOCOLS))
    wanted = int(port)
    with Path(file).open("w", encoding="ascii") as out:
        for _ in range(int(count)):
            while True:
                packet = link.recv(65536)
                if len(packet) > IP_BYTES + UDP_BYTES and packet[0] == 0x45 and packet[9] == 17:
                    ports = struct.unpack_from("!HH", packet, IP_BYTES)
                    if wanted in ports:
                        break
            out.write(packet[IP_BYTES + UDP_BYTES :].hex() + "\n")
            out.flush()


def flood(file: str, target: str, port: str, count: str, seed: str, *spoofed: str) -> None:
    """Send as fast as a program can; says how long it took."""
    rng = random.Random(int(seed))
    stock = [bytes.fromhex(line) for line in Path(file).read_text(encoding="ascii").split()]
    where = (target, int(port))
    payloads = [variant(stock, rng) for _ in range(VARIANTS)]
    senders = spoofing_senders(spoofed, payloads, where, rng) if spoofed else own_senders()
    left, start = int(count), time.monotonic()
    for sender, packets in senders:
        burst = packets or rng.sample(payloads, BURST)
        for packet in burst[:left]:
            with contextlib.suppress(OSError):  # no room in the card: it is lost, as on any wire
                sender.sendto(packet, where)
        left -= len(burst)
        if left <= 0:
            break
    print(time.monotonic() - start)


def own_senders() -> Iterator[tuple[socket.socket, list[bytes]]]:
    """Sockets of the attacker's own, for ever."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(OWN_PORTS)]
    while True:
        for one in sockets:
            yield one, []


def spoofing_senders(
    spoofed: tuple[str, ...], payloads: list[bytes], where: tuple[str, int], rng: random.Random
) -> Iterator[tuple[socket.socket, list[bytes]]]:
    """A raw socket with whole IPv4 packets that lie about their source, for ever."""
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    sources = [(host, int(port)) for host, port in (text.split(":") for text in spoofed)]
    packets = [ipv4(rng.choice(sources), where, payload) for payload in payloads]
    while True:
        start = rng.randrange(VARIANTS - BURST)
        yield raw, packets[start : start + BURST]


def ipv4(source: tuple[str, int], to: tuple[str, int], payload: bytes) -> bytes:
    """An IPv4 packet with a UDP datagram without checksum; the kernel does the checksum of the header."""
    length = IP_BYTES + UDP_BYTES + len(payload)
    addresses = socket.inet_aton(source[0]) + socket.inet_aton(to[0])
    header = struct.pack("!BBHHHBBH", 0x45, 0, length, 0, 0, 64, 17, 0) + addresses
    return header + struct.pack("!HHHH", source[1], to[1], UDP_BYTES + len(payload), 0) + payload


def variant(stock: list[bytes], rng: random.Random) -> bytes:
    """Any bytes, or something recorded: as it was, cut off, with a bit flipped, with another first word."""
    old = rng.choice(stock)
    match rng.randrange(6):
        case 0:
            return rng.randbytes(rng.randrange(1, 1400))
        case 1:
            return old[: rng.randrange(len(old) + 1)]
        case 2:
            return old
        case 3:
            return rng.randrange(6).to_bytes(4, "big") + old[4:]
        case 4:
            return old + rng.randbytes(rng.randrange(1, 200))
    flipped = bytearray(old)
    flipped[rng.randrange(len(old))] ^= 1 << rng.randrange(8)
    return bytes(flipped)


def send(address: str, port: str, rate: str, seconds: str) -> None:
    """A steady stream; each datagram says when it was sent."""
    out = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    start = time.monotonic()
    for number in range(int(float(rate) * float(seconds))):
        wait = start + number / float(rate) - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        stamp = f"{time.monotonic():.6f}".encode()
        with contextlib.suppress(OSError):
            out.sendto(stamp.ljust(STREAM_BYTES), (address, int(port)))
        print(stamp.decode(), flush=True)


def receive(address: str, port: str, file: str, seconds: str) -> None:
    """Write down what arrives."""
    bound = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    bound.bind((address, int(port)))
    end = time.monotonic() + float(seconds)
    with Path(file).open("w", encoding="ascii") as out:
        while (left := end - time.monotonic()) > 0:
            bound.settimeout(left)
            with contextlib.suppress(TimeoutError):
                out.write(bound.recv(65536).decode().strip() + "\n")
                out.flush()


if __name__ == "__main__":
    commands: dict[str, Callable[..., None]] = {
        "record": record,
        "flood": flood,
        "send": send,
        "receive": receive,
    }
    commands[sys.argv[1]](*sys.argv[2:])
