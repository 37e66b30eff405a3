"""Answer a DNS message about names of the mesh; everything else is refused at once.

Place     server.py (bytes from a socket) -> here -> zones.py (what exists)
Spec      docs/apps/mail.md §2; RFC 1035, 2308 (negative answers), 6891 (EDNS), 6303 (such zones), 8020
Keeps     no bytes raise; an answer has the id and the spelling of its question; nobody else is asked
Not here  sockets, and who may ask (server.py)
"""

from __future__ import annotations

import enum
from collections import Counter

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from dexmesh.apps.names.zones import BOOK_TTL_S, Entry, Names, Zone, zone_of
from dexmesh.wire.address import format_address

MAX_QUERY_BYTES = 4096  # ours: a question with padding and cookies has a tenth of it
UDP_BYTES = 1232  # ours, as resolvers agreed on: the largest datagram that needs no fragments
_PLAIN_UDP_BYTES = 512  # RFC 1035 §4.2.1
_HEADER_BYTES = 12
_APEX_TTL_S = 3600
_NO_TRANSFER = frozenset({dns.rdatatype.AXFR, dns.rdatatype.IXFR})


class Outcome(enum.Enum):
    """What became of a message; counted."""

    ANSWERED = "answered"
    EMPTY = "no such record"
    NO_NAME = "no such name"
    REFUSED = "not a name of the mesh"
    MALFORMED = "malformed"
    UNSUPPORTED = "not a plain question"
    IGNORED = "no question at all"


class Answers:
    """Makes the answers of one resolver. Performs no I/O."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self.counts: Counter[Outcome] = Counter()

    def answer(self, query: bytes, *, is_udp: bool) -> bytes | None:
        """The message to send back; None where even a refusal would be wrong (an answer came in)."""
        outcome, reply = self._answer(query, is_udp)
        self.counts[outcome] += 1
        return reply

    def _answer(self, data: bytes, is_udp: bool) -> tuple[Outcome, bytes | None]:
        if len(data) < _HEADER_BYTES or data[2] & 0x80:
            return Outcome.IGNORED, None
        if (data[2] >> 3) & 0x0F != dns.opcode.QUERY:
            return Outcome.UNSUPPORTED, _bare_reply(data, dns.rcode.NOTIMP)
        query = _read(data)
        if query is None:
            return Outcome.MALFORMED, _bare_reply(data, dns.rcode.FORMERR)
        reply = dns.message.make_response(query, our_payload=UDP_BYTES)
        reply.flags &= ~(dns.flags.AD | dns.flags.CD)
        outcome = self._fill(query, reply)
        limit = _limit_of(query) if is_udp else 65_535
        return outcome, reply.to_wire(max_size=limit, prefer_truncation=True)

    def _fill(self, query: dns.message.Message, reply: dns.message.Message) -> Outcome:
        if query.edns > 0:
            reply.set_rcode(dns.rcode.BADVERS)
            return Outcome.UNSUPPORTED
        question = query.question[0]
        labels = [label.decode("latin-1").lower() for label in question.name.labels[:-1]]
        zone = zone_of(labels)
        is_ours = question.rdclass in (dns.rdataclass.IN, dns.rdataclass.ANY)
        if zone is None or not is_ours or question.rdtype in _NO_TRANSFER:
            reply.set_rcode(dns.rcode.REFUSED)
            return Outcome.REFUSED
        reply.flags |= dns.flags.AA
        entry = self._names.find(zone, labels)
        if entry is None:
            reply.set_rcode(dns.rcode.NXDOMAIN)
            reply.authority.append(_soa(zone))
            return Outcome.NO_NAME
        is_apex = len(labels) == len(zone.value)
        records = _apex_records(zone, question) if is_apex else _records(entry, question)
        reply.answer.extend(records)
        if records:
            return Outcome.ANSWERED
        reply.authority.append(_soa(zone))
        return Outcome.EMPTY


def _read(data: bytes) -> dns.message.Message | None:
    """The message, if it is one with a single question."""
    if len(data) > MAX_QUERY_BYTES:
        return None
    try:
        query = dns.message.from_wire(data, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError, IndexError, OverflowError):
        return None
    return query if len(query.question) == 1 else None


def _bare_reply(data: bytes, rcode: dns.rcode.Rcode) -> bytes:
    """A header alone: what is behind it could not be read, or is none of our business."""
    flags = bytes([0x80 | data[2] & 0x79, int(rcode)])  # QR; opcode and RD as asked
    return data[:2] + flags + bytes(8)


def _limit_of(query: dns.message.Message) -> int:
    if query.edns < 0:
        return _PLAIN_UDP_BYTES
    return max(_PLAIN_UDP_BYTES, min(query.payload, UDP_BYTES))


def _records(entry: Entry, question: dns.rrset.RRset) -> list[dns.rrset.RRset]:
    """What an entry has of the type asked for, under the name as it was asked."""
    is_any = question.rdtype == dns.rdatatype.ANY
    records = []
    if entry.address is not None and (is_any or question.rdtype == dns.rdatatype.AAAA):
        text = format_address(entry.address)
        records.append(dns.rrset.from_text(question.name, entry.ttl_s, "IN", "AAAA", text))
    if entry.pointer is not None and (is_any or question.rdtype == dns.rdatatype.PTR):
        target = f"{entry.pointer}."
        records.append(dns.rrset.from_text(question.name, entry.ttl_s, "IN", "PTR", target))
    return records


def _apex_records(zone: Zone, question: dns.rrset.RRset) -> list[dns.rrset.RRset]:
    """What a zone says of itself: as the empty zones of RFC 6303 do, nobody serves it."""
    is_any = question.rdtype == dns.rdatatype.ANY
    records = []
    if is_any or question.rdtype == dns.rdatatype.SOA:
        records.append(_soa(zone, _APEX_TTL_S, question.name))
    if is_any or question.rdtype == dns.rdatatype.NS:
        target = f"{zone.text}."
        records.append(dns.rrset.from_text(question.name, _APEX_TTL_S, "IN", "NS", target))
    return records


def _soa(zone: Zone, ttl_s: int = BOOK_TTL_S, name: dns.name.Name | None = None) -> dns.rrset.RRset:
    """The start of authority; its last number is how long "there is none" may be remembered."""
    apex = dns.name.from_text(f"{zone.text}.")
    text = f"{zone.text}. nobody.invalid. 1 3600 1200 604800 {BOOK_TTL_S}"
    return dns.rrset.from_text(apex if name is None else name, ttl_s, "IN", "SOA", text)
