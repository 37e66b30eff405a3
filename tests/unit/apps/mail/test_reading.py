"""Messages as a person reads them, and what hostile ones cannot do."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexmesh.apps.mail.reading import attached_bytes, first_text, html_to_text, read_mail, safe_name


def alternative(*parts: tuple[str, str]) -> bytes:
    inside = "".join(f"--b\nContent-Type: {media}\n\n{text}\n" for media, text in parts)
    return f"Content-Type: multipart/alternative; boundary=b\n\n{inside}--b--\n".encode()


def test_of_alternatives_the_plain_one_is_shown() -> None:
    mail = read_mail(alternative(("text/html", "<b>no</b>"), ("text/plain", "yes")))
    assert mail.text == "yes\n"
    assert mail.attachments == ()
    assert read_mail(alternative(("text/html", "<b>html</b>"))).text == "html\n"


def test_texts_one_after_the_other_are_all_shown_and_the_rest_is_listed() -> None:
    data = (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b\r\n"
        b"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nthree\r\n--b\r\n"
        b"Content-Type: text/plain\r\nContent-Disposition: attachment; filename=a.txt\r\n\r\nfour\r\n"
        b"--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--b--\r\n"
    )
    mail = read_mail(data)
    assert mail.text == "one\n\ntwo\n"
    assert [(one.name, one.size) for one in mail.attachments] == [
        ("inner.eml", 23),
        ("a.txt", 4),
        ("part-3.png", 3),
    ]
    assert attached_bytes(data, mail.attachments[0].part) == b"Subject: inner\r\n\r\nthree"


def test_headers_are_decoded_and_literals_stay_whole() -> None:
    mail = read_mail(
        b"From: =?utf-8?q?Zo=C3=AB?= <zoe@[IPv6:fc00::7]>\r\nSubject: =?utf-8?b?w7w=?=\r\n"
        b"References: <1@x>\r\n <2@x> junk\r\nMessage-ID: <3@x>\r\n\r\ntext"
    )
    assert mail.from_text == "=?utf-8?q?Zo=C3=AB?= <zoe@[IPv6:fc00::7]>"
    assert mail.subject == "ü"
    assert mail.references == ("<1@x>", "<2@x>")
    assert mail.text == "text\n"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("<p>one</p><p>two<br>three</p>", "one\n\ntwo\nthree\n"),
        ("a &amp; b &lt;c&gt; &#252;", "a & b <c> ü\n"),
        ('<a href="https://x.y/z">here</a>', "here <https://x.y/z>\n"),
        ('<a href="https://x.y">https://x.y</a>', "https://x.y\n"),
        ("<a href='javascript:alert(1)'>click</a>", "click\n"),
        ("<script>evil()</script><style>p{}</style>ok<!-- no -->!", "ok!\n"),
        ('<img src="http://spy" alt="a cat">', "[a cat]\n"),
        ("<ul><li>one<li>two</ul>", "* one\n* two\n"),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2\n"),
        ("<SCRIPT>x</ScRiPt >y", "y\n"),
        ("open <b", "open\n"),
        ("<!-- never closed", "\n"),
    ],
)
def test_html_becomes_its_words(source: str, text: str) -> None:
    assert html_to_text(source) == text


@pytest.mark.parametrize(
    "piece", ["<", "<!--", "<a href=", "<script>", "&", "<p>", "<a href='x'>", "<!", "</", "<a \n"]
)
def test_broken_html_takes_linear_time(piece: str) -> None:
    def cpu_s(size: int) -> float:
        began = time.process_time()
        html_to_text(piece * (size // len(piece)))
        return time.process_time() - began

    assert cpu_s(1_000_000) < 10 * cpu_s(250_000) + 0.5  # four times as long; sixteen were too much


@given(st.text(max_size=500))
def test_any_html_becomes_some_text(source: str) -> None:
    html_to_text(source)
    html_to_text(f"<{source}>{source}</{source}")


@given(st.binary(max_size=500))
def test_any_bytes_can_be_read(data: bytes) -> None:
    read_mail(data)
    first_text(data, 100)
    for attachment in read_mail(b"Content-Disposition: attachment\r\n" + data).attachments:
        assert safe_name(attachment.name) == attachment.name


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("../../../etc/passwd", "passwd"),
        ("C:\\Windows\\a.exe", "a.exe"),
        ("..", ""),
        (".bashrc", "bashrc"),
        ("a\0b\x1b[31m.txt", "a_b_[31m.txt"),
        ("\u202egnp.exe", "_gnp.exe"),
        ("/", ""),
        ("naïve.txt", "naïve.txt"),
    ],
)
def test_the_name_of_a_file_stays_in_its_folder(told: str, name: str) -> None:
    assert safe_name(told) == name


def test_a_long_name_keeps_its_ending() -> None:
    assert len(safe_name("ü" * 500 + ".txt").encode()) <= 120
    assert safe_name("x" * 500 + ".txt").endswith("xx.txt")


def test_a_preview_is_plain_text_only() -> None:
    assert (
        first_text(alternative(("text/html", "<b>x</b>"), ("text/plain", "a\n\n b")), 99) == "a b"
    )
    assert first_text(alternative(("text/html", "<b>x</b>")), 99) == ""
    assert first_text(b"\n" + b"word " * 1000, 20) == "word word word word "
