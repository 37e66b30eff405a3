"""Mail addresses from anybody: every text is read or refused, and what was read can be written again."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from dexmesh.apps.base.mailbox import (
    MAX_MAILBOXES,
    Mailbox,
    parse_mailbox,
    parse_mailboxes,
    readable_mailboxes,
)
from dexmesh.errors import AddressError

SPICED = st.text(st.sampled_from('ab.@"\\<>()[]:;,= \t\r\n\x00ü?1') | st.characters(), max_size=60)
PIECES = st.lists(
    st.sampled_from(
        [
            *("bob", "@", "[IPv6:fc00::1]", '"[IPv6:fc00::1]"', "<", ">", ",", ";", ":", " "),
            *("(", ")", '"', "\\", "x.k", "friends", '"q, r"', "[", "]", "\r\n ", "=?utf-8?q?a?="),
        ]
    ),
    max_size=20,
).map("".join)
DOMAINS = st.sampled_from(["[IPv6:fc00::1]", "[IPv6:FC00:0:0::1]", "x.k", "a-b.cjdns.alt", "box"])
LOCALS = st.text(
    st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=40
)
MAILBOXES = st.builds(Mailbox, LOCALS, DOMAINS, LOCALS.map(str.strip) | st.just(""))


@given(SPICED | PIECES, st.booleans())
@example("a@[IPv6:fc00::1", True)
@example('"', False)
def test_a_text_is_an_address_or_refused(text: str, needs_domain: bool) -> None:
    try:
        mailbox = parse_mailbox(text, needs_domain=needs_domain)
    except AddressError:
        return
    assert mailbox.local
    assert mailbox.domain or not needs_domain
    assert not any(ord(character) < 32 for character in str(mailbox) if character != "\t")
    assert parse_mailbox(mailbox.formatted(), needs_domain=needs_domain) == mailbox


@given(SPICED | PIECES)
def test_a_list_is_read_or_refused_and_what_is_readable_of_it_is_found(text: str) -> None:
    found = readable_mailboxes(text)
    try:
        assert parse_mailboxes(text) == found
    except AddressError:
        return


@given(st.lists(MAILBOXES, min_size=1, max_size=8), st.sampled_from([",", ", ", ",\r\n ", " ;"]))
def test_a_list_that_we_write_is_read_back(mailboxes: list[Mailbox], comma: str) -> None:
    text = comma.join(mailbox.formatted() for mailbox in mailboxes)
    assert parse_mailboxes(text) == tuple(mailboxes)


@given(st.lists(MAILBOXES, min_size=1, max_size=4))
def test_a_group_is_opened(mailboxes: list[Mailbox]) -> None:
    text = f"my friends: {', '.join(mailbox.formatted() for mailbox in mailboxes)};"
    assert parse_mailboxes(text) == tuple(mailboxes)


@given(st.sampled_from(["(", '"', "<", "a,", "a@b,", "[", "@[", "\\", ":", "x:", '"\\']))
def test_a_flood_of_one_kind_is_bounded_and_quick(piece: str) -> None:
    text = piece * 40_000
    assert len(readable_mailboxes(text)) <= MAX_MAILBOXES
