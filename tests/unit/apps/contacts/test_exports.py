"""Exports: what each program reads, and nothing in it that a program could run."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import vobject

from dexmesh.apps.base.mailbox import Mailbox
from dexmesh.apps.contacts.contact import Contact, card_of
from dexmesh.apps.contacts.exports import FORMS, Exported, Person, export
from dexmesh.apps.contacts.vcard import Card, Property
from tests.unit.apps.contacts.samples import BOB_LITERAL, STUART_KEY, STUART_LITERAL, bob, stuart


def exported(form: str, *contacts: Contact) -> Exported:
    return export([Person(one, card_of(one)) for one in contacts], form)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (
            "alpine",
            f"stuart\tStuart Cheshire\tstuart@{STUART_LITERAL}\nbob\tbob\tbob@{BOB_LITERAL}\n",
        ),
        (
            "mutt",
            f"alias stuart Stuart Cheshire <stuart@{STUART_LITERAL}>\n"
            f"alias bob bob <bob@{BOB_LITERAL}>\n",
        ),
        ("neomutt", f"alias stuart Stuart Cheshire <stuart@{STUART_KEY}>\n"),
        ("s-nail", f"alias stuart stuart@{STUART_LITERAL}\nalias bob bob@{BOB_LITERAL}\n"),
        (
            "linphone",
            f'[friend_0]\nurl="Stuart Cheshire" <sip:stuart@[{STUART_LITERAL[6:]}>\n'
            f'pol=accept\nsubscribe=0\n\n[friend_1]\nurl="bob" <sip:bob@[{BOB_LITERAL[6:]}>\n'
            "pol=accept\nsubscribe=0\n\n",
        ),
        (
            "baresip",
            f'"Stuart Cheshire" <sip:stuart@[{STUART_LITERAL[6:]}>\n'
            f'"bob" <sip:bob@[{BOB_LITERAL[6:]}>\n',
        ),
    ],
)
def test_each_program_gets_its_form(form: str, text: str) -> None:
    done = exported(form, stuart(), bob())
    assert done.text == text
    assert done.left_out == (
        ("bob: neomutt needs the key of his node, which is not known",) if form == "neomutt" else ()
    )


HOSTILE = "`touch /tmp/x` $HOME \"' ; # \\ a\tb\nc <x@y> \u2028 | & Ö"


@pytest.mark.parametrize("form", ["alpine", "mutt", "neomutt", "linphone", "baresip", "s-nail"])
def test_a_hostile_name_is_only_a_name(form: str) -> None:
    done = exported(form, replace(stuart(), full_name=HOSTILE))
    assert not set("`$;#\\|&") & set(done.text)
    assert done.text.count("\n") == {"linphone": 5}.get(form, 1)
    assert done.text.count('"') == {"linphone": 2, "baresip": 2}.get(form, 0)


@pytest.mark.parametrize("form", ["alpine", "mutt", "neomutt", "s-nail", "linphone", "baresip"])
def test_a_hostile_address_is_left_out_and_named(form: str) -> None:
    bad = replace(stuart("eve"), mails=(Mailbox("`touch /tmp/x`", STUART_LITERAL),))
    done = exported(form, bad, bob("bob"), stuart())
    assert "touch" not in done.text
    assert done.left_out[0].startswith("eve: ")
    assert "stuart" in done.text
    if form == "linphone":
        assert "[friend_0]" in done.text


@pytest.mark.parametrize(
    ("sips", "uri"),
    [
        ((f"sip:s.c@{STUART_KEY}:5062",), f"sip:s.c@[{STUART_LITERAL[6:-1]}]:5062"),
        (("sip:s@example.org", f"SIP:[{STUART_LITERAL[6:-1]}]"), f"SIP:[{STUART_LITERAL[6:-1]}]"),
        (("sip:s@example.org",), "sip:s@example.org"),
    ],
)
def test_a_phone_gets_the_sip_address_on_the_mesh_as_a_literal(
    sips: tuple[str, ...], uri: str
) -> None:
    assert exported("baresip", replace(stuart(), sips=sips)).text == f'"Stuart Cheshire" <{uri}>\n'


def test_a_phone_calls_whoever_lives_at_a_node_of_which_only_the_key_is_known() -> None:
    done = exported("baresip", replace(stuart(), mails=()))
    assert f"<sip:{STUART_LITERAL.replace('IPv6:', '')}>" in done.text


def test_a_sip_address_with_a_meaning_of_its_own_is_left_out_and_named() -> None:
    bad = replace(stuart("eve"), sips=(f"sip:a;b=`x`@{STUART_KEY}",))
    assert exported("linphone", bad).left_out == ("eve: no address is known that a phone can call",)


def test_who_is_not_on_the_mesh_is_left_out_of_mail_programs_and_not_of_cards() -> None:
    old = Contact("old", mails=(Mailbox("old", "example.org"),))
    assert exported("mutt", old).left_out == ("old: no address on the mesh is known",)
    assert "old@example.org" in exported("vcard4", old).text


def test_the_older_vcard_is_what_the_rest_of_the_world_reads() -> None:
    contact = replace(stuart(), full_name="Cheshire, Stuart", note="a\nb")
    rest = (
        Property("PHOTO", "data:image/jpeg;base64,QUJD"),
        Property("TEL", "+1", ";PREF=1;TYPE=cell"),
    )
    done = export([Person(contact, card_of(contact, Card("4.0", rest)))], "vcard3")
    card = vobject.readOne(done.text)
    assert card.version.value == "3.0"
    assert card.fn.value == "Cheshire, Stuart"
    assert card.email.value == f"stuart@{STUART_LITERAL}"
    assert card.photo.value == b"ABC"
    assert card.tel.params["TYPE"] == ["pref", "cell"]
    card.serialize()  # which checks what version 3.0 must have


def test_every_form_writes_nothing_for_nobody() -> None:
    assert {form: export([], form).text for form in FORMS} == dict.fromkeys(FORMS, "")


@pytest.mark.interop
@pytest.mark.skipif(shutil.which("mutt") is None, reason="mutt is not installed")
def test_mutt_reads_our_aliases_and_runs_none_of_them(tmp_path: Path) -> None:
    file = tmp_path / "aliases"
    eve = replace(bob("eve"), full_name=f"Eve `touch {tmp_path}/ran` $(touch {tmp_path}/ran)")
    file.write_text(exported("mutt", stuart(), eve).text, encoding="utf-8")
    command = ["mutt", "-n", "-F", str(file), "-A", "stuart", "-A", "eve"]
    done = subprocess.run(command, capture_output=True, timeout=30, check=False, text=True)
    assert f"stuart@{STUART_LITERAL}" in done.stdout
    assert f"bob@{BOB_LITERAL}" in done.stdout
    assert not (tmp_path / "ran").exists()


@pytest.mark.interop
@pytest.mark.skipif(shutil.which("s-nail") is None, reason="s-nail is not installed")
def test_s_nail_reads_our_aliases(tmp_path: Path) -> None:
    file = tmp_path / "mailrc"
    file.write_text(exported("s-nail", stuart(), bob()).text)
    command = ["s-nail", "-#", "-n", "-X", f"source {file}", "-X", "alias stuart", "-X", "xit"]
    done = subprocess.run(command, capture_output=True, timeout=30, check=False, text=True)
    assert f"stuart@{STUART_LITERAL}" in done.stdout
