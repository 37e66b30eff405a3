"""Whatever a header holds: nothing is lost, nothing raises, and what is edited stays one header."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from dexmesh.apps.base.domains import no_petnames
from dexmesh.apps.mail.proto.commands import Path, parse_path
from dexmesh.apps.mail.proto.headers import (
    Field,
    HeaderCollector,
    parse_header,
    repair_literals,
)
from dexmesh.apps.mail.proto.policy import LocalNames
from dexmesh.apps.mail.proto.receiving import edit_received
from dexmesh.apps.mail.proto.refusals import Refusal
from dexmesh.apps.mail.proto.submitting import authors, complete_header, own_sender
from tests.unit.apps.mail.smtp_world import ME, SETTINGS, USERS
from tests.unit.apps.mail.test_receiving import ARRIVAL

HERE = LocalNames(ME, tuple(user.name for user in USERS), SETTINGS.aliases, frozenset({"desk"}))

pieces = st.lists(
    st.sampled_from(
        [b"From: ", b"To:", b"Subject : ", b"Bcc: ", b"a@b", b"bob", b'@"[IPv6:fc00::1]"', b"[IPv6:",
         b"]", b'"', b"\\", b"<", b">", b",", b";", b":", b"\r\n", b"\r\n", b"\r\n ", b"\xff", b"\x00",
         b"=?utf-8?q?x?=", b"(", b")", b"alice@desk"]
    ),
    max_size=40,
).map(b"".join)  # fmt: skip


@given(pieces)
def test_a_header_is_its_fields_and_the_rest(block: bytes) -> None:
    header = parse_header(block)
    assert b"".join(field.raw for field in header.fields) + header.rest == block


@given(pieces)
def test_mending_twice_is_mending_once_and_only_takes_quotes(raw: bytes) -> None:
    once = repair_literals(Field("to", raw))
    assert repair_literals(once) == once
    assert once.raw.replace(b'"', b"") == raw.replace(b'"', b"")


@given(pieces, st.lists(st.integers(1, 9), min_size=1))
def test_the_collector_cuts_where_the_first_empty_line_is(data: bytes, sizes: list[int]) -> None:
    collector, at, turn = HeaderCollector(), 0, 0
    found = None
    while found is None and at < len(data):
        size = sizes[turn % len(sizes)]
        found = collector.feed(data[at : at + size])
        at, turn = at + size, turn + 1
    if found is None:
        assert collector.finish() == (data, b"")
        assert b"\r\n\r\n" not in data
        assert not data.startswith(b"\r\n")
        return
    block, body = found
    joined = block + b"\r\n" + body
    assert data.startswith(joined)
    assert b"\r\n\r\n" not in block


@given(pieces)
def test_an_edited_header_of_the_mesh_is_still_one_header(block: bytes) -> None:
    result = edit_received(parse_header(block), ARRIVAL, ME)
    assert isinstance(result, bytes)
    header, _, _ = result.partition(b"\r\n\r\n")
    fields = parse_header(header + b"\r\n")
    assert fields.rest == b""
    assert len(fields.all("authentication-results")) == 1
    assert len(fields.all("return-path")) == 1


@given(pieces, st.sampled_from([None, "alice"]))
def test_a_completed_header_has_one_own_from_and_no_bcc(block: bytes, login: str | None) -> None:
    header = parse_header(block)
    sender = own_sender(login, authors(header)[:1], HERE)
    assert HERE.owns(sender.domain)
    result = complete_header(
        header, sender, HERE, no_petnames, date=datetime(2026, 1, 1, tzinfo=UTC), message_id="<m@x>"
    )
    top, _, _ = result.partition(b"\r\n\r\n")
    fields = parse_header(top + b"\r\n")
    assert fields.rest == b""
    assert len(fields.all("from")) == 1
    assert not fields.all("bcc")
    assert fields.all("date")
    assert fields.all("message-id")
    (author,) = authors(fields)
    assert HERE.owns(author.domain)
    assert HERE.users_of(author.local)
    assert login is None or login in HERE.users_of(author.local)


@given(st.text(max_size=60), st.sampled_from(["FROM", "TO"]))
def test_no_argument_raises(text: str, keyword: str) -> None:
    for argument in (text, f"{keyword}:{text}", f"{keyword}:<{text}>"):
        answer = parse_path(argument, keyword)
        assert isinstance(answer, Path | Refusal)
        if isinstance(answer, Refusal):
            assert str(answer).isprintable()
