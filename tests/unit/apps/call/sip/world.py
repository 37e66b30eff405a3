"""Two phones, messages between them, and a network that loses, doubles, swaps and delays."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterator
from typing import TypeVar

from dexmesh.apps.call.sip.build import make_request
from dexmesh.apps.call.sip.message import Request, Response, decode
from dexmesh.apps.call.sip.outputs import Output, Send
from dexmesh.apps.call.sip.peer import Peer
from dexmesh.apps.call.sip.transaction import Transactions
from dexmesh.apps.call.sip.uri import address_literal
from dexmesh.wire.address import Address, parse_address

T = TypeVar("T")

ALICE = parse_address("fc1d:f9a1::c214")
BOB = parse_address("fc22:33::b0b")
CAROL = parse_address("fc44::ca")
TO_BOB = Peer(BOB, 5060)
TO_ALICE = Peer(ALICE, 5060)


def new_table(own: Address = ALICE, seed: int = 1) -> Transactions:
    return Transactions(own, 5060, random.Random(seed).randbytes)


def request_of(method: str, *, cseq: int = 1, body: bytes = b"", **more: str) -> Request:
    """A request from Alice to Bob, without Via."""
    values = {"uri": f"sip:bob@{address_literal(BOB)}", "tag": "alice", "call_id": "c1", "to": ""}
    values |= more
    return make_request(
        method,
        values["uri"],
        from_=f"<sip:alice@{address_literal(ALICE)}>;tag={values['tag']}",
        to=values["to"] or f"<sip:bob@{address_literal(BOB)}>",
        call_id=values["call_id"],
        cseq=cseq,
        fields=[("Contact", f"<sip:alice@{address_literal(ALICE)}>")],
        body=body,
    )


def request_text(method: str, branch: str = "z9hG4bK1", extra: str = "", **more: str) -> bytes:
    """The same as bytes on the wire, with a Via of Alice."""
    values = {"cseq": "1", "to_tag": "", "call_id": "c1", "transport": "UDP", "body": ""} | more
    to_tag = f";tag={values['to_tag']}" if values["to_tag"] else ""
    return (
        f"{method} sip:bob@{address_literal(BOB)} SIP/2.0\r\n"
        f"Via: SIP/2.0/{values['transport']} {address_literal(ALICE)}:5060;branch={branch};rport\r\n"
        f"From: <sip:alice@{address_literal(ALICE)}>;tag=alice\r\n"
        f"To: <sip:bob@{address_literal(BOB)}>{to_tag}\r\n"
        f"Call-ID: {values['call_id']}\r\nCSeq: {values['cseq']} {method}\r\n{extra}"
        f"Content-Length: {len(values['body'])}\r\n\r\n{values['body']}"
    ).encode()


def decoded(outputs: list[Output]) -> list[Request | Response]:
    """The messages among the outputs."""
    return [decode(output.data) for output in outputs if isinstance(output, Send)]


def only(kind: type[T], outputs: list[Output]) -> T:
    """The one output of a kind."""
    (found,) = (output for output in outputs if isinstance(output, kind))
    return found


def without_sends(outputs: list[Output]) -> list[Output]:
    return [output for output in outputs if not isinstance(output, Send)]


def summary(outputs: list[Output]) -> list[str]:
    """`INVITE`, `200`: what is sent, in short."""
    messages = decoded(outputs)
    return [one.method if isinstance(one, Request) else str(one.status) for one in messages]


def run_until(table: Transactions, end: float) -> Iterator[tuple[float, list[Output]]]:
    """Let time pass; every moment in which something comes out."""
    while (due := table.next_timeout()) is not None and due[0] <= end:
        table.handle_timeout(due[0])
        outputs = table.take_outputs()
        if outputs:
            yield due[0], outputs


class Link:
    """Carries datagrams between tables; `fate` says how late each copy arrives (none: lost)."""

    def __init__(self, fate: Callable[[], list[float]]) -> None:
        self._fate = fate
        self._queue: list[tuple[float, int, Address, Peer, bytes]] = []
        self._number = 0

    def send(self, source: Address, output: Send, now: float) -> None:
        """A connection loses and swaps nothing; a datagram has its fate."""
        delays = [0.01] if output.peer.is_tcp else self._fate()
        peer = Peer(source, 5060, output.peer.is_tcp, 1 if output.peer.is_tcp else None)
        for delay in delays:
            self._number += 1
            entry = (now + delay, self._number, output.peer.address, peer, output.data)
            heapq.heappush(self._queue, entry)

    def next_arrival(self) -> float | None:
        return self._queue[0][0] if self._queue else None

    def take_arrived(self, now: float) -> list[tuple[Address, Peer, bytes]]:
        arrived = []
        while self._queue and self._queue[0][0] <= now:
            _, _, target, peer, data = heapq.heappop(self._queue)
            arrived.append((target, peer, data))
        return arrived
