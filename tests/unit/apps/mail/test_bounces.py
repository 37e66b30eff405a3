"""The reports senders get, read with the standard library's parser."""

from __future__ import annotations

import email
import email.policy
from dataclasses import replace
from email.message import EmailMessage
from typing import cast

import pytest

from dexmesh.apps.mail.proto.bounces import (
    MAX_FULL_BYTES,
    MAX_HEADERS_BYTES,
    Action,
    Concerned,
    Original,
    Report,
    encode_report,
    failures_in,
    message_id,
)

NODE = "[IPv6:fc00::1]"
BOB = "bob@[IPv6:fc00::2]"
HEADER = b"From: me\r\nSubject: the plan\r\nMessage-ID: <1@x>\r\n"
ORIGINAL = Original("17", HEADER, None, 1_700_000_000.0, "env+1")
REFUSED = Concerned(BOB, "5.1.1", "550 5.1.1 no such user", True, "rfc822;bob@friend")
REPORT = Report(
    Action.FAILED,
    f"stuart@{NODE}",
    NODE,
    "[IPv6:fc00::2]",
    (REFUSED,),
    ORIGINAL,
    3,
    1_700_000_100.0,
)


def read(report: Report) -> EmailMessage:
    data = encode_report(report)
    assert data.count(b"\n") == data.count(b"\r\n") == data.count(b"\r")
    assert max(len(line) for line in data.split(b"\r\n")) <= 998
    message = email.message_from_bytes(data, policy=email.policy.default)
    assert not message.defects
    return message


def fields(part: EmailMessage) -> list[dict[str, str]]:
    return [dict(block.items()) for block in cast(list[EmailMessage], part.get_payload())]


def test_a_bounce_is_a_report_that_programs_understand() -> None:
    message = read(REPORT)
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["Subject"] == "Not delivered: the plan"
    assert message["In-Reply-To"] == "<1@x>"
    kinds = [part.get_content_type() for part in message.iter_parts()]
    assert kinds == ["text/plain", "message/delivery-status", "text/rfc822-headers"]


def test_it_names_address_code_and_text_for_people_and_for_programs() -> None:
    words, status, headers = read(REPORT).iter_parts()
    text = cast(EmailMessage, words).get_content()
    assert BOB in text
    assert "550 5.1.1 no such user" in text
    whole, one = fields(cast(EmailMessage, status))
    assert whole["Reporting-MTA"] == f"dns; {NODE}"
    assert whole["Original-Envelope-Id"] == "env+1"
    assert one["Final-Recipient"] == f"rfc822; {BOB}"
    assert one["Original-Recipient"] == "rfc822;bob@friend"
    assert (one["Action"], one["Status"]) == ("failed", "5.1.1")
    assert one["Diagnostic-Code"] == "smtp; 550 5.1.1 no such user"
    assert one["Remote-MTA"] == "dns; [IPv6:fc00::2]"
    assert "the plan" in cast(EmailMessage, headers).get_content()


def test_where_no_server_spoke_none_is_named() -> None:
    silent = Concerned(BOB, "4.4.7", "given up after 14 days", False)
    _, status, _ = read(replace(REPORT, concerned=(silent,))).iter_parts()
    one = fields(cast(EmailMessage, status))[1]
    assert "Remote-MTA" not in one
    assert one["Diagnostic-Code"] == "x-dexmesh; given up after 14 days"


@pytest.mark.parametrize(
    ("action", "subject", "word"),
    [(Action.DELAYED, "Still waiting", "delayed"), (Action.RELAYED, "Handed on", "relayed")],
)
def test_warnings_and_receipts(action: Action, subject: str, word: str) -> None:
    message = read(replace(REPORT, action=action))
    assert message["Subject"] == f"{subject}: the plan"
    _, status, _ = message.iter_parts()
    assert fields(cast(EmailMessage, status))[1]["Action"] == word


def test_the_same_report_is_the_same_bytes_and_another_is_not() -> None:
    assert encode_report(REPORT) == encode_report(replace(REPORT))
    assert message_id(REPORT) != message_id(replace(REPORT, number=4))


def test_the_whole_mail_comes_back_only_if_asked_for_and_not_too_long() -> None:
    full = HEADER + b"\r\n\xc3\xa4 body\r\n"
    *_, last = read(replace(REPORT, original=replace(ORIGINAL, full=full))).iter_parts()
    assert last.get_content_type() == "message/rfc822"
    long = HEADER + b"\r\n" + b"x\r\n" * MAX_FULL_BYTES
    *_, last = read(replace(REPORT, original=replace(ORIGINAL, full=long))).iter_parts()
    assert last.get_content_type() == "text/rfc822-headers"


def test_a_hostile_original_breaks_nothing() -> None:
    for header in (
        b"",
        b"\xff\x00: x\r\n",
        b"Subject: " + "ä".encode() * 3000 + b"\r\n",
        b"Subject: a\r\n\tb\x07\r\nMessage-ID: <x>\r\n y\r\n",
        b"X: y\r\n" * 20_000,
    ):
        message = read(replace(REPORT, original=replace(ORIGINAL, header=header)))
        assert message["Auto-Submitted"] == "auto-replied"
        assert len(encode_report(replace(REPORT, original=replace(ORIGINAL, header=header)))) < (
            MAX_HEADERS_BYTES + 16_384
        )


def test_a_reply_cannot_write_fields_of_its_own() -> None:
    evil = replace(REFUSED, diagnostic="550 x\r\nStatus: 2.0.0\r\n\r\nAction: delivered")
    _, status, _ = read(replace(REPORT, concerned=(evil,))).iter_parts()
    blocks = fields(cast(EmailMessage, status))
    assert len(blocks) == 2
    assert blocks[1]["Status"] == "5.1.1"


def test_addresses_beyond_ascii_are_named_as_they_are() -> None:
    umlaut = replace(REFUSED, mailbox="bärbel@[IPv6:fc00::2]")
    data = encode_report(replace(REPORT, concerned=(umlaut,)))
    assert b"message/global-delivery-status" in data
    assert "Final-Recipient: utf-8; bärbel@".encode() in data


def test_who_did_not_get_a_mail_is_read_from_our_own_reports() -> None:
    gone = Concerned("zoë@[IPv6:fc00::2]", "4.4.7", "given up after 14 days", False)
    report = encode_report(replace(REPORT, concerned=(REFUSED, gone)))
    found = [(str(mailbox), reason) for mailbox, reason in failures_in(report)]
    assert found == [(BOB, "550 5.1.1 no such user"), (gone.mailbox, gone.diagnostic)]
    assert failures_in(report.replace(b"\r\n", b"\n")) == failures_in(report)
    for action in (Action.DELAYED, Action.RELAYED):
        assert failures_in(encode_report(replace(REPORT, action=action))) == []
    assert failures_in(b"Final-Recipient: rfc822; <>\nAction: failed\n") == []
