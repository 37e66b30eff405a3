"""The parts of messages, friendly and hostile."""

from __future__ import annotations

import base64
import time
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexmesh.apps.mail.proto.parts import (
    MAX_PARTS,
    Part,
    decode_body,
    decode_words,
    field_value,
    field_values,
    file_name,
    header_fields,
    is_attachment,
    parse_message,
    parse_parameters,
)


def made(line_end: str = "\r\n") -> bytes:
    message = EmailMessage()
    message["Subject"] = "three parts"
    message.set_content("plain\n")
    message.add_alternative("<p>html</p>", subtype="html")
    message.add_attachment(b"\0\1\2" * 100, "application", "octet-stream", filename="naïve ü.bin")
    text = message.as_bytes().replace(b"\r\n", b"\n")
    return text.replace(b"\n", line_end.encode())


@pytest.mark.parametrize("line_end", ["\r\n", "\n"])
def test_a_message_with_an_attachment_has_its_tree(line_end: str) -> None:
    data = made(line_end)
    tree = parse_message(data)
    assert [part.media for part in tree.walk()] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "text/html",
        "application/octet-stream",
    ]
    attached = tree.parts[1]
    assert decode_body(data, attached) == b"\0\1\2" * 100
    assert file_name(data, attached) == "naïve ü.bin"
    assert is_attachment(data, attached)
    assert not is_attachment(data, tree.parts[0].parts[0])


def test_the_line_end_before_a_delimiter_belongs_to_it() -> None:
    data = (
        b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n\r\none\r\n\r\n--b\r\n\r\n'
        b"--b\r\nX: y\r\n\r\nthree\r\n--b--\r\nafter"
    )
    tree = parse_message(data)
    assert [data[slice(*part.body)] for part in tree.parts] == [b"one\r\n", b"", b"three"]


def test_a_missing_end_delimiter_and_a_longer_boundary_are_no_trouble() -> None:
    data = b"Content-Type: multipart/mixed; boundary=b\n\npre\n--bb\nno\n--b\n\nx\n--b extra\ny"
    tree = parse_message(data)
    assert [data[slice(*part.body)] for part in tree.parts] == [b"x\n--b extra\ny"]


def test_a_forwarded_message_is_a_message_inside() -> None:
    data = b"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nhello"
    inner = parse_message(data).message
    assert inner is not None
    assert field_value(data, inner.header, b"subject") == "inner"


def test_fields_are_unfolded_and_repeated_ones_are_all_found() -> None:
    data = b"To: a,\r\n  b\r\nBroken line\r\nto : c\r\nSubject:\r\n\r\nTo: body"
    header = parse_message(data).header
    assert field_values(data, header, b"to") == ["a,  b", "c"]
    assert field_value(data, header, b"subject") == ""
    assert field_value(data, header, b"missing") == ""


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("=?utf-8?B?w7w=?=", "ü"),
        ("=?UTF-8?q?a_b=C3=BC?= c", "a bü c"),
        ("=?utf-8?q?one?= =?utf-8?q?two?=", "onetwo"),
        ("=?utf-8?q?one?=   plain", "one   plain"),
        ("=?iso-8859-1*en?q?=FC?=", "ü"),
        ("=?no-such?q?x?=", "x"),
        ("=?utf-8?b?w7?=", "\N{REPLACEMENT CHARACTER}"),
        ("=?zlib?b?AAAA?=", "\0\0\0"),
        ("=?utf-8?x?abc?=", "=?utf-8?x?abc?="),
    ],
)
def test_encoded_words_are_decoded_and_broken_ones_do_no_harm(value: str, shown: str) -> None:
    assert decode_words(value) == shown


def test_parameters_are_read_in_every_form() -> None:
    value = 'Text/HTML ; Charset="utf-8"; name*0*=utf-8\'\'a%20; name*1=b; x="q\\"uo;te"'
    assert parse_parameters(value) == (
        "text/html",
        {"charset": "utf-8", "name": "a b", "x": 'q"uo;te'},
    )
    assert parse_parameters("attachment; filename=a.txt", "") == (
        "attachment",
        {"filename": "a.txt"},
    )
    assert parse_parameters("nonsense") == ("text/plain", {})


def nested(depth: int) -> bytes:
    lines = [b"Content-Type: multipart/mixed; boundary=b0\n\n"]
    for level in range(depth):
        inner = f"--b{level}\nContent-Type: multipart/mixed; boundary=b{level + 1}\n\n"
        lines.append(inner.encode())
    return b"".join(lines)


def test_endless_nesting_and_endless_parts_end_in_bounded_time() -> None:
    began = time.process_time()
    tree = parse_message(nested(50_000))
    assert sum(1 for _ in tree.walk()) < 20
    many = b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\n\n" * 200_000
    assert sum(1 for _ in parse_message(many).walk()) <= MAX_PARTS + 1
    rfc822 = b"Content-Type: message/rfc822\n\n" * 100_000
    assert sum(1 for _ in parse_message(rfc822).walk()) < 20
    assert time.process_time() - began < 5


def test_a_header_of_megabytes_is_looked_at_only_so_far() -> None:
    data = b"A: b\n" * 1_000_000 + b"Subject: late\n\nbody"
    tree = parse_message(data)
    assert data[slice(*tree.body)] == b"body"
    assert sum(1 for _ in header_fields(data, tree.header)) == 1000
    assert field_value(data, tree.header, b"subject") == ""


def spans(part: Part) -> list[tuple[int, int]]:
    return [span for one in part.walk() for span in (one.header, one.body)]


@given(st.binary(max_size=400))
def test_any_bytes_have_parts_that_lie_inside_them(junk: bytes) -> None:
    for data in (junk, b"Content-Type: multipart/x; boundary=a\r\n\r\n--a\r\n" + junk + b"\n--a--"):
        tree = parse_message(data)
        assert tree.header[0] == 0
        assert tree.body[1] == len(data)
        assert all(0 <= start <= end <= len(data) for start, end in spans(tree))
        for part in tree.walk():
            decode_body(data, part)
            file_name(data, part)


@given(st.text(max_size=300))
def test_any_text_can_be_a_header_value(text: str) -> None:
    decode_words(text)
    decode_words(f"=?utf-8?b?{text}?=")
    parse_parameters(text)
    parse_parameters(f"text/plain; name*0*={text}")


def test_base64_of_25_megabytes_comes_back_bit_for_bit() -> None:
    content = bytes(range(256)) * 100_000
    encoded = base64.encodebytes(content).replace(b"\n", b"\r\n")
    data = b"Content-Type: a/b\r\nContent-Transfer-Encoding: BASE64\r\n\r\n" + encoded
    assert decode_body(data, parse_message(data)) == content
