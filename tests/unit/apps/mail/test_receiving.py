"""The header a mail from the mesh is stored with."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from dexmesh.apps.base.mailbox import Mailbox, parse_mailboxes
from dexmesh.apps.mail.proto import receiving
from dexmesh.apps.mail.proto.headers import parse_header
from dexmesh.apps.mail.proto.receiving import MAX_FROM_BYTES, MAX_HOPS, Arrival, edit_received
from dexmesh.apps.mail.proto.refusals import Refusal
from dexmesh.wire.address import parse_address
from tests.unit.apps.mail.smtp_world import ME

REMOTE = parse_address("fc00::2")
ARRIVAL = Arrival(
    remote=REMOTE,
    helo="[IPv6:fc00::2]",
    protocol="ESMTP",
    sender=Mailbox("stuart", "[IPv6:fc00::2]"),
    id="abc",
    date=datetime(2026, 11, 25, tzinfo=UTC),
)


def edited(block: bytes, arrival: Arrival = ARRIVAL) -> bytes:
    result = edit_received(parse_header(block), arrival, ME)
    assert isinstance(result, bytes)
    return result


def test_the_trace_says_who_connected_and_what_we_are() -> None:
    assert (
        edited(b"From: stuart@[IPv6:FC00::0002]\r\nX: y\r\n")
        == (
            "Return-Path: <stuart@[IPv6:fc00::2]>\r\n"
            "Received: from [IPv6:fc00::2] ([IPv6:fc00::2])\r\n"
            f"\tby {ME.literal} (dexmesh) with ESMTP id abc;\r\n"
            "\tWed, 25 Nov 2026 00:00:00 +0000\r\n"
            f"Authentication-Results: {ME.key_name};\r\n\tx-mesh=pass smtp.remote-ip=fc00::2\r\n"
            "From: stuart@[IPv6:FC00::0002]\r\nX: y\r\n\r\n"
        ).encode()
    )


def test_what_only_we_may_say_is_taken_out_first() -> None:
    forged = (
        b"authentication-results: x;\r\n\tx-mesh=pass smtp.remote-ip=fc00::9\r\nA: b\r\n"
        b"X-MESH-FROM-DIFFERS: no\r\nReturn-Path: <x@y>\r\nAuthentication-Results : z\r\n"
    )
    result = edited(forged + b"From: stuart@[IPv6:fc00::2]\r\n")
    assert result.lower().count(b"authentication-results") == 1
    assert b"fc00::9" not in result
    assert b"<x@y>" not in result
    assert b"differs" not in result.lower()
    assert b"A: b\r\n" in result


def test_authors_without_end_are_not_read_but_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def reading(text: str) -> tuple[Mailbox, ...]:
        read.append(len(text))
        return parse_mailboxes(text)

    monkeypatch.setattr(receiving, "parse_mailboxes", reading)
    mark = b"X-Mesh-From-Differs: sent by [IPv6:fc00::2]\r\n"
    people = ",".join(f"a{number}@[IPv6:fc00::2]" for number in range(150)).encode()
    assert mark not in edited(b"From: " + people + b"\r\n")
    for hostile in (b"From: " + b"<" * 250_000 + b"\r\n", b"From: a@[IPv6:fc00::2]\r\n" * 900):
        read.clear()
        assert mark in edited(hostile)
        assert sum(read) <= MAX_FROM_BYTES


@pytest.mark.parametrize(
    ("block", "differs"),
    [
        (b"From: a@[IPv6:fc00::2]\r\n", False),
        (b'From: a@"[IPv6:fc00::2]"\r\n', False),
        (b"From: a@[IPv6:fc00::2], b@[IPv6:fc00::0:2]\r\n", False),
        (b"From: a@[IPv6:fc00::3]\r\n", True),
        (b"From: a@[IPv6:fc00::2], b@[IPv6:fc00::3]\r\n", True),
        (b"From: a@[IPv6:fc00::2]\r\nFrom: a@[IPv6:fc00::3]\r\n", True),
        (b'From: "a@[IPv6:fc00::2]" <b@example.org>\r\n', True),
        (b"From: a@example.org\r\n", True),
        (b"From: a\r\n", True),
        (b"From: \xff <<\r\n", True),
        (b"From:\r\n", True),
        (b"Subject: no From\r\n", True),
    ],
)
def test_a_from_that_names_another_node_is_marked(block: bytes, differs: bool) -> None:
    assert (b"X-Mesh-From-Differs: sent by [IPv6:fc00::2]\r\n" in edited(block)) is differs


def test_a_quoted_literal_is_mended_where_addresses_stand() -> None:
    result = edited(b'To: bob@"[IPv6:fc00::1]"\r\nSubject: bob@"[IPv6:fc00::1]"\r\n')
    assert b"\r\nTo: bob@[IPv6:fc00::1]\r\n" in result
    assert b'\r\nSubject: bob@"[IPv6:fc00::1]"\r\n' in result


def test_a_greeting_or_sender_cannot_break_the_header() -> None:
    arrival = Arrival(
        remote=REMOTE,
        helo="x\r\nEvil: y(){};\x00é",
        protocol="SMTP",
        sender=Mailbox("a b", "[IPv6:fc00::2]"),
        id="abc",
        date=ARRIVAL.date,
    )
    result = edited(b"", arrival)
    assert b"Received: from xEvil:y ([" in result
    assert result.startswith(b'Return-Path: <"a b"@[IPv6:fc00::2]>\r\n')
    assert parse_header(result[:-2]).rest == b""


def test_a_bounce_has_no_return_path_and_a_loop_ends() -> None:
    arrival = Arrival(REMOTE, "x", "SMTP", None, "abc", ARRIVAL.date)
    assert edited(b"", arrival).startswith(b"Return-Path: <>\r\n")
    edited(b"Received: x\r\n" * MAX_HOPS)
    header = parse_header(b"Received: x\r\n" * (MAX_HOPS + 1))
    refused = edit_received(header, ARRIVAL, ME)
    assert isinstance(refused, Refusal)
    assert str(refused).startswith("554 5.4.6")
