"""Invitations: what is read is what was written, and no slip of one character gets through."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from dexmesh.apps.base.mailbox import Mailbox
from dexmesh.apps.contacts.contact import How, Verification
from dexmesh.apps.contacts.invitation import (
    MAX_CHARS,
    Invitation,
    InvitationError,
    InvitedPeer,
    contact_from,
    decode_invitation,
    encode_invitation,
    invitation_answer,
    is_invitation,
)
from dexmesh.wire.address import parse_address
from dexmesh.wire.base32 import encode_base32
from dexmesh.wire.keys import decode_key
from tests.unit.apps.contacts.samples import STUART, STUART_KEY, STUART_LITERAL

KEY = decode_key(STUART_KEY)
PLAIN = Invitation(KEY, "stuart", "stuart")
FULL = Invitation(
    KEY,
    "Stuart.C+x",
    "stu",
    "Stuart Ö. Cheshire / 100%",
    (
        InvitedPeer("192.0.2.7:41234", KEY, "me", "pa+ss/wörd"),
        InvitedPeer("[2001:db8::1]:5", KEY, "", "x"),
        InvitedPeer("mesh.example.org:7", KEY),
    ),
)
FIXED = f"DEXMESH:1/{STUART_KEY[:-2].upper()}/U:STUART/"
QR_ALPHABET = set("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:")


def signed(body: str) -> str:
    """This text with a checksum that fits."""
    return f"{body}/{encode_base32(zlib.crc32(body.lower().encode()).to_bytes(4, 'little'))}"


@pytest.mark.parametrize("invitation", [PLAIN, FULL])
def test_an_invitation_comes_back_in_any_case(invitation: Invitation) -> None:
    text = encode_invitation(invitation)
    assert decode_invitation(text) == invitation
    assert decode_invitation(f"  {text.lower()}\n") == invitation
    assert set(text) <= QR_ALPHABET


def test_the_form_is_the_documented_one() -> None:
    text = encode_invitation(PLAIN)
    assert text.startswith(FIXED)
    assert text == signed(FIXED.rstrip("/")).upper()
    assert len(text) == len(FIXED) + 7


@pytest.mark.parametrize("invitation", [PLAIN, FULL])
def test_any_one_wrong_character_is_refused(invitation: Invitation) -> None:
    text = encode_invitation(invitation)
    for place, right in enumerate(text):
        for wrong in map(chr, range(256)):
            if wrong.lower() != right.lower():
                with pytest.raises(InvitationError):
                    decode_invitation(text[:place] + wrong + text[place + 1 :])


@pytest.mark.parametrize("invitation", [PLAIN, FULL])
def test_swapped_missing_and_doubled_characters_are_refused(invitation: Invitation) -> None:
    text = encode_invitation(invitation)
    for place in range(len(text) - 1):
        first, second = text[place], text[place + 1]
        wrong = [text[:place] + text[place + 1 :], text[:place] + first + text[place:]]
        if first != second:
            wrong.append(text[:place] + second + first + text[place + 2 :])
        for one in wrong:
            with pytest.raises(InvitationError):
                decode_invitation(one)


def test_unknown_parameters_are_ignored_and_covered_by_the_checksum() -> None:
    text = signed(f"{FIXED}Z:NEW%20THING+1/LATER")
    assert decode_invitation(text) == PLAIN
    with pytest.raises(InvitationError, match="checksum"):
        decode_invitation(text.replace("NEW", "OLD"))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (f"dexmesh:2/{STUART_KEY[:-2]}/u:x", "version 2"),
        (f"dexmesh:1/{STUART_KEY[:-2]}", "without a user"),
        (f"dexmesh:1/{STUART_KEY[:-3]}/u:x", "wrong key"),
        ("dexmesh:1/" + "0" * 52 + "/u:x", "wrong key"),
        (f"dexmesh:1/{STUART_KEY[:-2]}/u:x/u:y", "two parameters u"),
        (f"dexmesh:1/{STUART_KEY[:-2]}/u:a%40b", "without a user"),
        (f"dexmesh:1/{STUART_KEY[:-2]}/u:a%0d%0ab", "control character"),
        (f"dexmesh:1/{STUART_KEY[:-2]}/u:a%ff", "not UTF-8"),
        (f"dexmesh:1/{STUART_KEY[:-2]}/u:x/p:nowhere+{STUART_KEY[:-2]}", "no HOST:PORT"),
        (f"dexmesh:1/{STUART_KEY[:-2]}/u:x" + "/p:a:1+x" * 5, "wrong key"),
        (f"dexmesh:1/{STUART_KEY[:-2]}/u:x" + f"/p:a:1+{STUART_KEY[:-2]}" * 5, "more than 4 peers"),
        (f"dexmesh:1/{STUART_KEY[:-2]}/u:x" + "/z:" * 40, "more than 32 parameters"),
        ("dexmesh:1", "damaged|wrong key"),
    ],
)
def test_what_the_checksum_fits_is_checked_all_the_same(body: str, reason: str) -> None:
    with pytest.raises(InvitationError, match=reason):
        decode_invitation(signed(body))


@pytest.mark.parametrize(
    "text",
    ["", "dexmesh:", "dexmesh:/", "hello", "dexmesh:1/" + "A" * MAX_CHARS, "dexmesh:1/a b/c"],
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(InvitationError):
        decode_invitation(text)


def test_what_would_be_too_long_or_unreadable_is_not_written() -> None:
    with pytest.raises(InvitationError, match="longer than"):
        encode_invitation(Invitation(KEY, "x", full_name="Ö" * 200))
    with pytest.raises(InvitationError, match="control"):
        encode_invitation(Invitation(KEY, "x", full_name="a\nb"))
    peer = InvitedPeer("a:1", KEY)
    with pytest.raises(InvitationError, match="4 peers"):
        encode_invitation(Invitation(KEY, "x", peers=(peer,) * 5))


def test_an_invitation_makes_a_contact() -> None:
    how = Verification(How.INVITED, 1.0)
    contact = contact_from(FULL, how)
    assert (contact.petname, contact.full_name) == ("stu", FULL.full_name)
    assert contact.mails == (Mailbox("Stuart.C+x", STUART_LITERAL),)
    assert (contact.keys, contact.verified) == ((KEY,), how)
    assert contact_from(FULL, None, "other").petname == "other"
    assert contact_from(Invitation(KEY, "李"), None).petname == "node-mwrbxrdf"


def test_an_answer_counts_only_from_the_node_it_names() -> None:
    text = encode_invitation(PLAIN)
    assert invitation_answer(f" {text}", STUART) == PLAIN
    assert invitation_answer(text, parse_address("fc00::1")) is None
    assert invitation_answer("nonsense", STUART) is None


def test_passwords_do_not_show_in_a_log() -> None:
    assert "pa+ss" not in repr(FULL)


def test_an_invitation_is_told_from_an_address() -> None:
    assert is_invitation(" DexMesh:1/x")
    assert not is_invitation("stuart@dexmesh")


def test_the_example_in_the_documentation_is_one() -> None:
    page = Path(__file__).parents[4] / "docs" / "apps" / "invitation.md"
    [line] = [one for one in page.read_text().splitlines() if one.startswith("    DEXMESH:")]
    example = Invitation(KEY, "stuart", "stuart", "Stuart Cheshire")
    assert line.strip() == encode_invitation(example)
