"""The resolver's answers, byte for byte where programs look: codes, sections, spelling, junk."""

from __future__ import annotations

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dexmesh.apps.base.me import Me
from dexmesh.apps.names.answers import MAX_QUERY_BYTES, Answers, Outcome
from dexmesh.apps.names.zones import (
    PROBE_ADDRESS,
    PROBE_NAME,
    PROBE_POINTER,
    Names,
    reverse_name,
)
from dexmesh.wire.address import Address, format_address, parse_address
from dexmesh.wire.keys import address_of, decode_key

ME = Me.of(decode_key("mwrbxrdfh8jyhuc1pz6w3wsducmgxftw28ymck45g8r9p7syz7d0.k"))
BOB = parse_address("fc68:2ecd:2889:c9f0:eae5:6ba4:583d:a21c")
STRANGER = parse_address("fc00:1::2")
NO_KEY = "0" * 52  # a valid text whose address is no node's


class FakeBook:
    """Knows bob."""

    def address_of(self, petname: str) -> Address | None:
        return BOB if petname == "bob" else None

    def petname_of(self, address: Address) -> str | None:
        return "bob" if address == BOB else None


def make_answers() -> Answers:
    return Answers(Names(ME, FakeBook()))


def ask(
    name: str, kind: str = "AAAA", *, is_udp: bool = True, **more: object
) -> dns.message.Message:
    query = dns.message.make_query(name, kind, **more)  # type: ignore[arg-type]
    wire = make_answers().answer(query.to_wire(), is_udp=is_udp)
    assert wire is not None
    reply = dns.message.from_wire(wire)
    assert query.is_response(reply)
    return reply


def records(reply: dns.message.Message) -> list[str]:
    return [record.to_text() for rrset in reply.answer for record in rrset]


@pytest.mark.parametrize("name", [ME.key_name, ME.alt_name, ME.key_name.upper(), f"{ME.alt_name}."])
def test_a_key_name_means_the_address_of_the_key(name: str) -> None:
    reply = ask(name)
    assert reply.rcode() == dns.rcode.NOERROR
    assert reply.flags & dns.flags.AA
    assert records(reply) == [format_address(address_of(ME.key))]


def test_the_answer_repeats_the_question_in_the_letters_it_was_asked_with() -> None:
    mixed = "MwRbXrDfH8JyHuC1pZ6W3wSdUcMgXfTw28yMcK45g8R9p7sYz7D0.K."
    reply = ask(mixed)
    assert reply.question[0].name.to_text() == mixed
    assert reply.answer[0].name.to_text() == mixed


def test_a_contact_has_a_name() -> None:
    assert records(ask("BOB.cjdns.alt")) == [format_address(BOB)]
    assert ask("alice.cjdns.alt").rcode() == dns.rcode.NXDOMAIN


@pytest.mark.parametrize(
    "name",
    [f"{NO_KEY}.k", "short.k", "bob.k", f"x{ME.key_name}", f"www.{ME.key_name}", "a.bob.cjdns.alt"],
)
def test_what_is_no_name_of_a_node_does_not_exist(name: str) -> None:
    reply = ask(name)
    assert reply.rcode() == dns.rcode.NXDOMAIN
    assert reply.answer == []
    assert reply.authority[0].rdtype == dns.rdatatype.SOA  # so that it may be remembered, briefly
    assert reply.authority[0][0].minimum <= 10


@pytest.mark.parametrize(
    "kind", ["MX", "A", "SRV", "HTTPS", "TXT", "NS", "SOA", "TYPE65280", "CNAME"]
)
@pytest.mark.parametrize("name", [ME.key_name, "bob.cjdns.alt"])
def test_a_name_that_exists_has_no_other_records(name: str, kind: str) -> None:
    reply = ask(name, kind)
    assert reply.rcode() == dns.rcode.NOERROR
    assert reply.answer == []
    assert reply.authority[0].rdtype == dns.rdatatype.SOA


def test_services_of_a_node_are_empty_and_not_absent() -> None:
    reply = ask(f"_sip._udp.{ME.key_name}", "SRV")
    assert reply.rcode() == dns.rcode.NOERROR
    assert reply.answer == []


def test_pointers_lead_to_ourselves_and_to_contacts_and_to_nobody_else() -> None:
    assert records(ask(reverse_name(ME.address), "PTR")) == [f"{ME.key_name}."]
    assert records(ask(reverse_name(BOB), "PTR")) == ["bob.cjdns.alt."]
    assert ask(reverse_name(STRANGER), "PTR").rcode() == dns.rcode.NXDOMAIN


def test_steps_towards_an_address_exist_so_that_careful_resolvers_go_on() -> None:
    whole = reverse_name(BOB).split(".")
    for start in range(1, 31):
        reply = ask(".".join(whole[start:]), "NS")
        assert reply.rcode() == dns.rcode.NOERROR
    assert ask(f"0.{reverse_name(BOB)}", "PTR").rcode() == dns.rcode.NXDOMAIN
    assert ask("g.c.f.ip6.arpa", "PTR").rcode() == dns.rcode.NXDOMAIN


def test_the_probe_questions_of_doctor_are_answered() -> None:
    assert records(ask(reverse_name(PROBE_ADDRESS), "PTR")) == [f"{PROBE_POINTER}."]
    assert records(ask(PROBE_NAME)) == [format_address(ME.address)]


@pytest.mark.parametrize("zone", ["k", "cjdns.alt", "c.f.ip6.arpa"])
def test_a_zone_has_a_start_of_authority_and_a_server_of_names(zone: str) -> None:
    assert len(records(ask(zone, "SOA"))) == 1
    assert records(ask(zone, "NS")) == [f"{zone}."]
    assert records(ask(zone, "AAAA")) == []
    assert len(records(ask(zone, "ANY"))) == 2


@pytest.mark.parametrize(
    "name", [".", "example.com", "alt", "d.f.ip6.arpa", "kk", "xcjdns.alt", "arpa"]
)
def test_everything_else_is_refused(name: str) -> None:
    reply = ask(name)
    assert reply.rcode() == dns.rcode.REFUSED
    assert not reply.flags & dns.flags.AA
    assert reply.answer == reply.authority == []


def test_transfers_and_other_classes_are_refused() -> None:
    assert ask("k", "AXFR", is_udp=False).rcode() == dns.rcode.REFUSED
    assert ask(ME.key_name, "TXT", rdclass="CH").rcode() == dns.rcode.REFUSED


def test_an_edns_question_gets_an_edns_answer_and_version_1_is_told_the_version() -> None:
    reply = ask(ME.key_name, use_edns=0, payload=4096, want_dnssec=True)
    assert reply.edns == 0
    assert reply.payload == 1232
    assert not reply.flags & dns.flags.AD
    assert ask(ME.key_name).edns == -1
    assert ask(ME.key_name, use_edns=1).rcode() == dns.rcode.BADVERS


def test_options_of_edns_do_no_harm() -> None:
    numbers = (3, 10, 12, 15, 65001)
    options = [dns.edns.GenericOption(str(number), bytes(20)) for number in numbers]
    assert records(ask(ME.key_name, use_edns=0, options=options)) == [format_address(ME.address)]


def test_the_longest_names_still_fit_a_plain_datagram() -> None:
    service = "_" + "x" * 60
    name = f"{service}.{service}.{service}.{ME.key_name}"  # 241 characters
    query = dns.message.make_query(name, "SRV").to_wire()
    reply = make_answers().answer(query, is_udp=True)
    assert reply is not None
    assert len(reply) <= 512
    assert not dns.message.from_wire(reply).flags & dns.flags.TC


def test_answers_are_never_answered() -> None:
    answers = make_answers()
    response = dns.message.make_response(dns.message.make_query(ME.key_name, "AAAA"))
    assert answers.answer(response.to_wire(), is_udp=True) is None
    assert answers.answer(b"short", is_udp=True) is None
    assert answers.counts == {Outcome.IGNORED: 2}


def test_other_operations_are_not_implemented() -> None:
    query = dns.message.make_query(ME.key_name, "AAAA")
    query.set_opcode(dns.opcode.STATUS)
    wire = make_answers().answer(query.to_wire(), is_udp=True)
    assert wire is not None
    assert dns.message.from_wire(wire).rcode() == dns.rcode.NOTIMP
    assert dns.message.from_wire(wire).id == query.id


@pytest.mark.parametrize("count", [0, 2, 1000])
def test_a_number_of_questions_other_than_one_is_a_mistake(count: int) -> None:
    one = dns.message.make_query(ME.key_name, "AAAA").to_wire()
    wire = one[:4] + count.to_bytes(2, "big") + one[6:12] + one[12:] * min(count, 2)
    reply = make_answers().answer(wire, is_udp=True)
    assert reply is not None
    assert reply[:2] == one[:2]
    assert reply[3] & 0x0F == dns.rcode.FORMERR


def test_a_huge_message_is_not_read() -> None:
    query = dns.message.make_query(ME.key_name, "AAAA").to_wire()
    reply = make_answers().answer(query + bytes(MAX_QUERY_BYTES), is_udp=False)
    assert reply is not None
    assert reply[3] & 0x0F == dns.rcode.FORMERR


GOOD = dns.message.make_query(ME.key_name, "AAAA", use_edns=0, id=7).to_wire()


def check_any(data: bytes) -> None:
    for is_udp in (True, False):
        reply = make_answers().answer(data, is_udp=is_udp)
        if reply is None:
            continue
        assert reply[:2] == data[:2]
        assert reply[2] & 0x80
        assert len(reply) <= 1232
        dns.message.from_wire(reply)


@given(st.binary(max_size=600))
@example(bytes(12) + b"\xc0\x0c\x00\x01\x00\x01")  # a name that points at itself
def test_no_bytes_crash_the_resolver(data: bytes) -> None:
    check_any(data)


@given(
    st.integers(0, len(GOOD)),
    st.lists(st.tuples(st.integers(2, len(GOOD) - 1), st.integers(0, 255))),
)
def test_no_damage_to_a_good_question_crashes_the_resolver(
    length: int, changes: list[tuple[int, int]]
) -> None:
    damaged = bytearray(GOOD)
    for place, value in changes:
        damaged[place] = value
    check_any(bytes(damaged[:length]))
    check_any(bytes(damaged))


@given(
    st.lists(st.binary(min_size=1, max_size=63), max_size=3),
    st.sampled_from(["k", "cjdns.alt", "c.f.ip6.arpa"]),
)
def test_labels_of_any_bytes_get_an_answer(labels: list[bytes], zone: str) -> None:
    name = b"".join(bytes([len(one)]) + one for one in labels)
    apex = b"".join(bytes([len(one)]) + one.encode() for one in zone.split("."))
    wire = GOOD[:4] + b"\0\1" + bytes(6) + name + apex + b"\0" + b"\0\x1c\0\1"
    reply = make_answers().answer(wire, is_udp=True)
    assert reply is not None
    assert dns.message.from_wire(reply).rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN)
