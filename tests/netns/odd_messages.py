"""SIP messages in the shapes that phones, proxies and people who mean harm give them."""

from __future__ import annotations

import random
from collections.abc import Iterator

from tests.netns.hand_phone import SDP, TEXT, HandPhone, write
from tests.unit.apps.call.sip.torture import INVALID, VALID

OLDER_VIA = "SIP/2.0/UDP [2001:db8::1]:5060;branch=z9hG4bKolder"
_SHORT = {"Via": "v", "From": "f", "To": "t", "Call-ID": "i", "Contact": "m"}


def shapes(hand: HandPhone, uri: str) -> dict[str, bytes]:
    """The same question, OPTIONS, by what is odd about it; each is a request of its own."""
    first = f"OPTIONS {uri} SIP/2.0"

    def plain() -> dict[str, str]:
        return hand.fields("OPTIONS", uri)

    def changed(name: str, old: str, new: str) -> bytes:
        fields = plain()
        return write(first, {**fields, name: fields[name].replace(old, new)})

    compact = {_SHORT.get(name, name): value for name, value in plain().items()}
    folded = write(first, plain()).replace(b"From: ", b"From:\r\n ").replace(b";tag", b"\r\n\t;tag")
    two = plain()
    return {
        "compact names": write(first, {**compact, "l": "0", "Content-Length": None}),
        "folded lines": folded,
        "two Via in one line": write(first, {**two, "Via": f"{two['Via']}, {OLDER_VIA}"}),
        "Via without port": changed("Via", f":{hand.port};", ";"),
        "To without brackets": write(first, {**plain(), "To": f"{uri};user=phone"}),
        "capital letters": write(first, {name.upper(): one for name, one in plain().items()}),
        "no Content-Length": write(first, {**plain(), "Content-Length": None}),
        "bare line feeds": write(first, plain()).replace(b"\r\n", b"\n"),
        "keep-alives before it": b"\r\n\r\n" + write(first, plain()),
        "padded address": changed("From", hand.address, padded(hand.address)),
    }


def padded(address: str) -> str:
    """As linphone writes it: four digits everywhere."""
    return ":".join(part.zfill(4) for part in address.split(":"))


def junk(count: int, uri: str, hand: HandPhone) -> Iterator[bytes]:
    """Random bytes, and RFC 4475, requests and answers with a few bytes changed.

    Of requests ten a second are looked at; answers and ACKs are all read.
    """
    chance = random.Random(5060)
    invite = hand.request("INVITE", uri, hand.sdp(), **SDP)
    requests = [*VALID.values(), *INVALID.values(), invite]
    answers = [b"SIP/2.0 200 OK\r\n" + one.partition(b"\r\n")[2] for one in requests]
    acks = [b"ACK " + one.partition(b" ")[2] for one in requests]
    whole = [*requests, hand.request("MESSAGE", uri, "boo", **TEXT), *answers, *acks]
    for number in range(count):
        if number % 4 == 0:
            yield chance.randbytes(chance.randrange(1, 1400))
            continue
        damaged = bytearray(chance.choice(whole))
        for _ in range(chance.randrange(5)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        yield bytes(damaged)
