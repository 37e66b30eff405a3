"""Letters: what is composed can be read by others, and back by us."""

from __future__ import annotations

import email
import email.policy
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexmesh.apps.base.mailbox import Mailbox
from dexmesh.apps.mail.proto.letters import MAX_LINE_BYTES, Attached, Letter, compose
from dexmesh.apps.mail.reading import attached_bytes, read_mail

BOB = Mailbox("bob", "[IPv6:fc00::1]", "Bob")
ZOE = Mailbox("zoe", "[IPv6:fc00::2]", "Zoë van Dijk")
WHEN = datetime(2025, 1, 6, 10, 0, tzinfo=UTC)


def made(
    subject: str = "hello",
    text: str = "hi\n",
    attached: tuple[Attached, ...] = (),
    references: tuple[str, ...] = (),
    headers: tuple[tuple[str, str], ...] = (),
) -> bytes:
    letter = Letter(BOB, (ZOE,), subject, text, (BOB,), attached, references, headers)
    return compose(letter, date=WHEN, message_id="<1@x>", boundary="=b")


def test_a_plain_letter_is_plain() -> None:
    assert made() == (
        b"From: Bob <bob@[IPv6:fc00::1]>\r\n"
        b"To: =?utf-8?b?Wm/DqyB2YW4gRGlqaw==?= <zoe@[IPv6:fc00::2]>\r\n"
        b"Cc: Bob <bob@[IPv6:fc00::1]>\r\nSubject: hello\r\n"
        b"Date: Mon, 06 Jan 2025 10:00:00 +0000\r\nMessage-ID: <1@x>\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: text/plain; charset=us-ascii\r\nContent-Transfer-Encoding: 7bit\r\n\r\nhi\r\n"
    )


def test_subject_text_and_file_come_back_as_they_were() -> None:
    content = bytes(range(256)) * 1000
    files = (Attached("naïve ü.bin", "image/png", content), Attached("b c.txt", "x", b""))
    data = made("Grüße " * 40, "naïve\n.\n\n  ü" + "x" * 3000 + "\n", files)
    mail = read_mail(data)
    assert mail.subject == ("Grüße " * 40).strip()
    assert mail.text == "naïve\n.\n\n  ü" + "x" * 3000 + "\n"
    assert [one.name for one in mail.attachments] == ["naïve ü.bin", "b c.txt"]
    assert attached_bytes(data, mail.attachments[0].part) == content
    assert attached_bytes(data, mail.attachments[1].part) == b""
    other = email.message_from_bytes(data, policy=email.policy.default)
    assert other["subject"] == mail.subject
    assert [part.get_filename() for part in other.iter_attachments()] == ["naïve ü.bin", "b c.txt"]


def test_an_answer_names_what_it_answers_and_keeps_the_references_short() -> None:
    ids = tuple(f"<{number}@x>" for number in range(60))
    mail = read_mail(made(references=(*ids, "nonsense", "<two words>")))
    assert mail.references[-1] == "<59@x>"
    assert mail.references[0] == "<0@x>"
    assert len(mail.references) == 20


def test_nothing_a_person_types_begins_another_field() -> None:
    evil = "x\r\nBcc: eve@[IPv6:fc00::3]\r\n\r\nbody\x00"
    data = made(subject=evil, headers=(("X-A", evil), ("X-B\r\nBcc", "y")))
    head = data.split(b"\r\n\r\n")[0]
    assert b"\nBcc" not in head
    assert b"X-B" not in head
    assert read_mail(data).subject == "x Bcc: eve@[IPv6:fc00::3] body"


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "a\r\nb", 'a"b', "", "x" * 500, "\u202efdp.exe"]
)
def test_a_file_name_cannot_break_out(name: str) -> None:
    data = made(attached=(Attached(name, "a/b", b"x"),))
    (one,) = read_mail(data).attachments
    assert one.name
    assert not set(one.name) & set("/\\\r\n\u202e")


@given(st.text(max_size=300), st.text(max_size=1500))
def test_any_text_makes_a_legal_message(subject: str, text: str) -> None:
    data = made(subject, text)
    assert data.isascii()
    assert data.count(b"\n") == data.count(b"\r\n") == data.count(b"\r")
    assert max(map(len, data.split(b"\r\n"))) <= MAX_LINE_BYTES
    assert read_mail(data).message_id == "<1@x>"


def test_a_long_subject_is_folded() -> None:
    data = made("word " * 300)
    assert max(map(len, data.split(b"\r\n"))) < 100
    assert read_mail(data).subject == ("word " * 300).strip()
    assert read_mail(made("x" * 1500)).subject == "x" * 1500
