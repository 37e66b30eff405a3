"""The arguments of MAIL and RCPT, of good and of hostile clients."""

from __future__ import annotations

import pytest

from dexmesh.apps.base.mailbox import Mailbox
from dexmesh.apps.mail.proto.commands import (
    Path,
    decode_login,
    decode_plain,
    judge_mail_parameters,
    judge_rcpt_parameters,
    parse_path,
)
from dexmesh.apps.mail.proto.refusals import Reason, Refusal, printable


@pytest.mark.parametrize(
    ("argument", "mailbox"),
    [
        ("FROM:<>", None),
        ("from: <>", None),
        ("FROM:<a@[IPv6:fc00::1]>", Mailbox("a", "[IPv6:fc00::1]")),
        ('FROM:<a@"[IPv6:fc00::1]">', Mailbox("a", "[IPv6:fc00::1]")),
        ("FROM:a@[IPv6:fc00::1]", Mailbox("a", "[IPv6:fc00::1]")),
        ("FROM:<@[IPv6:fc00::2],@b:a@[IPv6:fc00::1]>", Mailbox("a", "[IPv6:fc00::1]")),
        ('FROM:<"a > b"@c.k>', Mailbox("a > b", "c.k")),
        ('FROM:<"a\\"b"@c.k>', Mailbox('a"b', "c.k")),
        ("FROM:<postmaster>", Mailbox("postmaster", "")),
        ("FROM:<ü@c.k>", Mailbox("ü", "c.k")),
    ],
)
def test_paths_are_read_in_every_form(argument: str, mailbox: Mailbox | None) -> None:
    path = parse_path(argument, "FROM")
    assert isinstance(path, Path)
    assert path.mailbox == mailbox


@pytest.mark.parametrize(
    "argument",
    [
        None,
        "",
        "FROM",
        "TO:<a@b>",
        "FROM:",
        "FROM:<a@b",
        "FROM:<a@b>SIZE=1",
        "FROM:<a@b><c@d>",
        "FROM:<a b@c>",
        "FROM:<Name a@b>",
        "FROM:<Name <a@b>>",
        "FROM:<a@b, c@d>",
        "FROM:<x: a@b;>",
        'FROM:<"a@b>',
        "FROM:<a@[IPv6:fc00::1>",
        "FROM:<a@b@c>",
        "FROM:<a\x00@b>",
        "FROM:<a\r\n@b>",
        "FROM:<a@b> SIZE=",
        "FROM:<a@b> =1",
        "FROM:<a@b> SIZE=1 size=2",
        "FROM:<" + "a" * 5000 + "@b>",
        "FROM:<" + '"' * 900 + ">",
        "FROM:<" + "(" * 900 + ">",
    ],
)
def test_nonsense_is_a_refusal_and_never_an_exception(argument: str | None) -> None:
    answer = parse_path(argument, "FROM")
    assert isinstance(answer, Refusal)
    assert 500 <= answer.code < 600


def test_a_recipient_must_be_named() -> None:
    assert isinstance(parse_path("TO:<>", "TO"), Refusal)


def test_parameters_are_judged_by_what_is_offered() -> None:
    def reason(with_dsn: bool, **given: str) -> Reason | None:
        refusal = judge_mail_parameters(given, 1000, with_dsn)
        return None if refusal is None else refusal.reason

    assert reason(False, SIZE="1000", BODY="8bitmime", SMTPUTF8="", AUTH="<>") is None
    assert reason(False, SIZE="1001") is Reason.TOO_BIG
    assert reason(False, SIZE="9" * 4000) is Reason.BAD_PARAMETER
    assert reason(False, SIZE="٣") is Reason.BAD_PARAMETER
    assert reason(False, RET="FULL") is Reason.BAD_PARAMETER
    assert reason(True, RET="HDRS", ENVID="x") is None
    assert reason(True, RET="ALL") is Reason.BAD_PARAMETER
    assert judge_rcpt_parameters({"NOTIFY": "success,failure"}, True) is None
    assert judge_rcpt_parameters({"NOTIFY": "NEVER"}, False) is not None
    assert judge_rcpt_parameters({"NOTIFY": "NEVER,DELAY"}, True) is not None
    assert judge_rcpt_parameters({"NOTIFY": "SOMETIMES"}, True) is not None


def test_logins_that_are_none_give_none() -> None:
    assert decode_login("AGJvYgBib2I=") == b"\0bob\0bob"
    assert decode_login("!!") is None
    assert decode_login("ü") is None
    assert decode_plain(b"\0bob\0secret") == ("bob", "secret")
    assert decode_plain(b"bob\0secret") is None
    assert decode_plain(b"\0\xff\0x") is None


def test_what_the_other_side_sent_comes_back_printable_and_on_one_line() -> None:
    refusal = Refusal(550, "5.1.1", "no\r\n250 yes\x1b[2J\x00", Reason.UNKNOWN_USER)
    assert str(refusal) == "550 5.1.1 no??250 yes?[2J?"
    assert len(printable("x" * 10_000)) == 400
