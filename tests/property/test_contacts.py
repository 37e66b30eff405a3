"""vCards and invitations: round trips of anything, and one clear error for everything else."""

from __future__ import annotations

import contextlib

from hypothesis import assume, given
from hypothesis import strategies as st

from dexmesh.apps.contacts.contact import card_of, contact_of
from dexmesh.apps.contacts.exports import FORMS as EXPORTS
from dexmesh.apps.contacts.exports import Person, export
from dexmesh.apps.contacts.imports import FORMS as IMPORTS
from dexmesh.apps.contacts.imports import Refused, read_foreign
from dexmesh.apps.contacts.invitation import (
    Invitation,
    InvitationError,
    InvitedPeer,
    decode_invitation,
    encode_invitation,
)
from dexmesh.apps.contacts.petname import is_petname, petname_from
from dexmesh.apps.contacts.vcard import (
    Card,
    CardError,
    Property,
    decode_text,
    escape,
    read_card,
    read_cards,
    text_property,
    unescape,
    write_card,
)
from dexmesh.errors import ContactError
from dexmesh.wire.keys import decode_key
from tests.unit.apps.contacts.samples import STUART_KEY, stuart
from tests.unit.apps.contacts.test_contact import FOREIGN
from tests.unit.apps.contacts.test_imports import ALPINE, MUTT, S_NAIL

KEY = decode_key(STUART_KEY)

_NO_CONTROL = st.characters(blacklist_categories=["Cs", "Cc"])
texts = st.text(_NO_CONTROL, max_size=200)
lines = st.text(_NO_CONTROL, max_size=20)
names = st.from_regex(r"X-[A-Z0-9-]{1,10}", fullmatch=True)
properties = st.builds(
    lambda name, text, label, group: Property(
        name, escape(text), text_property(name, "", LABEL=label).params, group
    ),
    names,
    st.text(_NO_CONTROL | st.just("\n"), max_size=300),
    texts,
    st.sampled_from(["", "item1", "A-1"]),
)
cards = st.builds(
    Card, st.sampled_from(["3.0", "4.0"]), st.lists(properties, max_size=8).map(tuple)
)

peers = st.builds(
    InvitedPeer,
    st.sampled_from(["192.0.2.7:41234", "[2001:db8::1]:5", "mesh.example.org:65535"]),
    st.just(KEY),
    lines,
    lines,
)
users = st.text(
    _NO_CONTROL.filter(lambda c: c != "@" and c not in "\u2028\u2029"), min_size=1, max_size=30
)
invitations = st.builds(
    Invitation, st.just(KEY), users, users, lines, st.lists(peers, max_size=2).map(tuple)
)


pieces = st.sampled_from(
    [
        "BEGIN:VCARD", "END:VCARD", "VERSION:4.0", "VERSION:3.0", "FN:Zoë", "FN:", "fn:x", "FN;X=1:y",
        "NOTE:BEGIN:VCARD", "NOTE:a\rb", "NOTE:a\nb", " folded", "", "X-ODD:1", "EMAIL:a@b:c", "FN",
        "X-CJDNS-VERIFIED;HOW=scanned:20250101T000000Z", "X-CJDNS-VERIFIED;HOW=x:1", "g.FN:x",
    ]
)  # fmt: skip


@given(st.lists(pieces, max_size=6), st.sampled_from(["\r\n", "\n"]))
def test_a_card_is_the_same_by_the_quick_way_and_by_the_long_one(
    inner: list[str], end: str
) -> None:
    text = end.join(["BEGIN:VCARD", "VERSION:4.0", *inner, "END:VCARD", ""])
    slow: list[Card] = []
    with contextlib.suppress(CardError):
        slow = list(read_cards(text))
    quick: list[Card] = []
    with contextlib.suppress(CardError):
        quick = [read_card(text)]
    assert quick == (slow if len(slow) == 1 else [])


@given(cards)
def test_a_card_comes_back_as_it_was_written(card: Card) -> None:
    written = write_card(card)
    assert read_card(written) == card
    assert all(len(line) <= 75 for line in written.encode().split(b"\r\n"))


@given(st.text(max_size=300))
def test_escaping_is_undone_for_any_text(text: str) -> None:
    plain = text.replace("\r\n", "\n").replace("\r", "")
    assert unescape(escape(text)) == plain


@given(
    st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "ignore"))
)
def test_any_bytes_are_cards_or_one_error(data: bytes) -> None:
    framed = b"BEGIN:VCARD\r\nVERSION:4.0\r\n" + data + b"\r\nEND:VCARD\r\n"
    for one in (data, framed):
        with contextlib.suppress(CardError):
            list(read_cards(decode_text(one, "x")))


@given(st.integers(0, len(FOREIGN) - 1), st.text(max_size=3), st.integers(0, 30))
def test_a_card_changed_anywhere_is_read_or_refused(place: int, more: str, gone: int) -> None:
    text = FOREIGN[:place] + more + FOREIGN[place + gone :]
    try:
        card = read_card(decode_text(text.encode("utf-8", "ignore"), "x"))
        contact = contact_of(card, "x")
    except ContactError:
        return
    assert contact_of(read_card(write_card(card_of(contact, card))), "x") == contact


_SEEDS = {"vcard": FOREIGN, "alpine": ALPINE, "mutt": MUTT, "s-nail": S_NAIL}


@given(st.sampled_from(sorted(IMPORTS)), st.data())
def test_any_foreign_file_is_read_or_refused(form: str, data: st.DataObject) -> None:
    seed = _SEEDS[form]
    place = data.draw(st.integers(0, len(seed)))
    text = (
        seed[:place]
        + data.draw(st.text(max_size=20))
        + seed[place + data.draw(st.integers(0, 9)) :]
    )
    with contextlib.suppress(ContactError):
        for one in read_foreign(text, form, "x"):
            assert isinstance(one, Refused) or is_petname(one.contact.petname)


@given(st.text(max_size=200), st.sampled_from(sorted(EXPORTS)))
def test_no_name_leaves_its_place_in_an_export(name: str, form: str) -> None:
    assume(name.isprintable())
    plain = Person(stuart(), card_of(stuart()))
    odd = Person(
        contact_of(Card("4.0", (text_property("FN", name), *plain.card.properties)), "odd"),
        plain.card,
    )
    done = export([odd, plain], form).text
    if form.startswith("vcard"):
        assert len(list(read_cards(done))) == 2
        return
    assert done.count("\n") == export([plain, plain], form).text.count("\n")
    assert not set("`$;#\\") & set(done)


@given(st.text(max_size=300))
def test_a_petname_made_of_any_text_is_one(text: str) -> None:
    name = petname_from(text)
    assert name == "" or is_petname(name)


def _encoded(invitation: Invitation) -> str | None:
    try:
        return encode_invitation(invitation)
    except InvitationError:  # too long, or with a control character
        return None


@given(invitations)
def test_an_invitation_comes_back_as_it_was_written(invitation: Invitation) -> None:
    text = _encoded(invitation)
    if text is not None:
        read = decode_invitation(text)
        assert read == invitation or (not invitation.petname and read.petname == invitation.user)
        assert set(text) <= set("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:")


@given(invitations, st.data())
def test_no_slip_of_one_character_gets_through(invitation: Invitation, data: st.DataObject) -> None:
    text = _encoded(invitation)
    assume(text is not None)
    assert text is not None
    place = data.draw(st.integers(0, len(text) - 2))
    wrong = data.draw(st.characters(blacklist_categories=["Cs"]))
    slips = [text[:place] + text[place + 1] + text[place] + text[place + 2 :]]
    slips.append(text[:place] + wrong + text[place + 1 :])
    for slip in slips:
        if slip.upper() == text:
            continue
        try:
            decode_invitation(slip)
        except InvitationError:
            continue
        raise AssertionError(f"{slip} was taken for {text}")


@given(st.text(max_size=200))
def test_any_text_is_an_invitation_or_refused(text: str) -> None:
    for one in (text, f"dexmesh:1/{text}"):
        with contextlib.suppress(InvitationError):
            decode_invitation(one)
