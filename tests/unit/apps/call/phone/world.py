"""Phones and bare nodes on a virtual link: packets are lost and late by a seed, time is a number."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable
from typing import TypeVar

from dexmesh.apps.call.media.formats import PCMA, PCMU, Format
from dexmesh.apps.call.phone.core import Phone
from dexmesh.apps.call.phone.values import AnsweredAt, Output, Ringing, SeatMedia, UserSettings
from dexmesh.apps.call.sip.message import Request, Response, decode
from dexmesh.apps.call.sip.outputs import Send
from dexmesh.apps.call.sip.peer import Peer
from dexmesh.errors import DecodeError
from dexmesh.wire.address import Address, format_address, parse_address

ANN = parse_address("fc00::a")
BOB = parse_address("fc00::b")
EVE = parse_address("fc00::e")
SEAT = SeatMedia(7078, (PCMU, PCMA))
T = TypeVar("T")


class Book:
    """An address book: everybody but EVE is a contact."""

    def __init__(self) -> None:
        self.strangers = {EVE}
        self.blocked: set[Address] = set()

    def is_contact(self, address: Address, /) -> bool:
        return address not in self.strangers

    def is_blocked(self, address: Address, /) -> bool:
        return address in self.blocked

    def petname_of(self, address: Address, _user: str, /) -> str | None:
        return f"pet-{address[-1]:x}" if self.is_contact(address) else None


class House:
    """Who lives on a node."""

    def __init__(self, *users: str) -> None:
        self._users = users
        self.aliases: dict[str, tuple[str, ...]] = {"family": users}

    def users(self) -> tuple[str, ...]:
        return self._users

    def users_of(self, name: str, /) -> tuple[str, ...]:
        return self.aliases.get(name, ())


class Node:
    """A phone with what it told."""

    def __init__(
        self, address: Address, users: tuple[str, ...], seed: int, codecs: tuple[Format, ...]
    ) -> None:
        self.address = address
        self.book = Book()
        self.house = House(*users)
        self.standing: AnsweredAt | None = None
        self.asked: list[Ringing] = []
        self.own_ports = {5060}
        chance = random.Random(seed)
        self.phone = Phone(
            *(address, 5060, self.book, self.house, chance, codecs, self._answers_at_once),
            is_own=lambda peer: peer.port in self.own_ports,
        )
        self.told: list[Output] = []

    def _answers_at_once(self, ringing: Ringing) -> AnsweredAt | None:
        """The seat that stands by takes one call."""
        self.asked.append(ringing)
        seat, self.standing = self.standing, None
        return seat

    def configure(self, **settings: bool) -> None:
        for user in self.house.users():
            self.phone.configure(user, UserSettings(**settings))

    def all(self, kind: type[T]) -> list[T]:
        """Everything told of this kind."""
        return [one for one in self.told if isinstance(one, kind)]

    def one(self, kind: type[T]) -> T:
        """The only thing told of this kind."""
        found = self.all(kind)
        assert len(found) == 1, (kind, self.told)
        return found[0]

    def last(self, kind: type[T]) -> T:
        found = self.all(kind)
        assert found, (kind, self.told)
        return found[-1]


class World:
    """Nodes and the link between them. `bare` addresses have no phone: the test speaks for them."""

    def __init__(
        self,
        *,
        seed: int = 1,
        delay_s: float = 0.01,
        jitter_s: float = 0.0,
        loss: float = 0.0,
        codecs: tuple[Format, ...] = (PCMU, PCMA),
    ) -> None:
        self.now = 1000.0
        self.loss, self.delay_s, self.jitter_s = loss, delay_s, jitter_s
        self.random = random.Random(seed)
        self.ann = Node(ANN, ("ann", "amy"), seed + 1, codecs)
        self.bob = Node(BOB, ("bob",), seed + 2, codecs)
        self.nodes = {ANN: self.ann, BOB: self.bob}
        self.inbox: list[tuple[Address, Request | Response]] = []
        self.wire: list[tuple[Address, Address, Request | Response]] = []
        self._flying: list[tuple[float, int, Address, Peer, bytes]] = []
        self._number = 0

    # --- For a bare node

    def put(
        self,
        text: str | bytes,
        source: Address = BOB,
        to: Address = ANN,
        *,
        port: int = 5060,
        is_tcp: bool = False,
    ) -> list[Response]:
        """Hand a message in right now; the responses that come back at once."""
        data = text if isinstance(text, bytes) else crlf(text)
        before = len(self.inbox)
        self.nodes[to].phone.handle_message(data, Peer(source, port, is_tcp), self.now)
        self.collect()
        self._deliver_to_bare()
        return [one for _, one in self.inbox[before:] if isinstance(one, Response)]

    def requests(self, method: str) -> list[Request]:
        """Requests of this method that bare nodes got."""
        return [one for _, one in self.inbox if isinstance(one, Request) and one.method == method]

    def _deliver_to_bare(self) -> None:
        for packet in [one for one in self._flying if one[2] not in self.nodes]:
            self._flying.remove(packet)
            self._arrive(packet)
        heapq.heapify(self._flying)

    # --- Time

    def collect(self) -> None:
        """Take what the phones decided."""
        for node in self.nodes.values():
            for output in node.phone.take_outputs():
                if isinstance(output, Send):
                    self._send(node.address, output)
                else:
                    node.told.append(output)

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        end = self.now + seconds
        self.collect()
        while (when := self._next()) is not None and when <= end:
            self.now = max(self.now, when)
            while self._flying and self._flying[0][0] <= self.now:
                self._arrive(heapq.heappop(self._flying))
                self.collect()
            for node in self.nodes.values():
                due = node.phone.next_timeout()
                if due is not None and due[0] <= self.now:
                    node.phone.handle_timeout(self.now)
            self.collect()
        self.now = end

    def _next(self) -> float | None:
        times = [one[0] for one in self._flying[:1]]
        found = (node.phone.next_timeout() for node in self.nodes.values())
        times += [one[0] for one in found if one is not None]
        return min(times, default=None)

    def _send(self, source: Address, send: Send) -> None:
        peer = send.peer
        if (message := read(send.data)) is not None:
            self.wire.append((source, peer.address, message))
        if not peer.is_tcp and self.random.random() < self.loss:
            return
        late = 0.0 if peer.is_tcp else self.random.random() * self.jitter_s
        self._number += 1
        came_from = Peer(source, 5060, peer.is_tcp)
        packet = (self.now + self.delay_s + late, self._number, peer.address, came_from, send.data)
        heapq.heappush(self._flying, packet)

    def _arrive(self, packet: tuple[float, int, Address, Peer, bytes]) -> None:
        _, _, to, peer, data = packet
        if to in self.nodes:
            self.nodes[to].phone.handle_message(data, peer, self.now)
        elif (message := read(data)) is not None:
            self.inbox.append((peer.address, message))

    # --- What tests ask

    def methods(self, source: Address | None = None) -> list[str]:
        """The requests and statuses on the wire, in order."""
        return [
            one.method if isinstance(one, Request) else str(one.status)
            for sender, _, one in self.wire
            if source in (None, sender)
        ]

    def assert_empty(self) -> None:
        """After all timers nothing may be left."""
        self.run(200.0)
        for node in self.nodes.values():
            assert set(node.phone.sizes().values()) == {0}, node.phone.sizes()


def read(data: bytes) -> Request | Response | None:
    """A message of a phone; None for a refusal that repeats fields which nobody can read."""
    try:
        return decode(data)
    except DecodeError:
        assert data.startswith((b"SIP/2.0 400", b"SIP/2.0 505"))
        return None


def crlf(text: str) -> bytes:
    """A message written with LF; the body is what follows the first empty line, as it is."""
    head, _, body = text.lstrip("\n").partition("\n\n")
    return (
        head.strip("\n").replace("\n", "\r\n").encode()
        + b"\r\n\r\n"
        + body.replace("\n", "\r\n").encode()
    )


def request(
    method: str,
    *,
    source: Address = BOB,
    to: str = "ann@[fc00::a]",
    from_: str = "",
    branch: str = "z9hG4bK1",
    call_id: str = "call-1",
    cseq: int = 1,
    from_tag: str = "from-1",
    to_tag: str = "",
    fields: Iterable[str] = (),
    body: str = "",
    uri: str = "",
) -> str:
    """A request as a bare node sends it."""
    host = f"[{format_address(source)}]"
    lines = [
        f"{method} {uri or f'sip:{to}'} SIP/2.0",
        f"Via: SIP/2.0/UDP {host}:5060;branch={branch};rport",
        "Max-Forwards: 70",
        f"From: {from_ or f'<sip:bob@{host}>'};tag={from_tag}",
        f"To: <sip:{to}>" + (f";tag={to_tag}" if to_tag else ""),
        f"Call-ID: {call_id}",
        f"CSeq: {cseq} {method}",
        f"Contact: <sip:bob@{host}:5060>",
        *fields,
        f"Content-Length: {len(body.replace(chr(10), chr(13) + chr(10)).encode())}",
    ]
    return "\n".join(lines) + "\n\n" + body


SDP = """\
v=0
o=- 1 1 IN IP6 fc00::b
s=-
c=IN IP6 fc00::b
t=0 0
m=audio 4000 RTP/AVP 0 8 101
a=rtpmap:101 telephone-event/8000
"""
SDP_FIELD = "Content-Type: application/sdp"


def sdp(
    *, version: int = 1, direction: str = "sendrecv", port: int = 4000, formats: str = "0 8 101"
) -> str:
    return (
        SDP.replace("- 1 1", f"- 1 {version}")
        .replace("4000", str(port))
        .replace("0 8 101", formats)
        + f"a={direction}\n"
    )


def invite(body: str = SDP, fields: Iterable[str] = (SDP_FIELD,), **changes: object) -> str:
    return request("INVITE", body=body, fields=fields if body else (), **changes)  # type: ignore[arg-type]


def answer_to(
    req: Request,
    status: int,
    *,
    tag: str = "bare",
    body: str = "",
    contact: str = "<sip:bob@[fc00::b]>",
) -> str:
    """A response of a bare node to a request of a phone."""
    copied = [
        f"{name}: {value}"
        for name, value in req.headers
        if name in ("Via", "From", "Call-ID", "CSeq")
    ]
    to = req.headers.first("To") or ""
    to = to if "tag=" in to or not tag else f"{to};tag={tag}"
    lines = [f"SIP/2.0 {status} x", *copied, f"To: {to}", f"Contact: {contact}"]
    if body:
        lines.append(SDP_FIELD)
    return "\n".join(lines) + "\n\n" + body
