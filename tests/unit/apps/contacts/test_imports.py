"""Imports: foreign cards and alias files, one bad entry at a time."""

from __future__ import annotations

import base64

import pytest

from dexmesh.apps.base.mailbox import Mailbox
from dexmesh.apps.contacts.contact import Contact, card_of
from dexmesh.apps.contacts.exports import Person, export
from dexmesh.apps.contacts.imports import (
    Found,
    Refused,
    free_petname,
    guess_form,
    read_foreign,
)
from dexmesh.errors import ContactError
from dexmesh.wire.keys import decode_key
from tests.unit.apps.contacts.samples import BOB_LITERAL, BOB_PADDED, STUART_KEY, bob, stuart
from tests.unit.apps.contacts.test_vcard import card_text


def found(text: str, form: str) -> list[Found]:
    return [one for one in read_foreign(text, form, "file") if isinstance(one, Found)]


def refused(text: str, form: str) -> list[str]:
    return [one.reason for one in read_foreign(text, form, "file") if isinstance(one, Refused)]


def test_a_card_of_version_3_becomes_one_of_version_4() -> None:
    photo = base64.b64encode(b"jpeg").decode()
    text = card_text(
        "N:B;Bob;;;",
        "FN:Bob B",
        f"EMAIL;TYPE=INTERNET,HOME;TYPE=PREF:bob@{BOB_LITERAL}",
        f"PHOTO;ENCODING=b;TYPE=JPEG:{photo}",
        version="3.0",
    )
    [one] = found(text, "vcard")
    assert one.card is not None
    assert one.contact == Contact("bob-b", "Bob B", (Mailbox("bob", BOB_LITERAL),))
    assert one.card.text("PHOTO") == f"data:image/jpeg;base64,{photo}"
    assert one.card.all("EMAIL")[0].params == ";TYPE=INTERNET,HOME;PREF=1"
    assert one.card.version == "4.0"


def test_a_foreign_card_cannot_call_itself_verified() -> None:
    text = card_text("FN:Eve", "X-CJDNS-VERIFIED;HOW=scanned:20260101T000000Z", "EMAIL:e@x.org")
    [one] = found(text, "vcard")
    assert one.card is not None
    assert not one.contact.is_verified
    assert one.card.all("X-CJDNS-VERIFIED") == ()


def test_a_missing_tag_is_put_in_and_said() -> None:
    [one] = found(card_text("FN:Bob", f"EMAIL:bob@[{BOB_PADDED}]"), "vcard")
    assert one.contact.mails == (Mailbox("bob", BOB_LITERAL),)
    assert one.notes == (f"bob@[{BOB_PADDED}] is now bob@{BOB_LITERAL}",)


def test_a_text_that_is_no_address_is_left_out_and_said() -> None:
    [one] = found(card_text("FN:Bob", "EMAIL:none", f"EMAIL:bob@{BOB_LITERAL}"), "vcard")
    assert one.contact.mails == (Mailbox("bob", BOB_LITERAL),)
    assert one.notes == ("'none' is no mail address and was left out",)


def test_a_key_that_does_not_fit_is_refused_and_the_next_card_is_read() -> None:
    bad = card_text("FN:Eve", f"X-CJDNS-KEY:{STUART_KEY}", f"EMAIL:e@{BOB_LITERAL}")
    good = card_text("FN:Stuart", f"X-CJDNS-KEY:{STUART_KEY}")
    assert [one.contact.keys for one in found(bad + good, "vcard")] == [(decode_key(STUART_KEY),)]
    [reason] = refused(bad + good, "vcard")
    assert reason.startswith("Eve: the key")


def test_a_picture_that_is_too_large_is_left_out_and_said() -> None:
    photo = "A" * 400_000
    [one] = found(card_text("FN:Bob", f"PHOTO;ENCODING=b:{photo}", version="3.0"), "vcard")
    assert one.card is not None
    assert one.card.all("PHOTO") == ()
    assert one.notes == ("its picture is too large and was left out",)


@pytest.mark.parametrize(
    ("lines", "petname"),
    [
        (("X-CJDNS-PETNAME:stu", "FN:Stuart"), "stu"),
        (("X-CJDNS-PETNAME:../x", "FN:Stuart C"), "stuart-c"),
        (("NICKNAME:Stu!", "FN:Stuart"), "stu"),
        (("FN:李明", "EMAIL:liming@x.org"), "liming"),
    ],
)
def test_a_petname_is_found_on_the_card(lines: tuple[str, ...], petname: str) -> None:
    assert found(card_text(*lines), "vcard")[0].contact.petname == petname


def test_a_card_with_nothing_to_call_the_person_by_is_refused() -> None:
    assert refused(card_text("NOTE:x"), "vcard") == [
        "a card without a name: there is nothing on it to make a petname of"
    ]


ALPINE = (
    'bob\tB, Bob\tbob@"' + BOB_LITERAL + '"\n'
    "zoe\t=?UTF-8?Q?Zo=C3=AB?=\tzoe@x.org\t\ta comment\n"
    "team\tThe team\t(a@x.org,b@x.org)\n"
    "#DELETED-20/01/01#old\tOld\told@x.org\n"
    "long\tA long\t\n   name@x.org\n"
    "nonsense\n"
)


def test_alpine_books_are_read() -> None:
    assert [one.contact for one in found(ALPINE, "alpine")] == [
        Contact("bob", "Bob B", (Mailbox("bob", BOB_LITERAL),)),
        Contact("zoe", "Zoë", (Mailbox("zoe", "x.org"),), note="a comment"),
        Contact("long", "A long", (Mailbox("name", "x.org"),)),
    ]
    assert refused(ALPINE, "alpine") == [
        "file, line 3: team is a list of people",
        "file, line 7: not NICK, NAME and ADDRESS with tabs between them",
    ]


MUTT = (
    "# my aliases\nset from=x\n"
    f"alias -group friends bob Bob B <bob@{BOB_LITERAL}> # since 2020\n"
    'alias zoe "Zoë, X" \\\n   <zoe@x.org>\n'
    "alias team a@x.org, b@x.org\nalias odd <>\n"
)


def test_mutt_aliases_are_read() -> None:
    assert [one.contact for one in found(MUTT, "mutt")] == [
        Contact("bob", "Bob B", (Mailbox("bob", BOB_LITERAL),)),
        Contact("zoe", "Zoë, X", (Mailbox("zoe", "x.org"),)),
    ]
    assert [reason.partition(":")[0] for reason in refused(MUTT, "mutt")] == [
        "file, line 6",
        "file, line 7",
    ]


S_NAIL = (
    f"set v15-compat\nalias bobby bob@{BOB_LITERAL}\nalias 'zoe' \"zoe@x.org\" # z\n"
    "alias team a@x.org b@x.org\nalias bad 'x\n"
)


def test_s_nail_aliases_are_read() -> None:
    assert [
        (one.contact.petname, str(one.contact.mails[0])) for one in found(S_NAIL, "s-nail")
    ] == [
        ("bobby", f"bob@{BOB_LITERAL}"),
        ("zoe", "zoe@x.org"),
    ]
    assert refused(S_NAIL, "s-nail") == [
        "file, line 4: team is a list of people",
        "file, line 5: a quotation mark without its other half",
    ]


@pytest.mark.parametrize(
    ("text", "form"),
    [(card_text("FN:x"), "vcard"), (ALPINE, "alpine"), (MUTT, "mutt"), (S_NAIL, "s-nail")],
)
def test_the_form_is_recognised(text: str, form: str) -> None:
    assert guess_form(text) == form


def test_what_is_no_address_book_is_not_guessed_at() -> None:
    with pytest.raises(ContactError, match="no form of an address book"):
        guess_form("hello\nworld\n")


@pytest.mark.parametrize("form", ["vcard4", "vcard3", "alpine", "mutt", "s-nail"])
def test_what_we_export_is_what_we_import(form: str) -> None:
    persons = [Person(one, card_of(one)) for one in (stuart(), bob())]
    text = export(persons, form).text
    read = [one.contact for one in found(text, guess_form(text))]
    assert [one.petname for one in read] == ["stuart", "bob"]
    assert [one.mails for one in read] == [stuart().mails, bob().mails]
    if form.startswith("vcard"):
        assert read == [stuart(), bob()]


def test_endless_lines_and_files_are_refused() -> None:
    for text in ("alias x " + "a" * 20_000, "alias x \\\n" * 20_000):
        with pytest.raises(ContactError, match="longer than 10000"):
            list(read_foreign(text, "mutt", "file"))
    with pytest.raises(ContactError, match="more than 100000 lines"):
        list(read_foreign("x\n" * 100_002, "mutt", "file"))


def test_a_free_petname_gets_a_number() -> None:
    taken = {"bob", "bob-2", "x" * 63}
    assert free_petname("bob", taken.__contains__) == "bob-3"
    assert free_petname("eve", taken.__contains__) == "eve"
    assert free_petname("x" * 63, taken.__contains__) == "x" * 61 + "-2"
