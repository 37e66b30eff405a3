"""Contacts and their cards: spellings, keys that must fit, and what stays on a card."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dexmesh.apps.base.mailbox import Mailbox
from dexmesh.apps.contacts.contact import (
    Contact,
    How,
    Verification,
    card_of,
    check_sip,
    contact_of,
    mailbox_identity,
    require_agreement,
    sip_address,
)
from dexmesh.apps.contacts.vcard import Card, CardError, Property, read_card, write_card
from dexmesh.errors import ContactError
from dexmesh.wire.address import parse_address
from dexmesh.wire.keys import decode_key
from tests.unit.apps.contacts.samples import (
    BOB_PADDED,
    BOB_SHORT,
    STUART,
    STUART_KEY,
    STUART_LITERAL,
    bob,
    stuart,
)

FOREIGN = (
    "BEGIN:VCARD\r\nVERSION:4.0\r\nN:Cheshire;Stuart;;;\r\nFN:Stuart Cheshire\r\n"
    f"item1.EMAIL;TYPE=home;PREF=1:stuart@{STUART_LITERAL}\r\nitem1.X-ABLABEL:mesh\r\n"
    "EMAIL;TYPE=work:s@example.org\r\nIMPP:xmpp:s@example.org\r\nBDAY:19700101\r\n"
    'KEY:data:application/pgp-keys;base64,AAAA\r\nX-ODD;A="b;c":\\;kept\\,as\\nit\\\\is\r\n'
    "END:VCARD\r\n"
)


def test_a_contact_comes_back_from_its_card() -> None:
    contact = replace(
        stuart(),
        mails=(*stuart().mails, Mailbox("old one", "example.org")),
        sips=("sip:stuart@[fc00::1]",),
        note="two\nlines, with; marks\\",
        verified=Verification(How.SCANNED, 1_790_000_000.0),
    )
    assert contact_of(read_card(write_card(card_of(contact))), "stuart") == contact


def test_the_spelling_the_user_gave_is_kept() -> None:
    odd = bob(domain=f"[ipv6:{BOB_PADDED.upper()}]")
    assert f"EMAIL:bob@[ipv6:{BOB_PADDED.upper()}]" in write_card(card_of(odd))
    assert contact_of(card_of(odd), "bob").mails == odd.mails


def test_two_spellings_are_one_mailbox() -> None:
    spelt = [f"[IPv6:{BOB_PADDED}]", f"[ipv6:{BOB_SHORT.upper()}]", f'"[IPv6:{BOB_SHORT}]"']
    assert len({mailbox_identity(Mailbox("Bob", one)) for one in spelt}) == 1
    assert mailbox_identity(Mailbox("x", STUART_KEY)) == mailbox_identity(
        Mailbox("X", STUART_LITERAL)
    )


def test_addresses_come_from_mail_keys_and_sip_in_this_order() -> None:
    contact = Contact(
        "x",
        mails=(Mailbox("x", f"[IPv6:{BOB_SHORT}]"), Mailbox("x", "example.org")),
        keys=(decode_key(STUART_KEY),),
        sips=("sip:x@[fc00::7]", f"sip:x@[{BOB_PADDED}]"),
    )
    expected = (parse_address(BOB_SHORT), STUART, parse_address("fc00::7"))
    assert contact.addresses == expected
    assert contact.address == expected[0]
    assert Contact("nobody").address is None


def test_a_key_must_fit_the_address_beside_it() -> None:
    require_agreement(stuart())
    require_agreement(Contact("key-only", keys=(decode_key(STUART_KEY),)))
    wrong = replace(stuart(), mails=bob().mails)
    with pytest.raises(ContactError, match="not the key of the address"):
        require_agreement(wrong)


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("sip:bob@[fcbc:b27::1]", "fcbc:b27::1"),
        ("SIP:[fcbc:0b27:0::1]:5060", "fcbc:b27::1"),
        ("sip:bob@example.org", None),
        ("sip:bob@[2001:db8::1]", None),
        ("sip:bob@[fc00::1::2]", None),
        ("xmpp:bob@[fc00::1]", None),
    ],
)
def test_the_node_of_a_sip_address(uri: str, address: str | None) -> None:
    assert sip_address(uri) == (None if address is None else parse_address(address))


def test_sip_addresses_get_their_scheme_or_are_refused() -> None:
    assert check_sip("bob@[fc00::1]") == "sip:bob@[fc00::1]"
    for wrong in ("sip:", "sip:a b@c", "sip:a@[fc00::1]\r\nX: y"):
        with pytest.raises(ContactError):
            check_sip(wrong)


def test_what_we_do_not_know_stays_on_the_card_with_groups_and_parameters() -> None:
    former = read_card(FOREIGN)
    contact = contact_of(former, "stuart")
    assert contact.keys == ()
    changed = write_card(card_of(replace(contact, note="new"), former)).replace("\r\n ", "")
    for line in FOREIGN.split("\r\n")[2:-2]:
        assert line in changed.split("\r\n")
    assert "NOTE:new" in changed
    assert "X-CJDNS-PETNAME:stuart" in changed


def test_a_dropped_address_leaves_the_card_and_another_name_takes_the_old_parts_of_it_away() -> (
    None
):
    former = read_card(FOREIGN)
    contact = contact_of(former, "stuart")
    card = card_of(replace(contact, mails=contact.mails[:1], full_name="S. C."), former)
    assert [one.text for one in card.all("EMAIL")] == [f"stuart@{STUART_LITERAL}"]
    assert card.all("N") == ()
    assert card.text("FN") == "S. C."


def test_a_key_property_with_a_mesh_key_is_read_and_replaced() -> None:
    former = Card("4.0", (Property("FN", "x"), Property("KEY", STUART_KEY)))
    contact = contact_of(former, "x")
    assert contact.keys == (decode_key(STUART_KEY),)
    assert [one.name for one in card_of(contact, former).properties if STUART_KEY in one.value] == [
        "X-CJDNS-KEY"
    ]


@pytest.mark.parametrize("line", ["EMAIL:no address", "X-CJDNS-KEY:abc.k"])
def test_a_wrong_line_of_ours_is_refused(line: str) -> None:
    card = read_card(f"BEGIN:VCARD\r\nVERSION:4.0\r\n{line}\r\nEND:VCARD\r\n")
    with pytest.raises(CardError):
        contact_of(card, "x")


@pytest.mark.parametrize("line", ["yesterday", "20260101", ""])
def test_a_verification_that_cannot_be_read_is_none(line: str) -> None:
    card = Card("4.0", (Property("X-CJDNS-VERIFIED", line, ";HOW=scanned"),))
    assert not contact_of(card, "x").is_verified


def test_more_addresses_than_a_person_has_are_refused() -> None:
    card = Card("4.0", tuple(Property("EMAIL", f"a{at}@b.c") for at in range(33)))
    with pytest.raises(CardError, match="more than 32"):
        contact_of(card, "x")
