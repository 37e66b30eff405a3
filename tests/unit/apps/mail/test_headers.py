"""Headers as bytes: what needs no change keeps every byte, what others broke is mended."""

from __future__ import annotations

import pytest

from dexmesh.apps.mail.proto.headers import (
    MAX_FIELDS,
    Field,
    Header,
    HeaderCollector,
    TooManyFieldsError,
    make_field,
    parse_header,
    render,
    repair_literals,
)

LITERAL = b"[IPv6:fc68:2ecd::1]"


def repaired(raw: bytes, name: str = "from") -> bytes:
    return repair_literals(Field(name, raw)).raw


@pytest.mark.parametrize(
    ("written", "mended"),
    [
        (b'From: bob@"%b"\r\n', b"From: bob@%b\r\n"),
        (b'From: Bob <bob@"%b">\r\n', b"From: Bob <bob@%b>\r\n"),
        (
            b'From: "Bob" <bob@"%b">,\r\n al@"%b" (x)\r\n',
            b'From: "Bob" <bob@%b>,\r\n al@%b (x)\r\n',
        ),
        (b'From: "a \\" b" <"q q"@"%b">\r\n', b'From: "a \\" b" <"q q"@%b>\r\n'),
    ],
)
def test_a_literal_in_quotes_loses_them(written: bytes, mended: bytes) -> None:
    count = written.count(b"%b")
    literals = (LITERAL,) * count
    assert repaired(written % literals) == mended % literals
    assert repaired(mended % literals) == mended % literals


@pytest.mark.parametrize(
    "raw",
    [
        b'From: "bob@\\"[IPv6:fc00::1]\\"" <a@b>\r\n',
        b'From: "bob@"<a@b>\r\n',
        b'From: bob@"example.org"\r\n',
        b'From: bob@"[fc00::1]"\r\n',
        b'From: bob@"[IPv6:fc00::1] "\r\n',
        b'From: bob@"[IPv6:fc00::1]\r\n',
        b'From: "unclosed @ \\',
        b"From: \xff\xfe <bob@%b>\r\n" % LITERAL,
    ],
)
def test_everything_else_keeps_its_bytes(raw: bytes) -> None:
    assert repaired(raw) == raw


def test_only_fields_with_addresses_are_mended() -> None:
    raw = b'bob@"%b"\r\n' % LITERAL
    for name in ("from", "reply-to", "sender", "to", "cc"):
        assert repaired(b"X: " + raw, name) == b"X: bob@%b\r\n" % LITERAL
    for name in ("subject", "x-from", "references"):
        assert repaired(b"X: " + raw, name) == b"X: " + raw


def test_fields_keep_folds_case_and_odd_bytes() -> None:
    block = b"Subject: a\r\n\tb\r\nX-Odd \t: \xff\r\nsubject:c\r\n"
    header = parse_header(block)
    assert [field.name for field in header.fields] == ["subject", "x-odd", "subject"]
    assert b"".join(field.raw for field in header.fields) == block
    assert header.first("subject") == "a\tb"
    assert header.first("x-odd") == "�"
    assert header.first("absent") is None
    assert render(header.fields, header.rest) == block + b"\r\n"


@pytest.mark.parametrize(
    ("block", "fields", "rest"),
    [
        (b"", 0, b""),
        (b" starts with a blank\r\nA: b\r\n", 0, b" starts with a blank\r\nA: b\r\n"),
        (b"A: b\r\nFrom bob today\r\nC: d\r\n", 1, b"From bob today\r\nC: d\r\n"),
        (b"A: b\r\n: c\r\n", 1, b": c\r\n"),
        (b"A: b\r\n\x00: c\r\n", 1, b"\x00: c\r\n"),
        (b"A: b\r\nC: no end", 2, b""),
    ],
)
def test_the_header_ends_at_the_first_line_that_is_no_field(
    block: bytes, fields: int, rest: bytes
) -> None:
    header = parse_header(block)
    assert (len(header.fields), header.rest) == (fields, rest)


def test_there_is_a_bound_for_fields() -> None:
    assert len(parse_header(b"a:\r\n" * MAX_FIELDS).fields) == MAX_FIELDS
    with pytest.raises(TooManyFieldsError):
        parse_header(b"a:\r\n" * (MAX_FIELDS + 1))


def test_no_value_can_begin_another_field() -> None:
    assert make_field("A", "b\r\nEvil: c\nd\re") == b"A: b  Evil: c d e\r\n"
    assert make_field("A", "b\r\n\tc") == b"A: b\r\n\tc\r\n"
    assert make_field("A", "\udcff") == b"A: \xff\r\n"


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_the_collector_finds_the_empty_line_in_whatever_pieces(size: int) -> None:
    data = b"A: b\r\nC: d\r\n\r\nbody\r\n\r\nmore"
    collector = HeaderCollector()
    for at in range(0, len(data), size):
        parts = collector.feed(data[at : at + size])
        if parts is not None:
            assert parts[0] == b"A: b\r\nC: d\r\n"
            assert b"body\r\n\r\nmore".startswith(parts[1])
            assert data[: at + size].endswith(parts[1])
            return
    raise AssertionError("never found")


def test_a_message_may_begin_with_its_empty_line() -> None:
    assert HeaderCollector().feed(b"\r\nbody") == (b"", b"body")
    assert render(Header(()).fields) == b"\r\n"


@pytest.mark.parametrize(
    "raw",
    [
        b'"' + b'\\"' * 100_000,
        b"@" + b" \t" * 100_000,
        b"@ " * 100_000,
        b'@"[IPv6:' * 30_000,
        b'"a' * 100_000,
        b'@"' + b"\\" * 200_001,
    ],
)
def test_mending_takes_linear_time(raw: bytes) -> None:
    field = Field("to", b'To: "" ' + raw + b"\r\n")
    repair_literals(field)  # quadratic work would take minutes here: the suite would not end
