"""vCards: what is read is written again, and hostile text ends in one clear error."""

from __future__ import annotations

import time

import pytest
import vobject

from dexmesh.apps.contacts.vcard import (
    MAX_CARD_BYTES,
    MAX_CARDS,
    MAX_PROPERTIES,
    Card,
    CardError,
    Property,
    decode_text,
    escape,
    read_card,
    read_cards,
    text_property,
    unescape,
    write_card,
)

LITERAL = "stuart@[IPv6:fc68:2ecd:2889:c9f0::a21c]"


def card_text(*lines: str, version: str = "4.0") -> str:
    return "\r\n".join(["BEGIN:VCARD", f"VERSION:{version}", *lines, "END:VCARD", ""])


def test_every_part_of_a_property_is_read() -> None:
    [one] = read_card(card_text('item1.email;TYPE=home,x;X="a;b:c":' + LITERAL)).properties
    assert one == Property("EMAIL", LITERAL, ';TYPE=home,x;X="a;b:c"', "item1")
    assert (one.param("TYPE"), one.param("X"), one.param("PREF")) == ("home,x", "a;b:c", "")


def test_carets_in_parameters_mean_marks_and_line_ends() -> None:
    made = text_property("NOTE", "x", LABEL='Main "Street"^\n7')
    assert made.params == ";LABEL=Main ^'Street^'^^^n7"
    assert made.param("LABEL") == 'Main "Street"^\n7'
    assert text_property("NOTE", "x", LABEL="a;b").params == ';LABEL="a;b"'


@pytest.mark.parametrize("text", ["plain", "a,b;c\\d\ne", "\\n", "Grüße, 你好; 🙂", ",,;;\\\\"])
def test_escaping_is_undone(text: str) -> None:
    assert unescape(escape(text)) == text


def test_line_ends_of_every_system_become_the_escaped_one() -> None:
    assert escape("a\r\nb\nc") == "a\\nb\\nc"
    assert unescape("a\\Nb") == "a\nb"


def test_long_lines_are_folded_at_75_octets_and_never_inside_a_character() -> None:
    card = Card("4.0", (text_property("NOTE", "ä€🙂" * 60), text_property("FN", "x" * 200)))
    written = write_card(card)
    for line in written.encode().split(b"\r\n"):
        assert len(line) <= 75
        line.decode()
    assert read_card(written) == card


def test_line_ends_without_cr_and_folds_with_tabs_are_read() -> None:
    text = "BEGIN:VCARD\nVERSION:3.0\nFN:Stuart\n\t Cheshire\nEND:VCARD\n"
    card = read_card(text)
    assert (card.version, card.text("FN")) == ("3.0", "Stuart Cheshire")


def test_another_reader_reads_what_is_written() -> None:
    card = Card(
        "4.0",
        (
            text_property("FN", "Müller, Jörg; Dr."),
            text_property("EMAIL", LITERAL),
            Property("IMPP", "sip:stuart@[fc68:2ecd::1]"),
            text_property("NOTE", "zwei\nZeilen mit \\ " + "ü" * 100),
        ),
    )
    read = vobject.readOne(write_card(card))
    assert read.fn.value == "Müller, Jörg; Dr."
    assert read.email.value == LITERAL
    assert read.impp.value == "sip:stuart@[fc68:2ecd::1]"
    assert read.note.value == "zwei\nZeilen mit \\ " + "ü" * 100


def test_several_cards_are_read_in_order() -> None:
    text = card_text("FN:A") + "\r\n" + card_text("FN:B", version="3.0")
    assert [one.text("FN") for one in read_cards(text)] == ["A", "B"]
    with pytest.raises(CardError, match="more than one card"):
        read_card(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no vCard"),
        ("hello", "no vCard"),
        ("BEGIN:VCARD\r\nVERSION:4.0\r\nFN:x\r\n", "no END"),
        ("END:VCARD\r\n", "END without"),
        ("BEGIN:VCARD\r\nFN:x\r\nEND:VCARD\r\n", "version missing"),
        (card_text("FN:x", version="2.1"), "version 2.1"),
        (card_text("no colon here"), "no property"),
        (card_text('FN;X="open:x'), "no property"),
        (card_text("AGENT:", "BEGIN:VCARD", "VERSION:4.0", "END:VCARD"), "a card inside a card"),
        (card_text(*["X:y"] * (MAX_PROPERTIES + 1)), "more than 1000 properties"),
    ],
)
def test_what_is_no_card_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(CardError, match=reason):
        read_card(text)


def test_an_error_names_the_line_the_card_begins_in() -> None:
    text = card_text("FN:A") + card_text("nonsense")
    with pytest.raises(CardError, match=r"people\.vcf, card at line 5"):
        list(read_cards(text, "people.vcf"))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"BEGIN:VCARD\nFN:\xff\n", "line 2: not UTF-8"),
        (b"BEGIN:VCARD\nFN:a\x00b\n", "line 2: a control character"),
        (b"\x89PNG\r\n\x1a\n", "not UTF-8"),
        (b"a\x1bb", "control character"),
    ],
)
def test_binary_files_are_refused(data: bytes, reason: str) -> None:
    with pytest.raises(CardError, match=reason):
        decode_text(data, "people.vcf")


def test_a_byte_order_mark_does_no_harm() -> None:
    assert decode_text(b"\xef\xbb\xbfBEGIN", "x") == "BEGIN"


def _seconds(text: str) -> float:
    began = time.process_time()
    with pytest.raises(CardError):
        list(read_cards(text))
    return time.process_time() - began


def test_bombs_are_refused_in_linear_time() -> None:
    fold = "BEGIN:VCARD\r\nVERSION:4.0\r\nFN:" + "\r\n x" * 700_000 + "\r\nEND:VCARD\r\n"
    assert _seconds(fold) < 2.0
    quotes = card_text("FN" + ';A="' * 99_999 + ":x")
    assert _seconds(quotes) < 2.0
    params = card_text("FN" + ";A=b" * 100_000)
    assert _seconds(params) < 2.0
    begins = "BEGIN:VCARD\r\n" * 200_000
    assert _seconds(begins) < 2.0
    many = "BEGIN:VCARD\r\nVERSION:4.0\r\nEND:VCARD\r\n" * (MAX_CARDS + 1)
    assert _seconds(many) < 5.0


def test_a_card_longer_than_we_keep_is_not_written() -> None:
    with pytest.raises(CardError, match="longer than 256 kB"):
        write_card(Card("4.0", (text_property("NOTE", "ü" * (MAX_CARD_BYTES // 2)),)))
