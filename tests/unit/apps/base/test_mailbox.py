from __future__ import annotations

import pytest

from dexmesh.apps.base.mailbox import (
    MAX_LIST_CHARS,
    MAX_MAILBOXES,
    Mailbox,
    parse_mailbox,
    parse_mailboxes,
    readable_mailboxes,
)
from dexmesh.errors import AddressError

LITERAL = "[IPv6:fc68:ecd::a21c]"
BOB = Mailbox("bob", LITERAL)


@pytest.mark.parametrize(
    "text",
    [
        f"bob@{LITERAL}",
        f'bob@"{LITERAL}"',  # alpine
        f"<bob@{LITERAL}>",
        f"  <bob @ {LITERAL}>  ",
        f"<@[IPv6:fc00::2],@x:bob@{LITERAL}>",
        f'"bob"@{LITERAL}',
        f"bob@{LITERAL},",
    ],
)
def test_a_literal_is_read_however_it_is_dressed(text: str) -> None:
    assert parse_mailboxes(text) == (BOB,)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (f"Bob Builder <bob@{LITERAL}>", "Bob Builder"),
        (f'"Builder, Bob" <bob@{LITERAL}>', "Builder, Bob"),
        (f"bob@{LITERAL} (Bob (the) Builder)", "Bob (the) Builder"),
        (f"(Bob) <bob@{LITERAL}>", "Bob"),
        (f"=?utf-8?q?J=C3=B6rg?= <bob@{LITERAL}>", "=?utf-8?q?J=C3=B6rg?="),
        (f"[SPAM] Bob <bob@{LITERAL}>", "[SPAM] Bob"),
        (f"bob@home <bob@{LITERAL}>", "bob@home"),
    ],
)
def test_the_name_is_kept_and_can_be_written_again(text: str, name: str) -> None:
    mailbox = parse_mailbox(text)
    assert mailbox == Mailbox("bob", LITERAL, name)
    assert parse_mailbox(mailbox.formatted()) == mailbox


def test_lists_groups_comments_and_empty_places() -> None:
    text = f'work: a@x.k, "B, C" <b@{LITERAL}>; , (nobody) , undisclosed-recipients:;, c@{LITERAL}'
    assert [str(one) for one in parse_mailboxes(text)] == ["a@x.k", f"b@{LITERAL}", f"c@{LITERAL}"]


def test_colons_in_a_bare_literal_open_no_group() -> None:
    assert [one.local for one in parse_mailboxes(f"a@{LITERAL}, b@{LITERAL}")] == ["a", "b"]


def test_a_local_part_is_quoted_where_it_must_be() -> None:
    assert str(parse_mailbox(f'"john doe"@{LITERAL}')) == f'"john doe"@{LITERAL}'
    assert str(parse_mailbox('"a.b"@x.k')) == "a.b@x.k"
    assert str(Mailbox('q"\\', "x.k")) == '"q\\"\\\\"@x.k'


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "<>", "@", "bob", "bob@", "@x.k", "a@b@c", "a b@c", "Stuart Smith", "a@b c@d"),
        *("a@[IPv6:fc00::1", "a@fc00::1", "<a@b", "a@b>", "<a@b> x", "<a@<b>>", '"a@b', "(a@b"),
        *("a@b\r\nRCPT TO:<x@y>", "a\x00@b", "a@b\x7f", "a@-..b", "a@[x]y", "a@b, c@d", "g: a@b;x"),
        *("x" * 300 + "@b", "a@" + "b." * 200, '""@b', 'a@"b"', "a\u2028@b", "a@b\r\n"[:-1] + "x"),
    ],
)
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(AddressError):
        parse_mailbox(text)


def test_the_name_of_a_local_user_stands_alone_where_that_is_meant() -> None:
    assert parse_mailbox("root", needs_domain=False) == Mailbox("root", "")
    assert str(parse_mailbox("root", needs_domain=False)) == "root"
    with pytest.raises(AddressError):
        parse_mailbox("root@", needs_domain=False)


def test_a_folded_header_is_one_line() -> None:
    assert parse_mailboxes(f"a@x.k,\r\n\tb@{LITERAL}\r\n") == (
        Mailbox("a", "x.k"),
        Mailbox("b", LITERAL),
    )


def test_of_a_bad_list_the_good_addresses_are_found() -> None:
    assert readable_mailboxes(f'a@@b, bob@{LITERAL}, c d, "broken') == (BOB,)
    with pytest.raises(AddressError):
        parse_mailboxes(f"a@@b, bob@{LITERAL}")


def test_lists_without_end_are_refused() -> None:
    with pytest.raises(AddressError, match="more than"):
        parse_mailboxes("a@b," * (MAX_MAILBOXES + 1))
    with pytest.raises(AddressError, match="longer"):
        parse_mailboxes("x" * (MAX_LIST_CHARS + 1))
